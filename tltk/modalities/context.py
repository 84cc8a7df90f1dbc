"""What a modality tells a task about a batch."""

from typing import Any, NamedTuple

import tensorflow as tf


class Context(NamedTuple):
    """What a decoder knows about a batch besides the outputs of the network.

    A network sees elements: an image, a text, or one window of a long text. Answers are about examples.

    Args:
        count: int64 [], number of examples in the batch.
        example_ids: int64 [elements], never falling: the example (0 … count - 1) that each element belongs to; None if
            every element is one example.
        windows: what the modality knows about the elements; for texts a `Windows` record of their tokens, for images
            None.
        texts: the raw strings [count] of texts, two of them for pairs of texts; () for images.
    """

    count: tf.Tensor
    example_ids: tf.Tensor | None = None
    windows: Any = None
    texts: tuple[tf.Tensor, ...] = ()

    def average(self, outputs: tf.Tensor) -> tf.Tensor:
        """Average outputs over the elements of each example.

        Args:
            outputs: float [elements, …].

        Returns:
            float [count, …] of the same dtype, summed in float64.

        Example:
            >>> context = Context(tf.constant(2, tf.int64), tf.constant([0, 0, 1], tf.int64))
            >>> context.average(tf.constant([1.0, 2.0, 5.0])).numpy().tolist()
            [1.5, 5.0]
        """
        if self.example_ids is None:
            return outputs
        means = tf.math.unsorted_segment_mean(tf.cast(outputs, tf.float64), self.example_ids, self.count)
        return tf.cast(means, outputs.dtype)
