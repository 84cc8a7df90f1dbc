"""Folds batch norms into the convolutions before them: at inference, both are affine maps that can be merged."""

from collections import Counter
from typing import Any

import keras
import numpy as np

from tltk.foundation import keras_graph as graph

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold_batch_norms(model: keras.Model) -> tuple[keras.Model, int]:
    """Copy a functional model without the batch norms that directly follow a convolution.

    y = gamma · (conv(x) + bias - mean) / sqrt(variance + epsilon) + beta is again a convolution, with a scaled kernel
    (Jacob et al. 2018, section 3.2). The result is equal up to rounding.

    Args:
        model: Model in float32; in 16-bit precision, rounding the scaled kernels would change the outputs.

    Returns:
        The copy, which has its own weights, and the number of folded batch norms. If there is nothing to fold, the
        model itself and 0.
    """
    foldable = {} if isinstance(model, keras.Sequential) else _foldable(model)
    if not foldable:
        return model, 0
    removed = {norm.name for norm in foldable.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        return type(layer).from_config({**config, "use_bias": True} if layer.name in foldable else config)

    def _call(layer: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer.name in removed else layer(*args, **kwargs)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=_call)
    for layer in copy.layers:
        if layer.weights:
            original = model.get_layer(layer.name)
            norm = foldable.get(layer.name)
            layer.set_weights(original.get_weights() if norm is None else _folded_weights(original, norm))
    return copy, len(removed)


def _foldable(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """Return the name of each convolution whose only consumer is a batch norm → that batch norm."""
    nodes = graph.nodes(model)
    consumers = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    consumers.update(id(tensor) for tensor in model.outputs)
    producers = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    calls = Counter(node.operation.name for node in nodes)
    foldable = {}
    for node in nodes:
        norm = node.operation
        if not isinstance(norm, keras.layers.BatchNormalization) or len(node.input_tensors) != 1:
            continue
        (tensor,) = node.input_tensors
        convolution: Any = producers.get(id(tensor))
        if (
            type(convolution) in _CONVOLUTIONS
            and consumers[id(tensor)] == 1
            and calls[convolution.name] == calls[norm.name] == 1
            and convolution.activation is keras.activations.linear
            and convolution.data_format == "channels_last"
            and norm.axis in (-1, len(tensor.shape) - 1)
        ):
            foldable[convolution.name] = norm
    return foldable


def _folded_weights(convolution: keras.layers.Layer, norm: keras.layers.BatchNormalization) -> list[np.ndarray]:
    """Return kernel and bias of the merged convolution, computed in float64."""
    kernel, *bias = (weight.astype("float64") for weight in convolution.get_weights())
    mean, variance = (np.asarray(statistic, "float64") for statistic in (norm.moving_mean, norm.moving_variance))
    scale = (np.asarray(norm.gamma, "float64") if norm.scale else 1.0) / np.sqrt(variance + norm.epsilon)
    beta = np.asarray(norm.beta, "float64") if norm.center else 0.0
    # A depthwise kernel is [height, width, channels, multiplier]: its last two axes are the output channels.
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    kernel_scale = scale.reshape(kernel.shape[-2:]) if is_depthwise else scale
    centered_bias = (bias[0] if bias else 0.0) - mean
    return [(kernel * kernel_scale).astype("float32"), (centered_bias * scale + beta).astype("float32")]
