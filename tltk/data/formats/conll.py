"""Sources of texts with entities: CoNLL files, words with tags, and spans of annotation tools."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.specs import InvalidExample, LabelSpec, Span

_TAG = re.compile(r"O|([BILUESM])-(.+)")
_CONTINUES, _ENDS = "ILEM", "LEUS"  # tag prefixes that continue an entity, and that end one
_LINE_END, _TABS, _SPACES = re.compile(r"\r\n?|\n"), re.compile(r"\t+"), re.compile(r" +")
_SPAN_KEYS = {  # key names of annotation tools
    "start": ("start", "begin", "start_offset"),
    "end": ("end", "stop", "end_offset"),
    "label": ("label", "type"),
}


def from_conll(file: str | Path, *, word: int = 0, tag: int = -1, exclude: Exclude = None) -> Source:
    """Read the sentences of a CoNLL file: one word with its tag per line, and a blank line after each sentence.

    Args:
        file: UTF-8 file. Columns are separated by tabs, or by spaces in lines without a tab. Lines "-DOCSTART- …" and
            comments "# …" are skipped; "#" followed by a tag is a word.
        word: Index of the column of words.
        tag: Index of the column of tags, in IOB, BIO (IOB2), BILOU or BIOES.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of texts in memory; examples are tuples of words, object [n]. Targets are spans of the words joined by
        single spaces. Sentences with missing columns or invalid tags are in `invalid`.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If the file is not UTF-8, or has no valid sentence or no entity.
    """
    path = existing_file(file)
    words, tags, ids, invalid = [], [], [], []
    for line, rows in _sentences(read_text(path), tag):
        example_id = f"{path.name}, line {line}"
        reason = _why_invalid(rows, word, tag)
        if reason:
            invalid.append(InvalidExample(example_id, reason))
            continue
        words.append(tuple(row[word] for row in rows))
        tags.append(tuple(row[tag] for row in rows))
        ids.append(example_id)
    if not words:
        reasons = check.listing((f"{example.example_id}: {example.reason}" for example in invalid), limit=3)
        raise InvalidInput(f"{path} has no valid sentence. {reasons or 'It is empty.'}")
    spans = [spans_of(*pair) for pair in zip(words, tags, strict=True)]
    return _labelled_source(words, spans, ids=ids, invalid=tuple(invalid)).without(exclude)


def from_words(
    words: Sequence[Sequence[str]],
    tags: Sequence[Sequence[str]] | None = None,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
) -> Source:
    """Create a source from texts that are already split into words.

    Args:
        words: Words of each text.
        tags: Tags of each text, one per word: "O", "B-city", "I-city" … (or BILOU, BIOES); None if unlabelled.
        labels: Entity types in the order of the model's outputs; None means the ones that occur, sorted.

    Returns:
        A source of texts in memory; examples are tuples of words, object [n]. Targets are spans of the words joined by
        single spaces.

    Raises:
        InvalidType: If a text is not a list of words.
        InvalidInput: If texts have another number of tags than words, or tags are invalid; all are listed.

    Examples:
        >>> source = from_words([["in", "New", "York"]], [["O", "B-city", "I-city"]])
        >>> source.targets[0]
        (Span(start=3, end=11, label='city', probability=None),)
    """
    problems = check.Problems()
    for row, text in enumerate(words):
        is_list = isinstance(text, list | tuple | np.ndarray)
        if not is_list or not all(isinstance(word, str) and word.strip() for word in text):
            raise InvalidType(f"`words`[{row}] must be a list of non-empty words. Received: {text!r:.60}")
        if tags is not None and row < len(tags):
            reason = _why_tags_invalid(text, tags[row])
            if reason:
                problems.add(f"`tags`[{row}]: {reason}")
    if tags is not None and len(tags) != len(words):
        problems.add(f"`tags` must have {len(words)} lists, one per text. Received: {len(tags)}")
    problems.raise_if_any()
    texts = [tuple(text) for text in words]
    if tags is None:
        return Source("text", "arrays", _object_array(texts))
    return _labelled_source(texts, [spans_of(*pair) for pair in zip(texts, tags, strict=True)], labels=labels)


def spans_of(words: Sequence[str], tags: Sequence[str]) -> tuple[Span, ...]:
    """Convert tags to spans of the words joined by single spaces.

    An entity continues only with a tag of the same type and a continuing prefix ("I", "L", "E", "M"). "I-city" after
    another tag starts an entity, as in CoNLL-2003.

    Examples:
        >>> [(span.start, span.end) for span in spans_of(["a", "b", "c"], ["U-x", "B-x", "L-x"])]
        [(0, 1), (2, 5)]
    """
    spans: list[Span] = []
    current: Span | None = None
    start = 0
    for word, tag in zip(words, tags, strict=True):
        prefix, label = tag[0], tag[2:]
        end = start + len(word)
        if current is not None and prefix in _CONTINUES and current.label == label:
            current = Span(current.start, end, label)
        else:
            spans += [current] if current is not None else []
            current = None if prefix == "O" else Span(start, end, label)
        if current is not None and prefix in _ENDS:
            spans.append(current)
            current = None
        start = end + 1
    return (*spans, current) if current is not None else tuple(spans)


def read_spans(value: Any, text: str) -> tuple[Span, ...]:
    """Convert the spans of one text from the formats of annotation tools.

    Args:
        value: List of [start, end, type], or of objects with "start", "end" and "label"; None for no spans.
        text: Text that the offsets refer to; they count characters.

    Returns:
        Spans without surrounding spaces, in the order of the text.

    Raises:
        InvalidInput: If a span is malformed, empty, outside of the text, or overlaps another one.

    Examples:
        >>> read_spans([[3, 8, "city"]], "in Paris")
        (Span(start=3, end=8, label='city', probability=None),)
    """
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise InvalidInput(f"spans must be a list. Received: {value!r:.60}")
    spans = sorted((_read_span(item, text) for item in value), key=lambda span: (span.start, span.end))
    for previous, span in pairwise(spans):
        if span.start < previous.end:
            raise InvalidInput(f"{_quoted(span, text)} overlaps {_quoted(previous, text)}")
    return tuple(spans)


def labels_of(
    spans: Sequence[Sequence[Span]], labels: LabelSpec | Sequence[str] | None = None
) -> tuple[np.ndarray, LabelSpec]:
    """Convert spans to targets and their labels.

    Args:
        spans: Spans of each text.
        labels: Entity types in the order of the model's outputs; None means the ones that occur, sorted.

    Returns:
        Tuples of spans, object [n], and the labels.

    Raises:
        InvalidInput: If there are no entities, or `labels` lacks a type that occurs.
    """
    occurring = sorted({span.label for text_spans in spans for span in text_spans})
    names = tuple(labels.names if isinstance(labels, LabelSpec) else labels if labels is not None else occurring)
    unknown = [name for name in occurring if name not in names]
    if unknown:
        hint = check.did_you_mean(unknown[0], names)
        raise InvalidInput(f"`labels` does not have the entity types {check.listing(unknown)}.{hint}")
    if not names:
        raise InvalidInput("no text has an entity. Pass `labels` or mark at least one entity.")
    return _object_array([tuple(text_spans) for text_spans in spans]), LabelSpec(names, "entities")


def _read_span(value: Any, text: str) -> Span:
    if isinstance(value, dict):
        value = [next((value[key] for key in keys if key in value), None) for keys in _SPAN_KEYS.values()]
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise InvalidInput(f"a span must be [start, end, type]. Received: {value!r:.60}")
    start, end, label = value
    if any(not isinstance(offset, int) or isinstance(offset, bool) for offset in (start, end)):
        raise InvalidInput(f"start and end of a span must be whole numbers. Received: {start!r} to {end!r}")
    if not isinstance(label, str) or not label.strip():
        raise InvalidInput(f"a span must have a type. Received: {label!r}")
    if start > end:
        raise InvalidInput(f"{start} to {end} ({label}) ends before it starts")
    if not 0 <= start <= end <= len(text):
        raise InvalidInput(f"{start} to {end} ({label}) is outside of the text, which has {len(text)} characters")
    part = text[start:end]
    if not part.strip():
        raise InvalidInput(f"{label} marks only spaces" if part else f"{start} to {end} ({label}) is empty")
    return Span(start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip()), label.strip())


def _quoted(span: Span, text: str) -> str:
    return f"{text[span.start : span.end]!r:.40} ({span.label})"


def _labelled_source(
    words: list[tuple[str, ...]],
    spans: list[tuple[Span, ...]],
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    ids: list[str] | None = None,
    invalid: tuple[InvalidExample, ...] = (),
) -> Source:
    targets, spec = labels_of(spans, labels)
    example_ids = None if ids is None else _object_array(ids)
    return Source("text", "arrays", _object_array(words), targets, spec, ids=example_ids, invalid=invalid)


def _sentences(text: str, tag: int) -> Iterator[tuple[int, list[list[str]]]]:
    """Yield (number of the first line, columns of each line) for every sentence."""
    rows: list[list[str]] = []
    first_line = 0
    for number, line in enumerate((*_LINE_END.split(text), ""), 1):
        separator = _TABS if "\t" in line else _SPACES  # with tabs as separators, a word may contain spaces
        columns = [part.strip(" ") for part in separator.split(line.strip(" \t"))] if line.strip() else []
        if columns and _is_comment(columns, tag):
            continue
        if columns and not columns[0].startswith("-DOCSTART-"):
            first_line = first_line if rows else number
            rows.append(columns)
        elif rows:
            yield first_line, rows
            rows = []


def _is_comment(columns: list[str], tag: int) -> bool:
    """Tell whether a line is a comment "# …" and not the word "#" with a tag."""
    column_count = max(tag + 1 if tag >= 0 else -tag, 2)
    return columns[0] == "#" and (len(columns) < column_count or not _TAG.fullmatch(columns[tag]))


def _why_invalid(rows: list[list[str]], word: int, tag: int) -> str:
    """Return the reason why a sentence is invalid; "" if it is valid."""
    column_count = max(2, *(column + 1 if column >= 0 else -column for column in (word, tag)))
    too_short = next((row for row in rows if len(row) < column_count), None)
    if too_short is not None:
        return f"too few columns in {' '.join(too_short)!r}: {len(too_short)}, at least {column_count} needed"
    return _why_tags_invalid([row[word] for row in rows], [row[tag] for row in rows])


def _why_tags_invalid(words: Sequence[str], tags: Sequence[str]) -> str:
    """Return the reason why the tags of a text are invalid; "" if they are valid."""
    if len(words) != len(tags):
        return f"{len(tags)} tags for {len(words)} words"
    invalid = next((tag for tag in tags if not _TAG.fullmatch(str(tag))), None)
    return "" if invalid is None else f"{invalid!r} is not a tag such as 'O', 'B-city' or 'I-city'"


def _object_array(values: list) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


register_format("conll", from_conll, suffixes=(".conll", ".bio", ".txt"))
