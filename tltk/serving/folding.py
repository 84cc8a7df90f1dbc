"""Batch norms folded into the convolutions before them: in inference they are one affine map after another."""

from collections import Counter
from typing import Any

import keras
import numpy as np

from tltk.foundation import keras_graph as graph

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def folded(model: keras.Model) -> tuple[keras.Model, int]:
    """Copy a functional model without those batch norms that follow a convolution directly.

    y = gamma · (conv(x) + bias - mean) / sqrt(variance + epsilon) + beta is a convolution again, whose kernel is scaled
    (Jacob et al. 2018, section 3.2). It is exact but for rounding.

    Args:
        model: in float32; in 16 bits the scaled kernel is another one.

    Returns:
        The copy, with weights of its own, and how many batch norms went; the model itself where there is none.
    """
    pairs = {} if isinstance(model, keras.Sequential) else _pairs(model)
    if not pairs:
        return model, 0
    gone = {norm.name for norm in pairs.values()}

    def cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, "use_bias": True} if layer.name in pairs else config)

    def _called(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in gone else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=cloned, call_function=_called)
    for layer in copy.layers:
        if layer.weights:
            own = model.get_layer(layer.name)
            layer.set_weights(_weights(own, pairs[own.name]) if own.name in pairs else own.get_weights())
    return copy, len(gone)


def _pairs(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """Name each convolution that nothing but a batch norm reads."""
    nodes = graph.nodes(model)
    readers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    readers.update(id(tensor) for tensor in model.outputs)
    made_by = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    uses = Counter(node.operation.name for node in nodes)
    found = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, keras.layers.BatchNormalization) or len(node.input_tensors) != 1:
            continue
        (tensor,) = node.input_tensors
        before: Any = made_by.get(id(tensor))
        if (
            type(before) in _CONVOLUTIONS
            and readers[id(tensor)] == 1
            and uses[before.name] == uses[norm.name] == 1
            and before.activation is keras.activations.linear
            and before.data_format == "channels_last"
            and norm.axis in (-1, len(tensor.shape) - 1)
        ):
            found[before.name] = norm
    return found


def _weights(convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    kernel, *bias = (weight.astype("float64") for weight in convolution.get_weights())
    mean, variance = (np.asarray(each, "float64") for each in (norm.moving_mean, norm.moving_variance))
    scale = (np.asarray(norm.gamma, "float64") if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
    shift = np.asarray(norm.beta, "float64") if norm.center else 0.0
    # A depthwise kernel is [height, width, channels, multiplier]: its last two axes are the output's channels.
    by_channel = scale.reshape(kernel.shape[-2:]) if isinstance(convolution, keras.layers.DepthwiseConv2D) else scale
    moved = (bias[0] if bias else 0.0) - mean
    return [(kernel * by_channel).astype("float32"), (moved * scale + shift).astype("float32")]
