"""Decoders of semantic segmentation."""

import keras
import numpy as np
import pytest

from tests.heads.test_pyramid import inputs
from tltk.heads.segmentation import lraspp, unet


@pytest.mark.parametrize("build", [lraspp, unet])
@pytest.mark.parametrize(
    "shapes",
    [{8: (8, 6, 3), 16: (4, 3, 5)}, {16: (4, 3, 5)}, {8: (9, 7, 3), 16: (5, 3, 5)}],
    ids=["both", "one", "odd"],
)
def test_logits_have_the_size_of_the_finest_level(build, shapes):
    features = inputs(shapes)
    logits = build(features, sizes={8: (8, 6), 16: (4, 3)}, classes=4, channels=6, dropout=0.1)
    model = keras.Model(list(features.values()), logits)
    values = model.predict([np.ones((2, *shape)) for shape in shapes.values()], verbose=0)
    assert values.shape == (2, 8, 6, 4) and np.isfinite(values).all()
    assert np.abs(values).max() < 1  # nearly uniform at first
