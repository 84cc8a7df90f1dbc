import numpy as np
import tensorflow as tf

from tests.conftest import squares
from tltk.pipeline.readers import Piece
from tltk.pipeline.stream import from_readers


class Pairs:
    """A reader of two values an example; example 2 is bad."""

    def pieces(self, order, batch_size):
        numbers = np.arange(6) if order is None else order.permutation(6)
        for start in range(0, 6, batch_size):
            rows = numbers[start : start + batch_size]
            good = rows[rows != 2]
            invalid = {2: "torn"} if 2 in rows else {}
            yield Piece(good, (good.astype("float32"), good.astype("uint8")), invalid, True)


def stream(**options):
    values = (tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.uint8))

    def finish(epoch, number, rows, held, rest):
        return held, rest

    return from_readers(lambda epoch: Pairs(), values, squares(6), 4, finish=finish, **options)


def test_several_tensors_go_side_by_side_with_their_targets():
    source = squares(6)
    for (first, second), targets in stream(seed=None).dataset:
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(targets, source.targets[second.numpy()])


def test_the_bad_are_listed_once_and_an_epoch_has_its_order():
    feed = stream(seed=3)
    orders = [np.concatenate([second.numpy() for (_, second), _ in feed.dataset]).tolist() for _ in range(2)]
    assert sorted(orders[0]) == sorted(orders[1]) == [0, 1, 3, 4, 5]
    assert orders[0] != orders[1]
    assert [example.reason for example in feed.invalid] == ["torn"]
    feed.start_at(0)
    assert np.concatenate([second.numpy() for (_, second), _ in feed.dataset]).tolist() == orders[0]
