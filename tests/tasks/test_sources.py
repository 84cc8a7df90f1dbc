import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tests.texts import texts
from tltk.tasks.sources import require_labels, with_labels_of


def test_a_source_needs_labels_equal_to_those_of_the_task():
    task = tltk.classification(["bad", "good"])
    require_labels(task, texts(), "train")
    with pytest.raises(ValueError, match="`train` has no labels: 1 texts"):
        require_labels(task, tltk.from_arrays(["a text"]), "train")
    with pytest.raises(ValueError, match="different labels"):
        require_labels(tltk.classification(["bad", "best"]), texts(), "train")


def test_a_dataset_needs_targets_and_class_names_in_the_order_of_the_task():
    task = tltk.classification(["bad", "good"])
    dataset = tf.data.Dataset.from_tensor_slices((np.zeros(2), [0, 1]))
    require_labels(task, dataset, "train")
    dataset.class_names = ["bad", "good"]
    require_labels(task, dataset, "train")
    dataset.class_names = ["good", "bad"]
    with pytest.raises(ValueError, match=r"(?s)`train`.*another order: good, bad.*order of the model: bad, good"):
        require_labels(task, dataset, "train")
    with pytest.raises(ValueError, match="`val` has no targets"):
        require_labels(task, dataset.map(lambda x, y: x), "val")
    require_labels(tltk.regression(["stars"]), dataset, "train")


def test_data_for_evaluation_may_lack_classes_or_have_another_order():
    task = tltk.classification(["bad", "fair", "good"])
    data = tltk.from_arrays(["a", "b", "c"], ["good", "bad", "good"])
    fitted = with_labels_of(task, data)
    assert fitted.labels == task.labels
    assert fitted.targets.tolist() == [2, 0, 2]
    multilabel = tltk.from_arrays(["a", "b"], [["c"], ["c", "a"]], label_type="multilabel")
    fitted = with_labels_of(tltk.classification(tltk.LabelSpec(("a", "b", "c"), "multilabel")), multilabel)
    assert fitted.targets.tolist() == [[0, 0, 1], [1, 0, 1]]
    for other in (tltk.from_arrays(["a", "b"], ["good", "best"]), multilabel, tltk.from_arrays(["a"])):
        assert with_labels_of(task, other) is other


def test_a_test_set_without_a_class_is_evaluated_with_those_of_the_model():
    model = squares_model()
    test = squares(12)
    kept = test.targets != 1
    red_and_blue = tltk.from_arrays(test.examples[kept], [test[row].label for row in np.flatnonzero(kept)])
    report = tltk.evaluate(model, red_and_blue)
    predicted = tltk.predict(model, red_and_blue).labels
    truth = [red_and_blue[row].label for row in range(len(red_and_blue))]
    assert report.metrics["accuracy"] == np.mean([p == t for p, t in zip(predicted, truth, strict=True)])
    assert report.confusion.sum(1).tolist() == [4, 0, 4]
