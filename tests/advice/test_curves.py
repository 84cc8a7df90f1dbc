"""Tests of `tltk.advice.curves`."""

import numpy as np

from tltk.advice.curves import fit_curve

SIZES = np.array([50, 100, 200, 400])


def test_forecasts_cover_the_true_error_four_times_further():
    generator = np.random.default_rng(0)
    covered = []
    for floor, exponent in [(0.02, 0.5), (0.1, 0.3), (0.0, 0.8), (0.2, 1.0)] * 10:
        errors = floor + 2 * SIZES**-exponent
        spreads = np.full(4, 0.01)
        curve = fit_curve(SIZES, errors + generator.normal(0, spreads), spreads)
        forecast = curve.forecast(1600)
        covered.append(forecast.low <= 1 - (floor + 2 * 1600**-exponent) <= forecast.high)
    assert np.mean(covered) >= 0.7


def test_more_labels_bring_something_and_the_floor_is_out_of_reach():
    curve = fit_curve(SIZES, 0.1 + 2 / SIZES, np.full(4, 0.002))
    gain, half = curve.gain(400, 400)
    assert abs(gain - 2 / 800) < half + 0.003
    assert 0.9 <= curve.reach(4000) <= 0.94
    assert curve.labels_for(0.5) == 400
    assert curve.labels_for(0.99) is None


def test_one_point_and_no_error_at_all_are_enough():
    for sizes in (np.array([10, 20]), np.array([20])):
        forecast = fit_curve(sizes, np.zeros(len(sizes)), np.full(len(sizes), 0.05)).forecast(40)
        assert 0.8 < forecast.low <= forecast.high <= 1
