"""Resampling, against `scipy.signal.resample_poly`."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import resample_poly

from tltk.modalities.audio.resample import block_length, resample, resampled_length

TARGET = 16_000


@pytest.fixture(scope="module")
def resampled():
    signature = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int64)]
    graph = tf.function(
        lambda samples, rate, first: resample(samples, rate, TARGET, first, 20_000),
        input_signature=signature,
        autograph=False,
    )
    return lambda samples, rate, first=0: graph(samples, rate, first).numpy()


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 44_100, 48_000, 15_999, 96_000])
def test_it_is_the_filter_of_scipy(resampled, rate):
    samples = np.random.default_rng(rate).normal(0, 0.3, rate).astype("float32")
    divisor = math.gcd(rate, TARGET)
    expected = resample_poly(samples, TARGET // divisor, rate // divisor)
    values = resampled(samples, rate)
    assert int(resampled_length(tf.constant(rate, tf.int64), rate, TARGET)) == len(expected) == TARGET
    np.testing.assert_allclose(values[:TARGET], expected, atol=1e-6)
    assert not values[TARGET:].any()


def test_a_part_is_that_part_of_the_whole_and_silent_outside(resampled):
    samples = np.random.default_rng(0).normal(0, 0.3, 5000).astype("float32")
    whole = resampled(samples, 11_025)
    np.testing.assert_allclose(resampled(samples, 11_025, 1234)[:5000], whole[1234:6234], atol=1e-6)
    before = resampled(samples, 11_025, -3000)
    assert not before[:3000].any()
    np.testing.assert_allclose(before[3000:], whole[:17_000], atol=1e-6)


def test_windows_take_a_few_megabytes_whatever_the_rates():
    for reach in (1, 21, 56, 7681, 10**7):
        length = int(block_length(tf.constant(reach, tf.int64)))
        assert length == 1 or 2**19 < length * reach <= 2**20
    samples = np.random.default_rng(0).normal(0, 0.3, 384_000).astype("float32")
    values = resample(samples, tf.constant(384_000), 1000, tf.constant(0, tf.int64), 1000)  # 8 blocks
    np.testing.assert_allclose(values, resample_poly(samples, 1, 384), atol=1e-6)
