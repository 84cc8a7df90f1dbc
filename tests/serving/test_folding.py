"""Batch norms go into convolutions only where that is exact, and then it is."""

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import squares, squares_model
from tltk.serving.folding import folded


def shaken(model, seed=0):
    """Give every weight a value of its own, variances above zero."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([generator.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def both(model, shape=(4, 12, 12, 3)):
    x = np.random.default_rng(1).normal(size=shape).astype("float32")
    lean, count = folded(model)
    return model(x, training=False), lean(x, training=False), lean, count


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("scale", "center"), [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("depth", [1, 2])
def test_folding_is_exact_but_for_rounding(bias, scale, center, depth):
    inputs = keras.Input((12, 12, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=bias)(inputs)
    x = keras.layers.BatchNormalization(scale=scale, center=center, epsilon=0.01)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=depth, use_bias=bias)(x)
    x = keras.layers.BatchNormalization(scale=scale, center=center)(x)
    model = shaken(keras.Model(inputs, x))
    before, after, lean, count = both(model)
    assert count == 2
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in lean.layers)
    np.testing.assert_allclose(after, before, rtol=2e-5, atol=1e-4)
    assert np.abs(np.asarray(before)).max() > 10  # so that 1e-4 means something


def test_what_is_not_one_map_after_another_stays():
    inputs = keras.Input((12, 12, 3))
    first = keras.layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)  # something in between
    first = keras.layers.BatchNormalization()(first)
    second = keras.layers.Conv2D(3, 3, padding="same")(first)
    normed = keras.layers.BatchNormalization()(second)
    x = keras.layers.Add()([second, normed])  # somebody else reads the convolution
    shared = keras.layers.BatchNormalization()
    x = keras.layers.Add()([shared(keras.layers.Conv2D(3, 1)(x)), shared(keras.layers.Conv2D(3, 1)(x))])
    x = keras.layers.BatchNormalization()(keras.layers.MaxPooling2D()(x))
    model = shaken(keras.Model(inputs, x))
    before, after, lean, count = both(model)
    assert count == 0 and lean is model
    np.testing.assert_array_equal(before, after)
    assert folded(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))[1] == 0


def test_an_output_that_is_read_by_nobody_else_is_not_lost():
    inputs = keras.Input((12, 12, 3))
    raw = keras.layers.Conv2D(3, 3)(inputs)
    model = shaken(keras.Model(inputs, [raw, keras.layers.BatchNormalization()(raw)]))
    assert folded(model)[1] == 0


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "efficientnet_lite0"])
def test_backbones_lose_all_but_the_head_s_norm_and_the_export_is_checked(tmp_path, name):
    backbone = tltk.backbone(name, weights="random", image_size=32)
    model = tltk.assemble(
        backbone, tltk.classification(squares().labels, head=tltk.head(zero_init=False)), precision="float32"
    )
    norms = [layer for layer in model.keras.layers if isinstance(layer, keras.layers.BatchNormalization)]
    lean, count = folded(model.keras)
    assert count == len([layer for layer in norms if not layer.name.startswith("head")]) > 40
    assert lean.count_params() < model.keras.count_params()
    done = tltk.export(model, tmp_path / "lean", fold_batch_norm=True)
    assert max(done.largest.values()) <= 1e-4
    if name == "efficientnet_lite0":
        plain = tltk.export(model, tmp_path / "plain")
        assert max(plain.largest.values()) == 0 < max(done.largest.values())


@pytest.mark.parametrize(("precision", "kind"), [("mixed_bfloat16", "saved_model"), ("float32", "onnx")])
def test_folding_that_would_not_be_done_is_refused(tmp_path, precision, kind):
    with pytest.raises(ValueError, match='`fold_batch_norm=True` requires format="saved_model" and float32'):
        tltk.export(squares_model(precision=precision), tmp_path / "x", format=kind, fold_batch_norm=True)
    assert not (tmp_path / "x").exists()
