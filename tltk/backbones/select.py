"""`tltk.backbone`: the pretrained network to build on, by name, from a preset, or your own model."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import user_model
from tltk.backbones import weights as weight_files
from tltk.backbones.audio import kerashub as hub_audio
from tltk.backbones.audio.pictures import on_sounds, with_spectrogram
from tltk.backbones.base import Backbone, Preprocessing, check_stage_order
from tltk.backbones.catalog import CATALOG, names
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image import kerashub_dense as dense
from tltk.backbones.image import user_model as user_image_model
from tltk.backbones.text import kerashub as hub_text
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import keras


@familiar.arguments
def backbone(
    x: "str | Path | keras.Model",
    *,
    weights: str | Path = "pretrained",
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    stages: dict[str, str] | None = None,
    sequence_length: int | None = None,
    truncation: str | None = None,
    overlap: float | None = None,
    channels: int | None = None,
    value_range: tuple[float, float] | None = None,
    spec: Any = None,
    trim_silence: float | None = None,
    spectrogram: str | None = None,
) -> Backbone:
    """Choose the pretrained network to build on.

    Args:
        x: A name from `tltk backbones`; a preset folder (KerasHub's or Hugging Face's layout) or an `hf://` or
            `kaggle://` handle; or a functional keras.Model of your own, images [batch, height, width, 3 or another
            number] → features [batch, h, w, channels]. Detectors and segmenters of KerasHub, by the name of their
            preset or as models, are used without their last layers, which know the classes.
        weights: "pretrained" (a cache, else the hub), "random", or the path of a weight file.
        image_size: Height and width in pixels; the default is what the weights were trained at.
        preprocessing: Replaces that of the backbone. Your own model has none; with one, its layers are copied into the
            assembled model, without one they are shared.
        stages: {stage name: name of its last layer}, in order; replaces the backbone's own.
        sequence_length: Maximum number of tokens of a text, special tokens included; the default is what the model was
            trained at.
        truncation: Which side of an overlong text is truncated: "end" (the default), "start" or "middle".
        overlap: Read an overlong text or sound in windows that share this many tokens or seconds, instead of cutting
            it. Predictions are the mean over the windows.
        channels: Channels of the images, such as 1 (grey), 4 (RGBA) or those of a multispectral camera; the default is
            3. The network starts with the weights for RGB; its first kernel is summed (1) or repeated cyclically.
        value_range: Value of black and of white in your images, such as (0, 65535) for 16 bits or (0, 1) for floats;
            the default is (0, 255). The preprocessing maps it to the range of the weights; your own model without
            preprocessing gets the values as they are.
        spec: Input format of your own model, if that is not RGB images: a `TextSpec`, an `AudioSpec`, or a spec of a
            modality of your own; the output then is [batch, …, channels]. With a name, an `AudioSpec`: an image
            backbone then takes sounds as log-mel pictures, of `image_size` (mel bands, frames); a backbone of sounds
            takes another length, and no `image_size`.
        trim_silence: Cut off silence before and after sounds: what is at least this many decibels quieter than their
            loudest part, such as 60; the default is that of `spec`.
        spectrogram: Pictures of sounds for image backbones: "log_mel" (the default), or "pcen", per-channel energy
            normalization, for distant sounds in steady noise (Wang et al. 2017).

    Returns:
        A value. Weights are found and read by `build`, which `tltk.assemble` calls.

    Raises:
        InvalidType: If `x` is neither text nor a Keras model, or an argument is of the wrong type.
        InvalidInput: For an unknown name (with the nearest known one) or an argument that does not fit.
        NotFound: If `weights` is the path of a file that does not exist.

    Examples:
        >>> backbone("resnet50").stages[-1]
        Stage(name='conv5', last='conv5_block3_out')
        >>> backbone("resnet50", image_size=96, weights="random").input_spec.shape
        (96, 96, 3)
        >>> backbone("resnet50", channels=1, weights="random").input_spec.shape
        (224, 224, 1)
    """
    size = None if image_size is None else _size(image_size)
    by_name = isinstance(x, str | Path)
    selected = _named(str(x), weights, size) if by_name else _from_model(x, weights, size, spec)
    if by_name and spec is not None:
        selected, size = on_sounds(selected, spec, size=size), None
    if spectrogram is not None:
        selected = with_spectrogram(selected, spectrogram)
    height, width = size or (None, None)
    options: dict[str, dict[str, Any]] = {
        "image_size": {"height": height, "width": width},
        "sequence_length": {"sequence_length": sequence_length},
        "truncation": {"truncation": truncation},
        "overlap": {"overlap": overlap},
        "value_range": {"value_range": value_range},
        "trim_silence": {"trim_silence": trim_silence},
    }
    selected = _with_input(selected, options)
    if preprocessing is not None:
        check.instance_of("preprocessing", preprocessing, Preprocessing)
        selected = replace(selected, preprocessing=preprocessing)
    selected = _with_channels(selected, channels)
    if value_range is not None and selected.weights != "model":
        composed = selected.preprocessing.from_range(selected.input_spec.value_range)
        selected = replace(selected, preprocessing=composed)
    return selected if stages is None else _with_stages(selected, x, stages)


def _with_stages(selected: Backbone, x: Any, ends: dict[str, str]) -> Backbone:
    """Return a backbone with these stages; those of a user's own model `x` are checked at once."""
    stages = user_image_model.named_stages(ends)
    if selected.weights == "model" and not isinstance(x, str):  # `x` can be the name of a registered backbone
        check_stage_order(user_image_model.functional(x), stages)
    kept = {stage.name for stage in stages}
    pyramid = tuple((name, stride) for name, stride in selected.pyramid if name in kept)
    return replace(
        selected, stages=stages, pyramid=pyramid, decoder=selected.decoder if selected.decoder in kept else ""
    )


def _named(name: str, weights: Any, size: tuple[int, int] | None) -> Backbone:
    if name in names():
        entry = CATALOG.get(name)
        selected = entry.constructor(weights=weight_files.check_choice(weights, suffixes=entry.suffixes))
        check.instance_of(f"what the constructor of {name!r} returned", selected, Backbone)
        return replace(selected, name=name)
    if name in dense.PRESETS:
        return hub.detector(name, weights=weight_files.check_choice(weights), size=size)
    if hub_audio.is_audio_preset(name):
        return hub_audio.backbone(name, weights=weight_files.check_choice(weights))
    if hub_text.is_text_preset(name):
        return hub_text.backbone(name, weights=weight_files.check_choice(weights))
    if hub.is_preset(name):
        return hub.from_preset(name, weights=weight_files.check_choice(weights), size=size)
    raise InvalidInput(_unknown(name))


def _from_model(model: Any, weights: Any, size: tuple[int, int] | None, spec: Any) -> Backbone:
    if weights != "pretrained":
        raise InvalidInput(f"`weights` does not apply to your own model, which has weights. Received: {weights!r}")
    if spec is None and dense.body_of(model) is not None:
        return dense.from_model(model, size=size)
    return user_image_model.from_model(model, size=size) if spec is None else user_model.from_model(model, spec)


def _with_input(selected: Backbone, options: dict[str, dict[str, Any]]) -> Backbone:
    """Apply options to the input format of a backbone.

    Args:
        selected: The backbone.
        options: Argument → {field of the input spec: value}; None leaves a field as it is.
    """
    spec_fields = {field.name for field in fields(selected.input_spec)}
    changes: dict[str, Any] = {}
    problems = check.Problems()
    for option, values in options.items():
        new_values = {name: value for name, value in values.items() if value is not None}
        if not set(new_values) <= spec_fields:
            problems.add(f"`{option}` does not apply to {selected.name}, which takes {selected.modality} input")
        changes |= new_values
    problems.raise_if_any()
    if not changes:
        return selected
    _check_limits(selected, changes)
    return replace(selected, input_spec=replace(selected.input_spec, **changes))


def _with_channels(selected: Backbone, channels: int | None) -> Backbone:
    """Adapt an image backbone to other channels, and check that its preprocessing fits."""
    if selected.modality != "image":
        if channels is not None:
            raise InvalidInput(f"`channels` does not apply to {selected.name}, which takes {selected.modality} input")
        return selected
    own_channels = selected.input_spec.channels
    if channels is not None and channels != own_channels:
        if selected.weights == "model":
            raise InvalidInput(
                f"`channels` of {selected.name!r}, your own model, is {own_channels}. Received: {channels}"
            )
        from tltk.backbones.image.channels import with_channels  # needs NumPy, and the table of backbones does not

        selected = with_channels(selected, channels)
    lengths = {len(selected.preprocessing.scale), len(selected.preprocessing.offset)}
    if not lengths <= {1, selected.input_spec.channels}:
        raise InvalidInput(
            f"`preprocessing` must have 1 scale and offset, or {selected.input_spec.channels}, one per channel. "
            f"Received: {max(lengths)}"
        )
    return selected


def _check_limits(selected: Backbone, changes: dict[str, Any]) -> None:
    height, width = changes.get("height"), changes.get("width")
    if height and width and min(height, width) < selected.min_image_size:
        raise InvalidInput(
            f"`image_size` of {selected.name} must be at least {selected.min_image_size}. Received: {height}×{width}"
        )
    length, max_length = changes.get("sequence_length"), selected.max_sequence_length
    if length is not None:
        check.counts(sequence_length=length)
        if max_length is not None and length > max_length:
            raise InvalidInput(
                f"`sequence_length` of {selected.name} must be at most {max_length} tokens. Received: {length}"
            )


def _size(value: int | tuple[int, int]) -> tuple[int, int]:
    pair: Any = (value, value) if check.is_whole(value) else value
    is_size = (
        isinstance(pair, tuple | list) and len(pair) == 2 and all(check.is_whole(side) and side > 0 for side in pair)
    )
    if not is_size:
        raise InvalidInput(f"`image_size` must be a whole number of pixels, or (height, width). Received: {value!r}")
    return (int(pair[0]), int(pair[1]))


def _unknown(name: str) -> str:
    if Path(name).suffix in weight_files.SUFFIXES:
        return f"{name!r} is a file. Load a whole model with keras.models.load_model, or pass its weights as `weights`."
    near = check.did_you_mean(name.lower(), [*names(), *dense.PRESETS])
    return (
        f"there is no backbone {name!r} and no such preset folder. `tltk backbones` lists the names; "
        "KerasHub presets on a hub are written hf://… or kaggle://…; register your own with "
        f"tltk.register_backbone(name, constructor).{near}"
    )
