"""Texts as token ids: tokenized once, framed by special tokens, cut or in windows."""

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import TEXT_KINDS, Source
from tltk.foundation import checks as check
from tltk.foundation import progress
from tltk.modalities.text.tokenizers.tokenizer import Tokenizer, tokenizer
from tltk.modalities.text.windows import Frames, frame
from tltk.specs import TextSpec

_AT_ONCE = 512  # texts a call of the tokenizer
_DTYPES = (np.int32, np.int32, np.int32, np.bool_, np.int32, np.int64, np.int64, np.int64)
_kept: "weakref.WeakKeyDictionary[Source, dict[TextSpec, _Made]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Tokens:
    """The token ids of many texts or windows of texts, one after the other: what a source of kind "tokens" holds.

    Args:
        ids: int32 [all], special tokens included.
        begins: int32 [all], the character (code point) of its text at which a token begins; -1 for special tokens.
        stops: int32 [all], the one behind its last character.
        firsts: bool [all], whether a word begins with the token.
        numbers: int32 [all], the token's number in its text, from 0; -1 for special tokens.
        ends: int64 [n + 1], where each example begins and the last one ends.
        owners: int64 [n], the number of its text in the source that was tokenized.
    """

    ids: np.ndarray
    begins: np.ndarray
    stops: np.ndarray
    firsts: np.ndarray
    numbers: np.ndarray
    ends: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, indices: np.ndarray) -> "Tokens":
        lengths = self.lengths[indices]
        ends = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.ends[:-1][indices] - ends[:-1], lengths) + np.arange(ends[-1])
        ids, begins, stops, firsts, numbers = (column[places] for column in self.columns)
        return Tokens(ids, begins, stops, firsts, numbers, ends, self.owners[indices])

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """What is known of each token."""
        return (self.ids, self.begins, self.stops, self.firsts, self.numbers)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example, int64 [n]."""
        return np.diff(self.ends)

    def place(self, row: int) -> slice:
        """Where an example stands in `ids`."""
        return slice(int(self.ends[row]), int(self.ends[row + 1]))

    def padded(self, rows: np.ndarray, width: int, padding: int) -> np.ndarray:
        """Return ids, int32 [rows, width]; every one of them must fit."""
        found = np.full((len(rows), width), padding, np.int32)
        for place, row in enumerate(rows):
            held = self.ids[self.place(row)]
            found[place, : len(held)] = held
        return found

    def digest(self) -> str:
        """Name them by all that a model sees."""
        return hashlib.sha256(self.ids.tobytes() + self.ends.tobytes()).hexdigest()


def tokenized(source: Source, spec: TextSpec) -> Source:
    """Tokenize every text of a source, once.

    Args:
        source: of texts, pairs or words; one of tokens is returned as it is.
        spec: vocabulary, length, and what becomes of longer texts.

    Returns:
        A source of kind "tokens", of one example a text or, with `spec.stride`, one a window, with the text's target
        and name.
    """
    return source if source.kind == "tokens" else _once(source, spec).source


@dataclass(frozen=True, eq=False)
class _Made:
    """A tokenized source, and how many tokens each of its texts has uncut, int64 [n]."""

    source: Source
    whole: np.ndarray


def _once(source: Source, spec: TextSpec) -> _Made:
    kept = _kept.setdefault(source, {})
    spec = replace(spec, pad_to=None)
    if spec not in kept:
        kept[spec] = _tokenized(source, spec)
    return kept[spec]


def _tokenized(source: Source, spec: TextSpec) -> _Made:
    run = _framing(spec)
    columns: list[list[np.ndarray]] = [[] for _ in _DTYPES]
    with progress.bar("tokenizing", len(source)) as advance:
        for start in range(0, len(source), _AT_ONCE):
            texts = as_strings(source.items[start : start + _AT_ONCE], pairs=spec.pairs)
            found = run(*map(tf.constant, texts))
            flat = (found.ids, found.begins, found.stops, found.firsts, found.numbers)
            made = (
                *(column.flat_values for column in flat),
                found.ids.row_lengths(),
                found.owners + start,
                found.whole,
            )
            for column, value in zip(columns, made, strict=True):
                column.append(value.numpy())
            advance(len(texts[0]))
    empty = (np.zeros(0, dtype) for dtype in _DTYPES)
    joint = (np.concatenate([none, *column]) for none, column in zip(empty, columns, strict=True))
    ids, begins, stops, firsts, numbers, lengths, owners, whole = joint
    tokens = Tokens(ids, begins, stops, firsts, numbers, np.concatenate([[0], np.cumsum(lengths)]), owners)
    chosen: dict[str, Any] = {
        name: None if (old := getattr(source, name)) is None else old[owners] for name in ("targets", "parts")
    }
    names = np.arange(len(source)) if source.example_ids is None else source.example_ids
    return _Made(replace(source, kind="tokens", items=tokens, example_ids=names[owners], **chosen), whole)


def frames(spec: TextSpec, cut: Tokenizer, texts: tf.Tensor, pair: tf.Tensor | None = None) -> Frames:
    """Tokenize texts, or pairs of texts, and frame them, in a graph.

    Args:
        spec: what the model eats.
        cut: from `tokenizer(spec.tokenizer)`.
        texts: strings [batch]; of pairs, the first ones.
        pair: strings [batch], the second texts.

    Returns:
        The frames.
    """
    if pair is None:
        return frame(spec, cut(texts))
    return frame(spec, cut(pair), cut(texts))


def as_strings(items: np.ndarray, *, pairs: bool) -> tuple[list[bytes], ...]:
    """Return texts as UTF-8: one list, or two for pairs. Words that came apart are joined by spaces."""
    if pairs:
        return [_bytes(first) for first, _ in items], [_bytes(second) for _, second in items]
    return ([_bytes(item) for item in items],)


def joined(item: Any) -> str:
    """Return a text as it is counted in characters: words that came apart are joined by spaces."""
    if isinstance(item, bytes):
        return item.decode("utf-8", errors="replace")
    return " ".join(item) if isinstance(item, tuple) else str(item)


def _bytes(item: Any) -> bytes:
    return item if isinstance(item, bytes) else joined(item).encode("utf-8", errors="replace")


@lru_cache(maxsize=4)
def _framing(spec: TextSpec) -> Callable[..., Frames]:
    cut = tokenizer(spec.tokenizer)
    signature = [tf.TensorSpec([None], tf.string)] * (1 + spec.pairs)
    return tf.function(lambda *texts: frames(spec, cut, *texts), input_signature=signature, autograph=False)


def texts_digest(source: Source) -> str:
    """Name texts by all of their characters."""
    found = hashlib.sha256()
    for texts in as_strings(source.items, pairs=source.kind == "pairs"):
        for held in texts:
            found.update(len(held).to_bytes(8, "little") + held)
    return found.hexdigest()


def report_cut(source: Source, spec: TextSpec) -> str:
    """Say how many texts are longer than the model takes, how long, and what became of them; "" if none is.

    Example:
        >>> from tltk.data.formats.folder import from_arrays
        >>> from tltk.specs import TokenizerSpec
        >>> spec = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a")), 4)
        >>> report_cut(from_arrays(["a a", "a a a a"]), spec)
        '1 of 2 texts (50 %) has more tokens than the model takes (4; longest: 6), and was cut at its end: example 1'
    """
    if source.kind not in TEXT_KINDS or source.kind == "tokens":  # tokens do not say what they were cut from
        return ""
    whole = _once(source, spec).whole
    found = np.flatnonzero(whole > spec.sequence_length)
    if not len(found):
        return ""
    shown = check.listing((source.name_of(int(row)) for row in found), limit=3)
    one = len(found) == 1
    share = f"{len(found)} of {len(source)} texts ({100 * len(found) / len(source):.0f} %) {'has' if one else 'have'}"
    done = {"end": "cut at its end", "start": "cut at its start", "middle": "cut in its middle"}[spec.truncation]
    done = done if one else done.replace("its", "their") + "s" * (spec.truncation != "middle")
    done = done if spec.stride is None else "read in windows"
    return (
        f"{share} more tokens than the model takes ({spec.sequence_length}; longest: {whole.max()}), "
        f"and {'was' if one else 'were'} {done}: {shown}"
    )
