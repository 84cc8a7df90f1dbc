"""Findings about classes, parts and labels."""

import numpy as np

import tltk
from tests.inspection.photos import changed, picture, pictures
from tltk.inspection import findings
from tltk.inspection.confident_learning import LabelIssues
from tltk.inspection.duplicates import find_duplicates
from tltk.inspection.examples import look_at


def found_in(source, test=None):
    examples = look_at(source, test, None)
    duplicates = find_duplicates(examples, None, false_alarms=0.02, seed=0)
    found = {item.name: item for item in findings.duplicates(examples, duplicates)}
    return found, findings.leaked_test_rows(examples, duplicates)


def test_class_counts():
    found = {item.name: item for item in findings.class_counts({"a": 500, "b": 9, "c": 0, "d": 40, "e": 90})}
    assert found["empty_classes"].examples == ("c",)
    assert found["few_examples"].examples == ("b (9)",)
    assert found["uneven_classes"].examples == ("a (500), b (9)",)
    assert found["uneven_classes"].count == 2
    assert not [item for item in findings.class_counts({"a": 50, "b": 45}) if item.count]
    assert not [item for item in findings.class_counts({}) if item.count]


def test_duplicates_in_one_part_in_two_and_with_other_labels():
    x = pictures(9)
    x[1], x[2], x[4] = x[0], x[0], x[3]
    test = np.stack([x[5], changed(x[6], "brighten"), picture(90)])
    labels = ["cat", "cat", "cat", "cat", "dog", "dog", "dog", "cat", "dog"]
    found, leaked = found_in(tltk.from_arrays(x, labels), tltk.from_arrays(test, ["dog", "cat", "dog"]))
    assert found["exact_duplicates"].examples == ("example 0 = example 1 = example 2",)
    assert (found["exact_duplicates"].count, found["exact_duplicates"].exclude) == (2, ("example 1", "example 2"))
    assert found["leaks"].examples == ("example 5 = test: example 0",)
    assert found["leaks"].exclude == ("example 5",)
    assert found["near_leaks"].examples == ("example 6 ≈ test: example 1",)
    assert found["near_leaks"].exclude == ("example 6",)
    assert found["conflicting_labels"].examples == (
        "example 3 (cat) = example 4 (dog)",
        "example 6 (dog) ≈ test: example 1 (cat)",
    )
    assert found["conflicting_labels"].exclude == ("example 3", "example 4")
    assert found["near_duplicates"].count == 0
    assert leaked == {9, 10}


def test_a_class_called_none_differs_from_others():
    x = pictures(3)
    x[1] = x[0]
    found, _ = found_in(tltk.from_arrays(x, ["None", "cat", "cat"]))
    assert found["conflicting_labels"].examples == ("example 0 (None) = example 1 (cat)",)
    assert found["exact_duplicates"].count == 0


def test_parts_of_one_source_are_compared_and_the_test_copy_stays():
    x = pictures(6)
    x[4] = x[0]
    parts = np.array(["train", "train", "val", "val", "test", "test"])
    source = tltk.Source("image", "arrays", x, parts=parts, ids=np.array(list("abcdef"), object))
    found, leaked = found_in(source)
    assert found["leaks"].examples == ("a = e",)
    assert found["leaks"].exclude == ("a",)
    assert leaked == {4}


def test_wrong_labels_are_told_with_the_likelier_class():
    examples = look_at(tltk.from_arrays(pictures(3), ["cat", "dog", "cat"]), None, None)
    issues = LabelIssues(np.array([1]), np.array([0]), np.array([0.8]))
    found = findings.wrong_labels(examples, np.array([0, 2]), issues, ["dog"])
    assert found.examples == ("example 2 (cat, more likely dog)",)
    assert found.ids == found.exclude == ("example 2",)


def test_errors_come_first_and_what_was_not_found_is_left_out():
    items = [findings.finding(name, ["x"]) for name in ("odd_size", "near_leaks", "leaks")]
    items.append(findings.finding("scaling", []))
    assert [item.name for item in findings.sorted_findings(items)] == ["leaks", "near_leaks", "odd_size"]


def test_unreadable_examples_are_those_found_now_and_those_known_before():
    invalid = (tltk.InvalidExample("t.csv, row 9", "`label` must not be empty"),)
    source = tltk.Source(
        "text", "arrays", np.array(["a", " "], object), ids=np.array(["r1", "r2"], object), invalid=invalid
    )
    examples = look_at(source, None, None)
    found = findings.unreadable(examples)
    assert found.examples == ("r2 (empty text)", "t.csv, row 9 (`label` must not be empty)")
    assert found.exclude == ("r2", "t.csv, row 9")
    assert findings.remarked(examples) == []
