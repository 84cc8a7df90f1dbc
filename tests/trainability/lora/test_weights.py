import json

import keras
import numpy as np
import pytest

from tests.conftest import transformer
from tltk.trainability.layers import LayerRow, layer_rows
from tltk.trainability.lora import weights as lora_layers
from tltk.trainability.lora.weights import LoraWeights

LAYERS = {
    "dense": (lambda: keras.layers.Dense(5, activation="relu"), (7,)),
    "einsum": (lambda: keras.layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 3), bias_axes="de"), (4, 6)),
    "embedding": (lambda: keras.layers.Embedding(11, 6), (4,)),
    "conv": (lambda: keras.layers.Conv2D(4, 3, padding="same"), (5, 5, 3)),
    "conv1d": (lambda: keras.layers.Conv1D(4, 3), (8, 3)),
}


def built(name):
    make, shape = LAYERS[name]
    x = keras.Input(shape)
    layer = make()
    model = keras.Model(x, layer(x))
    data = np.random.default_rng(0).integers(0, 11, (3, *shape)).astype("float32")
    return model, layer, data


def learn(layer, scale=0.3):
    """Stand in for training: put numbers into LoRA's second matrix."""
    b = next(v for v in layer.weights if v.name.endswith("_b"))
    b.assign(np.random.default_rng(1).normal(size=b.shape) * scale)


@pytest.mark.parametrize("name", LAYERS)
def test_merging_keeps_the_output_and_leaves_no_trace(name, tmp_path):
    model, layer, data = built(name)
    config, paths = json.dumps(layer.get_config(), default=str), [v.path for v in layer.weights]
    plain = np.array(model(data))
    attributes = set(vars(layer))
    lora_layers.enable(layer, 2)
    learn(layer)
    changed = np.array(model(data))
    assert np.abs(changed - plain).max() > 0.05
    learned = lora_layers.merge(layer)
    np.testing.assert_allclose(model(data), changed, rtol=1e-5, atol=1e-5)
    assert [v.path for v in layer.weights] == [v.path for v in model.weights] == paths
    assert json.dumps(layer.get_config(), default=str) == config
    assert set(vars(layer)) == attributes
    assert learned.a.shape[-1] == learned.b.shape[0] == 2
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(data), model(data))
    lora_layers.enable(layer, 3)
    np.testing.assert_allclose(model(data), changed, rtol=1e-5, atol=1e-5)
    assert sum(v.name.startswith("lora_") for v in layer.weights) == 2


@pytest.mark.parametrize("name", LAYERS)
def test_the_parameter_count_is_that_of_keras(name):
    _, layer, _ = built(name)
    expected = lora_layers.parameter_count(layer, 3)
    before = layer.count_params()
    lora_layers.enable(layer, 3)
    assert layer.count_params() - before == expected


def test_merging_untrained_lora_changes_no_bit():
    _, layer, _ = built("dense")
    before = np.array(layer.kernel).tobytes()
    lora_layers.enable(layer, 2)
    learned = lora_layers.merge(layer)
    assert np.array(layer.kernel).tobytes() == before
    assert learned.base == learned.merged


def test_another_alpha_scales_the_change():
    model, layer, data = built("dense")
    layer.enable_lora(2, lora_alpha=6)
    learn(layer)
    changed = np.array(model(data))
    assert lora_layers.merge(layer).scale == 3
    np.testing.assert_allclose(model(data), changed, rtol=1e-5, atol=1e-5)


def test_a_function_traced_before_merging_still_predicts_right():
    model, layer, data = built("dense")
    lora_layers.enable(layer, 2)
    learn(layer)
    while_on = model.predict(data, verbose=0)
    lora_layers.merge(layer)
    np.testing.assert_allclose(model.predict(data, verbose=0), while_on, rtol=1e-5, atol=1e-5)


def test_no_graph_of_the_layer_keeps_the_lora_weights_alive():
    _, layer, _ = built("einsum")
    lora_layers.enable(layer, 2)
    lora_layers.merge(layer)
    assert not any("lora" in name for name in layer._trackable_children())
    assert layer._tracker.locked


def test_supported_sublayers_are_named_by_their_path():
    row = next(row for row in layer_rows(transformer()) if row.name == "block1_attention")
    assert list(lora_layers.supported_sublayers(row)) == ["query", "key", "value", "attention_output"]
    assert list(lora_layers.targeted_sublayers(row, "query, *_output")) == ["query", "attention_output"]
    assert list(lora_layers.targeted_sublayers(row, "*")) == list(lora_layers.supported_sublayers(row))
    dense = next(row for row in layer_rows(transformer()) if row.name == "block1_up")
    assert list(lora_layers.supported_sublayers(dense)) == ["block1_up"]


def test_a_target_matches_the_last_name_or_the_path_of_a_sublayer():
    outer = keras.Sequential([keras.Input((4, 16))], name="outer")
    attention = keras.layers.MultiHeadAttention(2, 8, name="attention")
    x = keras.Input((4, 16))
    outer = keras.Model(x, attention(x, x), name="outer")
    row = LayerRow("outer", "", outer, 0)
    for target in ("query", "attention/query", "*query"):
        assert list(lora_layers.targeted_sublayers(row, target)) == ["attention/query"]
    assert not lora_layers.targeted_sublayers(row, "attention")


def test_constrained_quantized_and_unbuilt_layers_are_left_out():
    constrained = keras.layers.Dense(3, kernel_constraint="non_neg")
    constrained.build((None, 2))
    assert not lora_layers.supported_sublayers(LayerRow("a", "", constrained, 0))
    assert not lora_layers.supported_sublayers(LayerRow("a", "", keras.layers.Dense(3), 0))
    depthwise = keras.layers.DepthwiseConv2D(3)
    depthwise.build((None, 8, 8, 3))
    assert not lora_layers.supported_sublayers(LayerRow("a", "", depthwise, 0))
    quantized = keras.layers.Dense(3)
    quantized.build((None, 2))
    quantized.quantize("int8")
    assert not lora_layers.supported_sublayers(LayerRow("a", "", quantized, 0))


def test_the_error_for_an_unmatched_target_lists_the_supported_sublayers():
    rows = [row for row in layer_rows(transformer()) if row.name == "block1_attention"]
    assert lora_layers.target_problem(rows, "query,value") == ""
    assert lora_layers.target_problem(rows, "query,valeu") == (
        "target 'valeu' matches no sublayer. Did you mean 'value'? "
        "LoRA is supported by: query, key, value, attention_output"
    )
    assert "none of its layers supports LoRA" in lora_layers.target_problem([], "*")


def test_the_change_is_rounded_once():
    one = LoraWeights(np.full((2, 1), 1e-3, "float32"), np.full((1, 2), 1e-3, "float32"), 2.0, "", "")
    assert one.added_to(np.ones((2, 2), "float32")).dtype == np.float32
    np.testing.assert_array_equal(one.added_to(np.ones((2, 2), "float32")), np.float32(1 + 2e-6))


def test_a_digest_depends_on_shape_and_dtype():
    values = np.zeros(4, "float32")
    assert (
        len(
            {
                lora_layers.digest(values),
                lora_layers.digest(values.reshape(2, 2)),
                lora_layers.digest(values.view("int32")),
            }
        )
        == 3
    )
