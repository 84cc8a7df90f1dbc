"""Tests of `tltk.training.auto`: recipe="auto"."""

import json

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tltk.errors import InvalidInput, InvalidType
from tltk.training import auto
from tltk.training.auto import expected_gain, stored_decision


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
    assert record["fine_tune"]["epochs"] == 10
    assert run.config["recipe"]["name"] == "auto"


@pytest.mark.parametrize("gain", [1.0, -1.0])
def test_a_comparison_within_the_training_labels_decides(monkeypatch, gain):
    """The candidate is trained on one half, and compared on the other; the final model sees all examples."""
    monkeypatch.setattr(auto, "_is_worth_measuring", lambda examples: True)
    right = np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    compared = []

    def outputs(model, feed):
        targets = np.eye(3, dtype=np.float32)[np.asarray(feed.train.source.targets)]
        compared.append(feed.train.source)
        return targets if gain > 0 else -targets

    monkeypatch.setattr(auto, "_logits", outputs)
    train = noisy_squares()
    run = fit(train)
    (row,) = run.config["auto"]["compared"]
    assert row["examples"] == 30 == len(compared[0])
    assert np.sign(row["gain"]) == gain
    assert (len(run.phases) == 2) == (gain > 0)
    assert ("not fine-tuned" in run.config["auto"]["reason"]) == (gain < 0)
    assert len(right) == 60 == len(train)


def test_outputs_of_the_other_half_are_those_of_a_model_that_did_not_see_it(monkeypatch):
    monkeypatch.setattr(auto, "_is_worth_measuring", lambda examples: True)
    x, y = coloured_squares(60)
    shuffled = np.random.default_rng(0).permutation(y)
    run = fit(tltk.from_arrays(x, shuffled, labels=("red", "green", "blue")), budget=None)
    (row,) = run.config["auto"]["compared"]
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


def test_many_examples_outweigh_the_prior():
    assert expected_gain(-0.02, 0.1) > 0 > expected_gain(-0.02, 0.005)
    assert auto._is_worth_measuring(1000) and not auto._is_worth_measuring(30)
