"""Tests of `tltk.advice.embedding`."""

import numpy as np
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net
from tltk.advice.embedding import Settings, embedder
from tltk.feature_cache.storage import Cache


def test_features_are_those_of_embed_and_zero_where_nothing_can_be_decoded(tmp_path):
    for number, pixels in enumerate(coloured_squares(4, size=40)[0]):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    damaged = tmp_path / "1.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    source = tltk.from_folder(tmp_path, unlabelled=True)
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    network = embedder(backbone, Settings(2, "float32", Cache("memory")))
    assert network.seconds_per_example(source) > 0
    features, invalid = network.features(source)
    assert list(invalid) == [1]
    assert not features[1].any()
    expected = tltk.embed(backbone, source, batch_size=2, precision="float32", max_invalid_fraction=1.0)
    assert np.array_equal(features[[0, 2, 3]], expected.features)
