"""Tests of `tltk.advice.target`."""

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares
from tests.texts import texts
from tltk.advice.comparison import Candidate, Examples, judge
from tltk.advice.embedding import Settings
from tltk.advice.target import check_target, compare_target
from tltk.errors import InvalidInput, InvalidType
from tltk.feature_cache.storage import Cache


def test_a_target_that_cannot_be_compared_is_refused():
    check_target(None, squares())
    with pytest.raises(InvalidType, match="from_folder"):
        check_target([1], squares())
    with pytest.raises(InvalidInput, match="`target` holds texts"):
        check_target(texts(), squares())
    with pytest.raises(InvalidInput, match="at least 10 examples"):
        check_target(squares(9), squares())


def test_classes_are_compared_by_name_and_new_ones_are_named():
    examples, backbone = Examples(squares(30), 0), tltk.backbone(conv_net(), stages=STAGES)
    settings = Settings(16, "float32", Cache("memory"))
    features = tltk.embed(backbone, examples.source, batch_size=16, precision="float32").features
    judged = judge(Candidate("conv_net", features, 0.0, 1.0, backbone), examples, measures=False)
    pixels = np.stack(list(squares(12, seed=1).examples))
    target = tltk.from_arrays(pixels, ["blue", "red", "mauve"] * 4)
    shift = compare_target(judged, examples, target, settings)
    assert shift.new_classes == ("mauve",)
    assert shift.priors[1] == ("green", pytest.approx(1 / 3), 0.0)
    unlabelled = compare_target(judged, examples, tltk.from_arrays(pixels), settings)
    assert not unlabelled.is_labelled
    assert sum(new for _, _, new in unlabelled.priors) == pytest.approx(1)
