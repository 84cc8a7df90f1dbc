"""Heads pool, normalize and project features in float32, and ignore padding."""

import keras
import numpy as np
import pytest

from tltk.heads import builder as heads

FEATURES = np.random.default_rng(0).normal(size=(4, 3, 5, 6)).astype("float32")


def build(spec, features=FEATURES, units=2, seed=0):
    x = keras.Input(features.shape[1:])
    return keras.Model(x, heads.attach(spec, x, units=units, seed=seed))


@pytest.mark.parametrize("pooling", heads.POOLINGS)
@pytest.mark.parametrize("normalization", [*heads.NORMALIZATIONS, None])
@pytest.mark.parametrize("shape", [(3, 5, 6), (7, 6), (6,)])
def test_every_head_gives_float32_outputs_for_every_rank(pooling, normalization, shape):
    if pooling in ("first", "last") and len(shape) == 3:
        with pytest.raises(ValueError, match=f"images have no {pooling} position"):
            build(heads.head(pooling=pooling), np.zeros((2, *shape), "float32"))
        return
    spec = heads.head(pooling=pooling, normalization=normalization, hidden=(4,), dropout=0.1, zero_init=False)
    out = build(spec, np.zeros((2, *shape), "float32"))(np.ones((2, *shape), "float32"))
    assert out.shape == (2, 2)
    assert out.dtype == "float32"


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("avg", FEATURES.mean((1, 2))),
        ("max", FEATURES.max((1, 2))),
        ("concat", np.concatenate([FEATURES.mean((1, 2)), FEATURES.max((1, 2))], -1)),
        ("attention", FEATURES.mean((1, 2))),  # scores of zero give every position the same weight
    ],
)
def test_pooling_computes_what_its_name_says(pooling, expected):
    x = keras.Input(FEATURES.shape[1:])
    np.testing.assert_allclose(keras.Model(x, heads.pool(x, pooling))(FEATURES), expected, rtol=1e-5, atol=1e-6)


def test_attention_pooling_weights_positions_by_their_scores():
    x = keras.Input(FEATURES.shape[1:])
    model = keras.Model(x, heads.pool(x, "attention"))
    query = np.random.default_rng(1).normal(size=(6, 1)).astype("float32")
    model.get_layer("head_attention").set_weights([query])
    tokens = FEATURES.reshape(4, 15, 6)
    weights = np.exp(tokens @ query)
    expected = (weights / weights.sum(1, keepdims=True) * tokens).sum(1)
    np.testing.assert_allclose(model(FEATURES), expected, rtol=1e-4, atol=1e-5)


def test_a_zero_head_outputs_zeros_and_a_random_one_depends_on_its_seed():
    assert not np.any(build(heads.head())(FEATURES))
    kernels = [
        build(heads.head(zero_init=False), seed=seed).get_layer("head_output").get_weights()[0] for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.any(kernels[0] != kernels[2])


def test_a_nearly_constant_feature_is_not_scaled_up():
    features = np.stack([np.tile([0.0, 1.0], 8), np.tile([0.0, 1e-3], 8)], 1).astype("float32")
    model = build(heads.head(), features)
    scaled = keras.Model(model.input, model.get_layer("head_norm").output)(features, training=True)
    spread = keras.ops.convert_to_numpy(scaled).std(0)
    assert spread[0] == pytest.approx(1.0, abs=0.01)
    assert spread[1] < 0.05


def test_a_head_stays_in_float32_under_a_half_precision_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = build(heads.head(hidden=(4,), dropout=0.5, normalization="layer", pooling="concat"))
    assert {layer.compute_dtype for layer in model.layers if layer.name.startswith("head_")} == {"float32"}


def test_all_invalid_arguments_are_listed_at_once():
    with pytest.raises(ValueError, match=r"(?s)`pooling` must.*'avg'.*`hidden` must.*`dropout` must"):
        heads.head(pooling="mean", hidden=(0,), dropout=1.0)
    with pytest.raises(ValueError, match=r"features of rank 2, 3 or 4"):
        heads.pool(keras.Input((2, 2, 2, 2)), "avg")


@pytest.mark.parametrize("pooling", heads.POOLINGS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pooling_ignores_padding(pooling, dtype):
    generator = np.random.default_rng(0)
    tokens, mask = generator.normal(size=(3, 7, 4)) - 5, np.array([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6], bool)
    x, real = keras.Input((None, 4), dtype=dtype), keras.Input((None,), dtype="bool")
    model = keras.Model([x, real], heads.pool(x, pooling, mask=real))
    for layer in model.layers:
        layer.set_weights([generator.normal(size=weight.shape) for weight in layer.get_weights()])
    pooled = model.predict([tokens.astype(dtype), mask], verbose=0)
    assert pooled.dtype == np.float32
    for row, length in enumerate(mask.sum(1)):
        unpadded = model.predict(
            [tokens[row : row + 1, :length].astype(dtype), mask[row : row + 1, :length]], verbose=0
        )
        np.testing.assert_allclose(pooled[row], unpadded[0], rtol=1e-5)
    other_padding = np.where(mask[..., None], tokens, 99.0).astype(dtype)
    np.testing.assert_allclose(model.predict([other_padding, mask], verbose=0), pooled, rtol=1e-5)


def test_a_token_head_excludes_padding_from_statistics_and_outputs_no_mask():
    tokens, mask = keras.Input((None, 4)), keras.Input((None,), dtype="bool")
    outputs = heads.attach_tokens(heads.head(zero_init=False), tokens, units=3, mask=mask)
    model = keras.Model([tokens, mask], outputs)
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    real = np.array([[True] * 3 + [False] * 2, [True] * 5])
    logits = model([x, real], training=True)
    assert logits.shape == (2, 5, 3)
    assert getattr(logits, "_keras_mask", None) is None
    norm = model.get_layer("head_norm")
    np.testing.assert_allclose(norm.moving_mean, 0.1 * x[real].mean(0), rtol=1e-4, atol=1e-6)
