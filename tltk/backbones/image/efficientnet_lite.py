"""EfficientNet-Lite0 and Lite2 from stock Keras layers, with their ImageNet weights."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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

MINIMUM = 32
SUFFIXES = (*weight_files.SUFFIXES, ".pth")
SOURCE = "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite"
# Kernel, stride, expansion, filters and repeats of each block group of EfficientNet-B0 (Tan & Le 2019, table 1).
_GROUPS = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class Lite:
    """A network of the family.

    Args:
        name: Name of the backbone.
        file: Weight file in tltk's cache.
        size: Rows and columns in pixels that the weights were trained at.
        parameters: Number of weights without the classifier.
        top1: ImageNet top-1 accuracy in float32, from the table at `SOURCE`.
        width: Factor of the filters of EfficientNet-B0; those of the stem and of the last convolution stay.
        depth: Factor of the repeats; the first and the last group keep one block.
    """

    name: str
    file: str
    size: int
    parameters: int
    top1: float
    width: float = 1.0
    depth: float = 1.0

    @property
    def groups(self) -> tuple[tuple[int, int, int, int, int], ...]:
        """Kernel, stride, expansion, filters and repeats of each block group."""
        return tuple(
            (kernel, stride, expansion, self._filters(filters), repeats if repeats == 1 else self._repeats(repeats))
            for kernel, stride, expansion, filters, repeats in _GROUPS
        )

    @property
    def reference_input(self) -> ImageSpec:
        """How the published accuracy was measured; the input format of the backbone shows the whole image instead."""
        fraction = self.size / (self.size + 32)
        return ImageSpec(self.size, self.size, resize="crop", interpolation="bicubic", crop_fraction=fraction)

    def blocks(self) -> Iterator[tuple[str, int, int, int, int]]:
        """Yield name, kernel, stride, expansion and filters of each block."""
        for number, (kernel, stride, expansion, filters, repeats) in enumerate(self.groups, start=1):
            for index in range(repeats):
                yield f"block{number}{chr(97 + index)}", kernel, stride if index == 0 else 1, expansion, filters

    def _filters(self, filters: int) -> int:
        """Scale a number of filters to a multiple of 8 that is at most a tenth smaller."""
        scaled = filters * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * scaled else rounded

    def _repeats(self, repeats: int) -> int:
        return math.ceil(self.depth * repeats)


LITE0 = Lite("efficientnet_lite0", "efficientnet-lite0-57934424.pth", 224, 3_413_024, 0.751)
LITE2 = Lite("efficientnet_lite2", "efficientnet-lite2-9656183e.pth", 260, 4_869_168, 0.776, width=1.1, depth=1.2)
NETWORKS = (LITE0, LITE2)
_EPSILON = 1e-3
PREPROCESSING = Preprocessing(
    scale=(1 / 128,), offset=(-127 / 128,), source=f"{SOURCE}: MEAN_RGB and STDDEV_RGB of efficientnet_lite_builder.py"
)


def backbone(network: Lite = LITE0, *, weights: str = "pretrained") -> Backbone:
    """Return a backbone of the family.

    Args:
        network: One of `NETWORKS`.
        weights: "pretrained", "random" or the path of a weight file (.pth, or written by Keras).
    """
    return Backbone(
        name=network.name,
        modality="image",
        input_spec=ImageSpec(network.size, network.size),
        preprocessing=PREPROCESSING,
        stages=efficient_stages(tuple(group[-1] for group in network.groups)),
        weights=weights,
        parameters=network.parameters,
        top1=network.top1,
        top1_source=SOURCE,
        fast_bfloat16=False,
        builder=partial(_build, network),
        locator=partial(weight_files.locate, network.name, weights=weights, places=places(network)),
        shapes=partial(_shapes, network),
        min_image_size=MINIMUM,
    )


def places(network: Lite) -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    return (weight_files.own_cache(network.name, network.file),)


def classifier(path: str | Path, network: Lite = LITE0) -> "keras.Model":
    """Build a network with its ImageNet classifier, to check the ported weights against published results.

    Args:
        path: Path of the .pth file.
        network: One of `NETWORKS`.

    Returns:
        Float [batch, size, size, 3] in [0, 255] → probabilities [batch, 1000].
    """
    import keras

    from tltk.backbones.connect import connect  # imports TensorFlow, which the catalog does without

    body = connect(backbone(network, weights=str(path))).network
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(body.outputs[0])
    top = keras.layers.Dense(1000, activation="softmax", name="predictions")
    model = keras.Model(body.inputs[0], top(pooled), name=f"{network.name}_classifier")
    tensors = _tensors(str(path))
    top.set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])
    return model


def _build(network: Lite, shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    import keras

    pixels = keras.Input(shape, name="input_layer")
    x = _normal(keras.layers.Conv2D(32, 3, 2, padding="same", use_bias=False, name="stem_conv")(pixels), "stem_bn")
    x = keras.layers.ReLU(6.0, name="stem_activation")(x)
    for name, kernel, stride, expansion, filters in network.blocks():
        x = _block(x, name, kernel=kernel, stride=stride, expansion=expansion, filters=filters)
    x = _normal(keras.layers.Conv2D(1280, 1, use_bias=False, name="top_conv")(x), "top_bn")
    model = keras.Model(pixels, keras.layers.ReLU(6.0, name="top_activation")(x), name=network.name)
    graph.rename_automatic(model)
    if origin.path is not None and origin.path.endswith(".pth"):
        _port(network, model, origin.path)
    elif origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


@cache
def _shapes(network: Lite, shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    with private.without_weights():
        return graph.output_shapes(_build(network, shape, Origin("random", None, None)))


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


def _names(network: Lite) -> Iterator[tuple[str, str, str]]:
    """Yield the Keras names of a convolution and its batch norm, and their names in the .pth file."""
    yield "stem", "_conv_stem", "_bn0"
    for index, (name, _, _, expansion, _) in enumerate(network.blocks()):
        if expansion != 1:
            yield f"{name}_expand", f"_blocks.{index}._expand_conv", f"_blocks.{index}._bn0"
        yield f"{name}_dw", f"_blocks.{index}._depthwise_conv", f"_blocks.{index}._bn1"
        yield f"{name}_project", f"_blocks.{index}._project_conv", f"_blocks.{index}._bn2"
    yield "top", "_conv_head", "_bn1"


def _port(network: Lite, model: "keras.Model", path: str) -> None:
    """Load the weights of a .pth file, or raise with a list of everything that does not fit."""
    tensors = _tensors(path)
    problems = check.Problems()
    for name, conv, norm in _names(network):
        # PyTorch's kernels are [out, in, h, w], and [channels, 1, h, w] if depthwise.
        depthwise = name.endswith("_dw")
        layer = model.get_layer(f"{name}conv" if depthwise else f"{name}_conv")
        axes = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        _assign(layer.weights, [f"{conv}.weight"], axes, tensors=tensors, problems=problems)
        parts = [f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        layer = model.get_layer(f"{name[:-3]}_bn" if depthwise else f"{name}_bn")
        _assign(layer.weights, parts, (0,), tensors=tensors, problems=problems)
    problems.raise_if_any(f"{path} does not contain the weights of {network.name}:")


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
