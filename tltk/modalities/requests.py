"""The record that the request reader of every modality returns."""

from typing import NamedTuple

import tensorflow as tf

from tltk.modalities.context import Context


class Request(NamedTuple):
    """A batch of requests to an export, read in a graph.

    Attributes:
        inputs: Inputs of the network, [elements, …].
        valid: bool [batch], which requests could be read.
        error: string [batch], why a request could not be read; "" for valid ones.
        context: Context for the decoder of the task.
    """

    inputs: tf.Tensor
    valid: tf.Tensor
    error: tf.Tensor
    context: Context
