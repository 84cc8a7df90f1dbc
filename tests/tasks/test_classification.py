import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.images import class_folder
from tltk.heads import builder as heads
from tltk.specs import LabelSpec
from tltk.tasks import Context

PETS = LabelSpec(("cat", "dog", "owl"))
TAGS = LabelSpec(("red", "round"), "multilabel")
FEATURES = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")


def outputs(task):
    features = keras.Input((5,))
    return np.asarray(keras.Model(features, task.outputs({"last": features}))(FEATURES))


def decoded(task, rows):
    values = tf.constant(rows, tf.float32)
    columns = task.decode(values, Context(tf.constant(len(rows), tf.int64)))
    return {name: column.numpy() for name, column in columns.items()}


def predictions(task, rows):
    from tltk.inference.forward import Decoder

    columns = Decoder(task)(np.array(rows, "float32"), Context(tf.constant(len(rows), tf.int64)))
    return task.predictions(columns, [f"{row}.jpg" for row in range(len(rows))])


def test_single_label_probabilities_sum_to_one_and_multilabel_ones_do_not():
    seeded = heads.head(zero_init=False)
    np.testing.assert_allclose(outputs(tltk.classification(PETS, head=seeded)).sum(-1), 1, rtol=1e-6)
    multilabel = outputs(tltk.classification(TAGS, head=seeded))
    assert multilabel.shape == (4, 2)
    assert np.ptp(multilabel.sum(-1)) > 0.01


def test_class_indices_become_one_hot_and_blended_targets_stay():
    task = tltk.classification(PETS)
    np.testing.assert_array_equal(task.encode(np.array([2, 0])), [[0, 0, 1], [1, 0, 0]])
    blended = np.array([[0.5, 0.5, 0.0]])
    np.testing.assert_array_equal(task.encode(blended), blended)
    np.testing.assert_array_equal(tltk.classification(TAGS).encode(np.array([[1, 0]])), [[1.0, 0.0]])


def test_the_loss_is_cross_entropy_with_label_smoothing():
    predicted = np.array([[0.7, 0.2, 0.1]], "float32")
    true = np.array([[1.0, 0, 0]], "float32")
    unsmoothed = float(tltk.classification(PETS).loss()(true, predicted))
    assert unsmoothed == pytest.approx(-np.log(0.7), rel=1e-5)
    smoothed = float(tltk.classification(PETS, label_smoothing=0.3).loss()(true, predicted))
    assert smoothed == pytest.approx(-(0.8 * np.log(0.7) + 0.1 * np.log(0.2) + 0.1 * np.log(0.1)), rel=1e-5)


def test_the_decoded_label_is_the_most_likely_class():
    columns = decoded(tltk.classification(PETS), [[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]])
    assert columns["label"].tolist() == [b"dog", b"cat"]
    np.testing.assert_array_equal(columns["probability"], np.array([0.7, 0.5], "float32"))
    assert columns["labels"].tolist() == [[b"cat", b"dog", b"owl"]] * 2


def test_predictions_sort_labels_by_probability():
    (prediction,) = predictions(tltk.classification(PETS), [[0.1, 0.7, 0.2]])
    assert (prediction.example_id, prediction.label, prediction.probability) == ("0.jpg", "dog", pytest.approx(0.7))
    assert list(prediction.scores) == ["dog", "owl", "cat"]


def test_multilabel_predictions_are_the_labels_above_the_threshold():
    task = tltk.classification(TAGS, threshold=0.3)
    assert decoded(task, [[0.4, 0.9], [0.1, 0.2]])["chosen"].tolist() == [[True, True], [False, False]]
    assert [item.label for item in predictions(task, [[0.4, 0.9], [0.1, 0.2]])] == ["round, red", ""]


def test_different_labels_agree_if_they_are_equally_likely():
    task = tltk.classification(PETS)
    answer = {"label": "cat", "probability": 0.4, "probabilities": np.array([0.4, 0.399999, 0.2])}
    assert task.agrees(answer, {**answer, "label": "dog"}, 1e-5) == ""
    assert task.agrees(answer, {**answer, "label": "owl"}, 1e-5) == "'owl' is not 'cat'"
    assert "`probabilities` differs" in task.agrees(answer, {**answer, "probabilities": np.zeros(3)}, 1e-5)


def test_chosen_labels_must_agree_except_at_the_threshold():
    task = tltk.classification(TAGS)
    answer = {"probabilities": np.array([0.500001, 0.9]), "chosen": np.array([True, True])}
    assert task.agrees(answer, {**answer, "chosen": np.array([False, True])}, 1e-5) == ""
    assert task.agrees(answer, {**answer, "chosen": np.array([True, False])}, 1e-5) == "`chosen` differs for ['round']"


def test_a_list_of_names_means_single_label_classification():
    assert tltk.classification(["cat", "dog", "owl"]) == tltk.classification(PETS)


def test_errors_for_other_labels_name_the_function_to_use():
    with pytest.raises(TypeError, match=r"`labels` must be LabelSpec. Received: NoneType. Pass `source.labels`"):
        tltk.classification(None)
    with pytest.raises(ValueError, match=r"`labels` are numbers \(age\), not classes. Use tltk.regression"):
        tltk.classification(LabelSpec(("age",), "regression"))
    with pytest.raises(ValueError, match=r"(?s)at least 2 classes. Received: cat.*`label_smoothing` must"):
        tltk.classification(["cat"], label_smoothing=1.0)


def test_the_classes_of_a_keras_dataset_are_those_of_its_folders(tmp_path):
    class_folder(tmp_path, count=1)
    dataset = keras.utils.image_dataset_from_directory(tmp_path, image_size=(8, 8), verbose=False)
    assert tltk.classification(dataset).labels == LabelSpec(("cat", "dog"))
    with pytest.raises(TypeError, match=r"without `class_names`.*map, batch and take"):
        tltk.classification(dataset.take(1))


def test_targets_of_a_dataset_are_checked_and_names_become_indices():
    task = tltk.classification(PETS)
    assert task.target_problem(np.array([0, 1])) == "" and "row 0" in task.target_problem(np.array([3]))
    assert task.read_targets(tf.constant(["owl", "cat"])).numpy().tolist() == [2, 0]
    assert task.read_targets(tf.constant([2, 0])).numpy().tolist() == [2, 0]
    tags = tltk.classification(TAGS)
    assert tags.target_problem(np.array([[0, 1]])) == "" and "[0, 2]" in tags.target_problem(np.array([[0, 2]]))
