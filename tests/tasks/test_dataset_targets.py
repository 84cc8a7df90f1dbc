import numpy as np
import pytest

from tltk.tasks.dataset_targets import as_texts, class_problem, label_problem, number_problem

NAMES = ("cat", "dog", "fox")


@pytest.mark.parametrize(
    "targets",
    [
        np.array([0, 2, 1]),
        np.array([[0], [2]], "uint8"),
        np.array([[0.0], [1.0]], "float32"),
        np.eye(3, dtype="float16"),
        np.array([[0.2, 0.3, 0.5]], "float32"),
        np.array([b"dog", b"cat"], object),
        np.array([True, False]),
    ],
)
def test_class_numbers_names_and_probabilities_are_classes(targets):
    assert class_problem(targets, NAMES) == ""


@pytest.mark.parametrize(
    ("targets", "match"),
    [
        ([0, 2, -1], r"row 2 has the target -1\. .* from 0 to 2"),
        ([0.0, 0.7], r"row 1 has the target 0\.7\..*tltk\.regression"),
        ([0, 3], r"row 1 has the target 3\..*start at 1"),
        ([0, 9], r"row 1 has the target 9\."),
        ([0.0, np.nan], "row 1 has the target nan"),
        ([b"dog", b"cats"], r"row 1 has the target 'cats'.*Did you mean 'cat'"),
        ([[1.0, 0.0]], r"shape \(1, 2\)"),
        ([[1, 0, 1]], r"row 0 has the target \[1, 0, 1\].*multilabel"),
        ([[0, 0, 0]], "must add up to 1"),
        ([[0.0, 2.0, -1.0]], r"row 0 has the target \[0, 2, -1\]"),
        (np.zeros((2, 3), complex), "dtype complex128"),
        (np.zeros((2, 3, 3)), r"shape \(2, 3, 3\)"),
    ],
)
def test_anything_else_is_not_a_class(targets, match):
    problem = class_problem(np.array(targets, object) if isinstance(targets[0], bytes) else np.array(targets), NAMES)
    with pytest.raises(ValueError, match=match):
        raise ValueError(problem)


def test_labels_are_vectors_of_values_from_0_to_1():
    assert label_problem(np.array([[0, 1, 1], [0.0, 0.5, 0.0]]), NAMES) == ""
    assert label_problem(np.array([0, 1]), ("cat",)) == ""
    assert "row 1 has the target [0, 2, 0]" in label_problem(np.array([[0, 1, 0], [0, 2, 0]]), NAMES)
    assert "shape (2, 4)" in label_problem(np.zeros((2, 4)), NAMES)
    assert "shape (2,)" in label_problem(np.array([0, 1]), NAMES)
    assert "dtype object" in label_problem(np.array([b"cat"], object), NAMES)


def test_numbers_are_finite_and_as_many_as_columns():
    assert number_problem(np.array([[1, -2]]), ("x", "y")) == "" == number_problem(np.array([1.5]), ("x",))
    assert "row 1 has the target nan" in number_problem(np.array([1.0, np.nan]), ("x",))
    assert "shape (4,)" in number_problem(np.zeros(4), ("x", "y"))
    assert "x, y" in number_problem(np.zeros((2, 3)), ("x", "y"))


def test_strings_of_tensorflow_are_decoded():
    assert as_texts(np.array(["é".encode(), b"\xff"], object)) == ["é", "\ufffd"]
