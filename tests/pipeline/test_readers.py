import numpy as np

from tltk.data.targets import Targets
from tltk.pipeline.batching import Order
from tltk.pipeline.readers import ArrayReader, PartialBatch, element_targets, join_batches

READER = ArrayReader(np.arange(10, dtype="float32").reshape(5, 2))


def test_an_array_is_read_in_batches():
    batches = list(join_batches(READER.partial_batches(Order(2))))
    assert [(number, rows.tolist()) for number, rows, _ in batches] == [(0, [0, 1]), (1, [2, 3]), (2, [4])]
    np.testing.assert_array_equal(np.concatenate([values[0] for *_, values in batches]), READER.values)
    assert READER.subset(np.array([3, 1])).values.tolist() == [[6, 7], [2, 3]]


def test_a_fingerprint_changes_with_any_value():
    changed = READER.values.copy()
    changed[3, 1] = -1
    assert ArrayReader(changed).fingerprint() != READER.fingerprint() == ArrayReader(READER.values.copy()).fingerprint()


def test_pieces_are_joined_and_batches_without_a_readable_element_skipped():
    def piece(batch, rows, ends):
        return PartialBatch(batch, np.array(rows, np.int64), (np.array(rows),), {}, ends)

    pieces = [piece(0, [0], False), piece(0, [1], True), piece(1, [], True), piece(2, [4], False), piece(2, [], True)]
    assert [(number, rows.tolist()) for number, rows, _ in join_batches(iter(pieces))] == [(0, [0, 1]), (2, [4])]


def test_elements_have_the_targets_of_their_examples():
    class Windows(ArrayReader):
        example_ids = np.array([0, 0, 1, 1, 1])

    targets = Targets(np.array([7, 8]))
    assert element_targets(targets, Windows(READER.values)).tolist() == [7, 7, 8, 8, 8]
    assert element_targets(targets, READER) is targets and element_targets(None, READER) is None
