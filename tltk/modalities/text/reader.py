"""Batches of token ids: texts of near-equal length together, padded to a handful of widths."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import hardware as machine
from tltk.modalities.text.encoding import Tokens, frames, tokenized
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.pipeline import user_dataset as plain
from tltk.pipeline.batching import Size, examples_a_step, positions
from tltk.pipeline.readers import Piece
from tltk.pipeline.stream import Batches, as_written, from_readers
from tltk.specs import TextSpec

# On a processor a width costs nothing but padding; on a GPU XLA compiles the graph for each.
_WIDTHS = (*range(4, 65, 4), *range(72, 129, 8), *range(144, 257, 16), *range(288, 513, 32))
_FEW_WIDTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def batches(source: Source, spec: TextSpec, *, batch_size: Size, seed: int | None, finish: Callable) -> Batches:
    """Make batches of token ids, tokenized once.

    Args:
        source: of texts, pairs, words or tokens.
        spec: what the backbone eats.
        batch_size: texts, or windows of texts, a batch; or a budget of tokens.
        seed: of a new order each epoch, in which texts of near-equal length stand together; None keeps the source's.
        finish: see `stream.from_readers`; its values are the ids alone.

    Returns:
        Batches of int32 [b, width], each as wide as its longest text, rounded up to one of `widths`.
    """
    source = tokenized(source, spec)
    made = reader(source, spec)
    values = (tf.TensorSpec([None, spec.pad_to], tf.int32),)
    lengths = widths_of(source, spec)
    return from_readers(lambda epoch: made, values, source, batch_size, seed=seed, finish=finish, lengths=lengths)


def reader(source: Source, spec: TextSpec) -> "TextReader":
    """Make the reader of a source of texts."""
    return TextReader(tokenized(source, spec).items, spec)


@dataclass(frozen=True, eq=False)
class TextReader:
    """Reads token ids."""

    tokens: Tokens
    spec: TextSpec

    def pieces(self, order: np.random.Generator | None, batch_size: Size) -> Iterator[Piece]:
        """Yield every text once, a batch a piece; with an `order`, neighbours in length together."""
        padding = self.spec.padding_id
        lengths = _rounded(self.tokens.lengths, self.spec)
        for rows, ends in positions(len(lengths), order, batch_size, None, lengths=lengths):
            width = self.spec.pad_to or int(lengths[rows].max())
            yield Piece(rows, (self.tokens.padded(rows, width, padding),), {}, ends)


def padded_to(spec: TextSpec, *sources: Source) -> TextSpec:
    """Return the spec with the one width that holds every text of some sources."""
    longest = max((int(tokenized(source, spec).items.lengths.max(initial=1)) for source in sources), default=1)
    return replace(spec, pad_to=_width(longest, spec.sequence_length))


def widths_of(source: Source, spec: TextSpec) -> np.ndarray:
    """Return the width that each text, or window of a text, is padded to: int64 [n]."""
    return _rounded(tokenized(source, spec).items.lengths, spec)


def from_dataset(data: tf.data.Dataset, spec: TextSpec, *, batch_size: Size) -> tuple[tf.data.Dataset, int, int]:
    """Tokenize a dataset of texts that a user brings, which keeps its own order and cuts longer texts.

    Args:
        data: yields texts (of pairs, tuples of two), or batches of them, alone or with targets and weights; its length
            must be finite.
        spec: what the backbone eats.
        batch_size: of the batches, if the dataset is not batched; of a budget, as many of the longest as it holds.

    Returns:
        The dataset of (ids, *rest), its batches an epoch, and its examples or, if it came batched, an upper bound.

    Raises:
        ValueError: saying what it yields and what was expected.
    """
    parts = data.element_spec if isinstance(data.element_spec, tuple) else (data.element_spec,)
    texts = parts[0] if isinstance(parts[0], tuple) else (parts[0],)
    strings = all(isinstance(part, tf.TensorSpec) and part.dtype == tf.string for part in texts)
    if not 1 <= len(parts) <= 3 or not strings or len(texts) != 1 + spec.pairs:
        wanted = "((first, second), targets)" if spec.pairs else "(texts), (texts, targets)"
        raise ValueError(
            f"`data` must yield {wanted} or, with weights as well, three parts; texts as strings. "
            f"It yields: {data.element_spec}"
        )
    count = plain.count(data)
    batched = texts[0].shape.rank == 1
    cutting = replace(spec, stride=None)
    cut = tokenizer(cutting.tokenizer)

    def ready(texts: tf.Tensor, *rest: tf.Tensor) -> tuple:
        given = texts if isinstance(texts, tuple) else (texts,)
        return (padded(frames(cutting, cut, *given).ids, spec), *rest)

    size = examples_a_step(batch_size, spec.sequence_length)
    steps = count if batched else math.ceil(count / size)
    made = (data if batched else data.batch(size)).map(as_written(ready))
    return made, steps, count * (size if batched else 1)


def padded(ids: tf.RaggedTensor, spec: TextSpec) -> tf.Tensor:
    """Pad framed ids to the spec's width; without one, to the longest: int32 [batch, 1 or more], in a graph."""
    padding = spec.padding_id
    found = ids.to_tensor(padding, shape=[None, spec.pad_to])
    if spec.pad_to is not None or spec.tokenizer.begin or spec.tokenizer.end:
        return found
    return tf.pad(found, [[0, 0], [0, tf.cast(tf.shape(found)[1] == 0, tf.int32)]], constant_values=padding)


def widths(limit: int) -> tuple[int, ...]:
    """List the widths that batches are padded to, for a model that takes `limit` tokens; few where XLA compiles."""
    return (*(width for width in (_FEW_WIDTHS if machine.jit_compile() else _WIDTHS) if width < limit), limit)


def _rounded(lengths: np.ndarray, spec: TextSpec) -> np.ndarray:
    known = np.array(widths(spec.sequence_length), np.int64)
    return known[np.searchsorted(known, lengths)]


def _width(longest: int, limit: int) -> int:
    return next(width for width in widths(limit) if width >= longest)


def check_kind(source: Source, spec: TextSpec, name: str) -> None:
    """Raise unless a source holds what the model reads: one text an example, or two.

    Raises:
        ValueError: with the way to a model that fits.
    """
    if spec.pairs != (source.kind == "pairs") and source.kind != "tokens":
        held, eaten = ("pairs of texts", "single ones") if source.kind == "pairs" else ("single texts", "pairs")
        way = "pass `pairs=True` to the task" if source.kind == "pairs" else "leave `pairs=True` out of the task"
        raise ValueError(f"`{name}` holds {held}, and the model reads {eaten}: {way}.")
