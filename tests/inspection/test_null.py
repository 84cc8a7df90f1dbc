"""Thresholds from pairs of different classes: the stated rate of false alarms holds."""

import numpy as np
import pytest

from tltk.inspection.null import MIN_PAIRS, min_cosine, near_threshold


def candidates(*, duplicates: int, others: int, power: float, seed: int = 0):
    """Draw differences: duplicates near 0, others with the density of a power law up to 1, half of them cross-class."""
    generator = np.random.default_rng(seed)
    differences = np.concatenate([generator.uniform(0, 0.02, duplicates), generator.random(others) ** (1 / power)])
    is_cross = np.concatenate([np.zeros(duplicates, bool), generator.random(others) < 0.5])
    return differences, is_cross, np.arange(duplicates + others) >= duplicates


@pytest.mark.parametrize("false_alarms", [0.02, 0.1])
@pytest.mark.parametrize("power", [1.5, 2.5])
def test_the_rate_of_false_pairs_is_held_on_average(false_alarms, power):
    rates = []
    for seed in range(20):
        differences, is_cross, is_false = candidates(duplicates=300, others=4000, power=power, seed=seed)
        threshold, is_estimated = near_threshold(differences, is_cross, limit=0.05, false_alarms=false_alarms)
        assert is_estimated
        reported = is_false[differences <= threshold]
        rates.append(reported.mean() if len(reported) else 0)
    assert np.mean(rates) <= false_alarms * 1.5
    assert np.mean(rates) > false_alarms / 20  # and is not bought by finding nothing


def test_well_separated_duplicates_are_all_found_up_to_the_limit():
    differences, is_cross, _ = candidates(duplicates=10, others=400, power=6)
    threshold, _ = near_threshold(differences, is_cross, limit=0.03, false_alarms=0.02)
    assert threshold == differences[:10].max()


def test_a_few_duplicates_with_wrong_labels_do_not_matter():
    differences, is_cross, _ = candidates(duplicates=300, others=4000, power=2.5)
    before, _ = near_threshold(differences, is_cross, limit=0.05, false_alarms=0.02)
    is_cross[:10] = True
    after, _ = near_threshold(differences, is_cross, limit=0.05, false_alarms=0.02)
    assert after > before / 2


def test_without_pairs_of_different_classes_the_limit_is_the_threshold():
    differences, is_cross, _ = candidates(duplicates=10, others=400, power=2)
    assert near_threshold(differences, np.zeros_like(is_cross), limit=0.03, false_alarms=0.02) == (0.03, False)
    assert near_threshold(differences[:0], is_cross[:0], limit=0.03, false_alarms=0.02) == (0.03, False)


def test_the_least_cosine_is_that_which_one_percent_of_pairs_of_different_classes_exceed():
    generator = np.random.default_rng(0)
    classes = np.arange(400) % 2
    features = generator.normal(size=(400, 8)) + 3 * np.eye(8)[classes]
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype("float32")
    cross = (features @ features.T)[classes[:, None] != classes]
    assert (cross > min_cosine(features, classes, seed=0)).mean() == pytest.approx(0.01, abs=0.003)
    assert min_cosine(features, None, seed=0) > min_cosine(features, classes, seed=0)
    assert min_cosine(features[:1], None, seed=0) == -1
    assert len(classes) > MIN_PAIRS
