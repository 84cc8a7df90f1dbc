import keras
import numpy as np
import pytest

from tests.conftest import WithStages, conv_net, transformer
from tests.trainability.test_plan import Staged
from tltk.trainability.apply import apply_plan
from tltk.trainability.plan import Plan, Rule, freeze, layer_decay, lora, train_all


def test_a_plan_that_does_not_resolve_changes_nothing():
    model = Staged()
    model.keras.get_layer("conv2_conv").trainable = False
    before = [layer.trainable for layer in model.keras.layers]
    with pytest.raises(ValueError, match="matches no layer"):
        apply_plan(freeze("conv9"), model).__enter__()
    assert [layer.trainable for layer in model.keras.layers] == before


def test_a_frozen_model_is_made_trainable_first():
    model = Staged()
    model.keras.trainable = False
    with apply_plan(freeze("backbone"), model):
        learning = {variable.path.split("/")[0] for variable in model.keras.trainable_variables}
    assert learning == {"head_norm", "head_output"}
    assert not model.keras.trainable_variables


def test_every_weight_of_a_nested_model_is_frozen():
    inner = conv_net()
    x = keras.Input((16, 16, 3))
    model = keras.Model(x, keras.layers.Dense(2, name="top")(keras.layers.Flatten(name="flat")(inner(x))))
    inner.get_layer("conv2_conv").trainable = True
    with apply_plan(freeze("conv_net"), model):
        assert {variable.path.split("/")[0] for variable in model.trainable_variables} == {"top"}
    with apply_plan(train_all(), model):
        assert not any("_bn" in variable.path for variable in model.trainable_variables)


def test_a_layer_with_weights_and_sublayers_is_frozen_completely():
    class Composite(keras.layers.Layer):
        def build(self, shape):
            self.token = self.add_weight(shape=(shape[-1],), name="token")
            self.dense = keras.layers.Dense(shape[-1])
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x + self.token)

    x = keras.Input((4,))
    model = keras.Model(x, keras.layers.Dense(1, name="top")(Composite(name="composite")(x)))
    with apply_plan(freeze("composite"), model):
        assert len(model.trainable_variables) == 2
    with apply_plan(train_all(), model):
        assert len(model.trainable_variables) == 5


def test_flags_are_restored_even_after_an_error():
    model = Staged()
    model.keras.get_layer("conv2_conv").trainable = False
    before = [layer.trainable for layer in model.keras.layers]
    with pytest.raises(RuntimeError), apply_plan(freeze("backbone"), model):
        raise RuntimeError
    assert [layer.trainable for layer in model.keras.layers] == before


TOKENS = np.random.default_rng(0).integers(0, 30, (4, 6))


def learn_lora(model):
    for variable in model.keras.trainable_variables:
        if variable.name.startswith("lora_"):
            variable.assign(np.random.default_rng(1).normal(size=variable.shape) * 0.3)


def test_lora_is_on_inside_and_merged_without_a_trace_outside(tmp_path):
    model = WithStages(transformer())
    config, paths = model.keras.get_config(), [variable.path for variable in model.keras.weights]
    before = np.array(model.keras(TOKENS))
    with apply_plan(lora(2, target="query,value"), model) as effect:
        learning = {variable.path for variable in model.keras.trainable_variables}
        assert {path.rsplit("/", 1)[-1] for path in learning} == {"lora_kernel_a", "lora_kernel_b", "kernel", "bias"}
        assert len(learning) == 2 * 2 * 2 + 2
        assert set(effect.lr_multipliers) == learning
        assert not effect.lora_weights
        learn_lora(model)
        inside = np.array(model.keras(TOKENS))
    assert np.abs(inside - before).max() > 0.01
    np.testing.assert_allclose(model.keras(TOKENS), inside, atol=1e-5)
    assert [variable.path for variable in model.keras.weights] == paths
    assert str(model.keras.get_config()) == str(config)
    assert "lora_rank" not in str(model.keras.get_config())
    assert sorted(effect.lora_weights) == [f"block{n}_attention:{name}" for n in (1, 2) for name in ("query", "value")]
    model.keras.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(TOKENS), model.keras(TOKENS))
    with apply_plan(lora(3), model):
        np.testing.assert_allclose(model.keras(TOKENS), inside, atol=1e-5)


def test_an_error_inside_the_block_merges_lora_and_restores_every_flag():
    model = WithStages(transformer())
    model.keras.get_layer("block1_up").kernel.trainable = False
    model.keras.get_layer("block1_attention").trainable = False
    model.keras.get_layer("block1_attention").query_dense.trainable = True
    flags = [variable.trainable for variable in model.keras.weights]
    with pytest.raises(KeyboardInterrupt), apply_plan(lora(2), model):
        learn_lora(model)
        raise KeyboardInterrupt
    assert [variable.trainable for variable in model.keras.weights] == flags
    assert not any("lora" in variable.path for variable in model.keras.weights)


def test_lora_that_fails_halfway_is_removed(monkeypatch):
    model = WithStages(transformer())
    before = [weight.tobytes() for weight in model.keras.get_weights()]
    monkeypatch.setattr(keras.layers.EinsumDense, "enable_lora", lambda self, rank, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError), apply_plan(lora(2), model):
        pass
    assert [weight.tobytes() for weight in model.keras.get_weights()] == before


def test_a_layer_that_has_lora_already_is_an_error():
    model = WithStages(transformer())
    model.keras.get_layer("block1_up").enable_lora(2)
    with pytest.raises(ValueError, match="block1_up:block1_up has LoRA already"), apply_plan(lora(2), model):
        pass


def test_a_plan_resolves_and_draws_the_same_inside_as_outside():
    model, plan = WithStages(transformer()), lora(2, target="query")
    outside = plan.resolve(model)
    with apply_plan(plan, model):
        assert plan.resolve(model) == outside


def test_a_prediction_traced_before_or_inside_the_block_is_right_outside():
    model = WithStages(transformer())
    plain = model.keras.predict(TOKENS, verbose=0)
    with apply_plan(lora(2), model):
        learn_lora(model)
        inside = model.keras.predict(TOKENS, verbose=0)
    assert np.abs(inside - plain).max() > 0.01
    np.testing.assert_allclose(model.keras.predict(TOKENS, verbose=0), inside, atol=1e-5)


def test_multipliers_are_those_of_the_rules_times_the_decay():
    model = WithStages(transformer())
    plan = Plan((Rule("head", "train", lr_multiplier=10.0), Rule("*", "train")), layer_decay=0.5)
    with apply_plan(plan, model) as effect:
        assert set(effect.lr_multipliers) == {variable.path for variable in model.keras.trainable_variables}
    assert effect.lr_multipliers["head_output/kernel"] == 10
    assert effect.lr_multipliers["block2_attention/query/kernel"] == 0.5
    assert effect.lr_multipliers["block1_up/bias"] == 0.25
    assert effect.lr_multipliers["embedding/embeddings"] == 0.125


def test_without_stages_the_rate_decays_layer_by_layer():
    model = transformer(blocks=1)
    with apply_plan(layer_decay(0.5), model) as effect:
        pass
    names = ("head_output/kernel", "block1_down/kernel", "block1_up/kernel", "block1_norm2/beta")
    assert [effect.lr_multipliers[name] for name in names] == [1, 0.5, 0.25, 0.125]


def test_two_variables_with_one_path_and_two_multipliers_are_an_error():
    x = keras.Input((2,))
    model = keras.Model(x, keras.layers.Dense(1, name="b")(keras.layers.Dense(2, name="a")(x)))
    for layer in model.layers[1:]:
        layer.kernel._path = "same/kernel"
    plan = Plan((Rule("a", "train", lr_multiplier=0.5), Rule("b", "train")))
    with pytest.raises(ValueError, match="two variables have the path 'same/kernel'"), apply_plan(plan, model):
        pass
    assert len(model.trainable_variables) == 4


def test_lora_reaches_the_attention_of_kerashub():
    import keras_hub

    backbone = keras_hub.models.BertBackbone(30, num_layers=2, num_heads=2, hidden_dim=16, intermediate_dim=32)
    top = keras.layers.Dense(2, name="top")(backbone.output["pooled_output"])
    model = keras.Model(backbone.input, top)
    data = {"token_ids": TOKENS, "segment_ids": TOKENS * 0, "padding_mask": np.ones_like(TOKENS)}
    plan = Plan((Rule("top", "train"), Rule("transformer_layer_*", "lora", 1.0, 2, "query,value"), Rule("*", "frozen")))
    paths = [variable.path for variable in model.weights]
    with apply_plan(plan, model) as effect:
        assert len(model.trainable_variables) == 2 * 2 * 2 + 2
        for variable in model.trainable_variables:
            variable.assign_add(np.full(variable.shape, 0.3))
        inside = np.array(model(data))
    np.testing.assert_allclose(model(data), inside, atol=1e-5)
    assert [variable.path for variable in model.weights] == paths
    assert "transformer_layer_0:self_attention_layer/query" in effect.lora_weights
