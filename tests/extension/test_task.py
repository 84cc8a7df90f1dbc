"""A custom task works in every function: fit with a cached prefix, evaluate, predict, export, load_run."""

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net
from tests.extension.counting import CountThings

LABELS = tltk.LabelSpec(("dots",), "regression")


def dotted(count, *, seed=0):
    """Build a source of black images with 0 to 5 white squares of 2 × 2 pixels."""
    generator = np.random.default_rng(seed)
    images, targets = np.zeros((count, 16, 16, 3), "uint8"), generator.integers(0, 6, count)
    for image, dots in zip(images, targets, strict=True):
        for cell in generator.choice(64, dots, replace=False):
            row, column = 2 * (cell // 8), 2 * (cell % 8)
            image[row : row + 2, column : column + 2] = 255
    return tltk.from_arrays(images, targets.astype("float32"), labels=("dots",), label_type="regression")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), CountThings(LABELS), precision="float32")
    recipe = tltk.linear_probe(epochs=40, learning_rate=3e-2)
    out = tmp_path_factory.mktemp("run")
    return tltk.fit(model, dotted(96), dotted(24, seed=1), recipe=recipe, out=out, batch_size=16)


def test_the_metric_of_the_task_decides_which_epoch_is_best(run):
    best, _ = run.phases[-1].score
    assert best == pytest.approx(-min(row["val_mae"] for row in run.history), abs=1e-6)


def test_evaluate_uses_the_evaluator_of_the_task(run):
    source = dotted(30, seed=2)
    report = tltk.evaluate(run.model, source)
    predictions = tltk.predict(run, source.examples)
    counts = np.array([int(prediction.label.split()[0]) for prediction in predictions])
    np.testing.assert_array_equal(predictions.fields["counts"].ravel(), counts)
    assert predictions.values.shape == predictions.fields["rates"].shape == (30, 1)
    assert predictions.probabilities is None and predictions.labels is None and predictions.names == ("dots",)
    true = np.asarray(source.targets).ravel()
    assert report.metrics["mae"] == pytest.approx(np.abs(counts - true).mean()) and predictions.invalid == ()
    assert report.classes[0]["name"] == "dots" and report.task == "count_things"


def test_the_model_can_be_exported_verified_and_loaded(run, tmp_path):
    exported = tltk.export(run.model, tmp_path / "serving")
    assert max(exported.largest_differences.values()) < 1e-5
    loaded = tltk.load_run(run.folder)
    assert loaded.model.task == CountThings(LABELS)
    images = dotted(6, seed=3).examples
    assert tltk.predict(loaded, images) == tltk.predict(run, images)


def test_labels_of_another_task_are_refused(run):
    with pytest.raises(ValueError, match="labels"):
        tltk.evaluate(run.model, tltk.from_arrays(dotted(4).examples, [0, 1, 0, 1]))
