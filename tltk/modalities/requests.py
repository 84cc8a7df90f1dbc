"""Requests of clients as tensors: what every modality's reader of requests returns."""

from typing import NamedTuple

import tensorflow as tf

from tltk.modalities.context import Context


class Request(NamedTuple):
    """A batch of requests, read in a graph.

    Args:
        inputs: what the network takes, [elements, …].
        valid: bool [batch], which requests could be read.
        error: string [batch], what is wrong with the others.
        context: what the decoder of a task may need beside the outputs.
    """

    inputs: tf.Tensor
    valid: tf.Tensor
    error: tf.Tensor
    context: Context
