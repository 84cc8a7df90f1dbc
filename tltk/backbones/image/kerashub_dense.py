"""KerasHub's detectors and segmenters as backbones: all but their last layers, which know the classes."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Stage, check_stage_order
from tltk.backbones.image import kerashub_converter as converters
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.specs import ImageSpec

if TYPE_CHECKING:
    import keras

DETECTORS = ("RetinaNetBackbone", "DFineBackbone")
SEGMENTERS = ("DeepLabV3Backbone", "SegFormerBackbone")
MULTIPLE = 32  # height and width: features of stride 32 are enlarged and joined with those of stride 16
_FAMILIES = {
    "retinanet": ("resnet50_fpn_coco", "resnet50_fpn_v2_coco"),
    "d-fine": (
        *(f"{size}_coco" for size in ("nano", "small", "medium", "large", "xlarge")),
        *(f"{size}_obj365" for size in ("small", "medium", "large", "xlarge")),
        *("small_obj2coco", "medium_obj2coco", "large_obj2coco_e25", "xlarge_obj2coco"),
    ),
    "deeplabv3plus": ("resnet50_pascalvoc",),
    "segformer": (
        *(f"b{number}_ade20k_512" for number in range(5)),
        "b5_ade20k_640",
        *(f"b{number}_cityscapes_1024" for number in (0, 2, 3, 4, 5)),  # the handle of b1 is that of ADE20K
    ),
}
_PREFIXES = {"d-fine": "dfine", "deeplabv3plus": "deeplab_v3_plus"}

# Preset of KerasHub → handle without the version.
PRESETS = {
    name: f"kaggle://keras/{family}/keras/{name}"
    for family, endings in _FAMILIES.items()
    for name in (f"{_PREFIXES.get(family, family)}_{ending}" for ending in endings)
}


@dataclass(frozen=True)
class Flat:
    """A detector or segmenter without its last layers.

    Args:
        model: Pixels → its features; the first output is that of the last stage.
        stages: From the input to the output: those of the encoder, then the levels of the pyramid, or "decoder".
        pyramid: Levels of the pyramid of a detector with their strides.
        decoder: The last stage of a segmenter.
    """

    model: "keras.Model"
    stages: tuple[Stage, ...]
    pyramid: tuple[tuple[str, int], ...] = ()
    decoder: str = ""


def is_dense(architecture: str) -> bool:
    """Tell whether the class of a KerasHub backbone is that of a detector or segmenter."""
    return architecture in (*DETECTORS, *SEGMENTERS)


def body_of(model: Any) -> Any:
    """Return the KerasHub backbone of a detector or segmenter; None for any other model.

    Args:
        model: A KerasHub backbone or task, or any other Keras model.
    """
    candidates = (model, getattr(model, "backbone", None))
    return next((candidate for candidate in candidates if _architecture(candidate)), None)


def from_model(model: "keras.Model", *, size: tuple[int, int] | None = None) -> Backbone:
    """Return a KerasHub detector or segmenter, or its backbone, as a backbone with a copy of its weights.

    Args:
        model: Such as `keras_hub.models.RetinaNetObjectDetector`. The preprocessing of a task is that of its
            preprocessor; a KerasHub backbone alone has none.
        size: Height and width in pixels; the default is that of the model, or of its preprocessor.

    Returns:
        The backbone.

    Raises:
        InvalidInput: If the size is unknown, or cannot be used.
    """
    body = body_of(model)
    converter = getattr(getattr(model, "preprocessor", None), "image_converter", None)
    height, width = size or getattr(converter, "image_size", None) or tuple(body.inputs[0].shape[1:3])
    if None in (height, width):
        raise InvalidInput(f"{model.name!r} takes images of any size: pass `image_size`.")
    return backbone(
        model.name,
        _architecture(body),
        partial(_copy, body),
        converter=converter,
        size=(height, width),
        weights="pretrained",
        locator=partial(Origin, "model", None, None),
    )


def backbone(
    name: str,
    architecture: str,
    load: Any,
    *,
    converter: Any,
    size: tuple[int, int],
    weights: str,
    locator: Any,
) -> Backbone:
    """Return a detector or segmenter as a backbone; it is built once, with random weights, to learn its stages.

    Args:
        name: Name of the backbone.
        architecture: Class of the KerasHub backbone.
        load: (Height, width, 3) and the origin of the weights, None for random ones → KerasHub backbone.
        converter: Its image converter, or None.
        size: Height and width of the input in pixels.
        weights: "pretrained", "random" or the path of a file.
        locator: Finds the weights.

    Returns:
        The backbone.

    Raises:
        InvalidInput: If the size cannot be used.
    """
    _check_size(architecture, size)
    shape = (*size, 3)
    flat = flattened(load(shape, None), shape)
    return Backbone(
        name=name,
        modality="image",
        input_spec=ImageSpec(*size, interpolation=converters.interpolation(converter)),
        preprocessing=converters.preprocessing(converter, name),
        stages=flat.stages,
        weights=weights,
        parameters=flat.model.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build, load, weights),
        locator=locator,
        shapes=partial(_known_shapes, graph.output_shapes(flat.model)),
        min_image_size=MULTIPLE,
        pyramid=flat.pyramid,
        decoder=flat.decoder,
    )


def sized_config(config: Mapping[str, Any], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Return the configurations of nested models for images of a size, under the global dtype policy.

    Args:
        config: "config" of a serialized KerasHub detector or segmenter.
        shape: Height, width, channels.

    Returns:
        What has to be replaced in `config`.
    """
    replaced = {}
    for key in ("image_encoder", "backbone"):
        if key in config:
            nested = _without_dtypes(copy.deepcopy(config[key]))
            if nested["class_name"] == "MiTBackbone":  # the only one that has to know the size
                nested["config"]["image_shape"] = shape
            replaced[key] = nested
    return replaced


def flattened(model: "keras.Model", shape: tuple[int, int, int]) -> Flat:
    """Cut a KerasHub backbone before the layers that know the classes, as one flat graph.

    Args:
        model: RetinaNet, D-FINE, DeepLabV3 or SegFormer backbone; it can be used no more.
        shape: Height, width, channels of the input.

    Returns:
        The flat model.
    """
    import keras

    from tltk.backbones.image.unfolding import Unfolding

    architecture = _architecture(model)
    levels, encoder = _ends(model, architecture)
    pixels = keras.Input(shape, name="pixels")
    unfolding = Unfolding()
    unfolding.call(keras.Model(model.inputs, list(levels.values())), pixels)
    ends = {name: unfolding.tensors[id(tensor)] for name, tensor in levels.items()}
    network = keras.Model(pixels, list(reversed(ends.values())), name=model.name)
    graph.rename_automatic(network)
    encoder_ends = [unfolding.tensors[id(tensor)] for tensor in encoder if id(tensor) in unfolding.tensors]
    first = round(math.log2(shape[0] / encoder_ends[0].shape[1]))
    stages = [Stage(f"conv{first + index}", _producer(tensor)) for index, tensor in enumerate(encoder_ends)]
    stages += [Stage(name, _producer(tensor)) for name, tensor in ends.items()]
    check_stage_order(network, stages)
    if architecture in SEGMENTERS:
        return Flat(network, tuple(stages), decoder=stages[-1].name)
    return Flat(network, tuple(stages), pyramid=tuple((name, 2 ** int(name[1:])) for name in ends))


def _ends(model: "keras.Model", architecture: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the tensors that heads take by name, and the last ones of each resolution of the encoder."""
    if architecture == "DFineBackbone":
        node = next(node for node in graph.nodes(model) if node.operation is model.encoder)
        strides = [round(math.log2(stride)) for stride in model.feat_strides][: len(model.out_features)]
        levels = {f"P{level}": tensor for level, tensor in zip(strides, node.outputs, strict=False)}
        stages = dict(zip(model.backbone.stage_names, _encoder_outputs(model.backbone), strict=True))
        return levels, [tensor for name, tensor in stages.items() if name != "stem"]
    outputs = model.image_encoder.pyramid_outputs
    encoder = [outputs[name] for name in sorted(outputs, key=lambda name: int(name[1:]))]
    if architecture == "RetinaNetBackbone":
        return dict(model.pyramid_outputs), encoder
    if architecture == "DeepLabV3Backbone":  # what follows only enlarges the features
        return {"decoder": model.get_layer("segmentation_head_relu").output}, encoder
    return {"decoder": model.output}, encoder


def _encoder_outputs(model: "keras.Model") -> list[Any]:
    """Return all stages of D-FINE's HGNetV2, the stem first."""
    return next(node.outputs for node in graph.nodes(model) if node.operation is model.encoder_layer)


def _check_size(architecture: str, size: tuple[int, int]) -> None:
    height, width = size
    problems = check.Problems()
    if height % MULTIPLE or width % MULTIPLE:
        problems.add(f"`image_size` must be a multiple of {MULTIPLE}. Received: {height}×{width}")
    if architecture == "SegFormerBackbone" and height != width:
        problems.add(f"`image_size` of SegFormer must be a square. Received: {height}×{width}")
    problems.raise_if_any()


def _architecture(model: Any) -> str:
    """Return the name of the class of a KerasHub detector or segmenter that a model is an instance of, or ""."""
    classes = (base for base in type(model).__mro__ if base.__module__.startswith("keras_hub."))
    return next((base.__name__ for base in classes if is_dense(base.__name__)), "")


def _producer(tensor: Any) -> str:
    return private.producing_node(tensor).operation.name


def _build(load: Any, weights: str, shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    model = flattened(load(shape, origin), shape).model
    if weights not in ("pretrained", "random") and origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


def _known_shapes(shapes: Mapping[str, tuple], shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    """Return the shapes of a model that was built at this size to learn its stages."""
    return shapes


def _copy(model: "keras.Model", shape: tuple[int, int, int], origin: Origin | None) -> "keras.Model":
    """Return a copy of a KerasHub backbone for images of a size, under the global dtype policy."""
    config = model.get_config()
    config = {key: value for key, value in config.items() if key != "dtype"} | sized_config(config, shape)
    copied = type(model).from_config(config)
    copied.set_weights(model.get_weights())
    return copied


def _without_dtypes(config: Any) -> Any:
    """Return a configuration whose layers have the global dtype policy."""
    if isinstance(config, dict):
        return {key: _without_dtypes(value) for key, value in config.items() if key != "dtype"}
    return [_without_dtypes(value) for value in config] if isinstance(config, list | tuple) else config
