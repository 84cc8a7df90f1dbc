"""`tltk.fit(balance=…)`: before, during and after the training."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.tasks.boxes.scenes import masked_source
from tests.tasks.test_semantic_segmentation import segmenter
from tests.texts import marked, tiny_preset
from tests.training.test_resume import assert_same, killed_after
from tests.training.test_resume import train as resumable
from tltk.balancing.choose import CANDIDATES, REFITTED
from tltk.data.source import Source
from tltk.errors import InvalidInput, InvalidType
from tltk.feature_cache.storage import Cache
from tltk.pipeline.sampling import Sampler
from tltk.specs import LabelSpec
from tltk.training.balancing import check_balance, decide
from tltk.training.phase_data import Feed

NAMES = ("red", "green", "blue")


def uneven(sizes=(48, 16, 8), *, seed=0, names=NAMES) -> Source:
    """Return pictures whose brightest channel tells the class, not always."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = generator.integers(0, 100, (len(y), 16, 16, 3))
    x[np.arange(len(y)), :, :, y] += generator.integers(0, 25, (len(y), 1, 1))
    return tltk.from_arrays(x.astype("uint8"), y, labels=names)


def seeded_model():
    """Return a model with the same weights in every call."""
    keras.utils.set_random_seed(0)
    return squares_model()


def fitted(balance, train=None, val=None, model=None, **options):
    options = {"recipe": tltk.linear_probe(epochs=1), "verbose": 0, "batch_size": 16, **options}
    return tltk.fit(model or seeded_model(), train or uneven(), val, balance=balance, **options)


def parts_of(model, train, recipe=None):
    feed = Feed(model, train, None, batch_size=16, seed=0, cache=Cache("memory"), folder=None)
    return feed.balancing_parts(recipe or tltk.linear_probe())


def decided(balance, train=None, model=None, recipe=None):
    model, train = model or squares_model(), train or uneven()
    record = check_balance(balance, model, train, None, None)
    return decide(model, record, parts_of(model, train, recipe), previous=None)


@pytest.fixture(scope="module")
def adjusted(tmp_path_factory):
    """A run whose logits were adjusted and calibrated, with factors of the classes; and the prior of its training."""
    balance = tltk.balance("logit_adjustment", tau=0.5, thresholds="macro_f1", calibrate=True)
    return fitted(balance, val=uneven(seed=1), out=tmp_path_factory.mktemp("adjusted") / "run")


def test_weights_in_the_loss_are_those_of_scikit_learn():
    weighted, balanced = fitted("inverse"), fitted(None, class_weight="balanced")
    pairs = zip(weighted.model.keras.get_weights(), balanced.model.keras.get_weights(), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-5)
    stored = weighted.config["balance"]
    assert stored["weights"] == {"red": 0.5, "green": 1.5, "blue": 3.0}
    assert stored["counts"] == {"red": 48, "green": 16, "blue": 8}
    assert stored["prior"] == pytest.approx(dict.fromkeys(NAMES, 1 / 3), abs=1e-5)
    assert weighted.model.task.prior == pytest.approx((1 / 3,) * 3, abs=1e-5)
    assert "balance" not in balanced.config
    assert balanced.model.task.prior == ()


def test_a_training_with_drawn_examples_resumes_to_the_byte(tmp_path, monkeypatch):
    recipe = tltk.linear_probe(epochs=2)
    options = {"recipe": recipe, "balance": "oversample"}
    whole = resumable(tmp_path / "whole", resume=False, **options)
    killed_after(5, monkeypatch, tmp_path / "killed", **options)
    resumed = resumable(tmp_path / "killed", **options)
    assert_same(whole, resumed)
    assert resumed.config["balance"] == whole.config["balance"]
    assert {"val_balanced_accuracy", "balanced_accuracy"} <= set(whole.history[0])
    with pytest.raises(InvalidInput, match=r"balance_options.method"):
        resumable(tmp_path / "killed", recipe=recipe, balance="undersample")


def test_the_adjustment_is_part_of_the_last_layer(adjusted):
    stored = adjusted.config["balance"]
    plain = fitted(None, val=uneven(seed=1))
    kernel, bias = adjusted.model.keras.get_layer("head_output").get_weights()
    plain_kernel, plain_bias = plain.model.keras.get_layer("head_output").get_weights()
    shift = 0.5 * (np.log([48 / 72, 16 / 72, 8 / 72]) - np.log(1 / 3))
    np.testing.assert_allclose(kernel * stored["temperature"], plain_kernel, atol=1e-5)
    np.testing.assert_allclose(bias * stored["temperature"], plain_bias - shift, atol=1e-5)


def test_what_is_served_decides_as_predict_does(adjusted, tmp_path, replay_here):
    stored = adjusted.config["balance"]
    task = adjusted.model.task
    assert stored["factors"] == dict(zip(NAMES, task.factors, strict=True))
    loaded = tltk.load_run(adjusted.folder)
    assert loaded.model.task == task
    assert loaded.config["balance"] == stored
    examples = uneven(seed=2)
    predictions = tltk.predict(loaded, examples)
    chosen = (predictions.probabilities * np.array(task.factors)).argmax(1)
    assert list(predictions.labels) == [NAMES[index] for index in chosen]
    assert tltk.evaluate(loaded, examples).metrics["accuracy"] == np.mean(chosen == np.asarray(examples.targets))
    export = tltk.export(loaded, tmp_path)  # compares the answers of the SavedModel with those of predict
    decoding = json.loads((export.path / "model.json").read_text())["decoding"]
    assert decoding["prior"] == stored["prior"]
    assert decoding["factors"] == stored["factors"]


def test_priors_and_thresholds_do_not_depend_on_validation():
    val = uneven((8, 8, 8), seed=1)
    other = uneven((2, 4, 30), seed=5)
    balance = tltk.balance("crt", thresholds="balanced_accuracy")
    first, second = fitted(balance, val=val), fitted(balance, val=other)
    assert first.config["balance"] == second.config["balance"]
    for one, two in zip(first.model.keras.get_weights(), second.model.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_thresholds_may_be_tuned_on_validation_if_that_is_asked_for():
    balance = tltk.balance("nothing", thresholds="balanced_accuracy", tuned_on="val")
    val = uneven((8, 8, 8), seed=1)
    run = fitted(balance, val=val)
    tuned, plain = tltk.evaluate(run, val).metrics, tltk.evaluate(fitted(None, val=val), val).metrics
    assert tuned["balanced_accuracy"] >= plain["balanced_accuracy"]
    assert run.model.task.prior == ()


def test_even_classes_are_left_alone(caplog):
    with caplog.at_level("INFO", logger="tltk"):
        decision = decided("auto", uneven((20, 20, 18)))
    assert (decision.balance.method, decision.terms, decision.sampler) == ("nothing", None, None)
    assert not decision.changes_training and not decision.reads_features
    assert "classes are even" in caplog.text
    assert decision.outcome["table"] == []


def test_auto_logs_and_stores_its_comparison_and_decides_once(caplog):
    model, train = squares_model(), uneven((96, 24, 12))
    with caplog.at_level("INFO", logger="tltk"):
        decision = decided("auto", train, model)
    table = decision.outcome["table"]
    assert [row["method"] for row in table] == ["nothing", *REFITTED]
    assert "balance: 5 methods, cross-validation on the features of 132 training examples" in caplog.text
    assert decision.outcome["summary"] in caplog.text
    previous = {**decision.outcome, "method": "focal", "refit": False, "summary": "as before"}
    again = decide(model, tltk.balance(), parts_of(model, train), previous=previous)
    assert (again.balance.method, again.outcome["summary"], again.outcome["table"]) == ("focal", "as before", table)
    tuned = decided("auto", train, model, tltk.fine_tune(unfreeze="conv3")).outcome["table"]
    assert [row["method"] for row in tuned] == ["nothing", *CANDIDATES]


def test_costs_decide():
    run = fitted(tltk.balance("nothing", costs={("blue", "red"): 50.0}))
    assert run.model.task.costs == ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (50.0, 1.0, 0.0))
    assert run.config["balance"]["costs"]["blue"] == {"red": 50.0, "green": 1.0, "blue": 0.0}
    assert "red" not in tltk.predict(run, uneven(seed=2)).labels


def test_other_methods_change_terms_or_draws():
    assert decided("focal").terms.focal_gamma == 2.0
    assert decided(tltk.balance("label_smoothing", smoothing=0.2)).terms.label_smoothing == 0.2
    offsets = decided(tltk.balance("logit_adjusted_loss", prior={"red": 2, "green": 1, "blue": 1})).terms.logit_offsets
    np.testing.assert_allclose(offsets, np.log([48 / 72, 16 / 72, 8 / 72]) - np.log([0.5, 0.25, 0.25]))
    sampler = decided("balanced_batches").sampler
    assert isinstance(sampler, Sampler)
    assert np.bincount(sampler.classes).tolist() == [48, 16, 8]
    effective = decided(tltk.balance("effective_number", beta=0.0))
    assert set(effective.outcome["weights"].values()) == {1.0}
    assert effective.outcome["prior"] == effective.outcome["train_prior"]
    weights = decided("square_root").outcome
    ratios = np.array(list(weights["prior"].values())) / np.sqrt([48, 16, 8])
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-4)


def test_labels_get_thresholds_of_their_own():
    generator = np.random.default_rng(0)
    y = (generator.random((60, 3)) < [0.5, 0.2, 0.1]).astype(int)
    x = np.clip(generator.integers(0, 100, (60, 16, 16, 3)) + 30 * y[:, None, None, :], 0, 255).astype("uint8")
    labels = LabelSpec(NAMES, "multilabel")
    source = tltk.from_arrays(x, y, labels=labels)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(labels))
    run = fitted(tltk.balance("auto", thresholds="macro_f1", calibrate=True), source, source, model)
    thresholds = run.model.task.thresholds
    assert run.config["balance"]["thresholds"] == dict(zip(NAMES, thresholds, strict=True))
    predictions = tltk.predict(run, source)
    chosen = predictions.probabilities > np.array(thresholds, "float32")
    assert [len(names) for names in predictions.labels] == chosen.sum(1).tolist()
    assert [row["method"] for row in run.config["balance"]["table"]] == ["nothing", "logit_adjustment"]
    terms = decided("inverse", source, model).terms
    positives = y.sum(0)
    np.testing.assert_allclose(terms.class_weights, 60 / (2 * positives))
    np.testing.assert_allclose(terms.negative_weights, 60 / (2 * (60 - positives)))


def test_tags_are_balanced_with_the_outside_tag_among_them(tmp_path):
    backbone = tltk.backbone(str(tiny_preset(tmp_path / "tiny")))
    source = marked(40, longest=12)
    model = tltk.assemble(backbone, tltk.token_classification(source.labels))
    run = fitted("crt", source, None, model)
    stored = run.config["balance"]
    assert stored["counts"]["O"] > stored["counts"]["B-x"] > 0
    assert run.model.task.prior == pytest.approx((1 / 5,) * 5, abs=1e-5)
    assert len(tltk.predict(run, source)) == 40
    decision = decided("auto", source, model)
    assert [row["method"] for row in decision.outcome["table"]] == ["nothing", *REFITTED]
    assert decision.outcome["metric"] == "macro_f1"
    assert decided("square_root", source, model).terms.class_weights[0] < 1


def test_pixels_are_weighted_by_class():
    model, source = segmenter(), masked_source(8)
    decision = decided("inverse", source, model)
    weights, fractions = np.array(decision.terms.class_weights), np.array(list(decision.outcome["counts"].values()))
    np.testing.assert_allclose(weights * fractions, (weights * fractions)[0], rtol=1e-4)
    assert decision.outcome["weights"]["background"] < 1
    assert model.task.balanced_loss(decision.terms).class_weights == decision.terms.class_weights


def refused(balance, task=None, train=None, **arguments):
    model = squares_model()
    model = model if task is None else replace(model, task=task)
    arguments = {"val": None, "class_weight": None, **arguments}
    with pytest.raises(InvalidInput) as raised:
        check_balance(balance, model, train or uneven(), **arguments)
    return str(raised.value)


def test_what_is_impossible_is_refused_with_the_way_out():
    tokens = tltk.token_classification(LabelSpec(("x",), "entities"))
    labels = tltk.classification(LabelSpec(NAMES, "multilabel"))
    assert "Pass one of them" in refused("inverse", class_weight="balanced")
    message = refused("oversample", tokens)
    assert '`balance="oversample"` cannot be used for token_classification: a text has several tags' in message
    assert '"crt"' in message
    assert "an example may have several labels" in refused("crt", labels)
    assert "regression: it has no classes. Leave it out" in refused("auto", tltk.regression(NAMES))
    assert "`costs` of tltk.balance" in refused(tltk.balance("nothing", costs={("a", "b"): 2}), labels)
    assert "need `val`, a Source" in refused(tltk.balance("nothing", calibrate=True))
    assert "needs two classes" in refused(tltk.balance("nothing", thresholds="precision_at_recall"))
    own_loss = tltk.classification(NAMES, loss=keras.losses.CategoricalFocalCrossentropy())
    assert "your own `loss` replaces" in refused("inverse", own_loss)
    assert "'bleu'" in refused(tltk.balance("nothing", costs={("bleu", "red"): 2}))
    assert "`prior` lacks the classes 'blue'" in refused(tltk.balance("logit_adjustment", prior={"red": 1, "green": 1}))
    x, y = np.zeros((4, 16, 16, 3), "uint8"), np.array([0, 1, 2, 0])
    dataset = tf.data.Dataset.from_tensor_slices((x, y))
    assert "a tf.data.Dataset does not tell" in refused("inverse", train=dataset)
    with pytest.raises(InvalidType, match="name of a method"):
        check_balance(True, squares_model(), uneven(), None, None)
    assert check_balance(None, squares_model(), uneven(), None, "balanced") is None


def test_the_normalized_head_has_classes_of_equal_norm():
    run = fitted("tau_normalization", train=uneven((40, 10, 5)))
    kernel, bias = run.model.keras.get_layer("head_output").get_weights()
    norms = np.linalg.norm(kernel, axis=0)
    np.testing.assert_allclose(norms, norms.mean(), rtol=1e-4)
    assert not bias.any()
    probabilities = tltk.predict(run, squares(6)).probabilities
    np.testing.assert_allclose(softmax(np.log(probabilities), axis=1), probabilities, atol=1e-5)
