"""What more labels would bring: learning curves of a choice, measured on subsets of the examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tltk.advice.comparison import LUCK, Examples, Judged
from tltk.advice.curves import Forecast, LearningCurve, fit_curve
from tltk.probes.fit import fit_probe
from tltk.probes.folds import stratified_folds

FACTORS = (1, 2, 4)  # of the present number of labels, for which there are forecasts
_PARTS = (8, 4, 2)
_DRAWS = 4
_FAR = 10  # times the labels, beyond which nobody will label


def learning_curve(judged: Judged, examples: Examples) -> LearningCurve:
    """Measure the error with an eighth, a quarter, a half and all of the labels, and fit power laws.

    Args:
        judged: The choice.
        examples: The labelled examples.
    """
    count, classes = len(examples), examples.targets.shape[1]
    groups = count if examples.groups is None else len(np.unique(examples.groups))
    generator = np.random.default_rng(examples.seed)
    points = []
    for part in _PARTS:
        if count // part >= 2 * classes and groups // part >= 2:
            draws = [_draw(judged, examples, part, generator) for _ in range(_DRAWS)]
            sizes, errors, tested = (np.array(values) for values in zip(*draws, strict=True))
            points.append((float(sizes.mean()), float(errors.mean()), _spread(errors, int(tested.min()))))
    error = 1 - float(judged.scores.mean())
    points.append((count * examples.fitted_share, error, _spread([error], count)))
    sizes, errors, spreads = (np.array(values) for values in zip(*points, strict=True))
    return fit_curve(sizes, errors, spreads, seed=examples.seed)


def _draw(judged: Judged, examples: Examples, part: int, generator: np.random.Generator) -> tuple[int, float, int]:
    """Return how many examples a probe was fitted to, its error on the others, and their number."""
    seed = int(generator.integers(2**31))
    groups, features = examples.groups, judged.candidate.features
    fitted = stratified_folds(examples.classes, folds=part, groups=groups, seed=seed) == 0
    probe = judged.probe
    # Fewer examples may need a stronger penalty.
    options: dict[str, Any] = {"penalties": (3 * probe.penalty, probe.penalty), "scalings": (probe.scaling,)}
    part_groups = None if groups is None else groups[fitted]
    fewer = fit_probe(features[fitted], examples.targets[fitted], groups=part_groups, folds=3, seed=seed, **options)
    wrong = fewer.logits(features[~fitted]).argmax(1) != examples.classes[~fitted]
    return int(fitted.sum()), float(wrong.mean()), len(wrong)


def _spread(errors: Sequence[float] | np.ndarray, tested: int) -> float:
    """Return the standard error of a mean error: by the draws and by the number of tested examples."""
    mean = float(np.mean(errors))
    sampling = max(mean * (1 - mean), 0.5 / tested) / tested
    between = float(np.var(errors, ddof=1)) / len(errors) if len(errors) > 1 else LUCK**2 * sampling
    return float(np.sqrt(sampling + between))


def forecasts(curve: LearningCurve, total: int) -> tuple[Forecast, ...]:
    """Forecast the accuracy with all labels, and with two and four times as many.

    Args:
        curve: From `learning_curve`.
        total: Number of all labels, of which the curve may know a part.
    """
    return tuple(curve.forecast(factor * total) for factor in FACTORS)


def label_advice(curve: LearningCurve, accuracy: float, *, examples: int, total: int) -> str:
    """Say what more labels would bring.

    Args:
        curve: From `learning_curve`.
        accuracy: Expected accuracy with the compared examples.
        examples: Number of the compared examples.
        total: Number of all labels.

    Returns:
        A sentence, such as "94.1% now; 200 more labels bring 1.0 ± 0.4 points; …".
    """
    gain, half = curve.gain(total, total)
    now = f"{accuracy:.1%} now"
    if examples < total:
        now = f"{accuracy:.1%} with {examples:,} labels, about {curve.forecast(total).accuracy:.1%} with all {total:,}"
    text = f"{now}; {total:,} more labels bring {100 * gain:.1f} ± {100 * half:.1f} points"
    reach = curve.reach(_FAR * total)
    if accuracy < reach < 1:
        text += f"; more than {reach:.0%} is out of reach with these features, even with {_FAR * total:,} labels"
    return text
