"""Patches are grey squares of 64 px, seeded, from regions that do not overlap."""

import numpy as np
import pytest
from PIL import Image

from tltk.demo import patches
from tltk.errors import MissingExtra


def test_the_regions_of_the_three_parts_do_not_overlap():
    photo = np.zeros((100, 80))
    for upside_down in (False, True):
        photo[:] = 0
        for part in ("train", "val", "test"):
            patches.region_of(photo, part, upside_down=upside_down)[:] += 1
        assert photo.max() == 1
        assert (photo == 1).mean() == 1


def test_patches_are_small_grey_seeded_and_exist_for_every_class(tmp_path):
    first = patches.make_patches(tmp_path / "a", train=2, val=1, test=1, seed=3)
    same_seed = patches.make_patches(tmp_path / "b", train=2, val=1, test=1, seed=3)
    other_seed = patches.make_patches(tmp_path / "c", train=2, val=1, test=1, seed=4)
    assert len(list((first / "train").iterdir())) == 14
    name = "train/cat/001.png"
    with Image.open(first / name) as image:
        assert (image.size, image.mode) == ((64, 64), "L")
    assert (first / name).read_bytes() == (same_seed / name).read_bytes() != (other_seed / name).read_bytes()


def test_without_scikit_image_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(patches.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install tltk\[demo\]"):
        patches.read_photo("cat")
