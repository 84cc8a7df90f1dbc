"""What `tltk.fit(balance=…)` asks of a task."""

import numpy as np

import tltk
from tltk.data.targets import as_targets
from tltk.specs import LabelSpec
from tltk.tasks import from_config
from tltk.tasks.uneven import describe_decision

TAGS = LabelSpec(("city",), "entities")


def counts(task, targets):
    return task.class_counts(targets)


def test_classes_labels_and_tags_are_counted():
    classes = counts(tltk.classification(["a", "b", "c"]), np.array([0, 0, 1]))
    assert (classes.names, classes.counts.tolist(), classes.total) == (("a", "b", "c"), [2, 1, 0], 3)
    assert classes.is_exclusive
    labels = counts(tltk.classification(LabelSpec(("a", "b"), "multilabel")), np.array([[1, 1], [0, 1], [0, 0]]))
    assert (labels.counts.tolist(), labels.total, labels.is_exclusive) == ([1, 2], 3, False)
    tags = counts(tltk.token_classification(TAGS), np.array([[0, 1, -1], [0, -1, -1]]))
    assert (tags.names, tags.counts.tolist(), tags.total) == (("O", "B-city", "I-city"), [2, 1, 0], 3)


def test_a_decision_is_part_of_the_task_and_of_its_config():
    task = tltk.classification(["a", "b"]).with_decision(
        {"prior": (0.5, 0.5), "factors": (0.2, 1.8), "thresholds": (1.0,)}
    )
    assert from_config(task.to_config()) == task
    assert task.describe_decoding() == {"prior": {"a": 0.5, "b": 0.5}, "factors": {"a": 0.2, "b": 1.8}}
    with_costs = tltk.classification(["a", "b"]).with_decision({"costs": ((0.0, 1.0), (9.0, 0.0))})
    assert with_costs.describe_decoding() == {"costs": {"a": {"a": 0.0, "b": 1.0}, "b": {"a": 9.0, "b": 0.0}}}
    assert from_config(with_costs.to_config()) == with_costs
    labels = tltk.classification(LabelSpec(("a", "b"), "multilabel")).with_decision({"thresholds": (0.1, 0.7)})
    assert from_config(labels.to_config()) == labels
    assert labels.describe_decoding() == {"threshold": 0.5, "thresholds": {"a": 0.1, "b": 0.7}}
    tags = tltk.token_classification(TAGS).with_decision({"prior": (0.5, 0.25, 0.25), "factors": (1.0,)})
    assert tags.describe_decoding() == {"prior": {"O": 0.5, "B-city": 0.25, "I-city": 0.25}}
    assert tltk.regression(["price"]).with_decision({"prior": (1.0,)}) == tltk.regression(["price"])


def test_source_targets_are_counted_as_arrays_are():
    labels = LabelSpec(("a", "b"))
    assert tltk.classification(labels).class_rows(as_targets([1, 0], labels)).tolist() == [[0, 1], [1, 0]]


def test_values_without_names_are_left_out():
    assert describe_decision(("a",), {"prior": (), "factors": (2.0,)}) == {"factors": {"a": 2.0}}
