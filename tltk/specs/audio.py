"""The input format of models of sound."""

from dataclasses import dataclass
from typing import ClassVar

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput

CROPS = ("center", "start")
MIN_RATE, MAX_RATE = 1000, 384_000  # Hz; the rates of sound files
LOUDEST = 16.0  # of float samples: mixes can exceed 1, integers in floats exceed it by far
MOST_OVERLAP = 0.9  # of a window: more of it makes thousands of almost equal ones
MAX_SAMPLES = 2**26  # of one input: an hour and ten minutes at 16 kHz


@dataclass(frozen=True)
class AudioSpec:
    """Input format of a model of sound: a mono waveform, float32 in [-1, 1], shape [batch, samples].

    Args:
        sample_rate: Samples per second of the model's input; files of other rates are resampled.
        seconds: Length of the input. Shorter sounds are padded with silence, longer ones cut.
        crop: Which part is kept of a longer sound: "center", or "start". Shorter sounds are
            padded on both sides, or at the end.
        trim_silence: Cut off what is before and after a sound: frames that are at least this many decibels quieter than
            its loudest one, such as 60. None keeps it. A sound that is silent all along is kept.
        overlap: Seconds that two consecutive windows of a longer sound share; None cuts it instead. Each window is one
            input, and predictions are the mean over the windows of a sound.

    Raises:
        InvalidInput: If a number is out of range, or `crop` is unknown.

    Examples:
        >>> AudioSpec(sample_rate=16_000, seconds=1.5).shape
        (24000,)
    """

    sample_rate: int = 16_000
    seconds: float = 1.0
    crop: str = "center"
    trim_silence: float | None = None
    overlap: float | None = None

    name: ClassVar[str] = "waveform"
    dtype: ClassVar[str] = "float32"

    def __post_init__(self) -> None:
        check.counts(sample_rate=self.sample_rate)
        check.positive(seconds=self.seconds)
        check.one_of("crop", self.crop, CROPS)
        if self.trim_silence is not None:
            check.positive(trim_silence=self.trim_silence)
        check.within("sample_rate", self.sample_rate, low=MIN_RATE, high=MAX_RATE)
        object.__setattr__(self, "sample_rate", int(self.sample_rate))  # plain numbers, which JSON can hold
        object.__setattr__(self, "seconds", float(self.seconds))
        if self.trim_silence is not None:
            object.__setattr__(self, "trim_silence", float(self.trim_silence))
        if not 1 <= self.samples <= MAX_SAMPLES:
            raise InvalidInput(
                f"an input must have 1 to {MAX_SAMPLES:,} samples. Received: `seconds`={self.seconds:g} at "
                f"`sample_rate`={self.sample_rate}, which are {self.samples:,}"
            )
        if self.overlap is not None:
            check_overlap(self.overlap, self.seconds)

    @property
    def samples(self) -> int:
        """Number of samples of an input."""
        return round(self.seconds * self.sample_rate)

    @property
    def shape(self) -> tuple[int]:
        """The number of samples."""
        return (self.samples,)

    def describe(self) -> str:
        """Return the length of an input for people, such as "1.5 s at 16 kHz"."""
        return f"{self.seconds:g} s at {self.sample_rate / 1000:g} kHz"


def check_overlap(overlap: float, seconds: float) -> None:
    """Raise unless windows of this length can overlap so much.

    Args:
        overlap: Seconds that two consecutive windows share.
        seconds: Length of a window.

    Raises:
        InvalidInput: If `overlap` is negative, no number, or more than nine tenths of a window.

    Examples:
        >>> check_overlap(0.5, 1.0)
    """
    if not check.is_number(overlap) or not 0 <= overlap <= MOST_OVERLAP * seconds:
        raise InvalidInput(
            f"`overlap` must be at least 0 and at most {MOST_OVERLAP:.0%} of a window of {seconds:g} s. "
            f"Received: {overlap!r}"
        )
