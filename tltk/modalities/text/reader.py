"""The reader of texts: batches of token ids, padded to one of a few lengths."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from tltk.foundation import hardware
from tltk.foundation.errors import InvalidInput
from tltk.modalities.text.encoding import EncodedTexts, windows_of
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.pipeline.batching import Order, Size, examples_per_batch
from tltk.pipeline.loader import without_autograph
from tltk.pipeline.readers import PartialBatch
from tltk.pipeline.user_dataset import UserDataset, count, first_batch_size, parts_of
from tltk.specs import TextSpec

# On a CPU a length costs only padding; on a GPU, XLA compiles the graph for each length.
_LENGTHS = (*range(4, 65, 4), *range(72, 129, 8), *range(144, 257, 16), *range(288, 513, 32))
_FEW_LENGTHS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True, eq=False)
class TextReader:
    """Reads token ids: one element per text or, with windows, several.

    Args:
        texts: Tokenized texts.
        spec: Input format of the model; with `pad_to`, every element has that length.
    """

    texts: EncodedTexts
    spec: TextSpec

    is_decoded = True

    @property
    def count(self) -> int:
        """Number of texts or windows."""
        return len(self.texts)

    @property
    def example_ids(self) -> np.ndarray:
        """Index of the text of each element, int64 [count]."""
        return self.texts.text_ids

    @property
    def lengths(self) -> np.ndarray:
        """Length each element is padded to, int64 [count]: one of `padded_lengths`."""
        lengths = np.array(padded_lengths(self.spec.sequence_length), np.int64)
        return lengths[np.searchsorted(lengths, self.texts.lengths)]

    @property
    def element_spec(self) -> tuple[tf.TensorSpec, ...]:
        """int32 [batch, tokens]."""
        return (tf.TensorSpec([None, self.spec.pad_to], tf.int32),)

    def partial_batches(self, order: Order) -> Iterator[PartialBatch]:
        """Yield every element once, a batch at a time; shuffled, texts of similar length stay together."""
        lengths = self.lengths
        for batch, rows, ends in order.parts(self.count, at_once=None, lengths=lengths):
            length = self.spec.pad_to or int(lengths[rows].max())
            yield PartialBatch(batch, rows, (self.texts.padded(rows, length, self.spec.padding_id),), {}, ends)

    def subset(self, rows: np.ndarray) -> "TextReader":
        """Return a reader of some elements."""
        return replace(self, texts=self.texts[rows])

    def padded(self, length: int) -> "TextReader":
        """Return a reader that pads every element to one length."""
        return replace(self, spec=replace(self.spec, pad_to=length))

    def fingerprint(self) -> str:
        """Hash the token ids, and what they are padded with and to."""
        shape = repr((self.spec.pad_to, self.spec.padding_id, self.spec.sequence_length))
        return hashlib.sha256(f"text {shape} {self.texts.digest()}".encode()).hexdigest()


def padded_lengths(limit: int) -> tuple[int, ...]:
    """Return the lengths that batches are padded to, up to the sequence length `limit`; fewer if XLA compiles."""
    lengths = _FEW_LENGTHS if hardware.jit_compile() else _LENGTHS
    return (*(length for length in lengths if length < limit), limit)


def from_dataset(data: tf.data.Dataset, spec: TextSpec, *, batch_size: Size) -> UserDataset:
    """Tokenize a user's dataset of texts, in its own order; overlong texts are truncated, not read in windows.

    Args:
        data: Finite dataset of texts (tuples of two texts for pairs), or of batches of them, alone or with targets and
            weights.
        spec: Input format of the backbone.
        batch_size: Batch size, if the dataset is not batched; a budget of tokens counts every text as overlong.

    Returns:
        Batches of (ids, *rest).

    Raises:
        InvalidInput: If the dataset does not yield texts, or pairs of texts if the backbone expects pairs.
    """
    parts = parts_of(data.element_spec)
    texts = parts[0] if isinstance(parts[0], tuple) else (parts[0],)
    are_strings = all(isinstance(part, tf.TensorSpec) and part.dtype == tf.string for part in texts)
    are_texts = are_strings and all(part.shape.rank in (0, 1) or _is_column(part) for part in texts)
    if not 1 <= len(parts) <= 3 or not are_texts or len(texts) != 1 + spec.pairs:
        inputs = "(first, second)" if spec.pairs else "texts"
        raise InvalidInput(
            f"`data` must yield {inputs}, ({inputs}, targets) or ({inputs}, targets, weights), with texts as strings"
            f"{', [batch] or [batch, 1]' * are_strings}. Received: {data.element_spec}"
        )
    elements = count(data)
    batched = texts[0].shape.rank > 0
    truncating = replace(spec, overlap=None)
    tokenize = tokenizer(truncating.tokenizer)

    def tokenized(texts: tf.Tensor, *rest: tf.Tensor) -> tuple:
        columns = texts if isinstance(texts, tuple) else (texts,)
        strings = [tf.reshape(column, [-1]) for column in columns]
        return (padded(windows_of(truncating, tokenize, *strings).ids, spec), *rest)

    size = examples_per_batch(batch_size, spec.sequence_length)
    steps = elements if batched else math.ceil(elements / size)
    batches = (data if batched else data.batch(size)).map(without_autograph(tokenized))
    return UserDataset(batches, steps, elements * (first_batch_size(data) if batched else 1))


def _is_column(spec: tf.TensorSpec) -> bool:
    """Tell whether texts are batches [batch, 1], as columns of arrays are."""
    return spec.shape.rank == 2 and spec.shape[1] == 1


def padded(ids: tf.RaggedTensor, spec: TextSpec) -> tf.Tensor:
    """Pad ids to `spec.pad_to` or to the longest row, in a graph: int32 [batch, tokens], at least one token long."""
    dense = ids.to_tensor(spec.padding_id, shape=[None, spec.pad_to])
    if spec.pad_to is not None or spec.tokenizer.begin or spec.tokenizer.end:
        return dense
    return tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, tf.int32)]], constant_values=spec.padding_id)
