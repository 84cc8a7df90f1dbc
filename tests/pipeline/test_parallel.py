"""Work on all cores, with the results in order."""

import threading
import time

from tltk.pipeline.parallel import cores, in_order


def test_results_have_the_order_of_the_items():
    def slow_first(number):
        time.sleep(0.05 if number == 0 else 0)
        return number

    assert list(in_order(slow_first, iter(range(20)))) == list(range(20))


def test_a_single_item_is_processed_in_the_calling_thread():
    assert list(in_order(lambda item: (item, threading.current_thread()), iter([7]))) == [(7, threading.main_thread())]
    assert list(in_order(str, iter([]))) == []


def test_items_are_taken_only_as_fast_as_results_are():
    taken = []

    def parts():
        for number in range(100):
            taken.append(number)
            yield number

    stream = in_order(lambda number: number, parts())
    next(stream)
    assert len(taken) <= cores() + 3
    stream.close()
    assert threading.active_count() < 50
