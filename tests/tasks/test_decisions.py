"""Decisions by factors of classes and costs of mistakes, in the decoder, the report and the comparison of exports."""

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tltk.modalities.context import Context
from tltk.specs import LabelSpec
from tltk.tasks.decisions import decide, decision_scores, indices_of

SCORES = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]], "float32")


def decoded(task):
    columns = task.decode(tf.constant(SCORES), Context(tf.constant(3, tf.int64)))
    return {
        name: np.array([text.decode() for text in values.numpy()], object) if name == "label" else values.numpy()
        for name, values in columns.items()
    }


def test_the_largest_factor_times_probability_decides():
    task = tltk.classification(["a", "b", "c"]).with_decision({"factors": (1.0, 1.5, 1.0)})
    columns = decoded(task)
    assert columns["label"].tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(columns["probability"], [0.7, 0.35, 0.8])
    prediction = task.predictions({**columns, "probabilities": SCORES}, ["1", "2", "3"])[1]
    assert (prediction.label, prediction.probability) == ("b", pytest.approx(0.35))


def test_the_lowest_expected_cost_decides():
    costs = ((0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (10.0, 1.0, 0.0))  # missing a c as an a is expensive
    expected = (SCORES @ np.array(costs)).argmin(1)
    assert decide(tf.constant(SCORES), (), costs)[0].numpy().tolist() == expected.tolist() == [1, 1, 2]
    np.testing.assert_array_equal(decision_scores(SCORES, (), costs).argmax(1), expected)


def test_the_report_counts_what_is_decided():
    task = tltk.classification(["a", "b", "c"]).with_decision({"factors": (1.0, 1.5, 1.0)})
    evaluator = task.evaluator()
    evaluator.update(np.array([0, 1, 2]), decoded(task), ["1", "2", "3"])
    assert evaluator.result().metrics["accuracy"] == 1.0
    plain = tltk.classification(["a", "b", "c"])
    evaluator = plain.evaluator()
    evaluator.update(np.array([0, 1, 2]), decoded(plain), ["1", "2", "3"])
    assert evaluator.result().metrics["accuracy"] == pytest.approx(2 / 3)


def test_labels_may_differ_only_where_the_scores_are_equal():
    task = tltk.classification(["a", "b"]).with_decision({"factors": (0.5, 1.5)})
    at_the_limit = {"label": "a", "probabilities": np.array([0.75, 0.25])}
    clear = {"label": "a", "probabilities": np.array([0.9, 0.1])}
    assert task.agrees(at_the_limit, {**at_the_limit, "label": "b"}, 1e-4) == ""
    assert "'b' is not 'a'" in task.agrees(clear, {**clear, "label": "b"}, 1e-4)


def test_every_label_has_its_threshold():
    task = tltk.classification(LabelSpec(("a", "b", "c"), "multilabel")).with_decision({"thresholds": (0.5, 0.15, 0.9)})
    columns = decoded(task)
    np.testing.assert_array_equal(columns["chosen"], [[1, 1, 0], [0, 1, 0], [0, 0, 0]])
    assert [one.label for one in task.predictions(columns, ["1", "2", "3"])] == ["a, b", "b", ""]
    evaluator = task.evaluator()
    evaluator.update(columns["chosen"].astype(int), columns, ["1", "2", "3"])
    assert evaluator.result().metrics["exact_match"] == 1.0
    other = {"chosen": np.array([False, True, False]), "probabilities": np.array([0.7, 0.2, 0.1])}
    assert "`chosen` differs for ['a']" in task.agrees({**other, "chosen": np.array([1, 1, 0])}, other, 1e-4)


def test_indices_of_labels():
    assert indices_of(np.array(["b", "a", "b"], object), ("a", "b")).tolist() == [1, 0, 1]
