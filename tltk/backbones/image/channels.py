"""Image backbones for another number of channels than RGB, with the weights of the RGB network.

The kernel of the first convolution is adapted as in timm (`adapt_input_conv` in timm/models/_manipulate.py): for one
channel it is summed over RGB; for n channels it is repeated cyclically, cut to n, and multiplied by 3/n.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tltk.backbones.base import Backbone, Origin, Preprocessing
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import keras

RGB = 3


def with_channels(backbone: Backbone, channels: int) -> Backbone:
    """Return a backbone for images of another number of channels, which starts with the same weights.

    Args:
        backbone: Backbone of RGB images.
        channels: Number of channels of the images; the first three are red, green and blue, as far as there are.

    Returns:
        The backbone. Its published accuracy and number of parameters are unknown.

    Raises:
        InvalidInput: If `channels` is not a whole number above 0, or does not fit the backbone's preprocessing.

    Examples:
        >>> import tltk
        >>> tltk.backbone("mobilenet_v2", channels=1, weights="random").input_spec.shape
        (224, 224, 1)
    """
    check.counts(channels=channels)
    if channels == RGB:
        return backbone
    preprocessing = adapted_preprocessing(backbone.preprocessing, channels)
    return replace(
        backbone,
        input_spec=replace(backbone.input_spec, channels=channels),
        preprocessing=preprocessing,
        builder=partial(_build, backbone, preprocessing),
        shapes=partial(_shapes, backbone),
        parameters=None,
        top1=None,
        top1_source="",
    )


def adapted_kernel(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Adapt the kernel of a convolution of RGB images to another number of channels.

    Args:
        kernel: float [height, width, 3, filters].
        channels: Number of channels.

    Returns:
        float [height, width, channels, filters].

    Examples:
        >>> kernel = np.arange(3.0).reshape(1, 1, 3, 1)
        >>> adapted_kernel(kernel, 1).ravel().tolist(), adapted_kernel(kernel, 4).ravel().tolist()
        ([3.0], [0.0, 0.75, 1.5, 0.0])
    """
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    return kernel[:, :, np.arange(channels) % RGB] * (RGB / channels)


def adapted_preprocessing(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Adapt the preprocessing of RGB images to another number of channels, in the order of the images.

    Args:
        preprocessing: Scale and offset of 1 or 3 channels, or already of `channels`.
        channels: Number of channels.

    Returns:
        Scale and offset: for one channel, their means over RGB; for n channels, repeated cyclically.

    Raises:
        InvalidInput: If scale or offset have another length.
    """
    scale, offset = (_adapted(values, channels) for values in _in_rgb_order(preprocessing))
    return replace(preprocessing, scale=scale, offset=offset, channel_order="rgb")


def _in_rgb_order(preprocessing: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and offset in the order of the images."""
    step = -1 if preprocessing.channel_order == "bgr" else 1
    return preprocessing.scale[::step], preprocessing.offset[::step]


def _adapted(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if len(values) in (1, channels):
        return values
    if len(values) != RGB:
        raise InvalidInput(
            f"`preprocessing` must have a scale and offset for 1, 3 or {channels} channels. Received: {len(values)}"
        )
    return (sum(values) / RGB,) if channels == 1 else tuple(values[index % RGB] for index in range(channels))


@dataclass(frozen=True, eq=False)
class _Stem:
    """The beginning of a network, up to its first convolution.

    Args:
        scaling: Layers that multiply and shift pixels.
        padding: Layers that pad images with zeros.
        convolution: The first convolution, or a sequential model that begins with it.
        output: Output of `convolution`.
        scale: Factor of each channel, of all layers in `scaling` together; in the order of the network.
        offset: Offset of each channel.
    """

    scaling: tuple["keras.Layer", ...]
    padding: tuple["keras.Layer", ...]
    convolution: "keras.Layer"
    output: "keras.KerasTensor"
    scale: tuple[float, ...]
    offset: tuple[float, ...]


def _shapes(backbone: Backbone, shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    """Return the output shapes of the RGB network: they do not depend on the channels of the input."""
    return backbone.shapes((*shape[:2], RGB))


def _build(
    backbone: Backbone, preprocessing: Preprocessing, shape: tuple[int, int, int], origin: Origin
) -> "keras.Model":
    """Build the RGB network, and replace its layers up to the first convolution by layers for `shape`."""
    import keras

    network = backbone.builder((*shape[:2], RGB), origin)
    stem = _stem(network, backbone.name)
    order = backbone.preprocessing.channel_order
    inside = Preprocessing(stem.scale, stem.offset, order)
    new_inside = adapted_preprocessing(inside, shape[-1])
    kernel = _first_convolution(stem.convolution).kernel.numpy()
    kernel, bias = _adapted_weights(
        kernel[:, :, ::-1] if order == "bgr" else kernel,
        shape[-1],
        before=_chained(backbone.preprocessing, inside),
        after=_chained(preprocessing, new_inside),
    )
    pixels = x = keras.Input(shape, dtype=network.inputs[0].dtype, name=network.inputs[0].name)
    if stem.scaling:
        layer = stem.scaling[0]
        scale, offset = list(new_inside.scale), list(new_inside.offset)
        x = keras.layers.Rescaling(scale, offset, name=layer.name, dtype=layer.dtype_policy)(x)
    for layer in stem.padding:
        x = layer(x)
    convolution = _unbuilt_copy(stem.convolution, with_bias=not np.allclose(bias, 0, atol=1e-7))
    x = convolution(x)
    _assign(convolution, stem.convolution, kernel, bias)
    replaced = {layer.name for layer in (*stem.scaling, *stem.padding, stem.convolution)}
    remaining = [node for node in graph.nodes(network) if node.operation.name not in replaced]
    tensors = {id(stem.output): x}
    graph.call_nodes(remaining, tensors)
    private.forget_calls(network)
    return keras.Model(pixels, tensors[id(network.outputs[0])], name=network.name)


def _stem(network: "keras.Model", name: str) -> _Stem:
    """Find the layers of a network up to its first convolution.

    Raises:
        InvalidInput: If there are others than those that scale or pad, or if they do not form a chain.
    """
    import keras

    scaling: list[Any] = []
    padding: list[Any] = []
    scale, offset = np.ones(RGB), np.zeros(RGB)
    first, *order = graph.nodes(network)
    tensor = first.outputs[0]
    for node in order:
        layer = node.operation
        if [id(value) for value in node.input_tensors] != [id(tensor)]:
            break
        tensor = node.outputs[0]
        if not padding and isinstance(layer, keras.layers.Rescaling | keras.layers.Normalization):
            factor, shift = _scale_and_offset(layer)
            scale, offset = scale * factor, offset * factor + shift
            scaling.append(layer)
        elif isinstance(layer, keras.layers.ZeroPadding2D):
            padding.append(layer)
        elif _first_convolution(layer) is not None:
            values = (tuple(scale.tolist()), tuple(offset.tolist()))
            return _Stem(tuple(scaling), tuple(padding), layer, tensor, *values)
        else:
            break
    raise InvalidInput(
        f"`channels` of {name} must be 3: its kernel for RGB cannot be adapted, since the network does not begin with "
        "a convolution."
    )


def _first_convolution(layer: Any) -> Any:
    """Return the convolution that a layer is, or that a sequential model begins with; None for others."""
    import keras

    first = layer.layers[0] if isinstance(layer, keras.Sequential) else layer
    return first if type(first) is keras.layers.Conv2D and first.groups == 1 else None


def _scale_and_offset(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return factor and offset of a Rescaling or Normalization layer, float64 [] or [3]."""
    import keras

    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(layer.scale, "float64"), np.asarray(layer.offset, "float64")
    mean, variance = (
        np.ravel(keras.ops.convert_to_numpy(value)).astype("float64") for value in (layer.mean, layer.variance)
    )
    factor = 1 / np.maximum(np.sqrt(variance), keras.config.epsilon())
    return factor, -mean * factor


def _chained(outside: Preprocessing, inside: Preprocessing) -> tuple[np.ndarray, np.ndarray]:
    """Return scale and offset, in the order of the images, of two successive preprocessings."""
    (outer_scale, outer_offset), (scale, offset) = (
        [np.array(values) for values in _in_rgb_order(preprocessing)] for preprocessing in (outside, inside)
    )
    return scale * outer_scale, scale * outer_offset + offset


def _adapted_weights(
    kernel: np.ndarray,
    channels: int,
    *,
    before: tuple[np.ndarray, np.ndarray],
    after: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Adapt the weights of the first convolution to the number of channels.

    For one channel, what the preprocessing of red, green and blue had of its own becomes part of the weights, so that
    the output for a grey image is that of the RGB network for three equal channels. (Where the convolution pads, the
    offsets of the three channels are only right on average: one channel has one value for "zero after preprocessing".)

    Args:
        kernel: float [height, width, 3, filters], in the order of the images.
        channels: Number of channels.
        before: Scale and offset of everything that happens to an RGB image before the convolution.
        after: The same for an image of `channels`.

    Returns:
        The kernel [height, width, channels, filters], and what is added to the bias [filters].
    """
    if channels > 1:
        return adapted_kernel(kernel, channels), np.zeros(kernel.shape[-1])
    (scale, offset), (new_scale, new_offset) = before, after
    ratio = np.broadcast_to(scale / new_scale, RGB)
    bias = np.einsum("hwcf,c->f", kernel, np.broadcast_to(offset, RGB) - ratio * new_offset)
    return adapted_kernel(kernel * ratio[:, None], 1), bias


def _unbuilt_copy(layer: Any, *, with_bias: bool) -> Any:
    """Copy a convolution, or a sequential model that begins with it, without weights."""
    import keras

    if isinstance(layer, keras.Sequential):
        first, *others = layer.layers
        copies = [type(other).from_config(other.get_config()) for other in others]
        return keras.Sequential([_unbuilt_copy(first, with_bias=with_bias), *copies], name=layer.name)
    return type(layer).from_config({**layer.get_config(), "use_bias": layer.use_bias or with_bias})


def _assign(copy: Any, layer: Any, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Set the weights of a copy: those of its convolution are adapted, all others are those of the original."""
    import keras

    if isinstance(layer, keras.Sequential):
        for part, original in zip(copy.layers[1:], layer.layers[1:], strict=True):
            part.set_weights(original.get_weights())
    convolution, original = _first_convolution(copy), _first_convolution(layer)
    convolution.kernel.assign(kernel)
    if convolution.use_bias:
        convolution.bias.assign(bias + (original.bias.numpy() if original.use_bias else 0))
