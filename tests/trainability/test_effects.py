import keras
import pytest

from tests.conftest import conv_net, transformer
from tltk.trainability.effects import (
    Decision,
    effective_decision,
    effects,
    has_variables_for,
    state,
    trained_parameters,
)
from tltk.trainability.layers import LayerRow, layer_rows, parameters


def row(name, stage="", model=None):
    row = next(row for row in layer_rows(model or conv_net()) if row.name == name)
    return LayerRow(row.name, stage, row.layer, row.parameters)


def learned(one, action, batch_norm="frozen"):
    return [v.name for effect in effects(one, Decision(action), batch_norm) for v in effect.trained_variables]


def on(one, action, batch_norm="frozen"):
    return effects(one, Decision(action), batch_norm)[0].trainable


BATCH_NORM = {
    # action, policy → what learns, and whether statistics are updated
    ("train", "frozen"): ([], False),
    ("train", "affine"): (["gamma", "beta"], False),
    ("train", "train"): (["gamma", "beta"], True),
    ("bias", "frozen"): ([], False),
    ("bias", "affine"): (["beta"], False),
    ("bias", "train"): (["beta"], True),
    ("norm", "affine"): (["gamma", "beta"], False),
    ("norm", "train"): (["gamma", "beta"], True),
    ("lora", "train"): ([], False),
    ("frozen", "train"): ([], False),
}


@pytest.mark.parametrize(("action", "policy"), BATCH_NORM)
def test_batch_norm_learns_according_to_the_policy(action, policy):
    one = row("conv2_bn")
    assert (learned(one, action, policy), on(one, action, policy)) == BATCH_NORM[action, policy]


def test_the_heads_batch_norm_learns_under_every_policy():
    one = row("conv2_bn", stage="head")
    assert learned(one, "train", "frozen") == ["gamma", "beta"]
    assert on(one, "train", "frozen")


def test_each_action_chooses_its_variables():
    convolution, norm = row("conv2_conv"), row("block1_norm1", model=transformer())
    assert learned(convolution, "bias") == ["bias"]
    assert learned(convolution, "norm") == []
    assert learned(norm, "bias") == ["beta"]
    assert learned(norm, "norm") == ["gamma", "beta"]
    assert learned(row("block1_attention", model=transformer()), "bias") == ["bias"] * 4


def test_a_layer_in_which_nothing_learns_counts_as_frozen():
    without = keras.layers.Conv2D(2, 3, use_bias=False)
    without.build((None, 8, 8, 3))
    one = LayerRow("plain", "", without, parameters(without))
    assert effective_decision(one, Decision("bias"), "frozen") == Decision("frozen")
    assert effective_decision(one, Decision("train"), "frozen") == Decision("train")
    assert effective_decision(row("conv2_bn"), Decision("train"), "frozen") == Decision("frozen")
    assert effective_decision(row("conv2_bn"), Decision("train"), "affine") == Decision("train")
    assert effective_decision(row("conv2_relu"), Decision("train"), "frozen") == Decision(
        "train"
    )  # no weights: nothing to freeze
    attention = row("block1_attention", model=transformer())
    assert effective_decision(attention, Decision("lora", target="nothing"), "frozen") == Decision("frozen")
    assert effective_decision(attention, Decision("lora"), "frozen").action == "lora"


def test_parameters_that_learn_are_counted_before_they_exist():
    attention = row("block1_attention", model=transformer())  # query kernel [16, 2, 8], output kernel [2, 8, 16]
    assert trained_parameters(attention, Decision("lora", rank=2, target="query"), "frozen") == 2 * (32 + 8)
    assert trained_parameters(attention, Decision("lora", rank=3), "frozen") == 3 * 3 * (32 + 8) + 3 * (16 + 16)
    assert trained_parameters(attention, Decision("bias"), "frozen") == 3 * 16 + 16


def test_has_variables_for_does_not_depend_on_the_batch_norm_policy():
    assert has_variables_for(row("conv2_bn"), "norm")
    assert not has_variables_for(row("conv2_conv"), "norm")


def test_the_state_describes_what_is_frozen_and_why():
    attention = row("block1_attention", model=transformer())
    assert state(row("conv2_bn"), Decision("train"), "frozen") == "frozen (batch norm)"
    assert state(row("conv2_bn"), Decision("train"), "affine") == "train (batch norm affine)"
    assert state(row("conv2_bn"), Decision("train"), "train") == "train"
    assert state(row("conv2_conv"), Decision("norm"), "frozen") == "frozen (no norm)"
    assert state(attention, Decision("lora", rank=4), "frozen") == "lora, rank 4"
    assert state(attention, Decision("lora", target="x"), "frozen") == "frozen (no lora)"
