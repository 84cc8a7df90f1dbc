"""Entities marked in texts: CoNLL files, words with tags, JSON lines with character spans."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.specs import InvalidExample, LabelSpec, Span

_TAG = re.compile(r"O|([BILUESM])-(.+)")
_GOES_ON, _ENDS = "ILEM", "LEUS"
_LINE_END, _TABS, _SPACES = re.compile(r"\r\n?|\n"), re.compile(r"\t+"), re.compile(r" +")
_NAMES = {
    "start": ("start", "begin", "start_offset"),
    "end": ("end", "stop", "end_offset"),
    "label": ("label", "type"),
}


def from_conll(file: str | Path, *, word: int = 0, tag: int = -1) -> Source:
    """Take the sentences of a CoNLL file: a word and its tag a line, a blank line behind each sentence.

    Args:
        file: UTF-8; columns are separated by tabs or, in a line without, by spaces. Lines "-DOCSTART- …" and comments
            "# …" are passed over; a "#" with a tag is a word.
        word: column of the words.
        tag: column of the tags, in IOB, BIO (IOB2), BILOU or BIOES.

    Returns:
        A source of kind "words" whose targets are spans of the words joined by single spaces; sentences that cannot be
        read are in `invalid`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: for wrong encoding, naming the line, or if there is no sentence or no entity at all.
    """
    path = existing(file)
    words, tags, ids, invalid = [], [], [], []
    for line, rows in _sentences(read_text(path), tag):
        name = f"{path.name}, line {line}"
        reason = _why_not(rows, word, tag)
        if reason:
            invalid.append(InvalidExample(name, reason))
            continue
        words.append(tuple(row[word] for row in rows))
        tags.append(tuple(row[tag] for row in rows))
        ids.append(name)
    if not words:
        shown = check.listing((f"{each.example_id}: {each.reason}" for each in invalid), limit=3)
        raise ValueError(f"{path} holds no sentence that can be read. {shown or 'It is empty.'}")
    return _marked(words, [spans_of(*pair) for pair in zip(words, tags, strict=True)], ids=ids, invalid=tuple(invalid))


def from_words(
    words: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]] | None = None,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
) -> Source:
    """Take texts that came in words.

    Args:
        words: of each text.
        tags: one for each word: "O", "B-city", "I-city" … (or BILOU, BIOES); None for unlabelled texts.
        labels: types of the entities in the order of the model's outputs; None means those that occur, sorted.

    Returns:
        A source of kind "words" whose targets are spans of the words joined by single spaces.

    Raises:
        TypeError: if a text is no list of words.
        ValueError: naming the texts whose words and tags differ in number, and tags that are none.

    Example:
        >>> source = from_words([["in", "New", "York"]], [["O", "B-city", "I-city"]])
        >>> source.targets[0]
        (Span(start=3, end=11, label='city', probability=None),)
    """
    problems = check.Problems()
    for row, text in enumerate(words):
        listed = isinstance(text, list | tuple | np.ndarray)
        if not listed or not all(isinstance(word, str) and word.strip() for word in text):
            raise TypeError(f"`words`[{row}] must be a list of words that are not empty. Received: {text!r:.60}")
        if tags is not None and row < len(tags):
            reason = _why_not_tagged(text, tags[row])
            if reason:
                problems.add(f"`tags`[{row}]: {reason}")
    if tags is not None and len(tags) != len(words):
        problems.add(f"`tags` must hold {len(words)} lists, one a text. Received: {len(tags)}")
    problems.raise_if_any()
    held = [tuple(text) for text in words]
    if tags is None:
        return Source("text", "arrays", _objects(held))
    return _marked(held, [spans_of(*pair) for pair in zip(held, tags, strict=True)], labels=labels)


def spans_of(words: Sequence[str], tags: Sequence[str]) -> tuple[Span, ...]:
    """Turn tags into spans of the words joined by single spaces.

    An entity goes on only under a tag that says so and has its type; "I-city" without a beginning begins one, as in the
    files of CoNLL-2003.

    Example:
        >>> [(span.start, span.end) for span in spans_of(["a", "b", "c"], ["U-x", "B-x", "L-x"])]
        [(0, 1), (2, 5)]
    """
    found: list[Span] = []
    running: Span | None = None
    at = 0
    for word, tag in zip(words, tags, strict=True):
        mark, kind = tag[0], tag[2:]
        stop = at + len(word)
        if running is not None and mark in _GOES_ON and running.label == kind:
            running = Span(running.start, stop, kind)
        else:
            found += [running] if running is not None else []
            running = None if mark == "O" else Span(at, stop, kind)
        if running is not None and mark in _ENDS:
            found.append(running)
            running = None
        at = stop + 1
    return (*found, running) if running is not None else tuple(found)


def read_spans(value: Any, text: str) -> tuple[Span, ...]:
    """Read the spans of one text, as annotation tools write them.

    Args:
        value: a list of [start, end, type] or of objects with "start", "end" and "label".
        text: that they are marked in; characters are counted.

    Returns:
        The spans in their order in the text.

    Raises:
        ValueError: if one is no span, lies outside of the text, holds nothing, or overlaps another.

    Example:
        >>> read_spans([[3, 8, "city"]], "in Paris")
        (Span(start=3, end=8, label='city', probability=None),)
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise ValueError(f"spans must be a list. Received: {value!r:.60}")
    spans = sorted((_span(each, text) for each in value), key=lambda span: (span.start, span.end))
    for one, other in pairwise(spans):
        if other.start < one.end:
            raise ValueError(f"{_shown(other, text)} overlaps {_shown(one, text)}")
    return tuple(spans)


def labels_of(
    spans: Sequence[Sequence[Span]], labels: LabelSpec | Sequence[str] | None = None
) -> tuple[np.ndarray, LabelSpec]:
    """Make targets of spans, and say what their types are.

    Raises:
        ValueError: if there is no entity at all, or one of a type that `labels` does not name.
    """
    kinds = sorted({span.label for each in spans for span in each})
    names = tuple(labels.names if isinstance(labels, LabelSpec) else labels if labels is not None else kinds)
    unknown = [kind for kind in kinds if kind not in names]
    if unknown:
        near = check.did_you_mean(unknown[0], names)
        raise ValueError(f"entities of types that `labels` does not name: {check.listing(unknown)}.{near}")
    if not names:
        raise ValueError("no text has an entity.")
    return _objects([tuple(each) for each in spans]), LabelSpec(names, "entities")


def _span(value: Any, text: str) -> Span:
    if isinstance(value, dict):
        value = [next((value[name] for name in names if name in value), None) for names in _NAMES.values()]
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise ValueError(f"a span must be [start, end, type]. Received: {value!r:.60}")
    start, stop, label = value
    if any(not isinstance(place, int) or isinstance(place, bool) for place in (start, stop)):
        raise ValueError(f"a span must begin and end at whole numbers. Received: {start!r} to {stop!r}")
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"a span must have a type. Received: {label!r}")
    if not 0 <= start <= stop <= len(text):
        wrong = (
            f"is outside of the text, which has {len(text)} characters" if start <= stop else "ends before it begins"
        )
        raise ValueError(f"{start} to {stop} ({label}) {wrong}")
    held = text[start:stop]
    start, stop = start + len(held) - len(held.lstrip()), stop - len(held) + len(held.rstrip())
    if start >= stop:
        reason = f"{label} marks nothing but spaces" if held else f"{start} to {stop} ({label}) holds nothing"
        raise ValueError(reason)
    return Span(start, stop, label.strip())


def _shown(span: Span, text: str) -> str:
    return f"{text[span.start : span.end]!r:.40} ({span.label})"


def _marked(
    words: list[tuple[str, ...]],
    spans: list[tuple[Span, ...]],
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    ids: list[str] | None = None,
    invalid: tuple[InvalidExample, ...] = (),
) -> Source:
    targets, meaning = labels_of(spans, labels)
    names = None if ids is None else _objects(ids)
    return Source("text", "arrays", _objects(words), targets, meaning, ids=names, invalid=invalid)


def _sentences(text: str, tag: int) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield the number of its first line, and the columns of each line, of every sentence."""
    held: list[list[str]] = []
    first = 0
    for number, line in enumerate((*_LINE_END.split(text), ""), 1):
        separator = _TABS if "\t" in line else _SPACES  # a word may hold spaces where tabs separate
        columns = [part.strip(" ") for part in separator.split(line.strip(" \t"))] if line.strip() else []
        if columns and _is_comment(columns, tag):
            continue
        if columns and not columns[0].startswith("-DOCSTART-"):
            first = first if held else number
            held.append(columns)
        elif held:
            yield first, held
            held = []


def _is_comment(columns: list[str], tag: int) -> bool:
    """Tell a line "# …" from a row whose word is "#", which has a tag."""
    needed = max(tag + 1 if tag >= 0 else -tag, 2)
    return columns[0] == "#" and (len(columns) < needed or not _TAG.fullmatch(columns[tag]))


def _why_not(rows: list[list[str]], word: int, tag: int) -> str:
    needed = max(place + 1 if place >= 0 else -place for place in (word, tag))
    few = next((row for row in rows if len(row) < max(needed, 2)), None)
    if few is not None:
        return f"{' '.join(few)!r} has {len(few)} of at least {max(needed, 2)} columns"
    return _why_not_tagged([row[word] for row in rows], [row[tag] for row in rows])


def _why_not_tagged(words: Sequence[str], tags: Sequence[str]) -> str:
    if len(words) != len(tags):
        return f"{len(tags)} tags for {len(words)} words"
    wrong = next((tag for tag in tags if not _TAG.fullmatch(str(tag))), None)
    return "" if wrong is None else f"{wrong!r} is no tag such as 'O', 'B-city' or 'I-city'"


def _objects(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


register_format("conll", from_conll, suffixes=(".conll",))
