"""A custom task with two outputs and two endpoints works in every function and uses only public names."""

import json
from dataclasses import dataclass, field
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net
from tltk.heads.builder import Head, attach, pool

pytestmark = pytest.mark.usefixtures("replay_here")

COLOURS = ("red", "green", "blue")


@tltk.register_task
@dataclass(frozen=True)
class ColourAndLight(tltk.Task):
    """Predict the colour and the lightness of a square; targets [n, 2] hold both."""

    name: ClassVar[str] = "colour_and_light"
    monitor: ClassVar[tltk.Monitor] = tltk.Monitor("colour_accuracy", "max")
    score_name: ClassVar[str] = "colour_accuracy"

    labels: tltk.LabelSpec
    head: Head = field(default_factory=tltk.head)
    middle: float = 1.0

    def endpoints(self, backbone):
        return ("conv2", "conv3")

    def outputs(self, features, *, mask=None, seed=0):
        colour = attach(self.head, features["conv3"], units=3, seed=seed)
        light = keras.layers.Dense(1, kernel_initializer="zeros")(pool(features["conv2"], "avg") / 100.0)
        return {
            "colour": keras.layers.Softmax(name="colour")(colour),
            "light": keras.layers.Rescaling(0.1, self.middle, name="light")(light),
        }

    def encode(self, targets):
        return {"colour": tf.one_hot(tf.cast(targets[:, 0], tf.int32), 3), "light": tf.cast(targets[:, 1:], tf.float32)}

    def loss(self):
        return {"colour": keras.losses.CategoricalCrossentropy(), "light": keras.losses.MeanAbsoluteError()}

    def metrics(self):
        return {"colour": [keras.metrics.CategoricalAccuracy(name="accuracy")], "light": []}

    def describe_outputs(self):
        return {"colour": COLOURS, "light": ("light",)}

    def decode(self, outputs, context):
        best = tf.argmax(outputs["colour"], -1)
        return {**outputs, "label": tf.gather(tf.constant(COLOURS), best)}

    def evaluator(self):
        return ColourScore()


class ColourScore:
    """Computes the accuracy of colours and the mean absolute error of lightness."""

    def __init__(self):
        self.correct, self.error, self.count = 0, 0.0, 0

    def update(self, targets, decoded, ids):
        self.correct += sum(COLOURS[int(row[0])] == label for row, label in zip(targets, decoded["label"], strict=True))
        self.error += float(np.abs(targets[:, 1:] - decoded["light"]).sum())
        self.count += len(ids)

    def result(self):
        return tltk.ReportParts({"colour_accuracy": self.correct / self.count, "light_error": self.error / self.count})


def source(count=24, seed=0):
    x, y = coloured_squares(count, seed=seed)
    targets = np.stack([y, x.mean((1, 2, 3)) / 100], 1).astype("float32")
    return tltk.from_arrays(x, targets, labels=("colour", "light"), label_type="regression")


def model_of(data):
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    return tltk.assemble(backbone, ColourAndLight(data.labels), precision="float32")


@pytest.mark.parametrize("recipe", ["linear_probe", "full"])
def test_a_task_with_two_outputs_is_trained_evaluated_saved_and_exported(tmp_path, recipe, replay_here):
    data = source()
    model = model_of(data)
    assert set(model.keras.output) == {"colour", "light"}
    recipes = {
        "linear_probe": tltk.linear_probe(epochs=20, learning_rate=0.05),
        "full": tltk.full(epochs=20, learning_rate=0.01, augment=()),
    }
    run = tltk.fit(model, data, source(9, seed=1), recipe=recipes[recipe], batch_size=8, out=tmp_path / "run")
    assert {"colour_accuracy", "val_colour_accuracy", "val_light_loss"} <= set(run.history[-1])
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    report = tltk.evaluate(run.model, source(15, seed=2))
    assert report.metrics["colour_accuracy"] > 0.6 and report.task == "colour_and_light"
    loaded = tltk.load_run(tmp_path / "run").model
    assert loaded.task == model.task
    assert tltk.evaluate(loaded, source(15, seed=2)).metrics == pytest.approx(report.metrics)
    predictions = tltk.predict(loaded, data.subset([0, 1]))
    assert list(predictions[0].scores) == [*COLOURS, "light"] and predictions[0].label in COLOURS
    assert predictions.fields["colour"].shape == (2, 3) and predictions.labels[0] == predictions[0].label
    if recipe == "linear_probe":  # an export does not depend on the recipe
        check_exports(loaded, data, tmp_path)


def check_exports(loaded, data, tmp_path):
    exported = tltk.export(loaded, tmp_path / "serving")
    assert set(tltk.verify(exported.path, measure_latency=False).differences["serving_default"]) == {
        "colour", "light", "label", "valid", "error",
    }  # fmt: skip
    exported = tltk.export(loaded, tmp_path / "onnx", format="onnx", calibration=data)
    assert set(exported.differences["predict_tensor"]) == {"colour", "light"} and exported.answers.changed == 0
    assert exported.answers.score == exported.answers.model_score > 0.6
    description = json.loads((exported.path / "model.json").read_text())
    assert description["outputs"] == {"colour": list(COLOURS), "light": ["light"]}
    assert description["output_shapes"] == {"colour": [None, 3], "light": [None, 1]}
