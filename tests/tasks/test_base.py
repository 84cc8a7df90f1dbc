from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import STAGES, conv_net
from tltk.heads.builder import Head
from tltk.specs import LabelSpec
from tltk.tasks import Context, Monitor, Prediction, Task
from tltk.tasks.base import difference

TASK = tltk.classification(["cat", "dog"])


@dataclass(frozen=True)
class Counting(Task):
    """The shortest task: everything else is a default."""

    name: ClassVar[str] = "counting"
    labels: LabelSpec
    head: Head | None = None
    steps: tuple[int, ...] = ()

    def outputs(self, features, *, mask=None, seed=0):
        """One number per label."""
        pooled = keras.layers.GlobalAveragePooling2D()(list(features.values())[-1])
        return keras.layers.Dense(len(self.labels), name="head_output")(pooled)

    def loss(self):
        """Squared error."""
        return keras.losses.MeanSquaredError()


COUNTING = Counting(LabelSpec(("apples", "pears"), "regression"), steps=(1, 2))


def test_a_task_needs_only_outputs_and_a_loss():
    with pytest.raises(TypeError, match="abstract"):
        Task()
    assert COUNTING.monitor == Monitor("loss", "min")
    assert COUNTING.metrics() == []
    assert COUNTING.encode("anything") == "anything"
    assert COUNTING.input_spec("anything") == "anything"
    assert COUNTING.request_names(("texts",)) == ("texts",)
    assert COUNTING.endpoints(tltk.backbone(conv_net(), stages=STAGES)) == ("conv3",)


def test_by_default_outputs_are_decoded_as_averages_over_windows():
    outputs = tf.constant([[1.0, 2.0], [3.0, 4.0], [7.0, 8.0]])
    context = Context(tf.constant(2, tf.int64), tf.constant([0, 0, 1], tf.int64))
    assert COUNTING.decode(outputs, context)["outputs"].numpy().tolist() == [[2.0, 3.0], [7.0, 8.0]]
    assert COUNTING.decode_elements(outputs)["outputs"].shape == (3, 2)
    named = {"matrix": outputs, "vector": outputs[:, 0]}
    assert set(COUNTING.decode(named, Context(tf.constant(3, tf.int64)))) == {"matrix", "vector"}


def test_scores_of_a_prediction_are_the_described_outputs_by_name():
    decoded = {"outputs": np.array([[1.0, 2.0]], "float32"), "label": np.array(["few"], object)}
    expected = Prediction("a.jpg", "few", None, {"apples": 1.0, "pears": 2.0})
    assert COUNTING.predictions(decoded, ["a.jpg"]) == [expected]


def test_the_default_evaluator_reports_the_mean_loss():
    evaluator = COUNTING.evaluator()
    evaluator.update(np.array([[1.0, 1.0]]), {"outputs": np.array([[2.0, 2.0]])}, ["a"])
    evaluator.update(np.zeros((3, 2)), {"outputs": np.zeros((3, 2))}, ["b", "c", "d"])
    assert evaluator.result().metrics == {"loss": pytest.approx(1 / 4)}
    weighted, ones = COUNTING.evaluator(), np.ones((2, 2))
    weighted.update(ones, {"outputs": ones * [[2], [3]]}, ["a", "b"], sample_weight=np.array([3, 1], "float32"))
    assert weighted.result().metrics == {"loss": pytest.approx((3 * 1 + 4) / 4)}
    with pytest.raises(ValueError, match=r"decodes no column 'outputs'.*define Counting\.evaluator\(\)"):
        COUNTING.evaluator().update(np.zeros((1, 2)), {"label": np.array(["x"])}, ["a"])


def test_the_config_holds_the_fields_and_lists_are_restored_as_tuples():
    config = COUNTING.to_config()
    assert config["name"] == "counting" and config["steps"] == (1, 2)
    assert Counting.from_config({**config, "steps": [1, 2]}) == COUNTING
    with_head = Counting(COUNTING.labels, tltk.head(hidden=(3,)))
    assert Counting.from_config(with_head.to_config()) == with_head
    with pytest.raises(TypeError, match="colour"):
        Counting.from_config({**config, "colour": "red"})


def test_decoded_columns_agree_within_the_tolerance():
    answer = {"label": "cat", "score": np.float32(0.5), "rows": np.array([1, 2])}
    assert COUNTING.agrees(answer, {**answer, "score": np.float32(0.500001), "further": 1}, 1e-5) == ""
    assert "`score` differs by 1.0e-01" in COUNTING.agrees(answer, {**answer, "score": np.float32(0.6)}, 1e-5)
    assert "`label`: 'cat' is not 'dog'" in COUNTING.agrees(answer, {**answer, "label": "dog"}, 1e-5)
    assert "`rows` has shape (2,) and (3,)" in COUNTING.agrees(answer, {**answer, "rows": np.arange(3)}, 1e-5)
    assert COUNTING.agrees(answer, {"label": "cat"}, 1e-5) == "`score` is missing"


def test_the_tolerance_is_relative_above_one_and_nan_never_agrees():
    assert difference("value", 1000.0, 1000.005, 1e-5) == ""
    assert difference("value", np.nan, 1.0, 1e-5) == "`value` differs by nan"


def test_equal_labels_pass_and_every_differing_label_is_listed():
    TASK.check_labels(LabelSpec(("cat", "dog")), "train")
    with pytest.raises(ValueError, match=r"(?s)`val`.*does not know: owl.*lacks labels that the model knows: dog"):
        TASK.check_labels(LabelSpec(("cat", "owl")), "val")
    with pytest.raises(ValueError, match=r"in another order: dog, cat"):
        TASK.check_labels(LabelSpec(("dog", "cat")), "val")
    with pytest.raises(ValueError, match=r"labels of type 'multilabel', the model's task has 'categorical'"):
        TASK.check_labels(LabelSpec(("cat", "dog"), "multilabel"), "val")
