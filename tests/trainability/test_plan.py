import subprocess
import sys

import keras
import numpy as np
import pytest

from tests import ROOT
from tests.conftest import conv_net, squares_model
from tltk import trainability
from tltk.trainability.apply import apply_plan
from tltk.trainability.effects import Decision
from tltk.trainability.plan import (
    Plan,
    Rule,
    bias_only,
    first_block,
    freeze,
    layer_decay,
    lora,
    norm_only,
    train_all,
    train_top,
    unfreeze_from,
)


class Staged:
    """A model with stages, as `assemble` returns one."""

    def __init__(self):
        body = conv_net()
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
        x = keras.layers.BatchNormalization(name="head_norm")(x)
        self.keras = keras.Model(body.input, keras.layers.Dense(2, name="head_output")(x))
        self.stages = {layer.name: layer.name.split("_")[0] for layer in self.keras.layers[1:]}


def trained(plan, model):
    with apply_plan(plan, model):
        return {variable.path for variable in model.keras.trainable_variables}


def test_freezing_the_backbone_leaves_the_head():
    assert all(path.startswith("head_") for path in trained(freeze("backbone"), Staged()))
    assert trained(freeze("backbone"), Staged())


def test_unfreezing_from_a_stage_freezes_batch_norm_by_default():
    held, learned = (
        trained(unfreeze_from("conv3"), Staged()),
        trained(unfreeze_from("conv3", batch_norm="train"), Staged()),
    )
    assert {path.split("/")[0] for path in held} == {"conv3_conv", "head_norm", "head_output"}
    assert {path.split("/")[0] for path in learned - held} == {"conv3_bn"}


def test_train_all_covers_everything():
    model = Staged()
    assert len(trained(train_all(batch_norm="train"), model)) == len(model.keras.trainable_variables) > 10
    assert not any("bn/" in path for path in trained(train_all(), model))


def test_the_first_rule_that_matches_decides():
    plan = Plan((Rule("conv2_conv", "frozen"), Rule("conv2", "train"), Rule("*", "frozen")))
    actions = {name: decision.action for name, decision in plan.resolve(Staged()).items()}
    assert (actions["conv2_conv"], actions["conv2_bn"], actions["stem_conv"]) == ("frozen", "train", "frozen")


def test_resolving_changes_nothing():
    model = Staged()
    before = [layer.trainable for layer in model.keras.layers]
    freeze("backbone").resolve(model)
    freeze("backbone").describe(model)
    assert [layer.trainable for layer in model.keras.layers] == before


def test_a_rule_that_matches_nothing_names_the_stages():
    with pytest.raises(ValueError, match=r"`conv9` matches no layer.*stages: stem, conv2, conv3, head"):
        freeze("conv9").resolve(Staged())
    with pytest.raises(ValueError, match=r"`backbone` matches no layer.*none declared"):
        freeze("backbone").resolve(conv_net())


def test_all_problems_of_a_plan_are_listed_at_once():
    with pytest.raises(
        ValueError,
        match=r"(?s)`conv7..` matches no layer.*`hed` matches no layer. Did you mean 'head'.*no rule covers 9 layers",
    ):
        Plan((Rule("conv7..", "train"), Rule("hed", "train"), Rule("head", "train"))).resolve(Staged())
    with pytest.raises(ValueError, match=r"`action` must be one of 'frozen', 'train', 'lora'"):
        Rule("*", "freeze")
    with pytest.raises(ValueError, match=r"`batch_norm` must be one of"):
        train_all(batch_norm="off")


def test_a_plan_with_layer_names_works_on_any_model():
    model = conv_net()
    with apply_plan(Plan((Rule("conv3_*", "train"), Rule("*", "frozen"))), model):
        assert [variable.path for variable in model.trainable_variables] == ["conv3_conv/kernel", "conv3_conv/bias"]
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model"):
        freeze("backbone").resolve("resnet50")


def test_the_table_counts_what_learns():
    model = Staged()
    text = unfreeze_from("conv3").describe(model)
    with apply_plan(unfreeze_from("conv3"), model):
        trained = sum(int(np.prod(variable.shape)) for variable in model.keras.trainable_variables)
    assert f"{trained:,} of {model.keras.count_params():,} trained" in text
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert "frozen (batch norm)" in rows["conv3_bn"]
    assert rows["conv3_conv"].split()[1:3] == ["conv3", "train"]
    assert rows["stem_conv"].split()[1:3] == ["stem", "frozen"]


def test_layer_decay_falls_stage_by_stage_towards_the_input():
    decisions = layer_decay(0.5).resolve(Staged())
    names = ("head_output", "conv3_conv", "conv2_conv", "stem_bn")
    assert [decisions[name] for name in names] == [Decision("train", rate) for rate in (1, 0.5, 0.25, 0.125)]


def test_the_multiplier_of_a_rule_is_multiplied_by_the_decay_except_for_frozen_layers():
    rules = (Rule("conv3", "train", lr_multiplier=0.1), Rule("head", "train"), Rule("*", "frozen"))
    decisions = Plan(rules, layer_decay=0.5).resolve(Staged())
    assert decisions["conv3_conv"].lr_multiplier == pytest.approx(0.05)
    assert decisions["stem_conv"] == Decision("frozen")


@pytest.mark.parametrize("decay", [0, -0.5, 1.5, float("nan"), "0.75", True])
def test_an_invalid_decay_is_an_error(decay):
    with pytest.raises(ValueError, match="`layer_decay` must be above 0 and at most 1"):
        layer_decay(decay)


def test_train_top_takes_exactly_one_of_its_options():
    assert train_top(layers=12).rules[0] == Rule("top:12", "train")
    assert train_top(fraction=1 / 3).rules[0].pattern == "top:33.3333333333%"
    assert train_top(fraction=1).rules[0].pattern == "top:100%"
    for wrong in ({}, {"layers": 1, "fraction": 0.5}):
        with pytest.raises(ValueError, match="give exactly one of `layers`, `fraction` and `stages`"):
            train_top(**wrong)
    with pytest.raises(ValueError, match=r"`layers` must be a whole number above 0. Received: 0"):
        train_top(layers=0)
    with pytest.raises(ValueError, match=r"`fraction` must be above 0 and at most 1. Received: 1.5"):
        train_top(fraction=1.5)


@pytest.mark.parametrize(
    "make",
    [unfreeze_from, train_top, train_all, first_block, bias_only, norm_only, layer_decay],
    ids=lambda f: f.__name__,
)
def test_every_plan_takes_every_policy_of_batch_norm(make):
    arguments = {"unfreeze_from": {"stage": "conv3"}, "train_top": {"layers": 2}}.get(make.__name__, {})
    for policy in ("frozen", "affine", "train"):
        plan = make(**arguments, batch_norm=policy)
        assert plan.batch_norm == policy
        plan.resolve(Staged())


def test_the_ready_made_plans_are_found_without_importing_keras():
    code = """
import sys
import tltk, tltk.trainability as t
assert "keras" not in sys.modules and "bias_only" in dir(t)
assert t.bias_only().rules[1].action == "bias"
assert t.layer_decay is tltk.layer_decay
import tltk.trainability.lora.weights
assert callable(tltk.lora), "the plan, whatever module of that name was imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match=r"tltk.trainability has no 'bias_onyl'. Did you mean 'bias_only'\?"):
        trainability.bias_onyl  # noqa: B018


def test_lora_keeps_biases_and_norms_as_they_are():
    assert {path.split("/")[0] for path in trained(lora(2), Staged()) if "lora" not in path} == {
        "head_norm",
        "head_output",
    }


def test_a_rule_after_rules_that_match_all_its_layers_is_an_error():
    model = squares_model()
    with pytest.raises(ValueError, match=r"rule 'conv2' comes too late: earlier rules decide all its layers"):
        Plan((Rule("*", "train"), Rule("conv2", "frozen"))).resolve(model)
    assert Plan((Rule("backbone", "frozen"), Rule("head", "train"), Rule("*", "train"))).resolve(model)
