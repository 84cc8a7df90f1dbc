import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.texts import texts
from tltk.tasks.sources import require_labels


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
