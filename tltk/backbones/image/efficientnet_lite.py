"""EfficientNet-Lite0 from stock Keras layers, with its real ImageNet weights."""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing
from tltk.backbones.image.keras_applications_table import efficient_stages
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.specs import ImageSpec

if TYPE_CHECKING:
    import keras
    import numpy as np

NAME = "efficientnet_lite0"
FILE = "efficientnet-lite0-57934424.pth"
SIZE, MINIMUM = 224, 32
SUFFIXES = (*weight_files.SUFFIXES, ".pth")
PARAMETERS = 3_413_024
SOURCE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
TOP1 = 0.751  # its table, float32
# Kernel, stride, expansion, filters and repeats of each block group: EfficientNet-B0 (Tan & Le 2019, table 1),
# which Lite0 keeps.
_GROUPS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_EPSILON = 1e-3
PREPROCESSING = Preprocessing(
    scale=(1 / 128,), offset=(-127 / 128,), source=f"{SOURCE}: MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py"
)
# How the published accuracy was measured; the input format of the backbone shows the whole image instead.
REFERENCE_INPUT = ImageSpec(SIZE, SIZE, resize="crop", interpolation="bicubic", crop_fraction=0.875)


def backbone(*, weights: str = "pretrained") -> Backbone:
    """Return the backbone.

    Args:
        weights: "pretrained", "random" or the path of a weight file (.pth, or written by Keras).
    """
    return Backbone(
        name=NAME,
        modality="image",
        input_spec=ImageSpec(SIZE, SIZE),
        preprocessing=PREPROCESSING,
        stages=efficient_stages(tuple(group[-1] for group in _GROUPS)),
        weights=weights,
        parameters=PARAMETERS,
        top1=TOP1,
        top1_source=SOURCE,
        fast_bfloat16=False,
        builder=_build,
        locator=partial(weight_files.locate, NAME, weights=weights, places=places()),
        shapes=_shapes,
        min_image_size=MINIMUM,
    )


def places() -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    return (weight_files.own_cache(NAME, FILE),)


def classifier(path: str | Path) -> "keras.Model":
    """Build the network with its ImageNet classifier, to check the ported weights against published results.

    Args:
        path: Path of the .pth file.

    Returns:
        Float [batch, 224, 224, 3] in [0, 255] → probabilities [batch, 1000].
    """
    import keras

    from tltk.backbones.connect import connect  # imports TensorFlow, which the catalog does without

    network = connect(backbone(weights=str(path))).network
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(network.outputs[0])
    top = keras.layers.Dense(1000, activation="softmax", name="predictions")
    model = keras.Model(network.inputs[0], top(pooled), name=f"{NAME}_classifier")
    tensors = _tensors(str(path))
    top.set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    return model


def _build(shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    import keras

    pixels = keras.Input(shape, name="input_layer")
    x = _normal(keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(pixels), "stem_bn")
    x = keras.layers.ReLU(6.0, name="stem_activation")(x)
    for name, kernel, stride, expansion, filters in _blocks():
        x = _block(x, name, kernel=kernel, stride=stride, expansion=expansion, filters=filters)
    x = _normal(keras.layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x), "top_bn")
    model = keras.Model(pixels, keras.layers.ReLU(6.0, name="top_activation")(x), name=NAME)
    graph.rename_automatic(model)
    if origin.path is not None and origin.path.endswith(".pth"):
        _port(model, origin.path)
    elif origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


@cache
def _shapes(shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    with private.without_weights():
        return graph.output_shapes(_build(shape, Origin("random", None, None)))


def _blocks() -> Iterator[tuple[str, int, int, int, int]]:
    """Yield name, kernel, stride, expansion and filters of each of the 16 blocks."""
    for number, (kernel, stride, expansion, filters, repeats) in enumerate(_GROUPS, start=1):
        for index in range(repeats):
            yield f"block{number}{chr(97 + index)}", kernel, stride if index == 0 else 1, expansion, filters


def _block(
    x: "keras.KerasTensor", name: str, *, kernel: int, stride: int, expansion: int, filters: int
) -> "keras.KerasTensor":
    """Add an inverted residual block without squeeze-and-excitation."""
    import keras

    inputs = x
    if expansion != 1:
        wide = keras.layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False, name=f"{name}_expand_conv")
        x = keras.layers.ReLU(6.0, name=f"{name}_expand_activation")(_normal(wide(x), f"{name}_expand_bn"))
    # TensorFlow's "same": for stride 2 the padding is at the right and bottom only, as the weights were trained.
    depthwise = keras.layers.DepthwiseConv2D(kernel, stride, padding="same", use_bias=False, name=f"{name}_dwconv")
    x = keras.layers.ReLU(6.0, name=f"{name}_activation")(_normal(depthwise(x), f"{name}_bn"))
    narrow = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")
    x = _normal(narrow(x), f"{name}_project_bn")
    if stride == 1 and inputs.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _normal(x: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    import keras

    return keras.layers.BatchNormalization(epsilon=_EPSILON, name=name)(x)


def _names() -> Iterator[tuple[str, str, str]]:
    """Yield the Keras names of a convolution and its batch norm, and their names in the .pth file."""
    yield "stem", "_conv_stem", "_bn0"
    for index, (name, _, _, expansion, _) in enumerate(_blocks()):
        if expansion != 1:
            yield f"{name}_expand", f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0"
        yield f"{name}_dw", f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1"
        yield f"{name}_project", f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2"
    yield "top", "_conv_head", "_bn1"


def _port(model: "keras.Model", path: str) -> None:
    """Load the weights of a .pth file, or raise with a list of everything that does not fit."""
    tensors = _tensors(path)
    problems = check.Problems()
    for name, conv, norm in _names():
        # PyTorch's kernels are [out, in, h, w], and [channels, 1, h, w] if depthwise.
        depthwise = name.endswith("_dw")
        layer = model.get_layer(f"{name}conv" if depthwise else f"{name}_conv")
        axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        _assign(layer.weights, [f"{conv}.weight"], axes, tensors=tensors, problems=problems)
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        layer = model.get_layer(f"{name[:-3]}_bn" if depthwise else f"{name}_bn")
        _assign(layer.weights, parts, (0,), tensors=tensors, problems=problems)
    problems.raise_if_any(f"{path} does not contain the weights of {NAME}:")


def _assign(
    variables: "list[keras.Variable]",
    keys: list[str],
    axes: tuple[int, ...],
    *,
    tensors: "dict[str, np.ndarray]",
    problems: check.Problems,
) -> None:
    for variable, key in zip(variables, keys, strict=True):
        if key not in tensors:
            problems.add(f"it has no {key!r}")
            continue
        tensor = tensors[key].transpose(axes) if tensors[key].ndim == len(axes) else tensors[key]
        if tensor.shape != tuple(variable.shape):
            problems.add(f"{key!r} has the shape {tensor.shape} where {tuple(variable.shape)} is needed")
        else:
            variable.assign(tensor)


def _tensors(path: str) -> "dict[str, np.ndarray]":
    from tltk.backbones import torch_file

    return torch_file.read(Path(path))
