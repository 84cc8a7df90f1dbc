"""Registration finds that two images are one image, moved and brightened, and that others are not."""

import numpy as np
import pytest
from PIL import Image

from tests.inspection.photos import CHANGES, changed, picture
from tltk.modalities.image.registration import SIDE, differences


def sketch(pixels):
    return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def difference(first, second):
    return float(differences(sketch(first)[None], sketch(second)[None])[0])


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_differs_little_in_both_directions(change):
    original = picture(1)
    copy = changed(original, change)
    assert difference(original, copy) < 0.02
    assert difference(copy, original) < 0.02


def test_other_images_differ_much():
    others = np.stack([sketch(picture(seed)) for seed in range(2, 30)])
    assert differences(np.repeat(sketch(picture(1))[None], len(others), 0), others).min() > 0.3


def test_what_is_no_small_change_is_another_image():
    original = picture(1)
    assert difference(original, original) < 1e-6
    assert difference(original, np.rot90(original).copy()) > 0.3
    assert difference(original, 255 - original) == np.inf
    assert difference(original, original[:20, :20]) > 0.3


def test_a_color_matters_and_a_small_object_matters():
    original = picture(1)
    assert difference(original, original[..., ::-1].copy()) > 0.3
    with_object = original.copy()
    with_object[20:30, 20:30] = 255
    assert difference(original, with_object) > 0.1


def test_even_images_are_equal_only_if_they_are_equally_bright():
    even, brighter = (np.full((40, 40, 3), level, "uint8") for level in (20, 240))
    assert difference(even, even) == 0
    assert difference(even, brighter) == np.inf
