"""Batches are a pure function of their arguments, and loaders do not leak memory."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tltk.data.targets import Targets
from tltk.pipeline.batching import Order
from tltk.pipeline.loader import DatasetLoader, Loader
from tltk.pipeline.readers import PartialBatch


class IndexReader:
    """A reader whose element i has the values i, as float32 and as uint8; element 2 is invalid."""

    example_ids = None
    lengths = None
    is_decoded = False

    def __init__(self, count=11, invalid=(2,), data=None):
        self.count, self.invalid, self.data = count, invalid, data
        self.batches_read = []

    @property
    def element_spec(self):
        return (tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.uint8))

    def partial_batches(self, order):
        for part in order.parts(self.count, at_once=2):
            self.batches_read.append(part.batch)
            valid = np.array([row for row in part.rows if row not in self.invalid], np.int64)
            invalid = {int(row): "truncated" for row in part.rows if row in self.invalid}
            yield PartialBatch(part.batch, valid, (valid.astype("float32"), valid.astype("uint8")), invalid, part.ends)


def loader(reader=None, **options):
    reader = reader or IndexReader()
    targets = Targets(np.arange(reader.count, dtype="int32") * 10)
    options = {
        "batch_size": 4,
        "seed": 3,
        "finish": lambda batch: (batch.values[1], batch.targets_and_weights),
        **options,
    }
    return Loader(reader, "element {}".format, targets, **options)


def rows(dataset):
    return [element[0].numpy().tolist() for element in dataset]


def test_elements_keep_their_targets():
    for values, targets in loader().dataset(5):
        np.testing.assert_array_equal(targets, values.numpy().astype("int32") * 10)


def test_every_epoch_has_its_own_reproducible_order():
    batches = loader()
    epochs = [rows(batches.dataset(epoch)) for epoch in range(3)]
    assert all(sorted(row for rows in epoch for row in rows) == [n for n in range(11) if n != 2] for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert [rows(batches.dataset(epoch)) for epoch in (2, 0, 2)] == [epochs[2], epochs[0], epochs[2]]


def test_two_iterators_do_not_affect_each_other():
    dataset = loader().dataset(1)
    alone = rows(dataset)
    first, second = iter(dataset), iter(dataset)
    interleaved = [next(iterator)[0].numpy().tolist() for iterator in (first, second, first)]
    assert interleaved == [alone[0], alone[0], alone[1]]
    assert [element[0].numpy().tolist() for element in second] == alone[1:]


def test_a_variable_epoch_is_read_when_an_iteration_starts():
    epoch = tf.Variable(0, dtype=tf.int64)
    dataset = loader().dataset(epoch)
    first = rows(dataset)
    epoch.assign(4)
    assert rows(dataset) == rows(loader().dataset(4)) != first


@pytest.mark.parametrize("seed", [None, 7])
def test_any_batch_can_be_read_by_epoch_and_number(seed):
    batches = loader(seed=seed)
    for epoch in (0, 3):
        whole = rows(batches.dataset(epoch))
        assert [batches.batch(epoch, number)[0].numpy().tolist() for number in (2, 0, 1)] == [
            whole[2],
            whole[0],
            whole[1],
        ]
    with pytest.raises(IndexError, match=r"epoch 0 has no readable batch 3; it has 3"):
        batches.batch(0, 3)


def test_batches_before_the_first_one_are_not_read():
    reader = IndexReader()
    assert [batch.number for batch in loader(reader).batches(0, first=2)] == [2]
    assert set(reader.batches_read) == {2}


def test_the_shards_of_a_batch_together_are_the_batch():
    whole = rows(loader().dataset(2))
    shards = [rows(loader(shard=(index, 2)).dataset(2)) for index in range(2)]
    for number, batch in enumerate(whole):
        assert sorted(shards[0][number] + shards[1][number]) == sorted(batch)
    assert {row for shard in shards for batch in shard for row in batch} == {n for n in range(11) if n != 2}


def test_invalid_elements_are_collected_once_and_batches_without_valid_ones_skipped():
    batches = loader(IndexReader(6, invalid=(2, 3)), seed=None, batch_size=2)
    for _ in range(2):
        assert rows(batches.dataset()) == [[0, 1], [4, 5]]
    assert [(example.example_id, example.reason) for example in batches.invalid] == [
        ("element 2", "truncated"),
        ("element 3", "truncated"),
    ]
    assert batches.batch(0, 2)[0].numpy().tolist() == [4, 5]


@pytest.mark.parametrize("count", [1, 8, 11, 12])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_shard_counts_its_own_batches_and_elements(count, shards):
    reader = IndexReader(count, invalid=())
    parts = [loader(reader, shard=(index, shards), batch_size=4) for index in range(shards)]
    sizes = [[len(batch) for batch in rows(part.dataset())] for part in parts if part.element_count]
    assert [part.element_count for part in parts if part.element_count] == [sum(size) for size in sizes]
    assert [part.steps_per_epoch for part in parts if part.element_count] == [len(size) for size in sizes]
    assert sum(part.element_count for part in parts) == count


def test_a_shard_without_an_element_raises_with_the_counts():
    small = loader(IndexReader(1, invalid=()), shard=(1, 2), seed=None)
    with pytest.raises(ValueError, match=r"shard 1 of 2 has no example: the source has 1"):
        list(small.batches())


def test_a_shard_whose_elements_are_all_invalid_raises_with_their_names():
    damaged = loader(IndexReader(4, invalid=(1, 3)), shard=(1, 2), seed=None)
    with pytest.raises(ValueError, match=r"none of the 2 examples of shard \(1, 2\) could be decoded: element 1"):
        list(damaged.batches())


@pytest.mark.parametrize(
    "shard", [(2, 2), (-1, 2), (0, 0), (0,), (0, 2, 1), (0.0, 2), (True, 2), 1, "01", [0, 2], None]
)
def test_an_invalid_shard_is_refused_before_anything_is_read(shard):
    with pytest.raises(ValueError, match=r"`shard` must be a tuple \(index, count\)"):
        loader(shard=shard)


def test_a_source_without_a_readable_element_raises_with_names():
    with pytest.raises(ValueError, match=r"none of the 2 examples could be decoded: element 0 \(truncated\)"):
        list(loader(IndexReader(2, invalid=(0, 1)), seed=None).batches())


def test_a_user_dataset_is_finished_like_a_source():
    user_dataset = tf.data.Dataset.range(6).map(lambda n: (n, n * 10)).batch(4)
    batches = DatasetLoader(
        user_dataset, 2, 6, lambda batch: (batch.values[0] + batch.epoch, batch.targets_and_weights)
    )
    assert rows(batches.dataset(100)) == [[100, 101, 102, 103], [104, 105]]


def test_data_is_freed_with_loader_and_dataset():
    data = np.zeros(1000)
    reference = weakref.ref(data)
    batches = loader(IndexReader(data=data))
    dataset = batches.dataset()
    rows(dataset)
    next(iter(dataset))  # and an unfinished iterator
    del data, batches, dataset
    gc.collect()
    assert reference() is None


def test_a_dataset_keeps_its_loader_alive():
    dataset = loader().dataset(1).prefetch(1)
    gc.collect()
    assert len(rows(dataset)) == 3


def test_plain_tensorflow_keeps_generators_forever():
    """The reason for the weak reference in `Loader.dataset` (tensorflow#123530)."""
    data = np.zeros(1000)
    reference = weakref.ref(data)

    def generate(data=data):
        yield data[:1]

    dataset = tf.data.Dataset.from_generator(generate, output_signature=tf.TensorSpec([1], tf.float64))
    list(dataset)
    del data, generate, dataset
    gc.collect()
    assert reference() is not None


def test_an_order_is_a_function_of_seed_and_epoch():
    orders = [[rows.tolist() for _, rows in Order(4, 1, epoch).batches(10)] for epoch in (0, 1, 0)]
    assert orders[0] == orders[2] != orders[1]


def test_elements_keep_their_weights():
    weights = np.arange(11, dtype="float32") / 10
    weighted = loader(seed=3, sample_weight=weights)
    for batch in weighted.dataset(1):
        np.testing.assert_allclose(batch[2], np.asarray(batch[0]) / 10, rtol=1e-6)
    assert weighted.has_weights and not loader().has_weights
    unlabelled = replace(weighted, targets=None)
    assert next(unlabelled.batches()).targets_and_weights == () and not unlabelled.has_weights
