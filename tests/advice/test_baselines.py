"""Tests of `tltk.advice.baselines`."""

import numpy as np
from PIL import Image

import tltk
from tests.conftest import squares
from tltk.advice.baselines import BASELINES


def test_pixels_are_features():
    features, invalid = BASELINES["image"].compute(squares(6))
    assert (features.shape, invalid) == ((6, 768), {})
    assert 0 < features.mean() < 1


def test_images_that_cannot_be_decoded_are_listed(tmp_path):
    for name, label in (("a", "red"), ("b", "blue")):
        (tmp_path / label).mkdir()
        pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / label / f"{name}.png")
    damaged = tmp_path / "red" / "a.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    source = tltk.from_folder(tmp_path)
    _, invalid = BASELINES["image"].compute(source)
    assert [source.id_of(row) for row in invalid] == ["red/a.png"]


def test_words_are_features_also_of_pairs_and_without_letters():
    compute = BASELINES["text"].compute
    texts = tltk.from_arrays(["a red fox", "a blue fox"], ["x", "y"])
    assert np.allclose(np.linalg.norm(compute(texts)[0], axis=1), 1)
    pairs = tltk.from_arrays([("a fox", "is red"), ("a fox", "is blue")], ["x", "y"])
    features, _ = compute(pairs)
    assert features.shape[1] == 5
    assert compute(tltk.from_arrays(["?!", ":-)"], ["x", "y"]))[0].shape[1] == 5
