"""A loss and metrics of the user's own: in the logs of fit, in reports, and in saved runs."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, conv_net, squares
from tests.tasks.test_objective import Hits
from tests.texts import marked, tiny_preset
from tltk.errors import InvalidInput
from tltk.tasks.output_metrics import OutputMetrics

NAMES = ("red", "green", "blue")


def focal(y_true, y_pred):
    return keras.losses.categorical_focal_crossentropy(y_true, y_pred)


class Confidence(keras.metrics.Mean):
    """Mean probability of the predicted class; not registered."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state(keras.ops.max(y_pred, -1), sample_weight)


def assembled(**options):
    return tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(NAMES, **options))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train with a loss and metrics of the user's own, and weights."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    val = squares(12).with_sample_weight(np.linspace(0.1, 2, 12))
    model = assembled(loss=focal, metrics=["AUC", Confidence(name="confidence")])
    run = tltk.fit(model, squares(24), val, recipe=tltk.linear_probe(epochs=1), batch_size=8, out=folder)
    return run, val


def test_logs_and_reports_have_the_same_values(trained):
    run, val = trained
    report, row = tltk.evaluate(run, val, batch_size=8), run.history[-1]
    for name in ("auc", "confidence"):
        assert report.metrics[name] == pytest.approx(row[f"val_{name}"], rel=1e-5) and name in row
    assert report.metrics["loss"] == pytest.approx(row["val_loss"], rel=1e-5)
    assert report.metrics["accuracy"] == pytest.approx(row["val_accuracy"])
    outputs = run.model.keras.predict(val.examples.astype("float32"), verbose=0)
    expected = np.mean(focal(np.eye(3)[val.targets.values], outputs) * val.sample_weight)
    assert report.metrics["loss"] == pytest.approx(expected, rel=1e-4)
    assert report.metrics["confidence"] == pytest.approx(np.average(outputs.max(-1), weights=val.sample_weight))


def test_a_dataset_gives_the_same_report(trained):
    run, val = trained
    dataset = tf.data.Dataset.from_tensor_slices((val.examples, val.targets.values, val.sample_weight)).batch(5)
    assert tltk.evaluate(run, dataset).metrics == pytest.approx(tltk.evaluate(run, val).metrics, rel=1e-4)


def test_a_run_is_loaded_with_its_loss_and_metrics(trained, monkeypatch):
    run, val = trained
    own = {"focal": focal, "Confidence": Confidence}
    loaded = tltk.load_run(run.folder, custom_objects=own)
    assert loaded.model.task == run.model.task and loaded.model.task.objective.loss is focal
    assert tltk.evaluate(loaded, val).metrics == pytest.approx(tltk.evaluate(run, val).metrics)
    with pytest.raises(InvalidInput, match=r"loss or metrics of the task need focal.*load_run\(folder, custom_objects"):
        tltk.load_run(run.folder, custom_objects={"Confidence": Confidence})


def test_what_needs_help_to_be_loaded_is_said_before_training(tmp_path, caplog):
    tltk.fit(assembled(metrics=[focal]), squares(8), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run")
    assert 'custom_objects={"focal": focal}' in caplog.text


def test_a_step_is_that_of_keras_with_the_same_loss():
    model = assembled(loss="huber")
    plain = keras.models.clone_model(model.keras)
    plain.set_weights(model.keras.get_weights())
    source, recipe = squares(12), tltk.linear_probe(epochs=1)
    run = tltk.fit(model, source, recipe=recipe, batch_size=12)
    plain.compile("sgd", keras.losses.Huber())
    targets = np.eye(3)[source.targets.values]
    assert run.history[0]["loss"] == pytest.approx(
        plain.evaluate(source.examples.astype("float32"), targets, verbose=0), rel=1e-4
    )


def test_a_metric_without_weights_cannot_train_on_weighted_data():
    with pytest.raises(InvalidInput, match="sample weights, which the metrics 'hits' do not take"):
        tltk.fit(assembled(metrics=[Hits(name="hits")]), squares(8).with_sample_weight(np.ones(8)))


def test_a_contrastive_phase_has_a_loss_of_its_own():
    phases = tltk.few_shot(epochs=1).phases
    contrastive = next(phase for phase in phases if phase.contrastive_temperature is not None)
    recipe = tltk.Recipe("contrastive", (replace(contrastive, epochs=1),))
    weighted = squares(12).with_sample_weight(np.linspace(0, 2, 12))
    run = tltk.fit(assembled(loss=focal, metrics=["AUC"]), weighted, recipe=recipe)
    assert np.isfinite(run.history[-1]["loss"]) and "auc" not in run.history[-1]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def test_tokens_of_all_windows_are_measured_in_any_batches(texts):
    source = marked(8).with_sample_weight(np.linspace(0.5, 2, 8))
    own = {"loss": "sparse_categorical_crossentropy", "metrics": ["sparse_categorical_accuracy"]}
    task = tltk.token_classification(source.labels, head=tltk.head(zero_init=False), **own)
    model = tltk.assemble(texts, task, precision="float32")
    (metric,), loss, sums = task.own_metrics(), task.training_loss(), np.zeros(2)
    for tokens, targets, weights in source.to_dataset(model, batch_size=5):
        outputs = model.keras(tokens)
        metric.update_state(targets, outputs, weights)
        sums += float(loss(targets, outputs, weights)) * len(tokens), len(tokens)
    report = tltk.evaluate(model, source, batch_size=3)
    assert report.metrics[metric.name] == pytest.approx(float(metric.result()), rel=1e-4)
    assert report.metrics["loss"] == pytest.approx(sums[0] / sums[1], rel=0.1)  # means over tokens of different batches


def test_nothing_is_computed_without_an_objective():
    assert OutputMetrics(tltk.classification(NAMES)).result() == {}
