import keras
import numpy as np
import pytest

from tltk.optimizers import schedules


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_warmup_cosine_rises_in_a_line_and_falls_in_a_half_cosine():
    values = rates(schedules.warmup_cosine(2.0, steps=12, warmup=2), 12)
    np.testing.assert_allclose(values[:3], [0, 1, 2], atol=1e-6)
    expected = 1 + np.cos(np.pi * np.arange(11) / 10)
    np.testing.assert_allclose(values[2:], expected, atol=1e-6)


def test_warmup_linear_ends_at_its_floor():
    values = rates(schedules.warmup_linear(1.0, steps=10, warmup=5, floor=0.5), 10)
    np.testing.assert_allclose(values, [0, 0.2, 0.4, 0.6, 0.8, 1, 0.9, 0.8, 0.7, 0.6, 0.5], atol=1e-6)


def test_one_cycle_peaks_at_a_quarter():
    values = rates(schedules.one_cycle(1.0, steps=100), 100)
    assert values.argmax() == 25
    assert values[0] == pytest.approx(0.04)
    assert values[-1] == pytest.approx(4e-6, abs=1e-6)


def supports_of_big_transfer(examples):
    """Return what `get_schedule` of big_transfer's bit_hyperrule.py returns."""
    if examples < 20_000:
        return [100, 200, 300, 400, 500]
    return [500, 3000, 6000, 9000, 10_000] if examples < 500_000 else [500, 6000, 12_000, 18_000, 20_000]


def rate_of_big_transfer(step, examples, rate=0.003):
    """Return what `get_lr` of big_transfer's bit_hyperrule.py returns, for a step before the end."""
    first, *others = supports_of_big_transfer(examples)
    if step < first:
        return rate * step / first
    for support in others:
        if support < step:
            rate /= 10
    return rate


def test_the_step_schedule_is_that_of_big_transfer_at_every_step():
    values = rates(schedules.warmup_step(0.003, steps=500, warmup=100), 499)
    expected = [rate_of_big_transfer(step, 19_999) for step in range(500)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize("examples", [20_000, 500_000])
def test_longer_step_schedules_have_the_rates_of_big_transfer_and_divide_a_little_earlier(examples):
    first, *divided, steps = supports_of_big_transfer(examples)
    schedule = schedules.warmup_step(0.003, steps=steps, warmup=first)
    for step in (0, first // 2, first, first + 1, steps // 4, steps - 1):
        assert float(schedule(step)) == pytest.approx(rate_of_big_transfer(step, examples), rel=1e-5)
    ends = [first + quarter * (steps - first) / 4 for quarter in (1, 2, 3)]
    assert all(0 <= late - early < 0.15 * steps for early, late in zip(ends, divided, strict=True))


def test_the_step_schedule_begins_at_its_peak_without_warm_up():
    np.testing.assert_allclose(rates(schedules.warmup_step(1.0, steps=4), 4), [1, 1, 0.1, 0.01, 0.001], rtol=1e-5)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
def test_every_schedule_never_exceeds_its_peak_and_survives_a_config_round_trip(name):
    schedule = schedules.schedule(name, 0.5, steps=20, warmup=4)
    values = rates(schedule, 20)
    assert values.max() == pytest.approx(0.5)
    assert values.min() >= 0
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    np.testing.assert_array_equal(rates(again, 20), values)


def test_a_constant_schedule_does_not_change():
    np.testing.assert_allclose(rates(schedules.schedule("constant", 0.1, steps=5), 5), 0.1)


def test_errors_name_the_value_and_the_fix():
    with pytest.raises(
        ValueError, match=r"below `steps` \(100\). Received: warmup=500.\nDid you mean a fraction\? warmup=5 "
    ):
        schedules.warmup_cosine(1.0, steps=100, warmup=500)
    with pytest.raises(ValueError, match=r"`peak` must be a number above 0"):
        schedules.warmup_linear(0.0, steps=10)
    with pytest.raises(ValueError, match=r"`schedule` must be one of .*Did you mean 'cosine'"):
        schedules.schedule("cosin", 1.0, steps=10)
