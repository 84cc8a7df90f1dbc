"""Tests of `tltk.training.probe_phase`."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares, squares_model, weights_as_bytes
from tltk.errors import InvalidInput
from tltk.probes.fit import fit_probe
from tltk.recipes import Phase, Recipe, tuned_probe
from tltk.training.phase_data import Feed
from tltk.training.prepared_data import PreparedSource
from tltk.training.probe_phase import why_no_probe


def fit(model, train=None, val=None, **options):
    return tltk.fit(model, train or squares(36), val, recipe=tuned_probe(), verbose=0, **options)


def outputs(model, count=12):
    return model.keras.predict(coloured_squares(count, seed=1)[0].astype("float32"), verbose=0)


@pytest.mark.parametrize("normalization", ["batch", "layer", None])
@pytest.mark.parametrize("cache", ["auto", "off"])
def test_the_model_is_the_probe_exactly(normalization, cache):
    model = squares_model(head=tltk.head(normalization=normalization))
    backbone = weights_as_bytes(model.keras, "stem", "conv")
    x, y = coloured_squares(36)
    run = fit(model, val=squares(12, seed=1), cache=cache)
    assert weights_as_bytes(model.keras, "stem", "conv") == backbone
    features, new = (tltk.embed(model, pixels).features for pixels in (x, coloured_squares(12, seed=1)[0]))
    if normalization == "layer":
        features, new = (
            (f - f.mean(1, keepdims=True)) / np.sqrt(f.var(1, keepdims=True) + 1e-3) for f in (features, new)
        )
    expected = fit_probe(features, np.eye(3)[y]).predict(new)
    assert np.allclose(outputs(model), expected, atol=2e-3)
    (row,) = run.history
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(row)
    assert row["val_accuracy"] == pytest.approx((expected.argmax(1) == np.arange(12) % 3).mean())
    assert run.phases[0].score == (row["val_accuracy"], -row["val_loss"])


def test_batches_seeds_and_caches_do_not_matter():
    model = squares_model()
    first = outputs(fit(model, batch_size=5).model)
    assert np.allclose(outputs(fit(model, cache="off", seed=0).model), first, atol=1e-3)
    dataset = tf.data.Dataset.from_tensor_slices(coloured_squares(36)).batch(8)
    assert np.allclose(outputs(fit(model, dataset).model), first, atol=1e-3)


@pytest.mark.parametrize("recipe", [tuned_probe(), "auto"])
def test_the_frozen_backbone_computes_each_example_once(recipe, monkeypatch):
    counts = []
    records = PreparedSource.records

    def counting(data, *arguments, **options):
        counts.append(data.count)
        return records(data, *arguments, **options)

    monkeypatch.setattr(PreparedSource, "records", counting)
    monkeypatch.setattr(Feed, "_example_batches", None)  # neither are there batches of examples
    run = tltk.fit(squares_model(), squares(36), recipe=recipe, verbose=0)
    assert [phase.name for phase in run.phases] == ["probe"]
    assert counts == [36]


def test_weights_of_examples_and_classes_count():
    x, y = coloured_squares(36)
    wrong = np.where(np.arange(36) < 18, (y + 1) % 3, y)
    weight = (np.arange(36) >= 18).astype("float32")
    source = tltk.from_arrays(x, wrong, labels=("red", "green", "blue")).with_sample_weight(weight)
    model = squares_model()
    fit(model, source)
    weighted = outputs(model).argmax(1)
    fit(model, source.subset(np.arange(18, 36)))
    assert (weighted == outputs(model).argmax(1)).all()
    noisy = tltk.from_arrays(x, wrong, labels=("red", "green", "blue"))
    fit(model, noisy)
    before = outputs(model).mean(0)[0]
    fit(model, noisy, class_weight={"red": 20.0})
    assert outputs(model).mean(0)[0] > before + 0.1


def test_regression_and_several_labels():
    x, y = coloured_squares(36)
    numbers = tltk.from_arrays(x, 1000 + 100.0 * y, label_type="regression")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(numbers))
    assert tltk.evaluate(fit(model, numbers), numbers).metrics["mae"] < 60  # 67 for the mean
    several = tltk.from_arrays(
        x, [("red",) if label == 0 else ("green", "blue")[:label] for label in y], label_type="multilabel"
    )
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(several))
    assert tltk.evaluate(fit(model, several), several).metrics["exact_match"] > 0.5


def test_it_can_be_followed_by_other_phases_and_stored(tmp_path):
    recipe = Recipe("both", (*tuned_probe().phases, *tltk.fine_tune(epochs=1, probe_epochs=1).phases[1:]))
    run = tltk.fit(squares_model(), squares(), squares(12, seed=1), recipe=recipe, out=tmp_path / "run", verbose=0)
    assert [phase.name for phase in run.phases] == ["probe", "fine_tune"]
    assert run.phases[1].score >= run.phases[0].score
    assert tltk.load_run(tmp_path / "run").config["recipe"]["phases"][0]["solver"] == "probe"


def test_a_second_probe_is_fitted_to_the_features_of_the_trained_backbone():
    probe, tuned = tuned_probe().phases[0], tltk.full(epochs=1, learning_rate=0.01).phases[-1]
    model = squares_model()
    tltk.fit(model, squares(36), recipe=Recipe("twice", (probe, tuned, replace(probe, name="again"))), verbose=0)
    expected = fit_probe(tltk.embed(model, coloured_squares(36)[0]).features, np.eye(3)[coloured_squares(36)[1]])
    new = tltk.embed(model, coloured_squares(12, seed=1)[0]).features
    assert np.allclose(outputs(model), expected.predict(new), atol=2e-3)


def test_heads_without_a_linear_probe_are_refused():
    model = squares_model(head=tltk.head(hidden=(4,)))
    assert "hidden" in why_no_probe(model)
    with pytest.raises(InvalidInput, match=r"hidden.*linear_probe"):
        fit(model)
    with pytest.raises(InvalidInput, match="freeze"):
        Phase("probe", tltk.train_all(), 1, "adam", solver="probe")


@pytest.mark.parametrize("labels", ["one", "several"])
def test_a_temperature_divides_the_logits_after_the_phase(labels):
    x, y = coloured_squares(36)
    several = labels == "several"
    targets = [("red",) if label == 0 else ("green", "blue")[:label] for label in y] if several else y.tolist()
    train = tltk.from_arrays(x, targets, label_type="multilabel" if several else "categorical")
    logits = []
    for temperature in (1.0, 4.0):
        keras.utils.set_random_seed(0)
        model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(train))
        phase = Phase("train", tltk.unfreeze_from("conv3"), 1, "adam", temperature=temperature)
        tltk.fit(model, train, recipe=Recipe("mine", (phase,)), verbose=0)
        values = np.log(outputs(model))
        logits.append(values - np.log(1 - outputs(model)) if several else values - values.mean(1, keepdims=True))
    assert np.allclose(logits[0], 4 * logits[1], atol=1e-4)


def test_a_temperature_needs_logits():
    phase = Phase("train", tltk.train_all(), 1, "adam", temperature=2.0)
    frozen = Phase("train", tltk.freeze("head"), 1, "adam", temperature=2.0)
    with pytest.raises(InvalidInput, match=r"`temperature`.*the plan freezes the last layer"):
        tltk.fit(squares_model(), squares(), recipe=Recipe("r", (frozen,)), verbose=0)
    with pytest.raises(InvalidInput, match=r"'train'.*`temperature`.*hidden"):
        tltk.fit(squares_model(head=tltk.head(hidden=(4,))), squares(12), recipe=Recipe("a", (phase,)), verbose=0)
    x, _ = coloured_squares(12)
    train = tltk.from_arrays(x, np.linspace(0, 1, 12), label_type="regression")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(train))
    with pytest.raises(InvalidInput, match="no probabilities"):
        tltk.fit(model, train, recipe=Recipe("a", (phase,)), verbose=0)


def test_an_undone_phase_is_not_divided():
    train, val = squares(36), squares(12, seed=1)
    models = [squares_model(), squares_model()]
    models[1].keras.set_weights(models[0].keras.get_weights())
    worse = Phase("train", tltk.train_all(), 1, tltk.sgd(0.5), temperature=5.0)
    run = tltk.fit(models[0], train, val, recipe=Recipe("a", (*tuned_probe().phases, worse)), verbose=0)
    assert not run.phases[1].kept
    fit(models[1], train, val)
    assert np.allclose(outputs(models[0]), outputs(models[1]), atol=1e-5)
