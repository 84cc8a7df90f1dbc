import keras
import numpy as np
import pytest

from tltk import tasks
from tltk.heads import builder as heads
from tltk.specs import LabelSpec

PETS = LabelSpec(("cat", "dog", "owl"))
TAGS = LabelSpec(("red", "round"), "multilabel")
FEATURES = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")


def outputs(task):
    x = keras.Input((5,))
    return np.asarray(keras.Model(x, task.outputs(x))(FEATURES))


def test_single_labels_sum_to_one_and_several_do_not():
    seeded = heads.head(zero_init=False)
    np.testing.assert_allclose(outputs(tasks.classification(PETS, head=seeded)).sum(-1), 1, rtol=1e-6)
    several = outputs(tasks.classification(TAGS, head=seeded))
    assert several.shape == (4, 2)
    assert np.ptp(several.sum(-1)) > 0.01


def test_encoding_makes_one_hot_targets_and_leaves_mixed_ones():
    task = tasks.classification(PETS)
    np.testing.assert_array_equal(task.encode(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    mixed = np.array([[0.5, 0.5, 0.0]])
    np.testing.assert_array_equal(task.encode(mixed), mixed)
    np.testing.assert_array_equal(tasks.classification(TAGS).encode(np.array([[1, 0]])), [[1.0, 0.0]])


def test_the_loss_is_cross_entropy_with_smoothing():
    guess = np.array([[0.7, 0.2, 0.1]], "float32")
    true = np.array([[1.0, 0, 0]], "float32")
    plain = float(tasks.classification(PETS).loss()(true, guess))
    assert plain == pytest.approx(-np.log(0.7), rel=1e-5)
    smooth = float(tasks.classification(PETS, label_smoothing=0.3).loss()(true, guess))
    assert smooth == pytest.approx(-(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1)), rel=1e-5)


def test_decoding_sorts_labels_by_probability():
    found = tasks.classification(PETS).decode(np.array([[0.1, 0.7, 0.2]]), ["a.jpg"])[0]
    assert (found.example_id, found.label, found.probability) == ("a.jpg", "dog", 0.7)
    assert list(found.scores) == ["dog", "owl", "cat"]


def test_decoding_several_labels_keeps_those_above_the_threshold():
    task = tasks.classification(TAGS, threshold=0.3)
    found = task.decode(np.array([[0.4, 0.9], [0.1, 0.2]]), ["a", "b"])
    assert [item.label for item in found] == ["round, red", ""]


@pytest.mark.parametrize(
    "task",
    [
        tasks.classification(PETS, head=heads.head(hidden=(3,)), label_smoothing=0.1),
        tasks.classification(TAGS, threshold=0.2),
        tasks.regression(LabelSpec(("age",), "regression", (4.0,), (2.0,))),
    ],
)
def test_every_task_survives_a_config_round_trip(task):
    assert tasks.from_config(task.to_config()) == task


def test_wrong_labels_say_what_to_use():
    with pytest.raises(TypeError, match=r"`labels` must be LabelSpec. Received: list. Pass `source.labels`"):
        tasks.classification(["cat"])
    with pytest.raises(ValueError, match=r"`labels` are numbers \(age\), not classes. Use tltk.regression"):
        tasks.classification(LabelSpec(("age",), "regression"))
    with pytest.raises(ValueError, match=r"(?s)at least 2 classes. Received: cat.*`label_smoothing` must"):
        tasks.classification(LabelSpec(("cat",)), label_smoothing=1.0)
    with pytest.raises(ValueError, match=r"`task` must be one of"):
        tasks.from_config({"name": "segment"})
