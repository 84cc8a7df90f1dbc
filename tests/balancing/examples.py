"""Features of uneven classes that overlap."""

import numpy as np

from tltk.balancing.cross_fit import Examples
from tltk.balancing.priors import serving_prior, training_prior
from tltk.tasks.uneven import ClassCounts


def uneven(sizes=(200, 60, 20), *, exclusive=True, spread=1.0, seed=0):
    """Return examples of classes whose features overlap, or of labels that are set independently."""
    generator = np.random.default_rng(seed)
    classes = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    targets = np.eye(len(sizes), dtype="float32")[classes]
    if not exclusive:
        targets = (generator.random(targets.shape) < np.array(sizes) / sum(sizes) / 2).astype("float32")
    directions = generator.normal(size=(len(sizes), 6))
    features = (targets @ directions + spread * generator.normal(size=(len(classes), 6))).astype("float32")
    names = tuple("abcdefgh"[: len(sizes)])
    counts = ClassCounts(names, targets.sum(0).astype(float), float(len(classes)), exclusive)
    return Examples(features, targets, counts, training_prior(counts), serving_prior(names, None, exclusive=exclusive))
