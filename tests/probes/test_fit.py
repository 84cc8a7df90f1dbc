"""Tests of `tltk.probes.fit`."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tltk.errors import InvalidInput
from tltk.probes import fit
from tltk.probes.fit import fit_probe

GENERATOR = np.random.default_rng(0)


@pytest.fixture(scope="module")
def clouds():
    """Features of three noisy classes in 40 channels: 90 to train, 600 to test."""
    centers = GENERATOR.normal(size=(3, 40)) * 0.5
    classes = np.arange(690) % 3
    features = (centers[classes] + GENERATOR.normal(size=(690, 40))) * np.linspace(0.1, 10, 40) + 3
    return features.astype("float32")[:90], classes[:90], features.astype("float32")[90:], classes[90:]


def accuracy(logits, classes):
    return (logits.argmax(1) == classes).mean()


@pytest.fixture(scope="module")
def probe(clouds):
    return fit_probe(clouds[0], np.eye(3)[clouds[1]])


def test_the_penalty_is_as_good_as_the_best(clouds, probe):
    x, y, test_x, test_y = clouds
    scale = x.std(0) * np.sqrt(40)
    best = max(
        accuracy(LogisticRegression(C=c, max_iter=2000).fit(x / scale, y).predict_proba(test_x / scale), test_y)
        for c in (0.1, 1, 10, 100)
    )
    assert accuracy(probe.predict(test_x), test_y) >= best - 0.03


def test_predictions_are_calibrated(clouds, probe):
    *_, test_x, test_y = clouds
    probabilities = probe.predict(test_x)
    assert probabilities.max(1).mean() == pytest.approx(accuracy(probabilities, test_y), abs=0.07)


def test_out_of_fold_predictions_do_not_know_their_label(clouds):
    x, y, *_ = clouds
    shuffled = GENERATOR.permutation(y)
    probe = fit_probe(x, np.eye(3)[shuffled])
    assert accuracy(probe.out_of_fold, shuffled) < 0.5
    assert probe.loss == pytest.approx(np.log(3), abs=0.05)  # nothing to learn: nearly uniform
    assert probe.penalty >= 0.1


def test_copies_in_one_group_do_not_confirm_each_other(clouds):
    x, y, *_ = clouds
    x, y = np.tile(x, (2, 1)), np.tile(GENERATOR.permutation(y), 2)
    groups = np.tile(np.arange(90), 2)
    assert accuracy(fit_probe(x, np.eye(3)[y], groups=groups).out_of_fold, y) < 0.5
    assert accuracy(fit_probe(x, np.eye(3)[y]).out_of_fold, y) > 0.8


def test_nothing_is_tuned_on_the_examples_it_was_fitted_to(clouds):
    features, classes = clouds[0][:12], clouds[1][:12]
    for rows, groups in ((slice(12), np.zeros(12, int)), (slice(1), None)):
        with pytest.raises(InvalidInput, match="two groups are needed"):
            fit_probe(features[rows], np.eye(classes.max() + 1)[classes[rows]], groups=groups)


def test_sample_weights_count_as_repetitions(clouds):
    x, y, test_x, _ = clouds
    weight = np.where(y == 0, 3.0, 1.0)
    options = {"penalties": (0.01,), "scalings": ("global",)}
    weighted = fit_probe(x, np.eye(3)[y], weight=weight, **options)
    rows = np.repeat(np.arange(90), weight.astype(int))
    repeated = fit_probe(x[rows], np.eye(3)[y[rows]], groups=rows, **options)
    assert np.allclose(
        weighted.logits(test_x) * weighted.temperature, repeated.logits(test_x) * repeated.temperature, atol=0.05
    )


def test_several_labels_and_numbers(clouds):
    x, y, test_x, test_y = clouds
    labels = fit_probe(x, np.stack([y == 0, y > 0], 1), kind="multilabel").predict(test_x)
    assert ((labels[:, 1] > 0.5) == (test_y > 0)).mean() > 0.75
    slope = GENERATOR.normal(size=(40, 2))
    numbers = fit_probe(x, x @ slope * [1, 100] + 1000, kind="regression")
    expected = test_x @ slope * [1, 100] + 1000
    assert (np.std(numbers.predict(test_x) - expected, axis=0) < 0.1 * expected.std(0)).all()
    assert (np.std(numbers.out_of_fold - (x @ slope * [1, 100] + 1000), axis=0) < 0.2 * expected.std(0)).all()


def test_a_class_with_one_example_and_two_examples_in_all(clouds):
    x, y, test_x, _ = clouds
    rows = np.append(np.flatnonzero(y < 2)[:20], np.flatnonzero(y == 2)[0])
    assert np.isfinite(fit_probe(x[rows], np.eye(3)[y[rows]]).predict(test_x)).all()
    assert np.isfinite(fit_probe(x[:2], np.eye(3)[y[:2]]).predict(test_x)).all()


def test_large_data_are_searched_in_a_part(clouds, monkeypatch):
    x, y, test_x, test_y = clouds
    monkeypatch.setattr(fit, "_LARGE", 60 * 40)
    probe = fit_probe(x, np.eye(3)[y], groups=np.arange(90), weight=np.ones(90))
    assert len(probe.path) == 2 and probe.folds.max() == 2 and len(probe.out_of_fold) == 90
    assert accuracy(probe.predict(test_x), test_y) > 0.6
