"""Raw labels become targets; every value that cannot is named with its place."""

import numpy as np
import pytest

from tltk.data.targets import multi, numbers, single


def place(row: int) -> str:
    return f"row {row}"


def test_class_names_become_sorted_indices():
    targets, labels = single(["dog", "cat", "dog"], place=place)
    assert targets.tolist() == [1, 0, 1] and targets.dtype == np.int32
    assert labels.names == ("cat", "dog") and labels.type == "categorical"


def test_names_given_keep_their_order():
    targets, labels = single(["a", "b"], names=("b", "a", "c"), place=place)
    assert targets.tolist() == [1, 0]
    assert labels.names == ("b", "a", "c")


def test_unknown_class_names_are_all_named():
    with pytest.raises(ValueError, match=r"(?s)row 1: 'dgo' is none.*Did you mean 'dog'.*row 2: 'eel'"):
        single(["dog", "dgo", "eel"], names=("cat", "dog"), place=place)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        single(["cat", "cat"], place=place)


def test_several_names_become_zeros_and_ones():
    targets, labels = multi([["b", "a"], [], ["b"]], place=place)
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]] and targets.dtype == np.float32
    assert labels.type == "multilabel"


def test_no_label_at_all_is_refused():
    with pytest.raises(ValueError, match="no example has a label"):
        multi([[], []], place=place)


def test_unknown_names_among_several_are_named():
    with pytest.raises(ValueError, match="row 1: 'z' is none of the 2 classes"):
        multi([["a"], ["b", "z"]], names=("a", "b"), place=place)


def test_numbers_carry_mean_and_deviation():
    targets, labels = numbers([["1"], [3]], names=("age",), place=place)
    assert targets.tolist() == [[1.0], [3.0]] and targets.dtype == np.float32
    assert (labels.mean, labels.std) == ((2.0,), (1.0,))


def test_a_constant_column_has_deviation_one():
    assert numbers([[5], [5]], names=("age",), place=place)[1].std == (1.0,)


def test_what_is_no_finite_number_is_all_named():
    with pytest.raises(ValueError, match=r"(?s)row 0: `age`.*'old'.*row 1: `age`.*nan.*row 2: `age`.*inf.*row 3.*None"):
        numbers([["old"], [float("nan")], ["inf"], [None]], names=("age",), place=place)
