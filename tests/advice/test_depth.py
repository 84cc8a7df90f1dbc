"""Tests of `tltk.advice.depth`."""

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net
from tltk.advice import depth
from tltk.advice.depth import depth_advice
from tltk.advice.records import Depth


def test_depths_and_rates_are_compared_and_the_backbone_keeps_its_weights(monkeypatch):
    monkeypatch.setattr(depth, "_FRACTIONS", (0.5, 1.0))
    monkeypatch.setattr(depth, "_FACTORS", (10.0,))
    network = conv_net()
    weights = [values.copy() for values in network.get_weights()]
    x, y = coloured_squares(48)
    source = tltk.from_arrays(x, np.where(np.arange(48) % 5 == 0, (y + 1) % 3, y), labels=("red", "green", "blue"))
    advice = tltk.advise(source, backbones=[tltk.backbone(network, stages=STAGES)], depth=True, budget=None)
    assert [row.epochs for row in advice.depths] == [10, 3, 3]
    assert {row.fraction for row in advice.depths[1:]} == {0.5, 1.0}
    assert all(row.low <= row.gain <= row.high for row in advice.depths)
    assert "learning rate 3.0e-03" in advice.depth_advice
    assert "points over the probe" in advice.describe()
    assert all(np.array_equal(now, before) for now, before in zip(network.get_weights(), weights, strict=True))


@pytest.mark.parametrize(("low", "fragment"), [(0.01, "fine-tune 50% of the layers"), (-0.01, "the probe is as good")])
def test_the_advice_depends_on_the_interval(low, fragment):
    rows = (Depth(3, 1e-4, 0.5, 0.02, low, 0.03, 1.0),)
    assert fragment in depth_advice(rows, 100)
    assert depth_advice((), 100) == ""
