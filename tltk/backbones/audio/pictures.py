"""Image backbones on sounds: a mel spectrogram is the picture (Gong et al. 2021)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tltk.backbones.base import Backbone, Origin, Preprocessing
from tltk.backbones.image import efficientnet_lite as lite
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import AudioSpec

if TYPE_CHECKING:
    import keras

NAME = f"log_mel_{lite.LITE0.name}"
BANDS = 128
WINDOW, HOP = 0.032, 0.008  # seconds
_RANGE = 80.0  # decibels from black to white
_QUIETEST = -20.0  # decibels of a band that is white at least: below it, noise of 16 bits would be magnified
_SMALLEST_POWER = 1e-10
_FAINTEST = 0.1  # of normalized energy that is white at least: steady noise has 0.3, silence 0.0003
SPECTROGRAMS = ("log_mel", "pcen")


@dataclass(frozen=True)
class SpectrogramPicture(Preprocessing):
    """The preprocessing of an image backbone behind a picture of the sound.

    The largest value of a clip is white (255), so that loudness does not matter. Black lies 80 dB below, or is 0 after
    per-channel energy normalization. Height is frequency, low ones on top; width is time.

    Args:
        bands: Mel bands, the height of the picture.
        hop: Seconds from one column to the next.
        sample_rate: Samples per second.
        spectrogram: "log_mel", or "pcen" for per-channel energy normalization.
    """

    bands: int = BANDS
    hop: float = HOP
    sample_rate: int = 16_000
    spectrogram: str = "log_mel"

    def __post_init__(self) -> None:
        super().__post_init__()
        check.one_of("spectrogram", self.spectrogram, SPECTROGRAMS)

    @property
    def is_identity(self) -> bool:
        """Return False."""
        return False

    def size(self, samples: int) -> tuple[int, int]:
        """Return height and width of the picture of a waveform."""
        return (self.bands, self.mel().frames(samples))

    def mel(self) -> Any:
        """Return the mel spectrogram that the picture shows."""
        from tltk.modalities.audio.mel import MelSpectrogram  # needs NumPy, and the table of backbones does not

        window = round(WINDOW * self.sample_rate)
        fft = 2 ** (window - 1).bit_length() * 2  # finer than a frame, so that no low band is empty
        return MelSpectrogram(self.sample_rate, window, max(1, round(self.hop * self.sample_rate)), fft, self.bands)

    def apply(self, x: Any) -> Any:
        """Add the picture and the preprocessing of its network to a graph, as stock layers and operations.

        Args:
            x: Keras tensor (or array) float32 [batch, samples].

        Returns:
            The input of the image network, [batch, bands, frames, 3].
        """
        return super().apply(self.picture(x))

    def picture(self, x: Any) -> Any:
        """Return the picture alone, float32 [batch, bands, frames, 3] in [0, 255]."""
        from keras import ops

        mel = self.mel()
        grey = (
            _of_energy(mel.apply(x), mel.sample_rate / mel.hop)
            if self.spectrogram == "pcen"
            else _of_decibels(mel.apply(x))
        )
        return ops.repeat(ops.expand_dims(ops.transpose(grey, (0, 2, 1)), -1), 3, axis=-1)


def _of_decibels(power: Any) -> Any:
    """Return grey values of powers [batch, frames, bands] in decibels: white is the loudest."""
    from keras import ops

    decibels = 10 * ops.log10(ops.maximum(power, _SMALLEST_POWER))
    white = ops.maximum(ops.max(decibels, axis=(1, 2), keepdims=True), _QUIETEST)
    return ops.maximum(decibels - white + _RANGE, 0.0) * (255 / _RANGE)


def _of_energy(power: Any, frames_per_second: float) -> Any:
    """Return grey values of powers [batch, frames, bands] after per-channel energy normalization."""
    from keras import ops

    from tltk.backbones.audio.pcen import pcen

    normalized = pcen(power, frames_per_second=frames_per_second)
    white = ops.maximum(ops.max(normalized, axis=(1, 2), keepdims=True), _FAINTEST)
    return ops.maximum(normalized, 0.0) * (255 / white)


def backbone(*, weights: str = "pretrained") -> Backbone:
    """Return EfficientNet-Lite0 on pictures of one second at 16 kHz.

    Args:
        weights: "pretrained", "random" or the path of a weight file of EfficientNet-Lite0.
    """
    return replace(on_sounds(lite.backbone(weights=weights), AudioSpec()), name=NAME)


def on_sounds(backbone: Backbone, spec: Any, *, size: tuple[int, int] | None = None) -> Backbone:
    """Put log-mel pictures in front of an image backbone.

    Args:
        backbone: Backbone of RGB images, or of sounds.
        spec: Rate and length of the sounds.
        size: Height (mel bands) and about the width (frames) of the pictures; the default has 128 bands, and a frame
            each 8 ms.

    Returns:
        The backbone of sounds, with the stages and the weights of the image backbone. A backbone that takes sounds
        already gets another length.

    Raises:
        InvalidType: If `spec` is no AudioSpec.
        InvalidInput: If the backbone takes neither images nor sounds, the pictures are too small for it, or `size` is
            given for one that takes sounds already.
    """
    hint = "With a name, `spec` makes a backbone of sounds; other specs are for a functional keras.Model of your own."
    check.instance_of("spec", spec, AudioSpec, hint=hint)
    if backbone.modality == "audio":
        if size is not None:
            raise InvalidInput(f"`image_size` does not apply to {backbone.name}, which takes sounds already")
        return _of_length(backbone, spec)
    if backbone.modality != "image" or backbone.weights == "model":
        raise InvalidInput(f"`spec=AudioSpec(…)` needs a named backbone that takes images; {backbone.name!r} does not.")
    bands, hop = (BANDS, HOP) if size is None else (size[0], _hop(spec, size[1]))
    pixels = backbone.preprocessing
    values = (pixels.scale, pixels.offset, pixels.channel_order, pixels.source)
    picture = SpectrogramPicture(*values, bands=bands, hop=hop, sample_rate=spec.sample_rate)
    _check_size(backbone, picture, spec, fix="pass more seconds, or image_size=(bands, frames)")
    return replace(
        backbone,
        modality="audio",
        input_spec=spec,
        preprocessing=picture,
        builder=partial(_build, backbone, picture),
        shapes=partial(_shapes, backbone, picture),
    )


def _hop(spec: AudioSpec, frames: int) -> float:
    """Return the seconds from one column to the next of a picture with at least so many frames."""
    return max(1, spec.samples // max(1, frames - 1)) / spec.sample_rate


def with_spectrogram(backbone: Backbone, spectrogram: str) -> Backbone:
    """Return an image backbone on sounds with pictures of another kind.

    Args:
        backbone: The backbone.
        spectrogram: "log_mel" or "pcen".

    Raises:
        InvalidInput: If the backbone shows no pictures of sounds to its network, or the kind is unknown.
    """
    if not isinstance(backbone.preprocessing, SpectrogramPicture):
        raise InvalidInput(
            f"`spectrogram` is for image backbones on sounds, such as tltk.backbone('efficientnet_lite0', "
            f"spec=tltk.AudioSpec()). {backbone.name} is none"
        )
    picture = replace(backbone.preprocessing, spectrogram=spectrogram)
    return replace(backbone, preprocessing=picture)


def _of_length(backbone: Backbone, spec: AudioSpec) -> Backbone:
    rate = backbone.input_spec.sample_rate
    if spec.sample_rate != rate:
        raise InvalidInput(f"{backbone.name} takes sounds at {rate} Hz. Received: AudioSpec at {spec.sample_rate} Hz")
    longest = backbone.max_sequence_length
    if longest is not None and spec.samples > longest:
        raise InvalidInput(f"{backbone.name} takes at most {longest / rate:g} s. Received: {spec.seconds:g} s")
    if isinstance(backbone.preprocessing, SpectrogramPicture):
        _check_size(backbone, backbone.preprocessing, spec, fix="pass more seconds")
    return replace(backbone, input_spec=spec)


def _check_size(backbone: Backbone, picture: SpectrogramPicture, spec: AudioSpec, *, fix: str) -> None:
    smallest = min(picture.size(spec.samples))
    if smallest < backbone.min_image_size:
        raise InvalidInput(
            f"{backbone.name} takes pictures of at least {backbone.min_image_size} pixels a side, and those of "
            f"{spec.describe()} have {smallest}: {fix}."
        )


def _build(image: Backbone, picture: SpectrogramPicture, shape: tuple[int], origin: Origin) -> "keras.Model":
    return image.builder((*picture.size(shape[0]), 3), origin)


def _shapes(image: Backbone, picture: SpectrogramPicture, shape: tuple[int]) -> Mapping[str, tuple]:
    return image.shapes((*picture.size(shape[0]), 3))
