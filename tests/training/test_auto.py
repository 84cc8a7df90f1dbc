"""Tests of `tltk.training.auto`: recipe="auto"."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares, squares_model
from tests.images import class_folder
from tltk.errors import InvalidInput, InvalidType
from tltk.feature_cache.storage import Cache, Choice
from tltk.foundation.duration import Deadline
from tltk.recipes import Recipe
from tltk.recipes.automatic import FineTuning
from tltk.training import arguments, auto, holdout, phase_data
from tltk.training.auto import Decision, stored_decision
from tltk.training.holdout import MeasuredGain
from tltk.training.phase_data import Feed
from tltk.training.stop_request import TrainingStopped


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
    assert "too few examples to compare on (30)" in record["reason"]
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

    monkeypatch.setattr(holdout, "_logits", outputs)
    train = noisy_squares()
    run = fit(train)
    rows = run.config["auto"]["compared"]
    assert [row["augment"] for row in rows] == [False, True]
    assert rows[0]["examples"] == 30 == len(compared[0])
    assert [row["epochs"] for row in rows] == [24, 24]  # one step an epoch of the half, two of all examples
    assert run.config["auto"]["fine_tune"] is None or run.config["auto"]["fine_tune"]["epochs"] == 12
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


@pytest.mark.parametrize("rate", [3.0, 1e4])
def test_validation_examples_decide_if_there_are_some(tmp_path, monkeypatch, rate):
    monkeypatch.setattr(auto, "_RATE_FACTOR", rate)
    val, out = noisy_squares(24, seed=1), tmp_path / "run"
    run = fit(val=val, out=out)
    probe, tuned = run.phases
    assert tuned.score >= probe.score
    expected = "fine-tuned: better than the probe" if tuned.kept else "fine-tuned and undone: not better than the probe"
    assert run.config["auto"]["reason"] == f"{expected} on the validation examples"
    assert tuned.kept == (rate == 3.0)
    assert json.loads((out / "config.json").read_text())["auto"] == run.config["auto"]
    assert fit(val=val, out=out, resume=True).config["auto"] == run.config["auto"]  # complete: nothing is trained


def test_sigterm_during_the_decision_restores_the_model_and_leaves_no_files(tmp_path, monkeypatch):
    """The signal comes after the training on one half, when the model has other weights."""
    model = squares_model()
    before = model.keras.get_weights()

    def stop(model, feed):
        assert any(not np.array_equal(*pair) for pair in zip(before, model.keras.get_weights(), strict=True))
        assert list((tmp_path / "run").rglob("*"))  # features in a temporary folder
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(auto, "_WORTH_MEASURING", 0.0)
    monkeypatch.setattr(holdout, "_logits", stop)
    monkeypatch.setattr(phase_data, "choose_storage", lambda *_, **__: Choice("disk"))
    with pytest.raises(TrainingStopped, match="SIGTERM"):
        fit(model=model, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    for weight, value in zip(model.keras.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_a_budget_that_nothing_obeys_is_refused():
    for budget in ("10 min", None):
        with pytest.raises(InvalidInput, match=r"`budget`.*`recipe` was passed"):
            fit(recipe=tltk.fine_tune(epochs=1), budget=budget)
    with pytest.raises(InvalidInput, match=r"`budget`.*`recipe` was passed"):
        fit(recipe=tltk.fine_tune(epochs=1), budget="5 min")
    with pytest.raises(InvalidInput, match=r"`budget`.*`epochs`, `learning_rate` was passed"):
        fit(recipe=None, epochs=1, learning_rate=1e-3, budget="5 min")
    with pytest.raises(InvalidInput, match=r"`budget`.*hidden layers"):
        fit(model=squares_model(head=tltk.head(hidden=(4,))), recipe=None, budget="5 min")


def test_a_resumed_training_keeps_the_decision(tmp_path, monkeypatch):
    first = fit(out=tmp_path / "run", checkpoint="1 step")
    assert stored_decision(tmp_path / "run").to_config() == first.config["auto"]
    monkeypatch.setattr(auto, "decide", None)
    again = fit(out=tmp_path / "run", resume=True)
    assert again.config["auto"] == first.config["auto"]


def test_decisions_are_stored_as_json_values_and_older_ones_can_be_read():
    decision = Decision(FineTuning(4, 1e-4, l2_sp=0.1), "better", {"compared": []})
    assert Decision.from_config(json.loads(json.dumps(decision.to_config()))) == decision
    older = {"epochs": 4, "learning_rate": 1e-4, "fraction": 1.0}
    assert Decision.from_config({"fine_tune": older, "reason": ""}).fine_tuning == FineTuning(4, 1e-4)
    probe = Recipe("auto", tltk.recipes.tuned_probe().phases)
    assert Decision.from_config({"fine_tune": None, "reason": ""}).recipe == probe


def test_where_it_cannot_decide_the_fixed_recipe_is_used(caplog):
    caplog.set_level("INFO", "tltk")
    dataset = tf.data.Dataset.from_tensor_slices(coloured_squares(12)).batch(4)
    model = squares_model(head=tltk.head(hidden=(4,)))
    assert auto.why_not_auto(squares_model(), dataset)
    assert auto.why_not_auto(squares_model(), noisy_squares(12)) == ""
    assert "hold some out" in auto.why_not_auto(squares_model(), noisy_squares(1))
    run = fit(noisy_squares(12), model=model, recipe=None)
    assert run.config["recipe"]["name"] == "fine_tune"
    assert "The fixed recipe is used: the head has hidden layers." in caplog.text


def test_options_that_it_chooses_are_refused():
    with pytest.raises(InvalidType, match=r"`train`.*from_arrays"):
        fit(coloured_squares(4))
    with pytest.raises(InvalidInput, match=r"`epochs`.*fine_tune"):
        fit(epochs=3)
    with pytest.raises(InvalidInput, match="`balance`"):
        fit(balance="auto")
    with pytest.raises(InvalidType, match=r"autos.*auto"):
        fit(recipe="autos")
    with pytest.raises(InvalidInput, match="budget"):
        fit(budget="5 steps")
    with pytest.raises(InvalidInput, match=r'recipe="auto" cannot be used: the head has hidden layers'):
        fit(model=squares_model(head=tltk.head(hidden=(4,))))


def test_the_better_of_plain_and_augmented_is_trained(monkeypatch):
    monkeypatch.setattr(auto, "_WORTH_MEASURING", 0.0)
    measured = {False: MeasuredGain(30, 0.1, 0.01, 1.25), True: MeasuredGain(30, 0.3, 0.01, 2.0)}
    monkeypatch.setattr(auto.Holdout, "measure", lambda self, fine_tuning: measured[fine_tuning.augment])
    run = fit()
    assert run.config["auto"]["fine_tune"]["augment"] and run.config["auto"]["fine_tune"]["temperature"] == 2
    assert "with augmentation: a gain of 30.0 ± 1.0 points was measured on 30" in run.config["auto"]["reason"]
    phase = run.config["recipe"]["phases"][1]
    assert phase["augment"] and phase["temperature"] == 2


def test_less_is_trained_if_time_is_short(monkeypatch):
    """36 s per pass of the network over all examples: 3 epochs of its half take 4.5 · 36 s and the lower half 18 s."""
    monkeypatch.setattr(auto, "_TRACING", 0.0)
    feed = Feed(squares_model(), noisy_squares(), None, batch_size=2, seed=0, cache=Cache("memory"), folder=None)

    def affordable(budget):
        fine_tuning = auto._Comparison(feed.model, feed, None, None, Deadline.after(budget), 36 / 60)._affordable()
        return None if fine_tuning is None else (fine_tuning.fraction, fine_tuning.epochs)

    assert [affordable(budget) for budget in (200, 150, 100, 60)] == [(0.5, 3), (0.5, 2), (0.5, 1), (0.25, 1)]
    assert affordable(40) is None
    assert affordable(None) == (0.5, 3)


def test_fine_tuning_has_at_least_24_steps_whatever_the_budget(monkeypatch):
    """12 steps left two of three sets of 30 to 60 digits far below the probe."""
    monkeypatch.setattr(auto, "_TRACING", 0.0)
    feed = Feed(squares_model(), noisy_squares(), None, batch_size=32, seed=0, cache=Cache("memory"), folder=None)
    fine_tuning = auto._Comparison(feed.model, feed, None, None, Deadline.after(400), 36 / 60)._affordable()
    assert feed.train.batches().steps_per_epoch == 2
    assert (fine_tuning.fraction, fine_tuning.epochs) == (0.25, 12)  # fewer layers, not fewer steps


def test_fewer_than_twenty_examples_are_not_fine_tuned():
    run = fit(noisy_squares(18))
    assert "too few examples (18)" in run.config["auto"]["reason"] and len(run.phases) == 1


def test_a_probe_that_cannot_be_tuned_on_other_examples_is_not_fitted():
    one_group = replace(noisy_squares(24), groups=np.zeros(24, np.int64))
    with pytest.raises(InvalidInput, match=r"all training examples are one group.*fine_tune"):
        fit(one_group)
    assert "one group" in auto.why_not_auto(squares_model(), one_group)
    with pytest.raises(InvalidInput, match="two groups are needed"):
        fit(one_group, recipe=tltk.recipes.tuned_probe())


def test_if_one_group_is_left_of_readable_examples_the_fixed_recipe_is_used(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(arguments, "fine_tune", lambda **_: tltk.linear_probe(epochs=1))
    source = tltk.from_folder(class_folder(tmp_path, classes=("a", "b"), count=6))
    damaged = np.arange(12) % 3 == 0
    for row in np.flatnonzero(damaged):
        (tmp_path / source.id_of(row)).write_bytes(b"no image")
    source = replace(source, groups=np.where(damaged, "damaged", "readable"))
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))
    run = tltk.fit(model, source, max_invalid_fraction=0.5, verbose=0)
    assert run.config["recipe"]["name"] == "linear_probe" and "auto" not in run.config
    assert "The fixed recipe is used: all training examples are one group" in caplog.text


def test_numbers_without_an_error_are_not_fine_tuned():
    train = tltk.from_arrays(coloured_squares(30)[0], np.full(30, 3.0), label_type="regression")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(train))
    run = fit(train, model=model)
    assert len(run.phases) == 1 and "no error in cross-validation" in run.config["auto"]["reason"]


def test_groups_count_where_there_are_some():
    run = fit(replace(noisy_squares(), groups=np.arange(60) // 4))
    assert "too few groups of examples to compare on (7)" in run.config["auto"]["reason"]


def test_numbers_are_fine_tuned_only_if_the_gain_is_above_its_error(monkeypatch):
    x, y = coloured_squares(60)
    train = tltk.from_arrays(x, y + np.random.default_rng(0).normal(size=60), label_type="regression")
    for gain, phases in ((0.03, 1), (0.07, 2)):
        measured = MeasuredGain(30, gain, 0.05, 1.0)
        monkeypatch.setattr(auto.Holdout, "measure", lambda self, fine_tuning, measured=measured: measured)
        model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(train))
        assert len(fit(train, model=model).phases) == phases
    few = fit(train.subset(np.arange(26)), model=model)
    assert "too few examples to compare on (13)" in few.config["auto"]["reason"] and len(few.phases) == 1
