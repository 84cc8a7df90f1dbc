"""Tests of `tltk.training.holdout`."""

from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares_model
from tltk.feature_cache.storage import Cache
from tltk.recipes.automatic import FineTuning
from tltk.training import holdout
from tltk.training.holdout import Holdout, mean_and_error, restored_weights
from tltk.training.phase_data import Feed
from tltk.training.probe_phase import prepare_probe

FINE_TUNING = FineTuning(epochs=3, learning_rate=1e-3, fraction=0.5, augment=False)


def holdout_of(source, model=None):
    model = model or squares_model()
    feed = Feed(model, source, None, batch_size=8, seed=0, cache=Cache("memory"), folder=None)
    with restored_weights(model):
        inputs = prepare_probe(model, feed).inputs
    return Holdout(model, feed, inputs)


def noisy(count=60):
    x, y = coloured_squares(count)
    return x, np.where(np.arange(count) % 4 == 0, (y + 1) % 3, y)


def test_halves_are_apart_and_keep_groups_together():
    x, y = noisy(48)
    groups = np.arange(48) // 4
    fitted, tested = holdout_of(replace(tltk.from_arrays(x, y, labels=("r", "g", "b")), groups=groups)).halves
    assert sorted([*fitted, *tested]) == list(range(48))
    assert not set(groups[fitted]) & set(groups[tested])


def test_large_data_is_compared_on_some(monkeypatch):
    monkeypatch.setattr(holdout, "MAX_COMPARED", 10)
    x, y = noisy()
    fitted, tested = holdout_of(tltk.from_arrays(x, y, labels=("r", "g", "b"))).halves
    assert len(fitted) == len(tested) == 10


def test_weights_are_restored_and_each_training_starts_from_the_same_probe():
    x, y = noisy()
    held_out = holdout_of(tltk.from_arrays(x, y, labels=("r", "g", "b")))
    before = held_out.model.keras.get_weights()
    first, again = held_out.measure(FINE_TUNING), held_out.measure(FINE_TUNING)
    assert all(np.array_equal(*pair) for pair in zip(before, held_out.model.keras.get_weights(), strict=True))
    assert first.examples == again.examples == 30
    assert first.gain == pytest.approx(again.gain) and first.temperature == pytest.approx(again.temperature, rel=1e-3)


def test_gain_error_and_temperature_are_those_of_the_outputs(monkeypatch):
    """Hand-computed: right for all tested examples but two."""
    x, y = noisy()
    held_out = holdout_of(tltk.from_arrays(x, y, labels=("r", "g", "b")))
    tested = held_out.halves[1]
    logits = 4 * held_out.inputs.targets[tested]
    logits[:2] = np.roll(logits[:2], 1, axis=1)
    monkeypatch.setattr(holdout, "_logits", lambda model, feed: logits)
    measured = held_out.measure(FINE_TUNING)
    probe, _ = held_out._probe
    right = probe.logits(held_out.inputs.features[tested]).argmax(1) == held_out.inputs.targets[tested].argmax(1)
    gains = np.r_[np.zeros(2), np.ones(len(tested) - 2)] - right
    assert measured.gain == pytest.approx(gains.mean())
    assert measured.standard_error == pytest.approx(gains.std() / np.sqrt(len(tested)))
    certain = (len(tested) - 2 + 1 / 3) / (len(tested) + 1)  # with one example of no class
    assert measured.temperature == pytest.approx(4 / np.log(2 * certain / (1 - certain)), rel=1e-3)


def test_the_model_is_trained_on_one_half_and_tested_on_the_other(monkeypatch):
    x, y = noisy()
    held_out = holdout_of(tltk.from_arrays(x, y, labels=("r", "g", "b")))
    seen = []
    for_part = Feed.for_part
    monkeypatch.setattr(Feed, "for_part", lambda self, part: seen.append(part.examples) or for_part(self, part))
    held_out.measure(FINE_TUNING)
    fitted, tested = held_out.halves
    assert all(np.array_equal(part, x[np.sort(fitted)]) for part in seen[:-1])
    assert np.array_equal(seen[-1], x[np.sort(tested)])
    assert not set(fitted) & set(tested)


def test_weights_and_groups_count():
    """Hand-computed: a weighted mean; and two groups of equal values, which are two examples and not four."""
    mean, error = mean_and_error(np.array([0.0, 1.0, 1.0]), weight=np.array([2.0, 1.0, 1.0]), groups=np.arange(3))
    assert mean == pytest.approx(0.5)
    assert error == pytest.approx(np.sqrt(1 + 0.25 + 0.25) / 4)
    values = np.random.default_rng(0).normal(size=50)
    mean, error = mean_and_error(values, weight=None, groups=np.arange(50))
    assert (mean, error) == (pytest.approx(values.mean()), pytest.approx(values.std() / np.sqrt(50)))
    _, twice = mean_and_error(np.repeat(values, 4), weight=None, groups=np.repeat(np.arange(50), 4))
    assert twice == pytest.approx(error)


@pytest.mark.parametrize("kind", ["multilabel", "regression"])
def test_numbers_and_several_labels_are_compared_too(kind):
    x, y = coloured_squares(40)
    values = 100.0 + y if kind == "regression" else [("r",) if label == 0 else ("g", "b")[:label] for label in y]
    source = tltk.from_arrays(x, values, label_type=kind)
    task = tltk.regression(source) if kind == "regression" else tltk.classification(source)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), task)
    held_out = holdout_of(source, model)
    measured = held_out.measure(FINE_TUNING)
    assert measured.examples == 20 == held_out.independent and held_out.share == 0.5
    assert np.isfinite(measured.gain) and measured.standard_error >= 0
    outputs = holdout._logits(model, held_out.feed)
    predicted = model.keras.predict(x.astype("float32"), verbose=0)
    if kind == "multilabel":
        assert np.allclose(1 / (1 + np.exp(-outputs)), predicted, atol=1e-5)
    else:
        assert measured.temperature == 1
        assert np.allclose(outputs * y.std() + 100 + y.mean(), predicted, atol=1e-3)
