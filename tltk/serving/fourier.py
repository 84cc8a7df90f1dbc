"""Replaces Fourier transforms by convolutions, which every format knows; ONNX and LiteRT have no complex numbers."""

from typing import Any

import keras
import numpy as np

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private


def without_fourier_transforms(model: keras.Model) -> keras.Model:
    """Copy a functional model with convolutions in place of `keras.ops.stft`.

    A frame times a window, transformed to frequencies, is a product of the frame and a matrix of cosines and sines:
    a convolution along time. The result is equal up to rounding, 1e-6 of the loudest frequency of a frame.

    Args:
        model: Functional model. Transforms inside of its layers, such as a `Lambda`, are not replaced.

    Returns:
        The copy, which shares its layers with the model: it can be called and exported, but not saved. Without such
        transforms, the model itself.
    """
    nodes = graph.nodes(model)
    if not any(private.is_short_time_fourier_transform(node.operation) for node in nodes):
        return model
    tensors: dict[int, Any] = {
        id(tensor): keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    }
    inputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.input)
    for node in nodes:
        if private.is_short_time_fourier_transform(node.operation):
            (waveform,), _ = node.arguments.fill_in(tensors)
            outputs = _convolved(waveform, node.operation)
            tensors.update(zip(map(id, node.outputs), outputs, strict=True))
        else:
            graph.call_nodes([node], tensors)
    outputs = keras.tree.map_structure(lambda tensor: tensors[id(tensor)], model.output)
    shared = {id(operation) for operation in model.operations}
    copied = graph.ancestor_nodes(keras.tree.flatten(outputs))
    added = [node for node in copied if not node.is_input and id(node.operation) not in shared]
    graph.make_names_unique(added, {operation.name for operation in model.operations})
    copy = keras.Model(inputs, outputs, name=model.name)
    private.forget_calls(copy)
    return copy


def _convolved(waveform: Any, transform: Any) -> tuple[Any, Any]:
    """Return the real and the imaginary part of a transform, [batch, …, frames, frequencies]."""
    if transform.center:
        half = transform.fft_length // 2
        padding = [[0, 0]] * (len(waveform.shape) - 1) + [[half, half]]
        waveform = keras.ops.pad(waveform, padding, mode="reflect")
    zeros = transform.fft_length - transform.sequence_length  # on both sides of the window
    waveform = waveform[..., zeros // 2 : -(zeros - zeros // 2) or None]
    channels = waveform.shape[1:-1]
    flat = keras.ops.reshape(waveform, (-1, waveform.shape[-1])) if channels else waveform
    kernel = fourier_kernel(transform.sequence_length, transform.fft_length, transform.window)
    stride = transform.sequence_stride
    spectrum = keras.ops.conv(keras.ops.expand_dims(flat, -1), kernel, strides=stride, padding="valid")
    if channels:
        spectrum = keras.ops.reshape(spectrum, (-1, *channels, *spectrum.shape[1:]))
    bins = kernel.shape[-1] // 2
    return spectrum[..., :bins], spectrum[..., bins:]


def fourier_kernel(sequence_length: int, fft_length: int, window: Any) -> np.ndarray:
    """Return the kernel of a convolution that transforms frames to frequencies.

    Args:
        sequence_length: Samples of the window.
        fft_length: Length of the transform; the window stands in the middle of zeros.
        window: "hann", "hamming", a window [sequence_length], or None, as `keras.ops.stft` takes it.

    Returns:
        float32 [sequence_length, 1, 2 × (fft_length / 2 + 1)]: the real parts, then the imaginary parts.

    Examples:
        >>> fourier_kernel(400, 512, "hann").shape
        (400, 1, 514)
    """
    positions = np.arange(sequence_length) + (fft_length - sequence_length) // 2
    angles = 2 * np.pi * positions[:, None] * np.arange(fft_length // 2 + 1) / fft_length
    kernel = np.concatenate([np.cos(angles), -np.sin(angles)], 1) * _window(sequence_length, window)[:, None]
    return kernel.astype(np.float32)[:, None]


def _window(length: int, window: Any) -> np.ndarray:
    if window is None:
        return np.ones(length)
    if isinstance(window, str):
        average = {"hann": 0.5, "hamming": 0.54}[window]
        return average - (1 - average) * np.cos(2 * np.pi * np.arange(length) / length)
    return np.asarray(window, np.float64)
