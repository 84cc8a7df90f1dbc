"""Repeated predictions do not use more and more memory, although TensorFlow and Keras keep functions and graphs."""

import gc
import weakref

import numpy as np
import psutil

import tltk
from tests.conftest import squares_model


def test_200_predictions_use_no_more_memory_than_20():
    model = squares_model()
    images = np.zeros((64, 64, 64, 3), "uint8")
    process = psutil.Process()

    def megabytes_after(times):
        for _ in range(times):
            tltk.predict(model, images)
        gc.collect()
        return process.memory_info().rss / 1e6

    megabytes_after(20)
    before = megabytes_after(20)
    assert megabytes_after(200) < before + 30, "200 sources of 0.8 MB each would be 157 MB"


def test_a_source_is_freed_after_its_last_reference():
    model = squares_model()
    source = tltk.from_arrays(np.zeros((4, 16, 16, 3), "uint8"))
    reference = weakref.ref(source)
    tltk.predict(model, source)
    del source
    gc.collect()
    assert reference() is None
