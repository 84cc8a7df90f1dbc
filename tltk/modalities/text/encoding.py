"""Texts as token ids: tokenized once, with special tokens around them, truncated or in windows."""

import hashlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import progress
from tltk.modalities.text.tokenizers.tokenizer import Tokenizer, tokenizer
from tltk.modalities.text.windows import Windows, framed
from tltk.specs import TextSpec

_AT_ONCE = 512  # texts a call of the tokenizer
_DTYPES = (np.int32, np.int32, np.int32, np.bool_, np.int32, np.int64, np.int64, np.int64)
# Held as long as their source lives: training, validation and the audit of a run tokenize it once.
_kept: "weakref.WeakKeyDictionary[Source, dict[TextSpec, EncodedTexts]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """The token ids of many texts or windows of texts, one after the other.

    Args:
        ids: int32 [all], special tokens included.
        char_starts: int32 [all], the character (code point) of its text at which a token begins; -1 for special tokens.
        char_ends: int32 [all], end offset (exclusive); -1 for special tokens.
        is_word_start: bool [all], whether a word begins with the token.
        positions: int32 [all], position of the token in its text, from 0; -1 for special tokens.
        row_splits: int64 [n + 1], where each window begins and the last one ends.
        text_ids: int64 [n], the number of its text in the source that was tokenized.
        token_counts: int64 [texts of that source], tokens each text has before truncation.
    """

    ids: np.ndarray
    char_starts: np.ndarray
    char_ends: np.ndarray
    is_word_start: np.ndarray
    positions: np.ndarray
    row_splits: np.ndarray
    text_ids: np.ndarray
    token_counts: np.ndarray

    def __len__(self) -> int:
        return len(self.text_ids)

    def __getitem__(self, indices: np.ndarray) -> "EncodedTexts":
        lengths = self.lengths[indices]
        row_splits = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(self.row_splits[:-1][indices] - row_splits[:-1], lengths) + np.arange(row_splits[-1])
        ids, char_starts, char_ends, is_word_start, positions = (column[places] for column in self.columns)
        text_ids = self.text_ids[indices]
        return EncodedTexts(
            ids, char_starts, char_ends, is_word_start, positions, row_splits, text_ids, self.token_counts
        )

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """What is known of each token."""
        return (self.ids, self.char_starts, self.char_ends, self.is_word_start, self.positions)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each window, int64 [n]."""
        return np.diff(self.row_splits)

    def place(self, row: int) -> slice:
        """Where a window stands in `ids`."""
        return slice(int(self.row_splits[row]), int(self.row_splits[row + 1]))

    def padded(self, rows: np.ndarray, width: int, padding: int) -> np.ndarray:
        """Return ids, int32 [rows, width]; every one of them must fit."""
        found = np.full((len(rows), width), padding, np.int32)
        for place, row in enumerate(rows):
            held = self.ids[self.place(row)]
            found[place, : len(held)] = held
        return found

    def digest(self) -> str:
        """Name them by all that a model sees."""
        return hashlib.sha256(self.ids.tobytes() + self.row_splits.tobytes()).hexdigest()


def encoded(source: Source, spec: TextSpec) -> EncodedTexts:
    """Tokenize every text of a source, once as long as the source lives.

    Args:
        source: of texts, of pairs, or of texts in words.
        spec: vocabulary, length, and what becomes of longer texts.

    Returns:
        One window a text or, with `spec.stride`, several.
    """
    kept = _kept.setdefault(source, {})
    spec = replace(spec, pad_to=None)
    if spec not in kept:
        kept[spec] = _encoded(source.examples, spec)
    return kept[spec]


def _encoded(examples: Any, spec: TextSpec) -> EncodedTexts:
    run = _traced(spec)
    columns: list[list[np.ndarray]] = [[] for _ in _DTYPES]
    with progress.bar("tokenizing", len(examples)) as advance:
        for start in range(0, len(examples), _AT_ONCE):
            texts = as_strings(examples[start : start + _AT_ONCE], pairs=spec.pairs)
            found = run(*map(tf.constant, texts))
            flat = (found.ids, found.char_starts, found.char_ends, found.is_word_start, found.positions)
            made = (
                *(column.flat_values for column in flat),
                found.ids.row_lengths(),
                found.text_ids + start,
                found.token_counts,
            )
            for column, value in zip(columns, made, strict=True):
                column.append(value.numpy())
            advance(len(texts[0]))
    empty = (np.zeros(0, dtype) for dtype in _DTYPES)
    joint = (np.concatenate([none, *column]) for none, column in zip(empty, columns, strict=True))
    ids, char_starts, char_ends, is_word_start, positions, lengths, text_ids, token_counts = joint
    row_splits = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedTexts(ids, char_starts, char_ends, is_word_start, positions, row_splits, text_ids, token_counts)


def windows_of(spec: TextSpec, tokenize: Tokenizer, texts: tf.Tensor, second_texts: tf.Tensor | None = None) -> Windows:
    """Tokenize texts, or pairs of texts, and put special tokens around them, in a graph.

    Args:
        spec: what the model takes.
        tokenize: from `tokenizer(spec.tokenizer)`.
        texts: strings [batch]; of pairs, the first ones.
        second_texts: strings [batch], of pairs.

    Returns:
        The windows.
    """
    if second_texts is None:
        return framed(spec, tokenize(texts))
    return framed(spec, tokenize(second_texts), tokenize(texts))


def as_strings(examples: Any, *, pairs: bool) -> tuple[list[bytes], ...]:
    """Return texts as UTF-8: one list, or two for pairs. Words that came apart are joined by spaces."""
    if pairs:
        return [_bytes(first) for first, _ in examples], [_bytes(second) for _, second in examples]
    return ([_bytes(example) for example in examples],)


def joined(example: Any) -> str:
    """Return a text as it is counted in characters: words that came apart are joined by spaces."""
    if isinstance(example, bytes):
        return example.decode("utf-8", errors="replace")
    return " ".join(example) if isinstance(example, tuple) else str(example)


def _bytes(example: Any) -> bytes:
    return example if isinstance(example, bytes) else joined(example).encode("utf-8", errors="replace")


@lru_cache(maxsize=4)
def _traced(spec: TextSpec) -> Callable[..., Windows]:
    tokenize = tokenizer(spec.tokenizer)
    signature = [tf.TensorSpec([None], tf.string)] * (1 + spec.pairs)
    return tf.function(lambda *texts: windows_of(spec, tokenize, *texts), input_signature=signature, autograph=False)


def notes(source: Source, spec: TextSpec) -> str:
    """Say how many texts are longer than the model takes, how long, and what became of them; "" if none is.

    Example:
        >>> from tltk.data.formats.arrays import from_arrays
        >>> from tltk.specs import TokenizerSpec
        >>> spec = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a")), 4)
        >>> notes(from_arrays(["a a", "a a a a"]), spec)
        '1 of 2 texts (50 %) has more tokens than the model takes (4; longest: 6), and was cut at its end: example 1'
    """
    counts = encoded(source, spec).token_counts
    found = np.flatnonzero(counts > spec.sequence_length)
    if not len(found):
        return ""
    shown = check.listing((source.id_of(int(row)) for row in found), limit=3)
    one = len(found) == 1
    share = f"{len(found)} of {len(source)} texts ({100 * len(found) / len(source):.0f} %) {'has' if one else 'have'}"
    done = {"end": "cut at its end", "start": "cut at its start", "middle": "cut in its middle"}[spec.truncation]
    done = done if one else done.replace("its", "their") + "s" * (spec.truncation != "middle")
    done = done if spec.stride is None else "read in windows"
    return (
        f"{share} more tokens than the model takes ({spec.sequence_length}; longest: {counts.max()}), "
        f"and {'was' if one else 'were'} {done}: {shown}"
    )
