"""Tests of `tltk.advice.target`."""

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares
from tests.texts import texts
from tltk.advice import target
from tltk.advice.comparison import Candidate, Examples, judge
from tltk.advice.embedding import Settings
from tltk.advice.target import check_target, compare_target
from tltk.errors import InvalidInput, InvalidType
from tltk.feature_cache.storage import Cache
from tltk.foundation.duration import Deadline


def test_a_target_that_cannot_be_compared_is_refused():
    check_target(None, squares())
    with pytest.raises(InvalidType, match="from_folder"):
        check_target([1], squares())
    with pytest.raises(InvalidInput, match="`target` holds texts"):
        check_target(texts(), squares())
    with pytest.raises(InvalidInput, match="at least 10 examples"):
        check_target(squares(9), squares())


def test_of_a_large_target_so_many_examples_are_compared_that_the_budget_suffices(monkeypatch):
    examples, backbone = Examples(squares(30), 0), tltk.backbone(conv_net(), stages=STAGES)
    settings, sizes = Settings(16, "float32", Cache("memory")), []
    features = tltk.embed(backbone, examples.source, batch_size=16, precision="float32").features
    judged = judge(Candidate("conv_net", features, 0.0, 100.0, backbone), examples, measures=False)
    monkeypatch.setattr(target, "find_shift", lambda side, other, **_: sizes.append(len(other)))
    for deadline in (Deadline.after(20.0), Deadline.after(0.001), Deadline.after(None)):
        compare_target(judged, examples, squares(240, seed=1), settings, deadline)
    assert sizes[0] in (198, 199) and sizes[1:] == [100, 240]


def test_classes_are_compared_by_name_and_new_ones_are_named():
    examples, backbone = Examples(squares(30), 0), tltk.backbone(conv_net(), stages=STAGES)
    settings = Settings(16, "float32", Cache("memory"))
    features = tltk.embed(backbone, examples.source, batch_size=16, precision="float32").features
    judged = judge(Candidate("conv_net", features, 0.0, 1.0, backbone), examples, measures=False)
    pixels = np.stack(list(squares(12, seed=1).examples))
    labelled = tltk.from_arrays(pixels, ["blue", "red", "mauve"] * 4)
    shift, why_not = compare_target(judged, examples, labelled, settings, Deadline.after(None))
    assert why_not == "" and shift.new_classes == ("mauve",)
    assert shift.priors[1] == ("green", pytest.approx(1 / 3), 0.0)
    unlabelled, _ = compare_target(judged, examples, tltk.from_arrays(pixels), settings, Deadline.after(None))
    assert not unlabelled.is_labelled
    assert sum(new for _, _, new in unlabelled.priors) == pytest.approx(1)
