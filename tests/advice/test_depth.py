"""Tests of `tltk.advice.depth`."""

from types import SimpleNamespace

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares_model
from tltk.advice import depth
from tltk.advice.depth import depth_advice, most_promising_first
from tltk.advice.intervals import Interval
from tltk.advice.records import RULE, Depth
from tltk.recipes.automatic import FineTuning

BACKBONE = {"stages": STAGES}


def noisy_squares():
    x, y = coloured_squares(48)
    return tltk.from_arrays(x, np.where(np.arange(48) % 5 == 0, (y + 1) % 3, y), labels=("red", "green", "blue"))


def test_depths_and_rates_are_compared_and_the_backbone_keeps_its_weights(monkeypatch):
    monkeypatch.setattr(depth, "_FRACTIONS", (0.5, 1.0))
    monkeypatch.setattr(depth, "_FACTORS", (10.0,))
    rule = tltk.recipes.bit_hyperrule
    one_epoch = lambda *arguments, **options: rule(*arguments, **options).with_last_phase(epochs=1)  # noqa: E731
    monkeypatch.setattr(depth, "bit_hyperrule", one_epoch)
    network = conv_net()
    weights = [values.copy() for values in network.get_weights()]
    backbone = tltk.backbone(network, **BACKBONE)
    advice = tltk.advise(noisy_squares(), backbones=[backbone], depth=True, budget=None)
    assert sorted(row.epochs for row in advice.depths[:3]) == [1, 24, 24]
    (other,) = advice.depths[3:]  # 8 epochs would be too few steps: both depths were trained for all 24
    assert other.epochs == 24 and {other.fraction, decayed_fraction(advice)} == {0.5, 1.0}
    long = {(row.method, row.regularization): row for row in advice.depths[:3]}
    assert set(long) == {("fine-tuning", "weight decay"), ("fine-tuning", "L2-SP"), ("BiT-HyperRule", "none")}
    decayed, anchored = long["fine-tuning", "weight decay"], long["fine-tuning", "L2-SP"]
    by_rule = long["BiT-HyperRule", "none"]
    assert (anchored.fraction, anchored.learning_rate) == (decayed.fraction, decayed.learning_rate)
    assert (by_rule.fraction, by_rule.learning_rate) == (1.0, pytest.approx(0.003 * 32 / 512))
    assert all(row.low <= row.gain <= row.high for row in advice.depths)
    assert "over BiT-HyperRule" in advice.depth_advice or "by BiT-HyperRule" in advice.depth_advice
    assert "points over the probe" in advice.describe()
    assert all(np.array_equal(now, before) for now, before in zip(network.get_weights(), weights, strict=True))


def decayed_fraction(advice):
    return next(row.fraction for row in advice.depths[:3] if row.regularization == "weight decay")


def test_the_best_third_is_trained_for_longer(monkeypatch):
    training = a_training(monkeypatch, left=1e6)
    monkeypatch.setattr(depth._Training, "begin", lambda self: {})
    monkeypatch.setattr(depth, "most_promising_first", lambda candidates, *_: candidates)
    candidates = [FineTuning(epochs=2, learning_rate=1e-4 * number, fraction=0.25) for number in (1, 2, 3)]
    rows = depth._successive_halving(training, candidates, 6)
    trained = [(trial.candidate.epochs, trial.candidate.l2_sp) for trial in rows if trial.depth.method != RULE]
    assert trained == [(6, 0.0), (6, 0.01), (2, 0.0), (2, 0.0), (2, 0.0)]
    again = depth._successive_halving(a_training(monkeypatch, left=1e6), candidates, 2)
    trained = [(trial.candidate.epochs, trial.candidate.l2_sp) for trial in again if trial.depth.method != RULE]
    assert trained == [(2, 0.0), (2, 0.01), (2, 0.0), (2, 0.0)]  # not a second time


def test_without_time_the_advice_is_that_of_the_rule():
    backbone = tltk.backbone(conv_net(), **BACKBONE)
    advice = tltk.advise(noisy_squares(), backbones=[backbone], depth=True, budget="0.01 s", batch_size=16)
    assert advice.depths == ()
    for fragment in (
        "no time to compare",
        "all layers",
        "learning rate 9.4e-05",
        "16,002 steps",
        "bit_hyperrule(48, batch_size=16)",
    ):
        assert fragment in advice.depth_advice


@pytest.mark.parametrize(("norms", "fractions"), [((1.0, 1.0, 9.0), [0.5, 1.0]), ((9.0, 1.0, 1.0), [1.0, 0.5])])
def test_the_depth_with_the_largest_gradients_is_tried_first(norms, fractions):
    by_layer = dict(zip(("stem_conv", "conv2_conv", "conv3_conv"), norms, strict=True))
    candidates = [
        FineTuning(epochs=1, learning_rate=rate, fraction=fraction) for fraction in (0.5, 1.0) for rate in (2e-4, 1e-4)
    ]
    ordered = most_promising_first(candidates, by_layer, squares_model())
    assert [candidate.fraction for candidate in ordered] == [fraction for fraction in fractions for _ in range(2)]
    assert [candidate.learning_rate for candidate in ordered] == [2e-4, 1e-4] * 2


def a_training(monkeypatch, *, left):
    """Return a training whose trials take ten seconds for each layer of four, without training anything."""

    def trial(self, candidate, recipe, weights, method):
        seconds = 40 * candidate.fraction
        self.deadline.left -= seconds
        numbers = {name: getattr(candidate, name) for name in ("epochs", "learning_rate", "fraction")}
        row = Depth(**numbers, gain=0, low=0, high=0, seconds=seconds, method=method)
        self.trials.append(depth._Trial(candidate, 1.0, np.zeros(1), row))
        return self.trials[-1]

    monkeypatch.setattr(depth._Training, "_trial", trial)
    halves = depth._Halves(None, np.arange(100), np.arange(100), milliseconds=1.0)
    return depth._Training(None, [], halves, SimpleNamespace(batch_size=32), SimpleNamespace(left=left))


def test_what_does_not_fit_into_the_budget_is_left_out_and_shorter_trainings_are_not(monkeypatch):
    training = a_training(monkeypatch, left=59)
    rows = training.train_candidates(
        [FineTuning(epochs=1, learning_rate=1e-4, fraction=share) for share in (1.0, 1.0, 0.25, 0.5)]
    )
    assert [trial.candidate.fraction for trial in rows] == [1.0, 0.25]
    assert training.train_by_rule() == []
    training = a_training(monkeypatch, left=1000)
    assert training.train_by_rule()[0].depth.method == "BiT-HyperRule"
    training.fixed_seconds = 2000
    assert training.train_by_rule() == []


def test_without_time_after_the_probe_no_gradient_is_computed(monkeypatch):
    training = a_training(monkeypatch, left=-1)
    training.model = SimpleNamespace(keras=SimpleNamespace(get_weights=list))
    monkeypatch.setattr(depth._Training, "_fit", lambda self, recipe, weights: None)
    monkeypatch.setattr(depth._Training, "_loss_and_right", lambda self: (1.0, np.zeros(100)))
    monkeypatch.setattr(depth, "relative_gradient_norms", lambda *_, **__: pytest.fail("there is no time"))
    assert training.begin() == {}


ROW = {"epochs": 3, "learning_rate": 1e-4, "fraction": 0.5, "gain": 0.02, "high": 0.03, "seconds": 1.0}
OPTIONS = {"total": 200, "batch_size": 32}


@pytest.mark.parametrize(("low", "fragment"), [(0.01, "fine-tune 50% of the layers"), (-0.01, "the probe is as good")])
def test_the_advice_depends_on_the_interval_and_names_the_regularization(low, fragment):
    advice = depth_advice((Depth(**ROW, low=low, regularization="L2-SP"),), 100, **OPTIONS)
    assert fragment in advice
    assert "3 epochs, L2-SP: +2.0 points" in advice
    assert "BiT-HyperRule" not in advice


def test_the_best_is_compared_with_the_rule_unless_it_is_the_rule():
    gap = Interval(0.01, -0.005, 0.02)
    row = Depth(**ROW, low=0.01)
    assert "+1.0 points (80 %: -0.5 to +2.0) over BiT-HyperRule" in depth_advice((row,), 100, **OPTIONS, over_rule=gap)
    rule = Depth(**ROW, low=0.01, regularization="none", method="BiT-HyperRule")
    advice = depth_advice((rule, row), 100, **OPTIONS, over_rule=Interval(0, 0, 0))
    assert "fine-tune by BiT-HyperRule (50% of the layers, learning rate 1.0e-04, 3 epochs): +2.0" in advice
    assert "over BiT-HyperRule" not in advice
