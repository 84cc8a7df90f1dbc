"""Examples in their stored order."""

import numpy as np

from tltk.pipeline import streams
from tltk.pipeline.batching import Order


def test_a_buffer_shuffles_bytes_and_arrays_and_loses_none(monkeypatch):
    monkeypatch.setattr(streams, "SHUFFLE_BYTES", 40)
    for values in ([b"0123456789"] * 20, [np.zeros(5, "int16")] * 20):
        rows = [row for row, _ in streams.shuffled(iter(enumerate(values)), np.random.default_rng(0))]
        assert sorted(rows) == list(range(20)) != rows
        assert all(row <= place + 4 for place, row in enumerate(rows))  # the buffer holds four of them


def test_batches_come_in_parts_and_the_first_ones_are_left_out():
    stream = iter(enumerate([b""] * 7))
    parts = list(streams.stream_parts(stream, Order(3, first=1), 3, at_once=2))
    rows = [(number, [row for row, _ in examples], ends) for number, examples, ends in parts]
    assert rows == [(1, [3, 4], False), (1, [5], True), (2, [6], True)]
