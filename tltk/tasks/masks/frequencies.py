"""How many pixels of the training masks belong to each class."""

import numpy as np

from tltk.data.masks import IGNORE, MaskTargets

_MASKS = 100  # are enough: the frequencies only start the training
_SMALLEST = 1e-3  # so that no class starts out as impossible


def class_frequencies(targets: MaskTargets, classes: int) -> np.ndarray:
    """Compute the fraction of pixels of each class, from up to 100 masks; unreadable ones are left out.

    Args:
        targets: Masks of the training examples.
        classes: Number of classes.

    Returns:
        float32 [classes], at least 0.001; equal values if no pixel counts.
    """
    rows = np.unique(np.linspace(0, max(len(targets) - 1, 0), _MASKS).round().astype(np.int64))
    pixels = np.zeros(classes)
    for row in rows[rows < len(targets)]:
        masks, _ = targets.read_masks(np.array([row]))  # one by one: masks of large photographs take megabytes
        for mask in masks:
            pixels += np.bincount(mask.ravel(), minlength=IGNORE + 1)[:classes]
    fractions = pixels / pixels.sum() if pixels.sum() else np.full(classes, 1 / classes)
    return np.maximum(fractions, _SMALLEST).astype(np.float32)
