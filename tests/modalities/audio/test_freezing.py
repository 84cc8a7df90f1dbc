"""Frozen layers of models of sounds keep every byte, and cached features train as computed ones do."""

from functools import cache

import numpy as np
import pytest

import tltk
from tests.conftest import weights_as_bytes
from tests.sounds import picture_backbone, tone
from tltk.recipes import Phase, Recipe

PLANS = {
    "head": (tltk.freeze("backbone"), ("stem", "conv2", "conv3")),
    "conv3": (tltk.unfreeze_from("conv3"), ("stem", "conv2", "conv3_bn")),
    "conv3, batch norm": (tltk.unfreeze_from("conv3", batch_norm="train"), ("stem", "conv2")),
}


@cache
def clips(count=16):
    """Return low and high tones of three lengths in memory, at another rate than the model's."""
    x = [
        tone(pitch=(300, 1500)[row % 2], seconds=(0.3, 0.4, 0.5)[row % 3], rate=11_025, seed=row)
        for row in range(count)
    ]
    return tltk.from_arrays(x, ["low", "high"] * (count // 2), sample_rate=11_025)


@cache
def trained(name, cache, dropout=0.0):
    """Train with one of the plans.

    Returns:
        The weights before and after, the model, and the losses of the epochs.
    """
    model = tltk.assemble(
        picture_backbone(dropout=dropout), tltk.classification(clips().labels), precision="float32", seed=0
    )
    before = weights_as_bytes(model.keras, "")
    recipe = Recipe("one", (Phase("one", PLANS[name][0], epochs=3, optimizer=tltk.sgd(1e-2), augment=()),))
    run = tltk.fit(model, clips(), clips(8), recipe=recipe, batch_size=4, cache=cache, seed=3, verbose=0)
    return before, weights_as_bytes(model.keras, ""), model, [epoch["loss"] for epoch in run.history]


@pytest.mark.parametrize("plan", PLANS)
def test_frozen_layers_keep_every_byte_and_all_others_change(plan):
    before, after, model, _ = trained(plan, "memory")
    frozen = set(weights_as_bytes(model.keras, *PLANS[plan][1]))
    without_gradient = {"conv3_conv/1"} if "batch norm" in plan else set()  # the bias in front of a batch norm
    assert {name for name in before if before[name] == after[name]} == frozen | without_gradient
    assert len(frozen) >= 12


@pytest.mark.parametrize("plan", ["head", "conv3"])
def test_cached_features_train_as_computed_ones_do(plan):
    (_, _, cached, cached_losses), (_, _, computed, losses) = (trained(plan, cache) for cache in ("memory", "off"))
    np.testing.assert_allclose(cached_losses, losses, rtol=1e-5)
    assert losses[-1] < losses[0]
    for one, other in zip(cached.keras.get_weights(), computed.keras.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_features_of_files_are_cached_on_disk_and_read_again(tmp_path):
    model = trained("head", "memory")[2]
    computed = tltk.embed(model, clips()).features
    for _ in range(2):
        features = tltk.embed(model, clips(), cache=tmp_path).features
        np.testing.assert_allclose(features, computed, rtol=1e-5, atol=1e-6)
    assert any(tmp_path.rglob("*"))
