import json
from dataclasses import asdict

import keras
import pytest

from tests.conftest import WithStages, conv_net, transformer
from tltk.trainability.plan import Plan, Rule, bias_only, lora, norm_only


def test_all_invalid_fields_of_a_rule_are_listed_at_once():
    with pytest.raises(
        ValueError, match=r"(?s)`lr_multiplier`.*Received: 0.*`rank`.*Received: 1.5.*`target`.*Received: ''"
    ):
        Rule("*", "lora", lr_multiplier=0, rank=1.5, target="")
    with pytest.raises(ValueError, match=r"`action` must be one of 'frozen', 'train', 'lora', 'bias', 'norm'"):
        Rule("*", "freeze")


def test_a_field_without_effect_is_an_error():
    with pytest.raises(ValueError, match=r"`rank` and `target` require action='lora'. Received: action='train'"):
        Rule("*", "train", rank=4)
    with pytest.raises(ValueError, match=r"`lr_multiplier` has no effect with action='frozen'"):
        Rule("*", "frozen", lr_multiplier=0.5)


def test_a_plan_is_restored_from_json():
    plan = Plan((Rule("head", "train", lr_multiplier=10.0), Rule("*", "lora", rank=4, target="query")), "affine", 0.75)
    config = json.loads(json.dumps(asdict(plan)))
    assert Plan(tuple(Rule(**rule) for rule in config["rules"]), config["batch_norm"], config["layer_decay"]) == plan


def test_the_error_for_lora_without_a_target_lists_the_supported_sublayers():
    with pytest.raises(
        ValueError, match=r"(?s)target 'qery' matches no sublayer. Did you mean 'query'\?.*LoRA is supported by"
    ):
        lora(4, target="qery").resolve(WithStages(transformer()))
    x = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D(name="body_pool")(keras.layers.DepthwiseConv2D(3, name="body_conv")(x))
    model = WithStages(keras.Model(x, keras.layers.Dense(2, name="head_output")(pooled)))
    with pytest.raises(ValueError, match="none of its layers supports LoRA"):
        lora(4).resolve(model)
    shadowed = Plan((Rule("*", "train"), Rule("block1", "lora")))
    with pytest.raises(ValueError, match="`lora` of rule 'block1': earlier rules decide all its layers"):
        shadowed.resolve(WithStages(transformer()))


def test_training_biases_or_norms_of_a_network_without_them_is_an_error():
    x = keras.Input((8,))
    body = keras.layers.Dense(4, use_bias=False, name="body_dense")(x)
    model = WithStages(keras.Model(x, keras.layers.Dense(2, name="head_output")(body)))
    with pytest.raises(ValueError, match=r"rule '\*' trains every bias, and none of its layers has one"):
        bias_only().resolve(model)
    with pytest.raises(ValueError, match=r"rule '\*' trains every norm, and none of its layers has one"):
        norm_only().resolve(model)


def test_two_decisions_about_one_shared_layer_are_an_error():
    shared = keras.layers.Dense(4, name="shared")
    x = keras.Input((4,))
    inner = keras.Sequential([keras.Input((4,)), shared], name="inner")
    model = keras.Model(x, keras.layers.Dense(1, name="top")(shared(inner(x))))
    Plan((Rule("*", "train"),)).resolve(model)
    with pytest.raises(ValueError, match=r"'inner' and 'shared' share 'inner/shared/kernel'; decide the same for both"):
        Plan((Rule("inner", "frozen"), Rule("*", "train"))).resolve(model)


def test_weights_outside_of_all_layers_are_an_error():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, name="dense")
            self.token = self.add_weight(shape=(3,), name="token")

        def call(self, x):
            return self.dense(x + self.token)

    model = Own()
    model(keras.ops.ones((1, 3)))
    with pytest.raises(ValueError, match=r"the model has weights that belong to no layer: token"):
        Plan((Rule("*", "train"),)).resolve(model)


def test_all_problems_of_a_plan_are_listed_at_once():
    plan = Plan((Rule("top:99", "train"), Rule("conv9", "frozen"), Rule("conv2_conv", "norm")))
    with pytest.raises(ValueError, match=r"(?s)top:99.*`conv9` matches no layer.*no rule covers 8.*trains every norm"):
        plan.resolve(conv_net())
