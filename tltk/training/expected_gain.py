"""What fine-tuning is expected to gain over the tuned probe: an assumed gain, a measured one, and both together.

Accuracies between 0 and 1. The assumed gains are about those of one draw of the tasks of
`examples/benchmarks/auto.py`.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

_DISAGREEMENT = 0.25  # assumed variance of the difference of two scores, for the error to be expected


class Assumed(NamedTuple):
    """A gain that is assumed before it is measured: normally distributed.

    Attributes:
        mean: Mean.
        spread: Standard deviation.
    """

    mean: float
    spread: float


NOT_AUGMENTED = Assumed(0.05, 0.05)
AUGMENTED = Assumed(0.03, 0.06)


def expected_gain(gain: float, error: float, assumed: Assumed) -> float:
    """Return the expected gain, given a measured one: measurement and assumption weighted by their precision.

    Args:
        gain: Measured difference of accuracy.
        error: Its standard error.
        assumed: What was assumed before.

    Examples:
        >>> round(expected_gain(-0.05, 0.05, NOT_AUGMENTED), 4), round(expected_gain(-0.05, 0.01, NOT_AUGMENTED), 4)
        (0.0, -0.0462)
    """
    before, measured = 1 / assumed.spread**2, 1 / max(error, 1e-6) ** 2
    return (before * assumed.mean + measured * gain) / (before + measured)


def value_of_measuring(examples: int, assumed: Assumed) -> float:
    """Return what a comparison with the probe is expected to gain, since it may undo what is worse than the probe.

    That is the mean of the expected gain after the comparison where it is positive, minus the assumed gain (the
    expected value of sample information, Raiffa & Schlaifer 1961).

    Args:
        examples: Number of examples to compare on.
        assumed: What is assumed before.

    Examples:
        >>> [round(value_of_measuring(examples, NOT_AUGMENTED), 4) for examples in (30, 200, 1000)]
        [0.0002, 0.0022, 0.0036]
    """
    variance = _DISAGREEMENT / max(examples, 1)
    spread = assumed.spread**2 / np.sqrt(assumed.spread**2 + variance)  # of the expected gain after the comparison
    ratio = assumed.mean / spread
    after = assumed.mean * norm.cdf(ratio) + spread * norm.pdf(ratio)
    return float(after - max(assumed.mean, 0.0))
