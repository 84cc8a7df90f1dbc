"""Backbones: pretrained networks as values, from Keras Applications, KerasHub, a registry, or the user."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import user_model
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Endpoint, Origin, Preprocessing, Stage, layer_stages
from tltk.backbones.catalog import Row, minimum, names, table
from tltk.backbones.image import applications
from tltk.backbones.image import efficientnet_lite as lite
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image import user_model as own
from tltk.backbones.image.application_table import APPLICATIONS
from tltk.backbones.text import kerashub as hub_text
from tltk.foundation import checks as check
from tltk.specs.text import TRUNCATIONS

if TYPE_CHECKING:
    import keras

__all__ = [
    "Backbone",
    "Endpoint",
    "Origin",
    "Preprocessing",
    "Row",
    "Stage",
    "backbone",
    "layer_stages",
    "names",
    "table",
]


def backbone(
    x: "str | keras.Model",
    *,
    weights: str | Path = "pretrained",
    input_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    stages: dict[str, str] | None = None,
    length: int | None = None,
    cut: str | int | None = None,
    spec: Any = None,
) -> Backbone:
    """Choose the pretrained network to build on.

    Args:
        x: a name from `tltk backbones`, or of a KerasHub BERT; a preset folder (KerasHub's layout or Hugging Face's),
            or an `hf://` or `kaggle://` handle; or a functional keras.Model of your own, pixels [batch, height, width,
            3] → features [batch, h, w, channels].
        weights: "pretrained" (a cache, else the hub), "random", or the path of a weight file.
        input_size: rows and columns in pixels; the default is what the weights were trained at.
        preprocessing: instead of the backbone's own; your own model has none.
        stages: {stage name: name of its last layer}, in order, instead of the backbone's own.
        length: of a text model, the most tokens of a text, special ones included; the default is what it was trained
            at.
        cut: what becomes of longer texts: "end" (the default), "start" or "middle" is cut off, or, as a whole number,
            they are read in windows that share so many tokens.
        spec: what your own model takes, if that is not RGB images: a `TextSpec`, or a spec of a modality of your own;
            the output then is [batch, …, channels].

    Returns:
        A value. Weights are found and read by `build`, which `tltk.assemble` calls.

    Raises:
        TypeError: if `x` is neither text nor a Keras model, or an argument is of the wrong type.
        ValueError: for an unknown name (with the nearest right one) or an argument that does not fit.
        FileNotFoundError: if `weights` is a path where nothing is.

    Example:
        >>> backbone("resnet50").stages[-1]
        Stage(name='conv5', last='conv5_block3_out')
        >>> backbone("resnet50", input_size=96, weights="random").input.shape
        (96, 96, 3)
    """
    size = None if input_size is None else _size(input_size)
    if spec is not None:
        made = user_model.from_model(x, spec)
        return made if stages is None else replace(made, stages=own.named_stages(stages))
    if isinstance(x, str | Path) and hub_text.is_text_preset(str(x)):
        made = _text(str(x), weights, length, cut, unfit={"input_size": input_size, "preprocessing": preprocessing})
        return made if stages is None else replace(made, stages=own.named_stages(stages))
    if length is not None or cut is not None:
        raise ValueError(f"`length` and `cut` are of text models. Received: length={length!r}, cut={cut!r}")
    made = _named(str(x), weights, size) if isinstance(x, str | Path) else _from_model(x, weights, size)
    if size is not None:
        spec = replace(made.input, height=size[0], width=size[1])
        made = replace(made, input=spec)
    if preprocessing is not None:
        check.kind_of("preprocessing", preprocessing, Preprocessing)
        made = replace(made, preprocessing=preprocessing)
    if stages is not None:
        made = replace(made, stages=own.named_stages(stages))
    return made


def _named(name: str, weights: Any, size: tuple[int, int] | None) -> Backbone:
    suffixes = (*weight_files.SUFFIXES, ".pth") if name == lite.NAME else weight_files.SUFFIXES
    chosen = weight_files.check_choice(weights, suffixes=suffixes)
    if name not in names():
        if not hub.is_preset(name):
            raise ValueError(_unknown(name))
        return hub.from_preset(name, weights=chosen, size=size)
    if size is not None and min(size) < minimum(name):
        raise ValueError(f"`input_size` of {name} must be at least {minimum(name)}. Received: {size[0]}×{size[1]}")
    if name in APPLICATIONS:
        return applications.backbone(name, weights=chosen)
    return lite.backbone(weights=chosen) if name == lite.NAME else hub.backbone(name, weights=chosen)


def _text(x: str, weights: Any, length: int | None, cut: str | int | None, *, unfit: dict[str, Any]) -> Backbone:
    given = [name for name, value in unfit.items() if value is not None]
    if given:
        raise ValueError(f"{x} is a text model: {check.listing(given)} are of pictures. Texts are cut by `length`.")
    if length is not None:
        check.counts(length=length)
    made = hub_text.backbone(x, weights=weight_files.check_choice(weights), length=length)
    if cut is None:
        return made
    most = made.input.sequence_length // 4
    if isinstance(cut, bool) or (isinstance(cut, int) and not 0 <= cut <= most):
        raise ValueError(
            f"`cut` as a number of tokens must be from 0 to a quarter of `length` ({most}). Received: {cut!r}"
        )
    if not isinstance(cut, int):
        check.one_of("cut", cut, TRUNCATIONS)
    changed = {"stride": cut} if isinstance(cut, int) else {"truncation": cut}
    return replace(made, input=replace(made.input, **changed))


def _from_model(model: Any, weights: Any, size: tuple[int, int] | None) -> Backbone:
    if weights != "pretrained":
        raise ValueError(f"`weights` is for backbones that tltk builds: your model has weights. Received: {weights!r}")
    return own.from_model(model, size=size)


def _size(value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    whole = isinstance(pair, tuple | list) and len(pair) == 2 and all(type(side) is int and side > 0 for side in pair)
    if not whole:
        raise ValueError(f"`input_size` must be a whole number of pixels, or (rows, columns). Received: {value!r}")
    return (pair[0], pair[1])


def _unknown(name: str) -> str:
    if Path(name).suffix in weight_files.SUFFIXES:
        return f"{name!r} is a file. Load a whole model with keras.models.load_model, or pass its weights as `weights`."
    near = check.did_you_mean(name.lower(), names())
    return (
        f"there is no backbone {name!r} and no such preset folder. `tltk backbones` lists the names; "
        f"KerasHub presets on a hub are written hf://… or kaggle://….{near}"
    )
