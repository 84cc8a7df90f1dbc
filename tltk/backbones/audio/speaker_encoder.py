"""The speaker encoder of Resemblyzer: three LSTM layers on 40 mel bands (Wan et al. 2018), as stock Keras layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.specs import AudioSpec

if TYPE_CHECKING:
    import keras

NAME, FILE = "speaker_encoder", "pretrained.pt"
SUFFIXES = (*weight_files.SUFFIXES, ".pt")
SOURCE = "https://github.com/resemble-ai/Resemblyzer"
SECONDS = 1.6  # of the 160 frames that it was trained on
PARAMETERS = 1_420_544
_LAYERS, _UNITS, _BANDS = 3, 256, 40
_RATE, _WINDOW, _HOP = 16_000, 400, 160
_LOUDNESS = 10 ** (-30 / 20)  # -30 dBFS, to which quieter speech is amplified


@dataclass(frozen=True)
class SpeakerMel(Preprocessing):
    """Loudness of at least -30 dBFS, then 40 mel bands of power, without logarithm: [batch, frames, 40]."""

    @property
    def is_identity(self) -> bool:
        """Return False."""
        return False

    def apply(self, x: Any) -> Any:
        """Add the preprocessing to a graph.

        Args:
            x: Keras tensor (or array) float32 [batch, samples].

        Returns:
            float32 [batch, frames, 40], a frame each 10 ms.
        """
        from keras import ops

        from tltk.modalities.audio.mel import MelSpectrogram

        # Samples that are exactly zero are the silence that pads a short clip; they do not count.
        count = ops.maximum(ops.sum(ops.cast(ops.not_equal(x, 0.0), "float32"), axis=1, keepdims=True), 1.0)
        loudness = ops.sqrt(ops.sum(x * x, axis=1, keepdims=True) / count)
        louder = x * ops.maximum(_LOUDNESS / ops.maximum(loudness, 1e-6), 1.0)
        mel = MelSpectrogram(_RATE, _WINDOW, _HOP, _WINDOW, _BANDS).apply(louder)
        return mel[:, : max(1, x.shape[1] // _HOP)]


def backbone(*, weights: str = "pretrained") -> Backbone:
    """Return the backbone, whose output [batch, 1, 256] is the embedding of the speaker.

    Args:
        weights: "pretrained", "random" or the path of a weight file (.pt, or written by Keras).
    """
    return Backbone(
        name=NAME,
        modality="audio",
        input_spec=AudioSpec(_RATE, SECONDS),
        preprocessing=SpeakerMel(source=f"{SOURCE}: audio.py"),
        stages=(Stage("lstm1", "lstm1"), Stage("lstm2", "lstm2"), Stage("lstm3", "embedding")),
        weights=weights,
        parameters=PARAMETERS,
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=_build,
        locator=partial(weight_files.locate, NAME, weights=weights, places=places()),
        shapes=_shapes,
    )


def places() -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    return (weight_files.own_cache(NAME, FILE),)


def _build(shape: tuple[int], origin: Origin) -> "keras.Model":
    import keras

    mel = keras.Input((max(1, shape[0] // _HOP), _BANDS), name="input_layer")
    x = mel
    for number in range(1, _LAYERS + 1):
        x = keras.layers.LSTM(_UNITS, return_sequences=number < _LAYERS, name=f"lstm{number}")(x)
    x = keras.layers.Dense(_UNITS, activation="relu", name="projection")(x)
    x = keras.layers.UnitNormalization(name="normalization")(x)
    model = keras.Model(mel, keras.layers.Reshape((1, _UNITS), name="embedding")(x), name=NAME)
    graph.rename_automatic(model)
    if origin.path is not None and origin.path.endswith(".pt"):
        _port(model, origin.path)
    elif origin.path is not None:
        weight_files.read_into(model, origin.path)
    return model


@cache
def _shapes(shape: tuple[int]) -> Mapping[str, tuple]:
    with private.without_weights():
        return graph.output_shapes(_build(shape, Origin("random", None, None)))


def _port(model: "keras.Model", path: str) -> None:
    """Load the weights of a .pt file, or raise with a list of everything that does not fit.

    PyTorch's gates have the order of Keras: input, forget, cell, output; it has two biases, which are added.
    """
    from tltk.backbones import torch_file

    tensors = torch_file.read(Path(path), member="model_state")
    names = [f"lstm.{part}_l{index}" for index in range(_LAYERS) for part in ("weight_ih", "weight_hh")]
    biases = [f"lstm.{part}_l{index}" for index in range(_LAYERS) for part in ("bias_ih", "bias_hh")]
    problems = check.Problems()
    sizes: dict[str, tuple[int, ...]] = {
        name: (4 * _UNITS, _BANDS if name.endswith("ih_l0") else _UNITS) for name in names
    }
    sizes |= dict.fromkeys(biases, (4 * _UNITS,))
    sizes |= {"linear.weight": (_UNITS, _UNITS), "linear.bias": (_UNITS,)}
    for name, size in sizes.items():
        received = tensors[name].shape if name in tensors else None
        if received != size:
            problems.add(f"{name!r} must have the shape {size}. Received: {received or 'no such tensor'}")
    problems.raise_if_any(f"{path} does not contain the weights of {NAME}:")
    for index in range(_LAYERS):
        inputs, states, *both = (
            tensors[f"lstm.{part}_l{index}"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        model.get_layer(f"lstm{index + 1}").set_weights([inputs.T, states.T, both[0] + both[1]])
    model.get_layer("projection").set_weights([tensors["linear.weight"].T, tensors["linear.bias"]])
