import numpy as np
import pytest
import tensorflow as tf

import tltk
from tltk.specs import LabelSpec
from tltk.tasks.label_spec import label_spec


def test_a_list_of_names_becomes_a_label_spec():
    assert label_spec(["a", "b"], "multilabel") == LabelSpec(("a", "b"), "multilabel")
    spec = LabelSpec(("a",), "entities")
    assert label_spec(spec, "categorical") is spec
    assert label_spec(np.array(["a", "b"]), "categorical").names == ("a", "b")
    for labels in (None, "cat", tltk.from_arrays(["a text"])):
        with pytest.raises(TypeError, match=r"`labels` must be LabelSpec.*`source.labels`, or a list of names"):
            label_spec(labels, "categorical")
    assert label_spec([1, 2], "categorical").names == ("1", "2")
    assert label_spec({0: "a", 1: b"b"}, "categorical").names == ("a", "b")
    with pytest.raises(TypeError, match=r"`labels` must be names. Received: None"):
        label_spec(["a", None], "categorical")
    with pytest.raises(ValueError, match="at least one name"):
        label_spec([], "categorical")


@pytest.mark.parametrize("constructor", [tltk.classification, tltk.regression, tltk.token_classification])
def test_every_constructor_takes_names_a_spec_a_source_or_a_dataset(constructor):
    task = constructor(["a", "b"])
    dataset = tf.data.Dataset.range(2)
    dataset.class_names = ["a", "b"]  # as keras.utils.image_dataset_from_directory does
    source = tltk.from_arrays(["one", "two"], ["a", "b"])
    assert constructor(("a", "b")) == constructor(task.labels) == constructor(dataset) == task
    assert tltk.classification(source) == tltk.classification(source.labels)
