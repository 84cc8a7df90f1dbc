"""The encoders of KerasHub's speech recognizers as backbones: Whisper and Moonshine, from waveforms to features."""

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import kerashub_files as hub_files
from tltk.backbones import weight_packages as packages
from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.backbones.hub import first_line, is_hub_failure
from tltk.backbones.kerashub_files import SCHEMES
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import FileError, InvalidInput
from tltk.specs import AudioSpec

if TYPE_CHECKING:
    import keras

CONVERTER_FILE = "audio_converter.json"
_OUTPUT = "encoder_sequence_output"
_MOONSHINE_SECONDS = 4.0  # any length will do: Moonshine was trained on 4 to 30 s
_MOONSHINE_SHORTEST = 895  # samples of one frame: three convolutions of 127, 7 and 3, with strides of 64, 3 and 2
# keras_hub/src/models/*/*_presets.py of KerasHub 0.32; configurations and weights are on a hub.
PRESETS = {
    **{
        f"whisper_{name}": f"kaggle://keras/whisper/keras/whisper_{name}"
        for name in (
            *(f"{size}_{language}" for size in ("tiny", "base", "small", "medium") for language in ("en", "multi")),
            "large_multi",
            "large_multi_v2",
        )
    },
    **{name: f"kaggle://keras/moonshine/Keras/{name}" for name in ("moonshine_tiny_en", "moonshine_base_en")},
}


@dataclass(frozen=True)
class WhisperMel(Preprocessing):
    """The log-mel spectrogram of Whisper (Radford et al. 2022, section 2.2), as KerasHub's converter computes it.

    The loudest band of a clip is the reference, and what lies 80 dB below it is cut off.

    Args:
        sample_rate: Samples per second.
        fft: Samples of a frame, under a Hann window.
        hop: Samples from one frame to the next.
        bands: Number of mel bands.
    """

    sample_rate: int = 16_000
    fft: int = 400
    hop: int = 160
    bands: int = 80

    @property
    def is_identity(self) -> bool:
        """Return False."""
        return False

    def apply(self, x: Any) -> Any:
        """Add the spectrogram to a graph, as stock operations.

        Args:
            x: Keras tensor (or array) float32 [batch, samples].

        Returns:
            float32 [batch, frames, bands], a frame each 10 ms.
        """
        from keras import ops

        from tltk.modalities.audio.mel import MelSpectrogram  # needs NumPy, and the table of backbones does not

        spectrogram = MelSpectrogram(self.sample_rate, self.fft, self.hop, self.fft, self.bands, padding="reflect")
        power = spectrogram.apply(x)[:, :-1]
        logarithm = ops.log10(ops.maximum(power, 1e-10))
        loudest = ops.max(logarithm, axis=(1, 2), keepdims=True)
        return (ops.maximum(logarithm, loudest - 8.0) + 4.0) / 4.0


@dataclass(frozen=True)
class _Family:
    """What a family of recognizers has of its own.

    Args:
        stem: Name of the layer behind the convolutions.
        blocks: Prefix of the names of the transformer blocks of the encoder.
        preprocessing: Configuration of the converter → preprocessing.
        spec: Configuration of the converter → default input.
        has_longest: Whether the default input is the longest one, because of its positions.
        encoder: KerasHub model and number of samples → input and output of the encoder.
        dtype: Precision of its layers; None for the global policy.
    """

    stem: str
    blocks: str
    preprocessing: Callable[[dict[str, Any]], Preprocessing]
    spec: Callable[[dict[str, Any]], AudioSpec]
    has_longest: bool
    encoder: Callable[[Any, int, Preprocessing], tuple[Any, Any]]
    dtype: str | None = None


def _whisper_mel(settings: dict[str, Any]) -> WhisperMel:
    names = {"sample_rate": "sampling_rate", "fft": "num_fft_bins", "hop": "stride", "bands": "num_mels"}
    values = {field: settings[name] for field, name in names.items() if name in settings}
    return WhisperMel(source="https://arxiv.org/abs/2212.04356", **values)


def _whisper_encoder(body: Any, samples: int, mel: Any) -> tuple[Any, Any]:
    import keras

    part = keras.Model(body.input["encoder_features"], body.output[_OUTPUT])
    features = keras.Input((samples // mel.hop, mel.bands), name="features")
    return features, graph.call_layers(part, features)


def _moonshine_encoder(body: Any, samples: int, _: Preprocessing) -> tuple[Any, Any]:
    """Call the layers again, with constant rotations and without a mask: in KerasHub's graph both are tensors, one of
    them without an axis of examples, which features that are stored cannot have.
    """
    import keras
    import numpy as np

    if samples < _MOONSHINE_SHORTEST:
        raise InvalidInput(f"{body.name} takes at least {_MOONSHINE_SHORTEST} samples. Received: {samples}")
    waveform = keras.Input((samples,), name="samples")
    x = keras.ops.expand_dims(waveform, -1)
    convolutions = (body.conv1, body.tanh_after_conv1, body.group_norm, body.conv2, body.gelu_after_conv2, body.conv3)
    for layer in (*convolutions, body.gelu_after_conv3, body.encoder_dropout):
        x = layer(x)
    rotations = np.asarray(body.encoder_rotary_embedding(np.arange(x.shape[1], dtype="int32")), "float32")
    for block in body.encoder_blocks:
        x = block(x, rotations)
    return waveform, body.encoder_final_layer_norm(x)


_FAMILIES = {
    "WhisperBackbone": _Family(
        "encoder_embeddings_add",
        "transformer_encoder_layer_",
        _whisper_mel,
        lambda settings: AudioSpec(
            settings.get("sampling_rate", 16_000), float(settings.get("max_audio_length", 30)), crop="start"
        ),
        True,
        _whisper_encoder,
    ),
    "MoonshineBackbone": _Family(
        "gelu_after_conv3",
        "encoder_block_",
        lambda _: Preprocessing(source="Moonshine takes samples"),
        lambda settings: AudioSpec(settings.get("sampling_rate", 16_000), _MOONSHINE_SECONDS),
        False,
        _moonshine_encoder,
        "float32",  # the layers inside of its blocks ignore a mixed policy, and the blocks themselves do not
    ),
}


def is_audio_preset(x: str) -> bool:
    """Return whether a name, folder or handle belongs to a speech recognizer, without reading weights.

    Raises:
        FileError: If the hub of a handle cannot be reached.
    """
    return x in PRESETS or _architecture(x) in _FAMILIES


def backbone(x: str, *, weights: str = "pretrained") -> Backbone:
    """Return the encoder of a speech recognizer as a backbone; reads its configuration, but not its weights.

    Args:
        x: Key of `PRESETS`, local folder in KerasHub's layout, or handle of a hub.
        weights: "pretrained", "random" or the path of a weight file.

    Returns:
        The backbone: features float [batch, frames, channels], 50 frames a second for Whisper and 42 for Moonshine.
        Whisper takes 30 s, where shorter sounds are followed by silence; `spec` of `tltk.backbone` makes it shorter.

    Raises:
        NotFound: If a preset is in no cache and the hub cannot be reached; lists what was tried, and what to do.
        FileError: If the hub of a handle cannot be reached.
    """
    locate = partial(_locate, x, weights)
    place = str(Path(str(_located(x).path)).parent) if x in PRESETS else x
    family = _FAMILIES[_architecture(place)]
    settings = hub_files.read(place, CONVERTER_FILE).get("config", {})
    preprocessing, spec = family.preprocessing(settings), family.spec(settings)
    body = _load(place, weights="random", dtype=family.dtype)
    blocks = [layer.name for layer in body.layers if layer.name.startswith(family.blocks)]
    network = _from_waveform(body, family, preprocessing, spec.samples)
    return Backbone(
        name=Path(x).name if Path(x).is_dir() else x,
        modality="audio",
        input_spec=spec,
        preprocessing=preprocessing,
        stages=(Stage("stem", family.stem), *(Stage(f"block{n}", name) for n, name in enumerate(blocks, start=1))),
        weights=weights,
        parameters=network.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_build, place, weights, family, preprocessing),
        locator=locate,
        shapes=partial(_shapes, place, family, preprocessing),
        max_sequence_length=spec.samples if family.has_longest else None,
    )


def places(name: str) -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    return (weight_files.kerashub_cache(PRESETS[name]), weight_files.own_cache(name, "model.weights.h5"))


def _architecture(x: str) -> str:
    """Return the name of a preset's KerasHub class; "" if it is no preset that KerasHub has saved."""
    if x.startswith(SCHEMES):
        return hub_files.architecture(x)
    is_folder = (Path(x) / "config.json").is_file()
    return str(hub_files.read(x, "config.json").get("class_name", "")) if is_folder else ""


def _located(name: str) -> Origin:
    ways = (
        f"copy the folder of the preset (config.json, model.weights.h5, {CONVERTER_FILE}) from a machine with access "
        "to the hub to one of the places above",
        "tltk.backbone('path/of/the/folder')",
        "another backbone of sounds, such as tltk.backbone('log_mel_efficientnet_lite0')",
    )
    return weight_files.locate(name, places=places(name), download=partial(_download, name), ways=ways)


def _download(name: str) -> None:
    """Let KerasHub download a preset, with its converter, into its cache.

    Raises:
        FileError: If the hub cannot be reached.
    """
    _load(name, weights="pretrained")
    hub_files.read(PRESETS[name], CONVERTER_FILE)


def _locate(x: str, weights: str) -> Origin:
    if weights != "pretrained":
        return weight_files.locate(x, weights=weights)
    if x in PRESETS:
        return _located(x)
    file = Path(x) / "model.weights.h5"
    return Origin("path" if file.is_file() else "hub", x, packages.sha256(file) if file.is_file() else None)


def _load(place: str, *, weights: str, dtype: str | None = None) -> "keras.Model":
    """Load a recognizer under a dtype policy; None is the global one."""
    import keras_hub

    try:
        with redirect_stdout(sys.stderr):  # standard output is reserved for results
            return keras_hub.models.Backbone.from_preset(place, load_weights=weights == "pretrained", dtype=dtype)
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(
            f"cannot load the preset {place}: {first_line(error)} Is the hub reachable, and the handle correct? "
            "A preset folder copied from another machine works as well."
        ) from error


def _from_waveform(body: "keras.Model", family: _Family, preprocessing: Preprocessing, samples: int) -> "keras.Model":
    """Return the encoder as a flat functional model of one length."""
    import keras

    inputs, features = family.encoder(body, samples, preprocessing)
    private.forget_calls(body)
    model = keras.Model(inputs, features, name=body.name)
    graph.rename_automatic(model)
    return model


def _build(
    place: str, weights: str, family: _Family, preprocessing: Preprocessing, shape: tuple[int], origin: Origin
) -> "keras.Model":
    model = _from_waveform(_load(place, weights=weights, dtype=family.dtype), family, preprocessing, shape[0])
    if weights not in ("pretrained", "random") and origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


def _shapes(place: str, family: _Family, preprocessing: Preprocessing, shape: tuple[int]) -> Mapping[str, tuple]:
    body = _load(place, weights="random", dtype=family.dtype)
    return graph.output_shapes(_from_waveform(body, family, preprocessing, shape[0]))
