"""Sketches in a file, and what modalities do that know nothing of inspections."""

import numpy as np

from tltk.modalities.traits import Remark, StoredSketches, Traits


def test_sketches_are_read_back_in_any_order():
    stored = StoredSketches((2, 3), "float32")
    values = np.arange(24, dtype="float32").reshape(4, 2, 3)
    stored.write(np.array([3, 1]), values[[3, 1]])
    stored.write(np.array([0, 2]), values[[0, 2]])
    np.testing.assert_array_equal(stored[np.array([2, 0, 3, 3])], values[[2, 0, 3, 3]])


def test_a_row_that_was_never_written_between_others_is_zeros():
    stored = StoredSketches((2,), "uint8")
    stored.write(np.array([2]), np.array([[7, 8]]))
    assert stored[np.array([0, 2])].tolist() == [[0, 0], [7, 8]]


def test_traits_are_empty_by_default():
    traits = Traits()
    assert (traits.hashes, traits.sketches, traits.digests, dict(traits.undecodable)) == (None, None, None, {})
    assert Remark("odd_size", "warning", "look", {3: "1 x 1 pixels"}).details[3]
