"""Encode the texts of a source as token ids: special tokens added, overlong texts truncated or split into windows."""

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
from tltk.modalities.text.windows import Windows, make_windows
from tltk.specs import TextSpec

_BATCH = 512  # texts per call of the tokenizer
_DTYPES = (np.int32, np.int32, np.int32, np.bool_, np.int32, np.int64, np.int64, np.int64)
# Kept as long as the source lives, so that training, validation and the audit of a run tokenize it once.
_cache: "weakref.WeakKeyDictionary[Source, dict[TextSpec, EncodedTexts]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class EncodedTexts:
    """Token ids of many texts, or windows of texts, concatenated.

    A row is one text, or one window of a text. Offsets count characters (Unicode code points) of the text.

    Args:
        ids: int32 [tokens], special tokens included.
        char_starts: int32 [tokens], start offset of each token; -1 for special tokens.
        char_ends: int32 [tokens], end offset (exclusive); -1 for special tokens.
        is_word_start: bool [tokens], whether a word starts with the token.
        positions: int32 [tokens], index of the token in its text, from 0; -1 for special tokens.
        row_splits: int64 [rows + 1]; row i is tokens[row_splits[i]:row_splits[i + 1]].
        text_ids: int64 [rows], index in the source of the text each row shows.
        token_counts: int64 [texts], tokens of each text of the source before truncation, special tokens included.
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
        tokens = np.repeat(self.row_splits[:-1][indices] - row_splits[:-1], lengths) + np.arange(row_splits[-1])
        ids, char_starts, char_ends, is_word_start, positions = (column[tokens] for column in self.columns)
        text_ids = self.text_ids[indices]
        return EncodedTexts(
            ids, char_starts, char_ends, is_word_start, positions, row_splits, text_ids, self.token_counts
        )

    @property
    def columns(self) -> tuple[np.ndarray, ...]:
        """The fields with one value per token."""
        return (self.ids, self.char_starts, self.char_ends, self.is_word_start, self.positions)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, int64 [rows]."""
        return np.diff(self.row_splits)

    def place(self, row: int) -> slice:
        """Return the slice of tokens that belongs to a row."""
        return slice(int(self.row_splits[row]), int(self.row_splits[row + 1]))

    def padded(self, rows: np.ndarray, width: int, padding: int) -> np.ndarray:
        """Return the ids of some rows, each of at most `width` tokens: int32 [len(rows), width]."""
        batch = np.full((len(rows), width), padding, np.int32)
        for index, row in enumerate(rows):
            ids = self.ids[self.place(row)]
            batch[index, : len(ids)] = ids
        return batch

    def digest(self) -> str:
        """Return a SHA-256 of the inputs of a model: ids and row splits."""
        return hashlib.sha256(self.ids.tobytes() + self.row_splits.tobytes()).hexdigest()


def encoded(source: Source, spec: TextSpec) -> EncodedTexts:
    """Tokenize every text of a source; a second call returns the same result.

    Args:
        source: Texts, pairs of texts, or texts given as words.
        spec: Tokenizer, sequence length, and truncation or overlap; `pad_to` has no effect.

    Returns:
        One row per text or, with `spec.overlap`, per window.
    """
    results = _cache.setdefault(source, {})
    spec = replace(spec, pad_to=None)
    if spec not in results:
        results[spec] = _encoded(source.examples, spec)
    return results[spec]


def _encoded(examples: Any, spec: TextSpec) -> EncodedTexts:
    run = _traced(spec)
    chunks: list[list[np.ndarray]] = [[np.zeros(0, dtype)] for dtype in _DTYPES]
    with progress.bar("tokenizing", len(examples)) as advance:
        for start in range(0, len(examples), _BATCH):
            texts = as_strings(examples[start : start + _BATCH], pairs=spec.pairs)
            windows = run(*map(tf.constant, texts))
            columns = (
                *(column.flat_values for column in windows[:5]),
                windows.ids.row_lengths(),
                windows.text_ids + start,
                windows.token_counts,
            )
            for arrays, column in zip(chunks, columns, strict=True):
                arrays.append(column.numpy())
            advance(len(texts[0]))
    ids, char_starts, char_ends, is_word_start, positions, lengths, text_ids, token_counts = map(np.concatenate, chunks)
    row_splits = np.concatenate([[0], np.cumsum(lengths)])
    return EncodedTexts(ids, char_starts, char_ends, is_word_start, positions, row_splits, text_ids, token_counts)


def windows_of(spec: TextSpec, tokenize: Tokenizer, texts: tf.Tensor, second_texts: tf.Tensor | None = None) -> Windows:
    """Tokenize texts, or pairs of texts, and add special tokens, in a graph.

    Args:
        spec: Input format of the model.
        tokenize: From `tokenizer(spec.tokenizer)`.
        texts: string [batch], UTF-8; for pairs, the first texts.
        second_texts: string [batch], the second texts of pairs.

    Returns:
        Windows, text by text.
    """
    if second_texts is None:
        return make_windows(spec, tokenize(texts))
    return make_windows(spec, tokenize(second_texts), first=tokenize(texts))


def as_strings(examples: Any, *, pairs: bool) -> tuple[list[bytes], ...]:
    """Encode texts as UTF-8: one list, or two lists for pairs; the words of a tuple are joined by spaces."""
    if pairs:
        return [_bytes(first) for first, _ in examples], [_bytes(second) for _, second in examples]
    return ([_bytes(example) for example in examples],)


def joined(example: Any) -> str:
    """Return an example as the string that offsets refer to: bytes decoded, the words of a tuple joined by spaces."""
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


def overlong_note(source: Source, spec: TextSpec) -> str:
    """Report how many texts are longer than the sequence length of a model, and how they are read; "" if no text is.

    Examples:
        >>> from tltk.data.formats.arrays import from_arrays
        >>> from tltk.specs import TokenizerSpec
        >>> spec = TextSpec(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a")), 4)
        >>> overlong_note(from_arrays(["a a", "a a a a"]), spec)
        '1 of 2 texts (50 %) is longer than the model reads (4 tokens; longest: 6), truncated at the end: example 1'
    """
    token_counts = encoded(source, spec).token_counts
    overlong = np.flatnonzero(token_counts > spec.sequence_length)
    if not len(overlong):
        return ""
    examples = check.listing((source.id_of(int(row)) for row in overlong), limit=3)
    percent = 100 * len(overlong) / len(source)
    truncated = {"end": "truncated at the end", "start": "truncated at the start", "middle": "truncated in the middle"}
    treatment = truncated[spec.truncation] if spec.overlap is None else "read in windows"
    return (
        f"{len(overlong)} of {len(source)} texts ({percent:.0f} %) {'is' if len(overlong) == 1 else 'are'} longer than "
        f"the model reads ({spec.sequence_length} tokens; longest: {token_counts.max()}), {treatment}: {examples}"
    )
