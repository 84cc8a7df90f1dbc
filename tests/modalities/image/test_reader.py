import numpy as np
import pytest

import tltk
from tests.images import class_folder
from tltk.modalities.image.reader import READERS
from tltk.pipeline.batching import Order
from tltk.specs import ImageSpec


def sources(folder):
    files = tltk.from_folder(class_folder(folder, count=6))
    arrays = tltk.from_arrays(np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8"))
    return files, arrays


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("seed", [None, 5])
def test_every_example_is_read_once_in_the_order_asked_for(tmp_path, which, seed):
    source = sources(tmp_path)[which]

    def read():
        reader = READERS[source.storage](source.examples, ImageSpec(8, 8))
        pieces = list(reader.pieces(Order(5, seed)))
        return np.concatenate([piece.rows for piece in pieces]), np.concatenate([piece.values[0] for piece in pieces])

    positions, pixels = read()
    assert sorted(positions) == list(range(12))
    assert (list(positions) == list(range(12))) == (seed is None)
    scale = 2 if which == 0 else 1
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], positions * scale)
    np.testing.assert_array_equal(read()[0], positions)
