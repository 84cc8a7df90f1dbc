"""The context of a batch: what a modality passes to the decoder of a task, beside the outputs."""

from typing import Any, NamedTuple

import tensorflow as tf


class Context(NamedTuple):
    """Information about a batch that a decoder needs in addition to the outputs of the network.

    A network sees elements: an image, a text, or one window of a long text. Predictions are made for examples.

    Attributes:
        count: int64 [], number of examples in the batch.
        example_ids: int64 [elements], nondecreasing: index (0 … count - 1) of the example that each element belongs
            to; None if every element is one example.
        windows: Information about the elements that depends on the modality: for texts a `Windows` record of their
            tokens, for images None.
        texts: The raw texts, string [count]; two tensors for pairs of texts, none for images.
        image_sizes: For images that are letterboxed (resize="pad"), their original heights and widths, int32
            [count, 2], to which positions can be mapped back; else None, as for decoded pixels.
    """

    count: tf.Tensor
    example_ids: tf.Tensor | None = None
    windows: Any = None
    texts: tuple[tf.Tensor, ...] = ()
    image_sizes: tf.Tensor | None = None

    def average(self, outputs: tf.Tensor) -> tf.Tensor:
        """Average outputs over the elements of each example.

        Args:
            outputs: float [elements, …].

        Returns:
            float [count, …] of the same dtype, summed in float64.

        Examples:
            >>> context = Context(tf.constant(2, tf.int64), tf.constant([0, 0, 1], tf.int64))
            >>> context.average(tf.constant([1.0, 2.0, 5.0])).numpy().tolist()
            [1.5, 5.0]
        """
        if self.example_ids is None:
            return outputs
        means = tf.math.unsorted_segment_mean(tf.cast(outputs, tf.float64), self.example_ids, self.count)
        return tf.cast(means, outputs.dtype)
