"""Exact and near duplicates."""

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.inspection.photos import CHANGES, changed, picture, pictures
from tltk.inspection.duplicates import find_duplicates
from tltk.inspection.examples import look_at

OPTIONS = {"false_alarms": 0.02, "seed": 0}


def find(source, features=None, test=None):
    return find_duplicates(look_at(source, test, None), features, **OPTIONS)


def test_a_copy_in_another_format_is_a_copy_and_a_jpeg_of_it_is_a_near_duplicate(tmp_path):
    for number in range(4):
        Image.fromarray(picture(number, side=300)).save(tmp_path / f"{number}.jpg")
    with Image.open(tmp_path / "1.jpg") as image:
        image.save(tmp_path / "4.png")  # the pixels of a JPEG, whose reduced decoding differs a little
        image.save(tmp_path / "5.jpg", quality=50)
    found = find(tltk.from_folder(tmp_path, unlabelled=True))
    assert found.originals.tolist() == [0, 1, 2, 3, 1, 5]
    assert found.near.tolist() == [[1, 5]]
    assert found.groups(6).tolist() == [0, 1, 2, 3, 1, 1]


def test_near_duplicates_are_found_by_hash_and_those_with_other_hashes_by_features():
    changes = [changed(picture(number), change) for number, change in enumerate(CHANGES)]
    source = tltk.from_arrays(np.concatenate([pictures(30), np.stack(changes)]))
    found = {tuple(pair) for pair in find(source).near.tolist()}
    assert {(1, 31), (2, 32), (3, 33)} <= found <= {(number, 30 + number) for number in range(5)}
    generator = np.random.default_rng(0)
    features = generator.normal(size=(35, 16)).astype("float32")
    features[30:] = features[:5] + 0.1
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    by_features = find(source, features)
    assert by_features.near.tolist() == [[number, 30 + number] for number in range(5)]
    assert by_features.threshold == 0.02
    assert not by_features.is_calibrated


def test_clean_data_has_no_duplicates():
    found = find(tltk.from_arrays(pictures(40)))
    assert found.originals.tolist() == list(range(40))
    assert len(found.near) == 0
    assert found.groups(40).tolist() == list(range(40))


def test_many_copies_are_one_cluster_and_hide_no_near_duplicate():
    x = np.concatenate([np.repeat(pictures(1), 30, 0), [changed(picture(0), "re-encode")], pictures(5, first=1)])
    found = find(tltk.from_arrays(x))
    assert (found.originals[:30] == 0).all()
    assert found.near.tolist() == [[0, 30]]


def test_texts_are_copies_but_for_case_and_near_copies_but_for_a_word():
    text = "the quick brown fox jumps over the lazy dog and sleeps in the warm sun for an hour"
    texts = [text, text.upper() + " ", text.replace("lazy", "sleepy"), "something else", "and again another text"]
    found = find(tltk.from_arrays(texts))
    assert found.originals.tolist() == [0, 0, 2, 3, 4]
    assert found.near.tolist() == [[0, 2]]


def test_copies_in_the_test_source():
    found = find(tltk.from_arrays(pictures(3)), test=tltk.from_arrays(pictures(3, first=2)))
    assert found.originals.tolist() == [0, 1, 2, 2, 4, 5]
    assert found.groups(3).tolist() == [0, 1, 2]


def test_other_modalities_are_compared_by_contents_and_features(restored_registries):
    from tests.extension.sensors import SensorModality

    tltk.register_modality(SensorModality())
    examples = np.random.default_rng(0).normal(size=(4, 6, 2)).astype("float32")
    examples[3] = examples[0]
    source = tltk.Source(SensorModality.name, "arrays", examples)
    found = find(source)
    assert found.originals.tolist() == [0, 1, 2, 0]
    assert found.threshold is None
    features = np.eye(4, dtype="float32")
    features[2] = features[1]
    with_features = find(source, features)
    assert with_features.near.tolist() == [[1, 2]]
    assert with_features.differences.tolist() == pytest.approx([0])
