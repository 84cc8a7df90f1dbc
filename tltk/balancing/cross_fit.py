"""A method applied to a linear probe: out-of-fold logits of the training examples, and the probe itself."""

from dataclasses import dataclass

import numpy as np

from tltk.balancing.class_weights import class_weights
from tltk.balancing.priors import logit_shift
from tltk.balancing.record import Balance
from tltk.probes.fit import PENALTIES, Probe, fit_probe
from tltk.tasks.uneven import SAMPLING, WEIGHTS, ClassCounts

FOLDS = 3


@dataclass(frozen=True, eq=False)
class Examples:
    """Features of training examples in memory, with their classes.

    Args:
        features: float32 [n, channels].
        targets: Rows of 0 and 1, float32 [n, classes].
        counts: How often each class occurs in the whole training part.
        train_prior: Frequency of each class there, float64 [classes].
        serving_prior: Frequency that is expected when the model is used, float64 [classes].
        groups: Example that each row belongs to, int64 [n], such as a text with windows or tags; None: each row is one.
        is_averaged: Whether the outputs of a group are averaged, as those of windows are, and not those of tags.
    """

    features: np.ndarray
    targets: np.ndarray
    counts: ClassCounts
    train_prior: np.ndarray
    serving_prior: np.ndarray
    groups: np.ndarray | None = None
    is_averaged: bool = True

    @property
    def averaged_groups(self) -> np.ndarray | None:
        """Groups whose outputs are averaged, int64 [n]; None for none."""
        return self.groups if self.is_averaged else None

    def taken(self, rows: np.ndarray) -> "Examples":
        """Return some of the rows, int64 [k]."""
        groups = None if self.groups is None else self.groups[rows]
        whole = (self.counts, self.train_prior, self.serving_prior)
        return Examples(self.features[rows], self.targets[rows], *whole, groups, self.is_averaged)


def shift_of(examples: Examples, balance: Balance) -> np.ndarray:
    """Return what the method adds to the logits in the loss, or subtracts after it: float64 [classes]."""
    exclusive = examples.counts.is_exclusive
    return logit_shift(examples.train_prior, examples.serving_prior, tau=balance.tau, exclusive=exclusive)


def probe_of(
    examples: Examples, balance: Balance, *, penalties: tuple[float, ...] = PENALTIES, seed: int = 0
) -> tuple[Probe, np.ndarray]:
    """Fit a linear probe with a method.

    Args:
        examples: Training examples.
        balance: Sampling and the head of "crt" are weights here, which have the same expectation; "focal" and
            "label_smoothing" do not change the probe, nor do weights of several labels, for which log-odds are
            shifted instead.
        penalties: Penalties to try, from strong to weak.
        seed: Seed of the folds.

    Returns:
        The probe, and calibrated out-of-fold logits of the examples, float32 [n, classes]. What is subtracted after the
        fact is subtracted from the logits, but not from the bias of the probe.
    """
    exclusive = examples.counts.is_exclusive
    shift = shift_of(examples, balance).astype(np.float32)
    weights, offset = None, None
    is_weighted = balance.method in (*WEIGHTS, *SAMPLING, "crt")
    if is_weighted and exclusive:
        kind = balance.method if balance.method in WEIGHTS else "inverse"
        weights = examples.targets @ class_weights(examples.counts.counts, kind, beta=balance.beta)
    elif is_weighted or balance.method == "logit_adjusted_loss":
        offset = shift
    probe = fit_probe(
        examples.features,
        examples.targets,
        kind="categorical" if exclusive else "multilabel",
        weight=weights,
        groups=examples.groups,
        offset=offset,
        folds=FOLDS,
        penalties=penalties,
        scalings=("standard",),
        seed=seed,
    )
    logits = probe.out_of_fold
    if offset is not None:
        logits = logits - offset / np.float32(probe.temperature)
    return probe, logits - shift if balance.method == "logit_adjustment" else logits
