"""KerasHub vision presets as backbones."""

import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import kerashub_files as hub_files
from tltk.backbones import weight_packages as packages
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin
from tltk.backbones.hub import first_line, is_hub_failure
from tltk.backbones.image import kerashub_converter as converters
from tltk.backbones.image import kerashub_dense as dense
from tltk.backbones.image import user_model
from tltk.backbones.image.keras_applications_table import IMAGENET, stages
from tltk.backbones.kerashub_files import SCHEMES
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import FileError, InvalidInput
from tltk.specs import ImageSpec

if TYPE_CHECKING:
    import keras

MINIMUM, SIZE = 32, 224
# Wightman et al. 2021, "ResNet strikes back", table 3, recipe A1 at 224 px: the weights that these presets hold
# (keras-hub, tools/checkpoint_conversion/convert_resnet_checkpoints.py).
_SOURCE = "https://arxiv.org/abs/2110.00476"


@dataclass(frozen=True)
class Preset:
    """A KerasHub preset whose configuration is repeated here, because reading it would require access to a hub.

    Args:
        name: Name in KerasHub.
        handle: Handle without the version.
        depths: Number of blocks in each stack.
        block: Block type of KerasHub's ResNetBackbone.
        parameters: Number of weights, from keras_hub/src/models/resnet/resnet_presets.py.
        top1: Published ImageNet top-1 accuracy in [0, 1].
    """

    name: str
    handle: str
    depths: tuple[int, ...]
    block: str
    parameters: int
    top1: float


PRESETS = {
    f"resnet_{layers}_imagenet": Preset(
        f"resnet_{layers}_imagenet",
        f"kaggle://keras/resnetv1/keras/resnet_{layers}_imagenet",
        depths,
        block,
        parameters,
        top1,
    )
    for layers, depths, block, parameters, top1 in (
        (18, (2, 2, 2, 2), "basic_block", 11_186_112, 0.715),
        (50, (3, 4, 6, 3), "bottleneck_block", 23_561_152, 0.804),
        (101, (3, 4, 23, 3), "bottleneck_block", 42_605_504, 0.815),
        (152, (3, 8, 36, 3), "bottleneck_block", 58_295_232, 0.820),
    )
}


def backbone(name: str, *, weights: str = "pretrained") -> Backbone:
    """Return a preset as a backbone.

    Args:
        name: Key of `PRESETS`.
        weights: "pretrained", "random" or the path of a weight file.
    """
    row = PRESETS[name]
    ends = [f"stack{number}_block{depth - 1}_out" for number, depth in enumerate(row.depths)]
    return Backbone(
        name=name,
        modality="image",
        input_spec=ImageSpec(SIZE, SIZE),
        preprocessing=IMAGENET,
        stages=stages("pool1_pool", *ends),
        weights=weights,
        parameters=row.parameters,
        top1=row.top1,
        top1_source=_SOURCE,
        fast_bfloat16=True,
        builder=partial(_build, row),
        locator=partial(
            weight_files.locate, name, weights=weights, places=places(name), download=partial(_download, name)
        ),
        shapes=partial(_shapes, row),
        min_image_size=MINIMUM,
    )


def places(name: str) -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    return (weight_files.kerashub_cache(PRESETS[name].handle), weight_files.own_cache(name, "model.weights.h5"))


def is_preset(x: str) -> bool:
    """Return whether a string is the handle of a preset, or a folder that may contain one."""
    return x.startswith(SCHEMES) or Path(x).is_dir()


def from_preset(x: str, *, weights: str = "pretrained", size: tuple[int, int] | None = None) -> Backbone:
    """Return any KerasHub vision preset as a backbone; reads its configuration, but not its weights.

    Args:
        x: Local folder (KerasHub, timm or Hugging Face layout), or an `hf://` or `kaggle://` handle.
        weights: "pretrained", "random" or the path of a weight file.
        size: Height and width in pixels; the default is that of the preset, else 224.

    Raises:
        InvalidInput: If it is not a preset, or its output is not a feature map.
        FileError: If the hub cannot be reached.
    """
    converter = converters.read(x)
    height, width = size or getattr(converter, "image_size", None) or (SIZE, SIZE)
    architecture = _architecture(x)
    if dense.is_dense(architecture):
        return dense.backbone(
            x,
            architecture,
            partial(_load_dense, x, weights),
            converter=converter,
            size=(height, width),
            weights=weights,
            locator=partial(_locate_preset, x, weights),
        )
    model = _load(x, (height, width, 3), weights="random")
    return Backbone(
        name=x,
        modality="image",
        input_spec=ImageSpec(height, width, interpolation=converters.interpolation(converter)),
        preprocessing=converters.preprocessing(converter, x),
        stages=user_model.infer_stages(model, size=(height, width)),
        weights=weights,
        parameters=model.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build_preset, x, weights),
        locator=partial(_locate_preset, x, weights),
        shapes=partial(_known_shapes, graph.output_shapes(model)),
    )


def detector(name: str, *, weights: str = "pretrained", size: tuple[int, int] | None = None) -> Backbone:
    """Return a detector or segmenter of KerasHub as a backbone; its configuration and weights are located now.

    Args:
        name: Key of `kerashub_dense.PRESETS`.
        weights: "pretrained", "random" or the path of a weight file.
        size: Height and width in pixels; the default is that of the preset.

    Raises:
        NotFound: If the preset is in no cache and the hub cannot be reached; lists what was tried, and what to do.
        FileError: If the preset in the cache is not complete.
    """
    handle = dense.PRESETS[name]
    caches = (weight_files.kerashub_cache(handle), weight_files.own_cache(name, "model.weights.h5"))
    ways = (
        "copy the folder of the preset (config.json, model.weights.h5, image_converter.json) from a machine with "
        "access to the hub to one of the places above",
        "tltk.backbone('path/of/the/folder')",
        "a backbone for images with a head that is all new, such as tltk.backbone('efficientnet_lite0')",
    )
    locate = partial(weight_files.locate, name, places=caches, download=partial(_download_dense, name), ways=ways)
    folder = Path(str(locate().path)).parent
    for file in ("config.json", converters.FILE):
        if not (folder / file).is_file():
            raise FileError(f"{folder} has no {file}: copy it from the preset {name!r} of KerasHub ({handle}).")
    preset = from_preset(str(folder), weights=weights, size=size)
    return replace(preset, name=name, locator=locate if weights == "pretrained" else preset.locator)


def _build(row: Preset, shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    import keras_hub

    body = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=list(row.depths),
        stackwise_num_strides=[1, 2, 2, 2],
        block_type=row.block,
        image_shape=shape,
    )
    if origin.path is not None:
        weight_files.read_into(body, origin.path)
    return _as_functional(body, row.name)


@cache
def _shapes(row: Preset, shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    with private.without_weights():
        return graph.output_shapes(_build(row, shape, Origin("random", None, None)))


def _known_shapes(shapes: Mapping[str, tuple], shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    """Return the shapes of a preset, which was built at this size to infer its stages."""
    return shapes


def _download(name: str) -> None:
    """Let KerasHub download a preset into its cache.

    Raises:
        FileError: If the hub cannot be reached.
    """
    import keras_hub

    try:
        with redirect_stdout(sys.stderr):  # standard output is reserved for results
            keras_hub.models.Backbone.from_preset(name)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(first_line(error)) from error


def _download_dense(name: str) -> None:
    """Let KerasHub download a detector or segmenter, with its preprocessing, into its cache."""
    _download(name)
    converters.read(dense.PRESETS[name])


def _architecture(x: str) -> str:
    """Return the name of a preset's KerasHub class; "" if a folder has no configuration that KerasHub can read."""
    if x.startswith(SCHEMES):
        return hub_files.architecture(x)
    config = hub_files.read(x, "config.json")
    if "registered_name" in config:
        return str(config.get("class_name", ""))
    return hub_files.architecture(x) if "model_type" in config else ""


def _load_dense(x: str, weights: str, shape: tuple[int, int, int], origin: Origin | None) -> Any:
    """Load a detector or segmenter under the global dtype policy; without weights if their origin is None."""
    import keras
    import keras_hub

    config = hub_files.read(x, "config.json")
    nested = dense.sized_config(config.get("config", {}), shape) if "registered_name" in config else {}
    load_weights = weights == "pretrained" and origin is not None
    options = {"load_weights": load_weights, "dtype": keras.config.dtype_policy(), **nested}
    try:
        with redirect_stdout(sys.stderr):
            return keras_hub.models.Backbone.from_preset(x, **options)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(f"cannot load the preset {x}: {first_line(error)}") from error


def _build_preset(x: str, weights: str, shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    model = _load(x, shape, weights=weights)
    if weights not in ("pretrained", "random") and origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


def _locate_preset(x: str, weights: str) -> Origin:
    if weights != "pretrained":
        return weight_files.locate(x, weights=weights)
    if x.startswith(SCHEMES):
        return Origin("hub", x, None)
    file = Path(x) / "model.weights.h5"
    return Origin("path", x, packages.sha256(file) if file.is_file() else None)


def _load(x: str, shape: tuple[int, int, int], *, weights: str) -> "keras.Model":
    """Load a preset as a plain functional model under the global dtype policy."""
    import keras
    import keras_hub

    options = {"image_shape": shape, "dtype": keras.config.dtype_policy()}
    try:
        with redirect_stdout(sys.stderr):
            body = keras_hub.models.Backbone.from_preset(x, load_weights=weights == "pretrained", **options)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        message = first_line(error)
        if x.startswith(SCHEMES):
            raise FileError(
                f"cannot load the preset {x}: {message} Is the hub reachable, and the handle correct? "
                "A preset folder copied from another machine works as well."
            ) from error
        raise InvalidInput(f"{x} is not an image preset that KerasHub can load: {message}") from error
    return _as_functional(user_model.feature_model(body), body.name)


def _as_functional(body: "keras.Model", name: str) -> "keras.Model":
    """Return a plain functional model of the same layers, which loads without keras_hub if they are stock layers."""
    import keras

    model = keras.Model(body.inputs[0], body.outputs[0], name=name)
    graph.rename_automatic(model)
    return model
