"""Run lengths of COCO are read as pycocotools reads them."""

import numpy as np
import pytest

from tltk.data.formats.coco_masks import object_pixels

tools = pytest.importorskip("pycocotools.mask")


@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_of_random_masks_agree_with_pycocotools(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 200, 2).tolist()
    pixels = (random.random((height, width)) < random.choice([0, 0.01, 0.5, 1])).astype(np.uint8)
    if seed % 2:
        pixels = np.repeat(pixels, 7, 0)[:height]
    text = tools.encode(np.asfortranarray(pixels))["counts"].decode()
    assert (object_pixels({"size": [height, width], "counts": text}, height, width) == pixels).all()
