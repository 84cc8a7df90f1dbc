"""Asking again and again keeps nothing: TensorFlow holds on to functions, and Keras to graphs."""

import gc
import weakref

import numpy as np
import psutil

import tltk
from tests.conftest import squares_model


def test_200_predictions_take_no_more_memory_than_20():
    model = squares_model()
    images = np.zeros((64, 64, 64, 3), "uint8")
    process = psutil.Process()

    def ask(times):
        for _ in range(times):
            tltk.predict(model, images)
        gc.collect()
        return process.memory_info().rss / 1e6

    ask(20)
    before = ask(20)
    assert ask(200) < before + 30, "200 sources of 0.8 MB each would be 157 MB"


def test_what_was_asked_is_freed_with_its_last_name():
    model = squares_model()
    source = tltk.from_arrays(np.zeros((4, 16, 16, 3), "uint8"))
    held = weakref.ref(source)
    tltk.predict(model, source)
    del source
    gc.collect()
    assert held() is None
