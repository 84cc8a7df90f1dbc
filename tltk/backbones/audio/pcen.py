"""Per-channel energy normalization (Wang et al. 2017) as operations of Keras in the model: `librosa.pcen`."""

import math
from typing import Any

_NEGLIGIBLE = 1e-9  # weight of what is so long ago that it does not matter


def pcen(
    energies: Any,
    *,
    frames_per_second: float,
    gain: float = 0.98,
    bias: float = 2.0,
    power: float = 0.5,
    time_constant: float = 0.4,
    floor: float = 1e-6,
) -> Any:
    """Divide each band by a moving average of its own past, and compress the range of the result.

    Steady background noise becomes small and even, and what begins stands out, however far away it is. The defaults are
    those of librosa. The average begins with the first frame, as in Wang's definition; that is
    `librosa.pcen(…, zi=(1 - b) * first_frame)`.

    Args:
        energies: Keras tensor (or array) float32 [batch, frames, bands], at least 0; the number of frames is known.
        frames_per_second: Frames in a second.
        gain: Exponent of the average, by which energies are divided; 0 to 1.
        bias: Added before compression, and its power is subtracted afterwards; above 0.
        power: Exponent of the compression, in (0, 1].
        time_constant: Of the average, in seconds.
        floor: Added to the average.

    Returns:
        ((energies / (floor + average) ** gain + bias) ** power - bias ** power), float32 [batch, frames, bands].

    Examples:
        >>> import numpy as np
        >>> [f"{value:.3f}" for value in np.ravel(pcen(np.ones([1, 3, 1], "float32"), frames_per_second=100))]
        ['0.318', '0.318', '0.318']
    """
    from keras import ops

    average = moving_average(energies, smoothing(time_constant * frames_per_second))
    normalized = energies * ops.exp(-gain * ops.log(floor + average))
    return ops.power(normalized + bias, power) - bias**power


def smoothing(frames: float) -> float:
    """Return the weight of the newest frame in an average with this time constant, as librosa computes it.

    Args:
        frames: Time constant in frames.
    """
    return (math.sqrt(1 + 4 * frames**2) - 1) / (2 * frames**2)


def moving_average(values: Any, weight: float) -> Any:
    """Return an exponential moving average: (1 - weight) × the average before + weight × the value.

    The sum over the past is computed by doubling: each step adds what lies twice as far back, so that a thousand frames
    take ten operations instead of a loop or a matrix of a million weights in the saved model.

    Args:
        values: Keras tensor (or array) float32 [batch, frames, bands].
        weight: Of the newest value, in (0, 1].

    Returns:
        float32 [batch, frames, bands]; the first frame is that of `values`.
    """
    from keras import ops

    frames = values.shape[1]
    average = ops.concatenate([values[:, :1], weight * values[:, 1:]], axis=1)
    step = 1
    while step < frames and (1 - weight) ** step > _NEGLIGIBLE:
        earlier = ops.pad(average, [[0, 0], [step, 0], [0, 0]])[:, :frames]
        average = average + (1 - weight) ** step * earlier
        step *= 2
    return average
