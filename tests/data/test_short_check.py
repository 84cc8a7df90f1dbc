"""The short look at the data before a fit."""

import logging
import shutil
from dataclasses import replace

import numpy as np

import tltk
from tests.images import class_folder
from tltk.data import short_check


def test_equal_files_in_two_classes_and_in_validation(tmp_path, caplog):
    folder = class_folder(tmp_path / "photos")
    shutil.copy(folder / "cat" / "0000.png", folder / "dog" / "copy.png")
    photos = tltk.from_folder(folder)
    val = photos.subset([0, 5])
    with caplog.at_level(logging.WARNING, "tltk"):
        short_check.tell(photos.subset([0, 1, 2, 3, 4, 6]), val)
    assert "1 examples have an identical copy in another class (dog/copy.png); tltk.inspect lists them." in caplog.text
    assert "1 of 2 validation examples are in training too (cat/0000.png)" in caplog.text


def test_uneven_classes_are_told():
    source = tltk.from_arrays([f"text {row}" for row in range(12)], [0] * 11 + [1])
    (note,) = short_check.notes(source, None)
    assert note.startswith("classes are uneven: 11 examples of 0, 1 of 1")
    assert 'balance="auto" may help' in note
    assert short_check.notes(source, None, is_balanced=True) == []


def test_a_class_without_examples_is_told():
    source = tltk.from_arrays(["a fine day", "rain"], [0, 1], labels=["sun", "rain", "snow"])
    assert short_check.notes(source, None) == ["classes without training examples: 'snow'; the model cannot learn them"]


def test_classes_of_a_single_group_are_told():
    source = tltk.from_arrays(["a fine day", "sun", "rain", "drizzle"], [0, 0, 1, 1], labels=["sun", "rain"])
    (note,) = short_check.notes(replace(source, groups=np.array(["x", "y", "z", "z"])), None)
    assert note == "classes whose examples are all one group: 'rain'; no cross-validation can judge them"
    assert short_check.notes(replace(source, groups=np.array(["x", "y", "z", "x"])), None) == []


def test_class_weights_are_advised_only_where_an_example_has_one_class():
    texts = [f"text {row}" for row in range(12)]
    several = tltk.from_arrays(texts, [["a"]] * 11 + [["b"]], label_type="multilabel")
    images = np.random.default_rng(0).integers(0, 255, (12, 8, 8, 3), "uint8")
    boxes = [{"boxes": [[0, 0, 4, 4]], "labels": [int(row == 11)]} for row in range(12)]
    detected = tltk.from_arrays(images, boxes, labels=("a", "b"), label_type="boxes")
    for source in (several, detected):
        assert short_check.notes(source, None) == ["classes are uneven: 11 of a, 1 of b; look at the scores of each"]


def test_clean_data_is_not_commented(caplog):
    source = tltk.from_arrays([f"text {row}" for row in range(8)], [0, 1] * 4)
    with caplog.at_level(logging.WARNING, "tltk"):
        short_check.tell(source.subset([0, 1, 2, 3]), source.subset([4, 5]))
        short_check.tell("no source", None)
    assert caplog.text == ""
    assert short_check.notes(tltk.from_arrays(["a", "a"], [1.0, 2.0], label_type="regression"), None) == []


def test_large_arrays_are_not_hashed(monkeypatch):
    x = np.zeros((4, 2, 2, 3), "uint8")
    assert len(short_check.notes(tltk.from_arrays(x, [0, 1, 0, 1]), None)) == 1
    monkeypatch.setattr(short_check, "_MAX_BYTES", 40)
    assert short_check.notes(tltk.from_arrays(x, [0, 1, 0, 1]), None) == []
