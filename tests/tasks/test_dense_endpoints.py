"""The stages of a backbone for tasks with outputs for every position."""

import pytest

import tltk
from tltk.backbones.base import Endpoint
from tltk.errors import InvalidInput
from tltk.tasks.dense_endpoints import pyramid_stages, stages_of


def test_the_last_stage_of_each_stride_is_used():
    endpoints = {"stem": Endpoint(2, 8), "a": Endpoint(8, 16), "b": Endpoint(8, 24), "c": Endpoint(32, 64)}
    assert pyramid_stages(endpoints, (8, 16, 32)) == {8: "b", 32: "c"}
    with pytest.raises(InvalidInput, match=r"stride 8, 16, 32.*'stem': 2"):
        pyramid_stages({"stem": Endpoint(2, 8)}, (8, 16, 32))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50", "mobilenet_v2", "convnext_tiny", "inception_v3"])
def test_backbones_of_the_catalogue_have_the_strides(name):
    assert list(stages_of(tltk.backbone(name, weights="random"), (8, 16, 32))) == [8, 16, 32]
