"""Readers of image files and arrays."""

import numpy as np
import pytest

import tltk
from tests.images import class_folder
from tltk.modalities.image.reader import READERS
from tltk.pipeline.batching import Order
from tltk.specs import ImageSpec


def source_of(storage, folder):
    """Return 12 images whose gray levels identify them: 2 i in files, i in arrays."""
    if storage == "files":
        return tltk.from_folder(class_folder(folder, count=6))
    return tltk.from_arrays(np.arange(12, dtype="uint8")[:, None, None, None] * np.ones((1, 8, 8, 3), "uint8"))


@pytest.mark.parametrize("storage", ["files", "arrays"])
@pytest.mark.parametrize("seed", [None, 5])
def test_every_image_is_read_once_in_the_requested_order(tmp_path, storage, seed):
    source = source_of(storage, tmp_path)
    assert source.storage == storage

    def read():
        reader = READERS[source.storage](source.examples, ImageSpec(8, 8))
        pieces = list(reader.partial_batches(Order(5, seed)))
        return np.concatenate([piece.rows for piece in pieces]), np.concatenate([piece.values[0] for piece in pieces])

    rows, pixels = read()
    assert sorted(rows) == list(range(12))
    assert (list(rows) == list(range(12))) == (seed is None)
    np.testing.assert_array_equal(pixels[:, 0, 0, 0], rows * (2 if storage == "files" else 1))
    np.testing.assert_array_equal(read()[0], rows)
