"""Weight interpolation between the start and the end of a phase, chosen on validation (WiSE-FT)."""

import numpy as np

from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.training.best_epoch import Score, score
from tltk.training.phase_data import PhaseData, ignore_unknown_length_warning

ALPHAS = tuple(round(0.1 * number, 1) for number in range(1, 10))


def interpolate(start: list[np.ndarray], end: list[np.ndarray], alpha: float) -> list[np.ndarray]:
    """Return (1 − alpha) · start + alpha · end, weight by weight.

    Args:
        start: As from `model.get_weights()`.
        end: Likewise, of the same shapes.
        alpha: Fraction of `end`, in [0, 1]; 0 and 1 return `start` and `end` unchanged.

    Returns:
        Weights in the dtypes of `start`; weights that are not floating-point are those of `end`.

    Examples:
        >>> interpolate([np.array([0.0])], [np.array([2.0])], 0.25)
        [array([0.5])]
    """
    if alpha in (0, 1):
        return list(end if alpha else start)
    return [
        first + alpha * (last - first) if np.issubdtype(first.dtype, np.floating) else last
        for first, last in zip(start, end, strict=True)
    ]


def choose_interpolation(
    model: TransferModel, data: PhaseData, val: Loader | DatasetLoader, start: list[np.ndarray], current: Score
) -> tuple[float, Score]:
    """Evaluate weights between `start` and the current ones, and set the model to the best on validation.

    Interpolated weights are often better than either end, most of all on images that differ from the training images
    (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").

    Args:
        model: With the weights at the end of a phase; LoRA is merged.
        data: What the phase trained; its model is compiled.
        val: Validation batches of the phase.
        start: Weights at the start of the phase.
        current: Validation score of the current weights; they stay unless interpolated ones are better.

    Returns:
        The chosen alpha (1 for the current weights) and its validation score.
    """
    end = model.keras.get_weights()
    data.model.test_function = None  # it may have been traced with LoRA, which is merged now
    best, best_alpha = current, 1.0
    try:
        for alpha in ALPHAS:
            model.keras.set_weights(interpolate(start, end, alpha))
            with ignore_unknown_length_warning():
                metrics = data.model.evaluate(val.dataset(), verbose=0, return_dict=True)
            alpha_score = score(metrics, model.task.epoch_monitor(), prefix="")
            if alpha_score > best:
                best, best_alpha = alpha_score, alpha
    finally:
        model.keras.set_weights(interpolate(start, end, best_alpha))
    return best_alpha, best
