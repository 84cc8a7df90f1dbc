"""Weights of classes equal the published formulas."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tltk.balancing.class_weights import class_weights, label_weights
from tltk.tasks.uneven import ClassCounts

COUNTS = np.array([900, 90, 10])
CLASSES = np.repeat([0, 1, 2], COUNTS)


def test_inverse_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=CLASSES)
    np.testing.assert_allclose(class_weights(COUNTS, "inverse"), expected)


def test_effective_numbers_are_those_of_cui_et_al():
    effective = (1 - 0.99**COUNTS) / (1 - 0.99)
    weights = class_weights(COUNTS, "effective_number", beta=0.99)
    np.testing.assert_allclose(weights / weights[0], effective[0] / effective)
    np.testing.assert_allclose(class_weights(COUNTS, "effective_number", beta=0.0), 1.0)


@pytest.mark.parametrize("method", ["inverse", "square_root", "effective_number"])
def test_the_mean_weight_of_the_examples_is_one(method):
    weights = class_weights(COUNTS, method)
    assert weights[CLASSES].mean() == pytest.approx(1)
    assert class_weights(np.array([4, 0, 1]), method)[1] == 1.0


def test_square_root_weights():
    weights = class_weights(COUNTS, "square_root")
    np.testing.assert_allclose(weights / weights[2], np.sqrt(10 / COUNTS))


def test_labels_have_weights_of_positives_and_negatives():
    positives, negatives = label_weights(ClassCounts(("a", "b"), np.array([1.0, 5.0]), 10.0, False), "inverse")
    np.testing.assert_allclose(positives, [5.0, 1.0])
    np.testing.assert_allclose(negatives, [10 / 18, 1.0])
