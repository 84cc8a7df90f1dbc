"""Mixing: weights between those a phase started from and those it found, chosen on validation (WiSE-FT)."""

import numpy as np

from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.training.callbacks import Score, score
from tltk.training.phase_data import PhaseData, ignore_unknown_length_warning

SHARES = tuple(round(0.1 * number, 1) for number in range(1, 10))


def interpolate(start: list[np.ndarray], end: list[np.ndarray], share: float) -> list[np.ndarray]:
    """Return (1 − share) · start + share · end, weight by weight.

    Args:
        start: as from `model.get_weights()`.
        end: likewise, of the same shapes.
        share: of `end`, in [0, 1]; 0 and 1 give the bytes of either.

    Returns:
        Weights in the dtypes of `start`; weights that are no floats are those of `end`.

    Example:
        >>> interpolate([np.array([0.0])], [np.array([2.0])], 0.25)
        [array([0.5])]
    """
    if share in (0, 1):
        return list(end if share else start)
    pairs = zip(start, end, strict=True)
    return [one + share * (other - one) if np.issubdtype(one.dtype, np.floating) else other for one, other in pairs]


def mix(
    model: TransferModel, data: PhaseData, val: Loader | DatasetLoader, start: list[np.ndarray], best: Score
) -> tuple[float, Score]:
    """Try weights between the start and the present ones, and leave the model at the best on validation.

    Fine-tuned weights that go part of the way back are often better than either end, most of all on pictures that
    differ from those trained on (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").

    Args:
        model: at the weights that a phase found; LoRA merged.
        data: what the phase trained; compiled.
        val: its validation batches.
        start: the weights that the phase started from.
        best: validation score of the present weights; they stay unless a mixture beats them.

    Returns:
        Share of the phase's weights in the mixture that was chosen, and its score.
    """
    end = model.keras.get_weights()
    data.model.test_function = None  # it may have been traced with LoRA, which is merged now
    found, chosen = best, 1.0
    try:
        for share in SHARES:
            model.keras.set_weights(interpolate(start, end, share))
            with ignore_unknown_length_warning():
                numbers = data.model.evaluate(val.dataset(), verbose=0, return_dict=True)
            now = score(numbers, model.task.monitor, prefix="")
            if now > found:
                found, chosen = now, share
    finally:
        model.keras.set_weights(interpolate(start, end, chosen))
    return chosen, found
