import threading
import time

import numpy as np

from tests.pictures import damaged_png, flat
from tltk.modalities.image import chunks as reading
from tltk.specs import ImageSpec


def test_results_come_in_the_order_of_the_pieces():
    def slow_first(number):
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(reading.in_order(slow_first, iter(range(20)))) == list(range(20))


def test_pieces_are_taken_only_as_fast_as_results_are():
    taken = []

    def pieces():
        for number in range(100):
            taken.append(number)
            yield number

    stream = reading.in_order(lambda number: number, pieces())
    next(stream)
    assert len(taken) <= reading.cores() + 3
    stream.close()
    assert threading.active_count() < 50


def test_a_bad_file_does_not_spoil_the_others(tmp_path):
    paths = [flat(tmp_path / "a.png", (9, 9, 9)), damaged_png(tmp_path / "b.png"), flat(tmp_path / "c.png", (7, 7, 7))]
    pixels, invalid = reading.decode_chunk(np.array([*map(str, paths)], object), ImageSpec(8, 8), files=True)
    assert list(invalid) == [1]
    assert [int(image.mean()) for image in pixels] == [9, 7]


def test_arrays_are_resized_together():
    found = reading.resize_chunk(np.full((3, 20, 30, 3), 50, "uint8"), ImageSpec(8, 8))
    assert found.shape == (3, 8, 8, 3)
    assert (found == 50).all()
