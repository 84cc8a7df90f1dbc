"""All examples of an inspection in one numbering."""

import numpy as np

import tltk
from tests.inspection.photos import pictures
from tltk.inspection.examples import look_at


def two_sources():
    source = tltk.from_arrays(pictures(3), ["cat", "dog", "cat"])
    return source, tltk.from_arrays(pictures(2, first=3), ["emu", "dog"])


def test_rows_count_through_source_and_test():
    source, test = two_sources()
    examples = look_at(source, test, None)
    assert examples.names.tolist() == ["example 0", "example 1", "example 2", "test: example 0", "test: example 1"]
    assert examples.parts.tolist() == ["train"] * 3 + ["test"] * 2
    assert [examples.class_names[index] for index in examples.classes] == ["cat", "dog", "cat", "emu", "dog"]
    assert [examples.label(row) for row in (0, 3)] == ["cat", "emu"]
    assert examples.source_ids([1, 4, 0]) == ("example 1", "example 0")
    assert examples.source_size == 3
    both = examples.sketches(np.array([4, 0, 3]))
    np.testing.assert_array_equal(both[0], examples.traits[1].sketches[np.array([1])][0])
    np.testing.assert_array_equal(both[1], examples.traits[0].sketches[np.array([0])][0])
    assert len(set(examples.digests(np.arange(5)))) == 5
    assert examples.is_digested().all()
    assert len(examples.hashes) == len(examples) == 5


def test_unreadable_rows_of_both_are_known():
    source = tltk.from_arrays(["a", " "], ["x", "y"])
    examples = look_at(source, tltk.from_arrays(["", "b"], ["x", "y"]), None)
    assert examples.unreadable == {1: "empty text", 2: "empty text"}
    assert examples.readable.tolist() == [0, 3]
    assert [remark.finding for remark, _ in examples.remarks()] == ["overlong_texts"] * 2


def test_labels_that_are_no_classes():
    source = tltk.from_arrays(["a", "b"], [0.5, 1.5], label_type="regression")
    examples = look_at(source, None, None)
    assert examples.classes is None
    assert examples.label(5) is None
