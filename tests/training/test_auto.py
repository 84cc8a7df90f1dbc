"""Tests of `tltk.training.auto`: recipe="auto"."""

import json
from dataclasses import replace
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares, squares_model
from tltk.errors import InvalidInput, InvalidType
from tltk.feature_cache.storage import Cache
from tltk.training import auto, cross_fitting
from tltk.training.auto import stored_decision
from tltk.training.cross_fitting import Measured
from tltk.training.phase_data import Feed


def noisy_squares(count=60, *, seed=0):
    """Return squares with a fifth of wrong labels, so that no probe is perfect."""
    x, y = coloured_squares(count, seed=seed)
    y = np.where(np.arange(count) % 5 == 0, (y + 1) % 3, y)
    return tltk.from_arrays(x, y, labels=("red", "green", "blue"))


def fit(train=None, val=None, *, model=None, recipe="auto", **options):
    return tltk.fit(model or squares_model(), train or noisy_squares(), val, recipe=recipe, verbose=0, **options)


def test_few_examples_are_fine_tuned_without_a_comparison():
    run = fit()
    record = run.config["auto"]
    assert [phase.name for phase in run.phases] == ["probe", "fine_tune"]
    assert "too few to tell" in record["reason"]
    assert record["compared"] == []
    assert record["fine_tune"] == {
        "epochs": 12,
        "learning_rate": pytest.approx(9e-4),
        "fraction": 0.5,
        "augment": False,
        "temperature": 1.0,
        "l2_sp": 0.0,
    }
    assert run.config["recipe"]["name"] == "auto"


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_comparison_within_the_training_labels_decides(monkeypatch, gain):
    """The candidate is trained on one half, and compared on the other; the final model sees all examples."""
    monkeypatch.setattr(auto, "_WORTH_MEASURING", 0.0)
    compared = []

    def outputs(model, feed):
        targets = np.eye(3, dtype=np.float32)[np.asarray(feed.train.source.targets)]
        compared.append(feed.train.source)
        return targets if gain > 0 else -targets

    monkeypatch.setattr(cross_fitting, "_logits", outputs)
    train = noisy_squares()
    run = fit(train)
    rows = run.config["auto"]["compared"]
    assert [row["augment"] for row in rows] == [False, True]
    assert rows[0]["examples"] == 30 == len(compared[0])
    assert np.sign(rows[0]["gain"]) == gain
    assert (len(run.phases) == 2) == (gain > 0)
    assert ("not fine-tuned" in run.config["auto"]["reason"]) == (gain < 0)
    assert len(compared[0]) + len(compared[1]) == 60 and len(train) == 60


def test_outputs_of_the_other_half_are_those_of_a_model_that_did_not_see_it(monkeypatch):
    monkeypatch.setattr(auto, "_WORTH_MEASURING", 0.0)
    x, y = coloured_squares(60)
    shuffled = np.random.default_rng(0).permutation(y)
    run = fit(tltk.from_arrays(x, shuffled, labels=("red", "green", "blue")), budget=None)
    row, _ = run.config["auto"]["compared"]
    assert abs(row["gain"]) < 0.5  # labels at random: a model that has seen them would gain 0.6
    assert run.config["auto"]["probe"]["score"] < 0.6


def test_nothing_to_gain_and_no_time_give_the_probe():
    run = fit(squares(60))
    assert "nothing is to be gained" in run.config["auto"]["reason"]
    assert [phase.name for phase in run.phases] == ["probe"]
    assert tltk.evaluate(run, squares(24, seed=1)).metrics["accuracy"] > 0.9
    spent = fit(budget="1 s")
    assert "budget" in spent.config["auto"]["reason"]
    assert [phase.name for phase in spent.phases] == ["probe"]


def test_validation_examples_decide_if_there_are_some(tmp_path):
    run = fit(val=noisy_squares(24, seed=1), out=tmp_path / "run")
    assert "validation" in run.config["auto"]["reason"]
    probe, tuned = run.phases
    assert tuned.score >= probe.score
    assert json.loads((tmp_path / "run" / "config.json").read_text())["auto"] == run.config["auto"]


def test_a_resumed_training_keeps_the_decision(tmp_path, monkeypatch):
    first = fit(out=tmp_path / "run", checkpoint="1 step")
    assert stored_decision(tmp_path / "run").record == first.config["auto"]
    monkeypatch.setattr(auto, "decide", None)
    again = fit(out=tmp_path / "run", resume=True)
    assert again.config["auto"] == first.config["auto"]


def test_where_it_cannot_decide_the_fixed_recipe_is_used(caplog):
    caplog.set_level("INFO", "tltk")
    dataset = tf.data.Dataset.from_tensor_slices(coloured_squares(12)).batch(4)
    model = squares_model(head=tltk.head(hidden=(4,)))
    for data, options in ((dataset, {}), (noisy_squares(12), {"model": model})):
        assert auto.why_not_auto(options.get("model", squares_model()), data)
    assert auto.why_not_auto(squares_model(), noisy_squares(12)) == ""
    run = fit(noisy_squares(12), recipe=None, epochs=1, learning_rate=1e-4)
    assert run.config["recipe"]["name"] == "fine_tune"


def test_options_that_it_chooses_are_refused():
    with pytest.raises(InvalidInput, match=r"`epochs`.*fine_tune"):
        fit(epochs=3)
    with pytest.raises(InvalidInput, match="`balance`"):
        fit(balance="auto")
    with pytest.raises(InvalidType, match=r"autos.*auto"):
        fit(recipe="autos")
    with pytest.raises(InvalidInput, match="budget"):
        fit(budget="5 steps")


def test_the_better_of_plain_and_augmented_is_trained(monkeypatch):
    monkeypatch.setattr(auto, "_WORTH_MEASURING", 0.0)
    measured = {False: Measured(30, 0.1, 0.01, 1.25), True: Measured(30, 0.3, 0.01, 2.0)}
    monkeypatch.setattr(auto.CrossFitting, "measure", lambda self, settings: measured[settings["augment"]])
    run = fit()
    assert run.config["auto"]["fine_tune"]["augment"] and run.config["auto"]["fine_tune"]["temperature"] == 2
    assert "with augmentation: a gain of 30.0" in run.config["auto"]["reason"]
    phase = run.config["recipe"]["phases"][1]
    assert phase["augment"] and phase["temperature"] == 2


def test_less_is_trained_if_time_is_short(monkeypatch):
    """36 s per pass of the network over all examples: 3 epochs of its half take 4.5 · 36 s and the lower half 18 s."""
    monkeypatch.setattr(auto, "_TRACING", 0.0)
    feed = Feed(squares_model(), noisy_squares(), None, batch_size=2, seed=0, cache=Cache("memory"), folder=None)
    inputs = SimpleNamespace(features=np.zeros((60, 2)))

    def affordable(budget):
        options = {"started_at": perf_counter(), "budget": budget, "seconds_per_element": 36 / 60}
        settings = auto._Comparison(feed.model, feed, inputs, None, **options)._affordable()
        return None if settings is None else (settings["fraction"], settings["epochs"])

    assert [affordable(budget) for budget in (200, 150, 100, 60)] == [(0.5, 3), (0.5, 2), (0.5, 1), (0.25, 1)]
    assert affordable(40) is None
    assert affordable(None) == (0.5, 3)


def test_fine_tuning_has_at_least_24_steps_whatever_the_budget(monkeypatch):
    """12 steps left two of three sets of 30 to 60 digits far below the probe."""
    monkeypatch.setattr(auto, "_TRACING", 0.0)
    feed = Feed(squares_model(), noisy_squares(), None, batch_size=32, seed=0, cache=Cache("memory"), folder=None)
    inputs = SimpleNamespace(features=np.zeros((60, 2)))
    options = {"started_at": perf_counter(), "budget": 400, "seconds_per_element": 36 / 60}
    settings = auto._Comparison(feed.model, feed, inputs, None, **options)._affordable()
    assert feed.train.batches().steps_per_epoch == 2
    assert (settings["fraction"], settings["epochs"]) == (0.25, 12)  # fewer layers, not fewer steps


def test_fewer_than_twenty_examples_are_not_fine_tuned():
    run = fit(noisy_squares(18))
    assert "too few examples (18)" in run.config["auto"]["reason"] and len(run.phases) == 1


def test_examples_that_cannot_be_divided_are_not_compared(monkeypatch):
    monkeypatch.setattr(auto, "_WORTH_MEASURING", 1e-9)
    one_group = replace(noisy_squares(), groups=np.zeros(60, np.int64))
    run = fit(one_group)
    assert run.config["auto"]["compared"] == []
    assert "0 examples to compare on" in run.config["auto"]["reason"]


def test_numbers_are_fine_tuned_only_if_the_gain_is_above_its_error(monkeypatch):
    x, y = coloured_squares(60)
    train = tltk.from_arrays(x, y + np.random.default_rng(0).normal(size=60), label_type="regression")
    for gain, phases in ((0.03, 1), (0.07, 2)):
        measured = Measured(30, gain, 0.05, 1.0)
        monkeypatch.setattr(auto.CrossFitting, "measure", lambda self, settings, measured=measured: measured)
        model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(train))
        assert len(fit(train, model=model).phases) == phases
    few = fit(train.subset(np.arange(26)), model=model)
    assert "13 examples to compare on are too few" in few.config["auto"]["reason"] and len(few.phases) == 1
