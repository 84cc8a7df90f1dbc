"""Batches are a pure function of their arguments, and nothing keeps what they were made of."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tltk.data.targets import Targets
from tltk.pipeline.batching import Order
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import Piece


class Numbers:
    """Elements are their own numbers, as float32 and as uint8; element 2 is torn."""

    example_ids = None
    lengths = None
    is_decoded = False

    def __init__(self, count=11, torn=(2,), data=None):
        self.count, self.torn, self.data = count, torn, data
        self.read = []

    @property
    def element_spec(self):
        return (tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.uint8))

    def pieces(self, order):
        for place in order.places(self.count, at_once=2):
            self.read.append(place.batch)
            valid = np.array([row for row in place.rows if row not in self.torn], np.int64)
            invalid = {int(row): "torn" for row in place.rows if row in self.torn}
            yield Piece(place.batch, valid, (valid.astype("float32"), valid.astype("uint8")), invalid, place.ends)


def loader(reader=None, **options):
    reader = reader or Numbers()
    targets = Targets(np.arange(reader.count, dtype="int32") * 10)
    options = {"batch_size": 4, "seed": 3, "finish": lambda batch: (batch.values[1], batch.rest), **options}
    return Loader(reader, "element {}".format, targets, **options)


def rows(dataset):
    return [element[0].numpy().tolist() for element in dataset]


def test_targets_go_beside_their_elements():
    for numbers, targets in loader().dataset(5):
        np.testing.assert_array_equal(targets, numbers.numpy().astype("int32") * 10)


def test_an_epoch_is_an_argument():
    batches = loader()
    epochs = [rows(batches.dataset(epoch)) for epoch in range(3)]
    assert all(sorted(row for rows in epoch for row in rows) == [n for n in range(11) if n != 2] for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert [rows(batches.dataset(epoch)) for epoch in (2, 0, 2)] == [epochs[2], epochs[0], epochs[2]]


def test_two_iterators_do_not_disturb_each_other():
    dataset = loader().dataset(1)
    alone = rows(dataset)
    one, other = iter(dataset), iter(dataset)
    taken = [next(one)[0].numpy().tolist(), next(other)[0].numpy().tolist(), next(one)[0].numpy().tolist()]
    assert taken == [alone[0], alone[0], alone[1]]
    assert [element[0].numpy().tolist() for element in other] == alone[1:]


def test_a_variable_is_read_when_an_iterator_starts():
    epoch = tf.Variable(0, dtype=tf.int64)
    dataset = loader().dataset(epoch)
    first = rows(dataset)
    epoch.assign(4)
    assert rows(dataset) == rows(loader().dataset(4)) != first


@pytest.mark.parametrize("seed", [None, 7])
def test_any_batch_can_be_asked_for_by_epoch_and_number(seed):
    batches = loader(seed=seed)
    for epoch in (0, 3):
        whole = rows(batches.dataset(epoch))
        assert [batches.batch(epoch, number)[0].numpy().tolist() for number in (2, 0, 1)] == [
            whole[2],
            whole[0],
            whole[1],
        ]
    with pytest.raises(IndexError, match=r"epoch 0 has no batch 3 .* it has 3"):
        batches.batch(0, 3)


def test_batches_before_the_first_are_not_read():
    reader = Numbers()
    assert [batch.number for batch in loader(reader).batches(0, first=2)] == [2]
    assert set(reader.read) == {2}


def test_shards_of_a_batch_are_that_batch():
    whole = rows(loader().dataset(2))
    shards = [rows(loader(shard=(index, 2)).dataset(2)) for index in range(2)]
    for number, batch in enumerate(whole):
        assert sorted(shards[0][number] + shards[1][number]) == sorted(batch)
    assert {row for shard in shards for batch in shard for row in batch} == {n for n in range(11) if n != 2}


def test_invalid_elements_are_noted_once_and_batches_without_any_other_are_skipped():
    batches = loader(Numbers(6, torn=(2, 3)), seed=None, batch_size=2)
    for _ in range(2):
        assert rows(batches.dataset()) == [[0, 1], [4, 5]]
    assert [(example.example_id, example.reason) for example in batches.invalid] == [
        ("element 2", "torn"),
        ("element 3", "torn"),
    ]
    assert batches.batch(0, 2)[0].numpy().tolist() == [4, 5]


def test_nothing_readable_is_an_error_with_names():
    with pytest.raises(ValueError, match=r"none of the 2 examples could be decoded: element 0 \(torn\)"):
        list(loader(Numbers(2, torn=(0, 1)), seed=None).batches())


def test_a_user_s_dataset_takes_the_same_way():
    own = tf.data.Dataset.range(6).map(lambda n: (n, n * 10)).batch(4)
    batches = DatasetLoader(own, 2, 6, lambda batch: (batch.values[0] + batch.epoch, batch.rest))
    assert rows(batches.dataset(100)) == [[100, 101, 102, 103], [104, 105]]


def test_data_is_freed_when_loader_and_dataset_are_gone():
    data = np.zeros(1000)
    gone = weakref.ref(data)
    batches = loader(Numbers(data=data))
    dataset = batches.dataset()
    rows(dataset)
    next(iter(dataset))  # and an iterator that is given up
    del data, batches, dataset
    gc.collect()
    assert gone() is None


def test_a_dataset_keeps_its_loader_alive():
    dataset = loader().dataset(1).prefetch(1)
    gc.collect()
    assert len(rows(dataset)) == 3


def test_plain_tensorflow_keeps_generators_forever():
    """The trap that the weak reference in `Loader.dataset` is for (tensorflow#123530)."""
    data = np.zeros(1000)
    gone = weakref.ref(data)

    def generate(data=data):
        yield data[:1]

    dataset = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([1], tf.float64))
    list(dataset)
    del data, generate, dataset
    gc.collect()
    assert gone() is not None


def test_an_order_is_a_function_of_seed_and_epoch():
    orders = [[rows.tolist() for _, rows in Order(4, 1, epoch).batches(10)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]
