"""Tests of `tltk.advice.candidates`."""

from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares
from tests.texts import texts
from tltk.advice import candidates
from tltk.backbones.catalog import Row
from tltk.errors import InvalidInput, NotFound

ROWS = {
    "large": Row("large", "image", 900, 32, 0.8, "keras cache"),
    "small": Row("small", "image", 100, 32, None, "tltk cache"),
    "packed": Row("packed", "image", 50, 32, None, "registry"),
    "far": Row("far", "image", 50, 32, None, "hub"),
    "words": Row("words", "text", 50, 32, None, "hub"),
}


def test_backbones_whose_weights_are_here_are_compared_the_smallest_first(monkeypatch):
    selected = []

    def select(name, **options):
        selected.append((name, options))
        return replace(tltk.backbone(conv_net(), stages=STAGES), name=name)

    monkeypatch.setattr(candidates, "select_backbone", select)
    backbones, not_tried = candidates.select_backbones(squares(6), (), ROWS, image_size=16)
    assert [backbone.name for backbone in backbones] == ["small", "large"]
    assert selected == [("small", {"image_size": 16}), ("large", {"image_size": 16})]
    assert "tltk weights get packed" in not_tried[0]
    assert "1 more" in not_tried[1]


def test_backbones_that_cannot_be_compared_are_refused():
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    with pytest.raises(InvalidInput, match="conv_net takes images, but `source` holds texts"):
        candidates.select_backbones(texts(), (backbone,), ROWS, image_size=None)
    with pytest.raises(InvalidInput, match="'conv_net' more than once"):
        candidates.select_backbones(squares(6), (backbone, backbone), ROWS, image_size=None)
    with pytest.raises(NotFound, match="no backbone for texts has weights"):
        candidates.select_backbones(texts(), (), ROWS, image_size=None)


def test_the_test_part_takes_no_part_in_the_choice():
    source = squares(12)
    parts = np.repeat(["train", "val", "test"], 4)
    training, test = candidates.training_part(replace(source, parts=parts))
    assert (len(training), len(test)) == (8, 4)
    assert candidates.training_part(source) == (source, None)
    only_test = replace(source, parts=np.repeat("test", 12))
    assert candidates.training_part(only_test) == (only_test, None)


def test_some_of_each_class_are_taken():
    y = np.repeat([0, 1, 2], [60, 30, 3])
    source = tltk.from_arrays(np.zeros((93, 8, 8, 3), "uint8"), y, labels=("a", "b", "c"))
    assert candidates.some_of_each_class(source, 30, seed=0).counts() == {"a": 19, "b": 10, "c": 2}
    assert candidates.some_of_each_class(source, 93, seed=0) is source
    assert len(candidates.some(source, 5, seed=0)) == 5
