"""Tells whether two models, such as a model and its export, answer differently."""

from collections.abc import Sequence

import numpy as np

from tltk.tasks.records import Prediction

_ROUNDING = 1e-6  # float32 probabilities that differ less are equally likely
_MOVED = 0.1  # standard deviations


def changed_answers(predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
    """Compare labels and spans; for predictions without labels and spans, compare scores with `moved_scores`.

    Probabilities do not count: of a model whose probabilities are nearly uniform, all of them can be close to the
    expected ones while every label is wrong.

    Args:
        predictions: Predictions of a model.
        others: Predictions of another model for the same examples.

    Returns:
        bool [n]. A label that is equally likely within the rounding of float32 is the same answer.

    Examples:
        >>> cat, dog = Prediction("1", "cat", 0.501, {"cat": 0.501}), Prediction("1", "dog", 0.501, {"dog": 0.501})
        >>> changed_answers([cat, cat], [dog, cat]).tolist()
        [True, False]
    """
    if not any(prediction.label or prediction.spans for prediction in (*predictions, *others)):
        return moved_scores(predictions, others)
    pairs = zip(predictions, others, strict=True)
    return np.array([not _is_same(prediction, other) for prediction, other in pairs], bool)


def moved_scores(predictions: Sequence[Prediction], others: Sequence[Prediction]) -> np.ndarray:
    """Compare scores, relative to how much they vary between examples.

    Args:
        predictions: Predictions of a model.
        others: Predictions of another model for the same examples.

    Returns:
        bool [n]: whether a score moved by more than a tenth of its standard deviation over the examples.
    """
    expected = np.array([list(prediction.scores.values()) for prediction in predictions])
    scores = np.array([[other.scores[name] for name in predictions[0].scores] for other in others])
    accepted = _MOVED * expected.std(axis=0) + _ROUNDING * np.maximum(1, np.abs(expected))
    return ~(np.abs(scores - expected) <= accepted).all(axis=1)  # NaN has moved


def _is_same(prediction: Prediction, other: Prediction) -> bool:
    if other.probability is not None and not np.isfinite(other.probability):
        return False
    if prediction.label == other.label:
        return prediction.spans == other.spans  # their probabilities are not compared
    probability = prediction.scores.get(other.label, 0.0)
    return prediction.probability is not None and probability >= prediction.probability - _ROUNDING
