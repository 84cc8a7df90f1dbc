"""The record that the request reader of every modality returns, and requests that are tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
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


@dataclass(frozen=True)
class TensorRequests:
    """Requests to a SavedModel that are tensors instead of strings, such as samples with their rate.

    Args:
        signature: Name of the signature.
        inputs: Names, shapes and dtypes of its inputs. One of unknown rank is a value for each request, [batch], or one
            for all of them, [].
        read: Function of the inputs, all of them [batch, …], that returns a `Request`. An invalid request must not
            affect the others.
        sample: Generates the inputs of a few requests to check an export with, [requests, …]; some cannot be read.
        sources: Converts inputs to sources, so that predictions of an export can be compared with those of
            `tltk.predict`; their `ids` are the indices of the requests, as strings, and invalid requests are missing.
    """

    signature: str
    inputs: tuple[tf.TensorSpec, ...]
    read: Callable[..., Request]
    sample: Callable[[], tuple[np.ndarray, ...]]
    sources: Callable[[Sequence[np.ndarray]], list[Source]]
