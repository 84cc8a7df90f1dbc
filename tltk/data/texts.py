"""Texts as batches of token ids: tokenized once, texts of near-equal length together, padded to a handful of widths."""

import hashlib
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk import progress
from tltk.data import plain
from tltk.data.examples import Source
from tltk.data.readers import Piece, positions
from tltk.data.stream import Batches, as_written, from_readers
from tltk.data.wordpiece import WordPiece
from tltk.specs import TextSpec

_WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_AT_ONCE = 512  # texts a call of the tokenizer
_kept: "weakref.WeakKeyDictionary[Source, dict[str, Tokens]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Tokens:
    """The token ids of many texts, one after the other.

    Args:
        ids: int32 [all], special tokens included.
        ends: int64 [n + 1], where each text begins and the last one ends.
        cut: int64 [m], the texts that were longer than the model takes.
    """

    ids: np.ndarray
    ends: np.ndarray
    cut: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text, int64 [n]."""
        return np.diff(self.ends)

    def padded(self, rows: np.ndarray, width: int, padding: int) -> np.ndarray:
        """Return int32 [rows, width]; every one of them must fit."""
        found = np.full((len(rows), width), padding, np.int32)
        for place, row in enumerate(rows):
            held = self.ids[self.ends[row] : self.ends[row + 1]]
            found[place, : len(held)] = held
        return found


def tokens(source: Source, spec: TextSpec) -> Tokens:
    """Tokenize every text of a source, once.

    Args:
        source: of texts.
        spec: vocabulary and length.

    Returns:
        Their ids, between the two special tokens, cut at the end where a text is longer than the model takes.
    """
    kept = _kept.setdefault(source, {})
    key = digest(spec)
    if key not in kept:
        encode = _encoder(replace(spec, width=None))
        rows = []
        with progress.bar("tokenizing", len(source)) as advance:
            for start in range(0, len(source), _AT_ONCE):
                some = [_text(item) for item in source.items[start : start + _AT_ONCE]]
                rows.append(encode(tf.constant(some, tf.string)))
                advance(len(some))
        every = np.concatenate([found.flat_values.numpy() for found, _ in rows] or [np.zeros(0, np.int32)])
        lengths = np.concatenate([found.row_lengths().numpy() for found, _ in rows] or [np.zeros(0, np.int64)])
        whole = np.concatenate([full.numpy() for _, full in rows] or [np.zeros(0, np.int64)])
        kept[key] = Tokens(every, np.concatenate([[0], np.cumsum(lengths)]), np.flatnonzero(whole > spec.length))
    return kept[key]


def ids(texts: tf.Tensor, tokenizer: WordPiece) -> tf.Tensor:
    """Turn texts into what the model eats, in a graph.

    Args:
        texts: strings [batch].
        tokenizer: its spec names the length and the width that every text is padded to; without one, the longest's.

    Returns:
        int32 [batch, tokens].
    """
    spec = tokenizer.spec
    return _framed(tokenizer(texts), spec).to_tensor(spec.number(spec.padding), shape=[None, spec.width])


def padded_to(spec: TextSpec, *sources: Source) -> TextSpec:
    """Return the spec with the one width that holds every text of some sources."""
    longest = max((int(tokens(source, spec).lengths.max(initial=1)) for source in sources), default=1)
    return replace(spec, width=_width(longest, spec.length))


def batches(source: Source, spec: TextSpec, *, batch_size: int, seed: int | None, finish: Callable) -> Batches:
    """Make batches of token ids, tokenized once.

    Args:
        source: of texts.
        spec: what the backbone eats.
        batch_size: texts a batch.
        seed: of a new order each epoch, in which texts of near-equal length stand together; None keeps the source's.
        finish: see `stream.from_readers`; its values are the ids alone.

    Returns:
        Batches of int32 [b, width], each as wide as its longest text, rounded up to one of ten widths, so that a graph
        is traced for a handful of shapes.
    """
    made = reader(source, spec)
    values = (tf.TensorSpec([None, spec.width], tf.int32),)
    return from_readers(lambda epoch: made, values, source, batch_size, seed=seed, finish=finish)


def reader(source: Source, spec: TextSpec) -> "TextReader":
    """Make the reader of a source of texts."""
    return TextReader(tokens(source, spec), spec)


@dataclass(frozen=True, eq=False)
class TextReader:
    """Reads token ids."""

    tokens: Tokens
    spec: TextSpec

    def pieces(self, order: np.random.Generator | None, batch_size: int) -> Iterator[Piece]:
        """Yield every text once, a batch a piece; with an `order`, neighbours in length together."""
        padding = self.spec.number(self.spec.padding)
        lengths = self.tokens.lengths
        for rows, ends in positions(len(lengths), order, batch_size, batch_size, lengths=lengths):
            width = self.spec.width or _width(int(lengths[rows].max()), self.spec.length)
            yield Piece(rows, (self.tokens.padded(rows, width, padding),), {}, ends)


def digest(spec: TextSpec) -> str:
    """Name a tokenization by all that it depends on."""
    shown = (spec.length, spec.lowercase, spec.strip_accents, spec.begin, spec.end, spec.padding, spec.unknown)
    return hashlib.sha256(repr((shown, spec.vocabulary)).encode()).hexdigest()


def texts_digest(source: Source) -> str:
    """Name texts by all of their characters."""
    found = hashlib.sha256()
    for item in source.items:
        held = _text(item)
        found.update(len(held).to_bytes(8, "little") + held)
    return found.hexdigest()


def from_dataset(data: tf.data.Dataset, spec: TextSpec, *, batch_size: int) -> tuple[tf.data.Dataset, int, int]:
    """Tokenize a dataset of texts that a user brings, which keeps its own order.

    Args:
        data: yields texts, or batches of them, alone or with targets and weights; its length must be finite.
        spec: what the backbone eats.
        batch_size: of the batches, if the dataset is not batched.

    Returns:
        The dataset of (ids, *rest), its batches an epoch, and its examples or, if it came batched, an upper bound.

    Raises:
        ValueError: saying what it yields and what was expected.
    """
    parts = data.element_spec if isinstance(data.element_spec, tuple) else (data.element_spec,)
    first = parts[0]
    if not 1 <= len(parts) <= 3 or not isinstance(first, tf.TensorSpec) or first.dtype != tf.string:
        raise ValueError(
            "`data` must yield (texts), (texts, targets) or (texts, targets, weights), texts as strings. "
            f"It yields: {data.element_spec}"
        )
    count = plain.count(data)
    batched = first.shape.rank == 1
    tokenizer = WordPiece(spec)

    def ready(texts: tf.Tensor, *rest: tf.Tensor) -> tuple:
        return (ids(texts, tokenizer), *rest)

    steps = count if batched else math.ceil(count / batch_size)
    tokenized = (data if batched else data.batch(batch_size)).map(as_written(ready))
    return tokenized, steps, count * (batch_size if batched else 1)


def widths(limit: int) -> tuple[int, ...]:
    """List the widths that batches are padded to, for a model that takes `limit` tokens."""
    return (*(width for width in _WIDTHS if width < limit), limit)


def _width(longest: int, limit: int) -> int:
    return next(width for width in widths(limit) if width >= longest)


@lru_cache(maxsize=4)
def _encoder(spec: TextSpec) -> Callable[[tf.Tensor], tuple[tf.RaggedTensor, tf.Tensor]]:
    """Build texts → (ids with special tokens, how many there would be without the limit)."""
    tokenizer = WordPiece(spec)

    @as_written
    def run(texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        pieces = tokenizer(texts)
        return _framed(pieces, spec), pieces.row_lengths() + 2

    return tf.function(run, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def _framed(pieces: tf.RaggedTensor, spec: TextSpec) -> tf.RaggedTensor:
    """Put the special tokens around each text, and cut what is too long."""
    rows = pieces.nrows()
    begin, end = (tf.fill([rows, 1], spec.number(token)) for token in (spec.begin, spec.end))
    return tf.concat([begin, pieces[:, : spec.length - 2], end], axis=1)


def _text(item: Any) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode("utf-8", errors="replace")


def report_cut(source: Source, spec: TextSpec) -> str:
    """Say how many texts are longer than the model takes, and how long; an empty text if none is.

    Example:
        >>> from tltk.data.sources import from_arrays
        >>> spec = TextSpec(4, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"))
        >>> report_cut(from_arrays(["a a", "a a a a"]), spec)
        '1 of 2 texts (50 %) has more tokens than the 4 that the model takes, and was cut at its end: example 1'
    """
    found = tokens(source, spec).cut
    if not len(found):
        return ""
    shown = check.listing((source.name_of(int(row)) for row in found), limit=3)
    share = f"{len(found)} of {len(source)} texts ({100 * len(found) / len(source):.0f} %)"
    were = "has" if len(found) == 1 else "have"
    cut = "was cut at its end" if len(found) == 1 else "were cut at their ends"
    return f"{share} {were} more tokens than the {spec.length} that the model takes, and {cut}: {shown}"
