"""Scenes hold the objects that their annotations say."""

import numpy as np
import pytest

import tltk
from tltk.demo import scenes
from tltk.errors import MissingExtra


def test_scenes_are_seeded_and_their_boxes_hold_the_objects(tmp_path):
    first = scenes.make_scenes(tmp_path / "a", train=6, test=5, seed=3)
    same = scenes.make_scenes(tmp_path / "b", train=6, test=5, seed=3)
    for name in ("train.json", "test.json", "train/005.png"):
        assert (first / name).read_bytes() == (same / name).read_bytes()
    source = tltk.from_coco(first / "test.json", first / "test")
    assert source.labels.names == scenes.NAMES and len(source) == 5 and not source.invalid
    for example in source:
        assert example.input.shape == (192, 256, 3) and 1 <= len(example.label) <= 4
        for _, (top, left, bottom, right) in example.label:
            assert 0 <= top < bottom <= 192 and 0 <= left < right <= 256 and max(bottom - top, right - left) <= 110


def test_an_object_is_pasted_where_its_box_is():
    objects = {"coin": [scenes.cut_out(scenes.CUTOUTS["test"]["coin"][0])]}
    background = scenes.read_photo("text.png").point(lambda value: 0)
    scene, boxes = scenes.compose(background, objects, np.random.default_rng(0))
    covered = np.zeros((192, 256), bool)
    for _, (x, y, width, height) in boxes:
        covered[y : y + height, x : x + width] = True
    bright = np.asarray(scene).max(-1) > 30
    assert bright.any() and not (bright & ~covered).sum() > 0.02 * bright.sum()  # but for the soft rim


def test_without_scikit_image_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(scenes.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install tltk\[demo\]"):
        scenes.read_photo("brick.png")
