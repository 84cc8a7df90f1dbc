"""Tests of `tltk.probes.links`."""

import numpy as np
import pytest

from tltk.probes.links import KINDS, gradient, link


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_derivative_of_the_loss(kind):
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(4, 3)), np.eye(3)[[0, 1, 2, 1]]
    connection = link(kind, 3)
    slopes = gradient(kind, connection.predict(logits), targets)
    for row, column in np.ndindex(4, 3):
        step = np.zeros_like(logits)
        step[row, column] = 1e-5
        change = connection.losses(logits + step, targets) - connection.losses(logits - step, targets)
        assert slopes[row, column] == pytest.approx(change[row] / 2e-5, abs=1e-6)
