import json

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sk

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares, squares_model
from tltk.data.targets import LazyTargets
from tltk.evaluation.evaluate import evaluate_network
from tltk.specs import LabelSpec


def seeded_model():
    return squares_model(head=tltk.head(zero_init=False))


def test_a_report_agrees_with_scikit_learn():
    model, source = seeded_model(), squares(60)
    report = tltk.evaluate(model, source, batch_size=7)
    outputs = model.keras.predict(source.examples.astype("float32"), verbose=0)
    predicted = outputs.argmax(-1)
    assert report.metrics["accuracy"] == pytest.approx(sk.accuracy_score(source.targets, predicted))
    assert report.metrics["log_loss"] == pytest.approx(sk.log_loss(source.targets, outputs), rel=1e-4)
    np.testing.assert_array_equal(report.confusion, sk.confusion_matrix(source.targets, predicted, labels=range(3)))
    expected = sk.classification_report(source.targets, predicted, output_dict=True, zero_division=0)
    for index, row in enumerate(report.classes):
        assert row["f1"] == pytest.approx(expected[str(index)]["f1-score"])
        assert row["examples"] == 20
    assert report.example_count == 60


def test_another_network_can_be_evaluated_instead_of_the_model():
    source = squares(30)
    report = evaluate_network(
        squares_model(), source, network=lambda inputs: np.eye(3, dtype="float32")[[1] * len(inputs)]
    )
    assert report.metrics["accuracy"] == np.mean(np.asarray(source.targets) == 1)


def test_the_most_confident_mistakes_come_first():
    report = tltk.evaluate(seeded_model(), squares(60))
    confidence = [row["probability"] for row in report.mistakes]
    assert confidence == sorted(confidence, reverse=True)
    assert all(row["true"] != row["predicted"] for row in report.mistakes)


def test_multilabel_metrics_are_reported_for_each_label():
    x, y = coloured_squares(30)
    source = tltk.from_arrays(x, np.eye(3, dtype="float32")[y], labels=("a", "b", "c"), label_type="multilabel")
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    model = tltk.assemble(backbone, tltk.classification(source.labels, head=tltk.head(zero_init=False), threshold=0.4))
    report = tltk.evaluate(model, source)
    assert set(report.metrics) >= {"exact_match", "macro_f1", "micro_f1", "mean_average_precision", "macro_auc"}
    assert [row["name"] for row in report.classes] == ["a", "b", "c"]
    assert report.confusion is None


def test_regression_metrics_have_the_units_of_the_targets():
    x, y = coloured_squares(12)
    source = tltk.from_arrays(
        x, np.stack([y * 100.0, y * 1.0], 1).astype("float32"), labels=("a", "b"), label_type="regression"
    )
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(source.labels))
    report = tltk.evaluate(model, source)  # an untrained regressor predicts the mean
    assert report.classes[0]["mae"] == pytest.approx(200 / 3, rel=1e-3)
    assert report.classes[0]["r2"] == pytest.approx(0, abs=1e-3)
    assert report.classes[1]["mae"] == pytest.approx(2 / 3, rel=1e-3)


def test_a_tf_dataset_can_be_evaluated_only_with_targets():
    x, y = coloured_squares(6)
    model = seeded_model()
    report = tltk.evaluate(model, tf.data.Dataset.from_tensor_slices((x, y)).batch(4))
    assert report.example_count == 6
    names = np.array(["red", "green", "blue"])[y]
    named = tltk.evaluate(model, tf.data.Dataset.from_tensor_slices((x, names)).batch(4))
    assert named.metrics == report.metrics
    with pytest.raises(ValueError, match="`data` has no targets"):
        tltk.evaluate(seeded_model(), tf.data.Dataset.from_tensor_slices(x).batch(4))
    with pytest.raises(ValueError, match=r"`data`, batch 1: row 1 has the target 4"):
        tltk.evaluate(seeded_model(), tf.data.Dataset.from_tensor_slices((x, [0, 0, 0, 0, 0, 4])).batch(4))


def test_a_report_is_saved_as_html_or_json(tmp_path):
    report = tltk.evaluate(seeded_model(), squares(12))
    saved = json.loads(report.save(tmp_path / "new" / "report.json").read_text())
    assert saved["metrics"]["accuracy"] == report.metrics["accuracy"]
    assert "<svg" in report.save(tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match=r"`path` must end in .html or .json. Received: '.*report.pdf'"):
        report.save(tmp_path / "report.pdf")


def test_examples_without_labels_or_with_other_labels_are_rejected():
    with pytest.raises(ValueError, match=r"`data` has no labels"):
        tltk.evaluate(seeded_model(), tltk.from_arrays(coloured_squares(3)[0]))
    with pytest.raises(ValueError, match=r"does not know: pink"):
        tltk.evaluate(seeded_model(), tltk.from_arrays(*coloured_squares(3), labels=("red", "green", "pink")))


def test_an_example_whose_target_cannot_be_read_is_left_out_of_training_and_evaluation(tmp_path):
    x, y = coloured_squares(12)
    for number, value in enumerate(y):
        np.save(tmp_path / f"{number}.npy", np.array([value], "float32"))
    (tmp_path / "3.npy").unlink()
    (tmp_path / "7.npy").write_bytes(b"damaged")
    paths = np.array([str(tmp_path / f"{number}.npy") for number in range(12)], object)
    targets = LazyTargets(paths, element_shape=(1,), element_dtype="float32")
    source = tltk.Source("image", "arrays", x, targets, LabelSpec(("brightest",), "regression", (1.0,), (1.0,)))
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(("brightest",)))
    run = tltk.fit(model, source, recipe=tltk.linear_probe(epochs=1), batch_size=4)
    report = tltk.evaluate(run, source)
    for invalid in (run.invalid, report.invalid):
        assert sorted(example.example_id for example in invalid) == ["example 3", "example 7"]
        assert all("cannot be read" in example.reason for example in invalid)
    assert report.example_count == 10
    assert len(tltk.predict(run, source)) == 12, "targets are not read"


WEIGHTS = np.array([2, 0, 1] * 10, "float32")


def test_a_weight_of_2_is_the_example_twice_and_0_leaves_it_out(tmp_path):
    model, source = seeded_model(), squares(30)
    weighted = tltk.evaluate(model, source.with_sample_weight(WEIGHTS))
    rows = np.arange(30).repeat(WEIGHTS.astype(int))
    repeated = tltk.evaluate(model, source.subset(rows))
    assert weighted.metrics == pytest.approx(repeated.metrics, rel=1e-5)
    np.testing.assert_array_equal(weighted.confusion, repeated.confusion)
    assert (weighted.example_count, weighted.total_weight, repeated.total_weight) == (20, 30, None)
    assert "20 images, weighted (sum of weights 30)" in weighted._repr_html_()
    assert "weighted" not in repeated._repr_html_()
    page = weighted.save(tmp_path / "report.html").read_text()
    assert "20 images evaluated, weighted (sum of weights 30)" in page and "numbers are weights" in page
    assert {row["example_id"] for row in weighted.mistakes} <= {source.id_of(row) for row in rows}


def test_a_dataset_with_weights_gives_the_same_report_as_a_source():
    model, source = seeded_model(), squares(30)
    dataset = tf.data.Dataset.from_tensor_slices((source.examples, source.targets.values, WEIGHTS))
    expected = tltk.evaluate(model, source.with_sample_weight(WEIGHTS))
    report = tltk.evaluate(model, dataset.batch(7))
    assert report.metrics == pytest.approx(expected.metrics)
    assert (report.example_count, report.total_weight) == (20, 30)
    with pytest.raises(ValueError, match="all sample weights of `data` are 0"):
        tltk.evaluate(model, dataset.map(lambda x, y, w: (x, y, 0.0 * w)).batch(7))
    nothing = source.with_sample_weight(WEIGHTS)[[1, 4]]
    with pytest.raises(ValueError, match="all 2 sample weights of `data` are 0"):
        tltk.evaluate(model, nothing)


def test_an_evaluator_without_weights_cannot_evaluate_weighted_data(monkeypatch):
    class Unweighted:
        def update(self, targets, decoded, ids): ...

    model = squares_model()
    monkeypatch.setattr(type(model.task), "evaluator", lambda task: Unweighted())
    with pytest.raises(ValueError, match=r"sample weights, which Unweighted.update does not take: give it an argument"):
        tltk.evaluate(model, squares(6).with_sample_weight([1] * 6))


@pytest.mark.parametrize("data", [None, "photos", np.zeros((2, 16, 16, 3)), (np.zeros((2, 16, 16, 3)), [0, 1])])
def test_data_that_is_no_source_is_refused_with_the_way_out(data):
    with pytest.raises(TypeError, match=r"`data` must be .*tltk.from_folder\(\.\.\.\) or tltk.from_arrays\(x, y\)"):
        tltk.evaluate(squares_model(), data)
