"""Tests of `tltk.advice.shift`."""

import numpy as np

from tltk.advice.shift import find_shift


def test_shifts_are_told_apart():
    generator = np.random.default_rng(0)
    x, same = generator.normal(size=(120, 10)), generator.normal(size=(80, 10))
    assert find_shift(x, same).kind == "none"
    moved = find_shift(x, same + 0.7)
    assert moved.kind == "covariate" and moved.separation > 0.7 and moved.p_value < 0.01
    classes, others = np.arange(120) % 2, np.where(np.arange(80) < 70, 0, 1)
    assert find_shift(x, same, classes=classes, target_classes=others).kind == "label"
    assert find_shift(x, same, classes=classes, target_classes=np.arange(80) % 2).kind == "none"
    assert "fox" in find_shift(x, same, names=("fox",)).describe()


def test_p_values_are_uniform_without_a_shift():
    generator = np.random.default_rng(1)
    p_values = [find_shift(*generator.normal(size=(2, 40, 5)), seed=seed).p_value for seed in range(30)]
    assert np.mean(np.array(p_values) < 0.1) < 0.3
    assert 0.25 < np.mean(p_values) < 0.75
