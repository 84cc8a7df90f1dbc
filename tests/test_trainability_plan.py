import keras
import numpy as np
import pytest

from tests.conftest import conv_net
from tltk.trainability.apply import applied
from tltk.trainability.plan import Plan, Rule, freeze, train_all, unfreeze_from


class Staged:
    """A model with stages, as `assemble` returns one."""

    def __init__(self):
        body = conv_net()
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
        x = keras.layers.BatchNormalization(name="head_norm")(x)
        self.keras = keras.Model(body.input, keras.layers.Dense(2, name="head_output")(x))
        self.stages = {layer.name: layer.name.split("_")[0] for layer in self.keras.layers[1:]}


def trained(plan, model):
    with applied(plan, model):
        return {variable.path for variable in model.keras.trainable_variables}


def test_freezing_the_backbone_leaves_the_head():
    assert all(path.startswith("head_") for path in trained(freeze("backbone"), Staged()))
    assert trained(freeze("backbone"), Staged())


def test_unfreezing_from_a_stage_holds_batch_norm_unless_told():
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
    found = {name: decision.action for name, decision in plan.resolve(Staged()).items()}
    assert (found["conv2_conv"], found["conv2_bn"], found["stem_conv"]) == ("frozen", "train", "frozen")


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


def test_all_that_is_wrong_with_a_plan_is_listed_at_once():
    with pytest.raises(
        ValueError,
        match=r"(?s)`conv7..` matches no layer.*`hed` matches no layer. Did you mean 'head'.*no rule covers 9 layers",
    ):
        Plan((Rule("conv7..", "train"), Rule("hed", "train"), Rule("head", "train"))).resolve(Staged())
    with pytest.raises(ValueError, match=r"`action` must be one of 'frozen', 'train'"):
        Rule("*", "freeze")
    with pytest.raises(ValueError, match=r"`batch_norm` must be one of"):
        train_all(batch_norm="off")


def test_a_plan_works_on_anybodys_model_by_layer_names():
    model = conv_net()
    with applied(Plan((Rule("conv3_*", "train"), Rule("*", "frozen"))), model):
        assert [variable.path for variable in model.trainable_variables] == ["conv3_conv/kernel", "conv3_conv/bias"]
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model"):
        freeze("backbone").resolve("resnet50")


def test_the_table_counts_what_learns():
    model = Staged()
    text = unfreeze_from("conv3").describe(model)
    with applied(unfreeze_from("conv3"), model):
        learning = sum(int(np.prod(variable.shape)) for variable in model.keras.trainable_variables)
    assert f"{learning:,} of {model.keras.count_params():,} learn" in text
    rows = {line.split()[0]: line for line in text.splitlines()}
    assert "frozen (batch norm)" in rows["conv3_bn"]
    assert rows["conv3_conv"].split()[1:3] == ["conv3", "train"]
    assert rows["stem_conv"].split()[1:3] == ["stem", "frozen"]
