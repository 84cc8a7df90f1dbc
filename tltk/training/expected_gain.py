"""What fine-tuning is expected to gain over the tuned probe: a prior gain, a measured one, and both together.

Accuracies between 0 and 1. The priors are about the gains of one draw of the tasks of
`examples/benchmarks/auto.py`.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

_DISAGREEMENT = 0.25  # assumed variance of the difference of two scores, for the error to be expected


class GainPrior(NamedTuple):
    """A gain that is assumed before it is measured: normally distributed.

    Attributes:
        mean: Mean.
        standard_deviation: Standard deviation.
    """

    mean: float
    standard_deviation: float


NOT_AUGMENTED = GainPrior(0.05, 0.05)
AUGMENTED = GainPrior(0.03, 0.06)


def expected_gain(gain: float, standard_error: float, prior: GainPrior) -> float:
    """Return the expected gain, given a measured one: measurement and prior weighted by their precision.

    Args:
        gain: Measured difference of accuracy.
        standard_error: Its standard error.
        prior: What was assumed before.

    Examples:
        >>> round(expected_gain(-0.05, 0.05, NOT_AUGMENTED), 4), round(expected_gain(-0.05, 0.01, NOT_AUGMENTED), 4)
        (0.0, -0.0462)
    """
    before, measured = 1 / prior.standard_deviation**2, 1 / max(standard_error, 1e-6) ** 2
    return (before * prior.mean + measured * gain) / (before + measured)


def value_of_measuring(examples: int, prior: GainPrior) -> float:
    """Return what a comparison with the probe is expected to gain, since it may undo what is worse than the probe.

    That is the mean of the expected gain after the comparison where it is positive, minus the assumed gain (the
    expected value of sample information, Raiffa & Schlaifer 1961).

    Args:
        examples: Number of examples to compare on.
        prior: What is assumed before.

    Examples:
        >>> [round(value_of_measuring(examples, NOT_AUGMENTED), 4) for examples in (30, 200, 1000)]
        [0.0002, 0.0022, 0.0036]
    """
    variance = _DISAGREEMENT / max(examples, 1)
    before = prior.standard_deviation**2
    after = before / np.sqrt(before + variance)  # standard deviation of the expected gain after the comparison
    ratio = prior.mean / after
    return float(prior.mean * norm.cdf(ratio) + after * norm.pdf(ratio) - max(prior.mean, 0.0))
