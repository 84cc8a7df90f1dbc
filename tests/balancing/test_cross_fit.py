"""Methods applied to a linear probe."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import recall_score

from tests.balancing.examples import uneven
from tltk.balancing.cross_fit import probe_of
from tltk.balancing.record import Balance

EXAMPLES = uneven()


def balanced_accuracy(method):
    _, logits = probe_of(EXAMPLES, Balance(method), penalties=(1e-2, 1e-3))
    return recall_score(EXAMPLES.targets.argmax(1), logits.argmax(1), average="macro")


@pytest.mark.parametrize("method", ["inverse", "crt", "oversample", "logit_adjusted_loss", "logit_adjustment"])
def test_methods_raise_the_recall_of_rare_classes(method):
    assert balanced_accuracy(method) > balanced_accuracy("focal") + 0.05


def test_the_shift_after_the_fact_is_that_of_the_loss():
    """Without penalty to speak of, both give the probabilities of equally frequent classes."""
    options = {"penalties": (1e-4,)}
    after, during = (
        softmax(probe_of(EXAMPLES, Balance(method), **options)[1], axis=1)
        for method in ("logit_adjustment", "logit_adjusted_loss")
    )
    assert np.abs(after - during).mean() < 0.06


def test_labels_are_shifted_by_their_odds():
    labels = uneven(exclusive=False)
    rates = [
        (probe_of(labels, Balance(method), penalties=(1e-3,))[1] > 0).mean(0)
        for method in ("nothing", "logit_adjustment", "inverse")
    ]
    assert (rates[1] > rates[0] + 0.02).all()
    assert (rates[2] > rates[0] + 0.02).all()


def test_rows_are_taken_with_their_groups():
    grouped = replace(EXAMPLES, groups=np.arange(len(EXAMPLES.targets)) // 2)
    part = grouped.taken(np.array([4, 0]))
    assert part.groups.tolist() == [2, 0]
    assert part.averaged_groups is part.groups
    assert replace(grouped, is_averaged=False).averaged_groups is None
    np.testing.assert_array_equal(part.features, EXAMPLES.features[[4, 0]])
