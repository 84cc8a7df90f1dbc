import keras
import pytest

from tests.conftest import WithStages, conv_net, transformer
from tltk.trainability.layers import layer_rows
from tltk.trainability.patterns import check_pattern, matching, no_match, stage_names, steps_from_head


def staged():
    return layer_rows(WithStages(transformer()))


def test_top_counts_layers_with_weights_from_the_output_of_the_backbone_and_includes_the_head():
    assert matching("top:1", staged()) == {"block2_down", "block2_skip2", "head_pool", "head_output"}
    assert matching("top:3", staged()) - matching("top:2", staged()) == {"block2_norm2"}
    # 11 layers of the backbone have weights: 25 % are 2.75
    assert matching("top:25%", staged()) == matching("top:3", staged())
    assert matching("top:100%", staged()) == matching("top:11", staged()) == {row.name for row in staged()}


def test_top_counts_every_layer_of_a_model_without_stages():
    assert matching("top:1", layer_rows(conv_net())) == {"conv3_bn", "conv3_relu"}


def test_first_is_the_first_stage_that_has_weights():
    x = keras.Input((4,))
    scaled = keras.layers.Rescaling(2.0, name="pre_scale")(x)
    out = keras.layers.Dense(2, name="low_dense")(scaled)
    model = WithStages(keras.Model(x, keras.layers.Dense(1, name="head_output")(out)))
    assert matching("first", layer_rows(model)) == {"low_dense"}
    assert matching("first", layer_rows(conv_net())) == set()


def test_stages_and_globs_match_as_before():
    rows = staged()
    assert matching("head", rows) == {"head_pool", "head_output"}
    assert matching("block2..", rows) == {row.name for row in rows if row.name.startswith("block2")}
    assert matching("*_up", rows) == {"block1_up", "block2_up"}
    assert stage_names(rows) == ["embedding", "block1", "block2", "head"]


def test_the_error_for_too_many_top_layers_says_how_many_there_are():
    assert "asks for more layers than the 11 of the backbone that have weights" in no_match("top:12", staged())


@pytest.mark.parametrize("pattern", ["top:", "top:0", "top:-1", "top:x", "top:0%", "top:101%", "top:1.5"])
def test_a_malformed_top_is_an_error(pattern):
    with pytest.raises(ValueError, match=r"`pattern` must be like 'top:12', 'top:25%' or"):
        check_pattern(pattern)


def test_a_pattern_must_be_a_string():
    with pytest.raises(TypeError, match=r"`pattern` must be str. Received: int"):
        check_pattern(3)


def test_steps_count_stages_from_the_head():
    steps = steps_from_head(staged())
    assert {name: steps[name] for name in ("head_output", "block2_up", "block1_up", "embedding")} == {
        "head_output": 0,
        "block2_up": 1,
        "block1_up": 2,
        "embedding": 3,
    }


def test_a_layer_without_a_stage_belongs_to_the_stage_before_it():
    model = WithStages(transformer())
    del model.stages["block1_up"], model.stages["embedding"]
    steps = steps_from_head(layer_rows(model))
    assert steps["block1_up"] == 2
    assert steps["embedding"] == 2  # no stage comes before it: the first one


def test_without_stages_a_step_is_a_layer_with_weights():
    steps = steps_from_head(layer_rows(conv_net()))
    names = ("conv3_relu", "conv3_bn", "conv3_conv", "conv2_relu", "conv2_bn")
    assert [steps[name] for name in names] == [0, 0, 1, 2, 2]


def test_top_counts_stages_and_its_error_lists_them():
    assert matching("top:1 stage", staged()) == matching("block2", staged()) | matching("head", staged())
    assert matching("top:3 stages", staged()) == {row.name for row in staged()}
    assert matching("top:4 stages", staged()) == set()
    assert no_match("top:4 stages", staged()).endswith("more stages than the backbone has: embedding, block1, block2")
    with pytest.raises(ValueError, match=r"'top:2 stages'. Received: 'top:2 stagez'"):
        check_pattern("top:2 stagez")


def test_a_pattern_for_a_layer_inside_of_a_nested_model_is_an_error():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="base")
    x = keras.Input((4,))
    nested = layer_rows(keras.Model(x, keras.layers.Dense(2, name="top")(inner(x))))
    assert no_match("deep", nested).endswith(
        "'base' is a nested model, which is a single layer to a plan: build with `.call(x)` instead"
    )
    flat = layer_rows(keras.Model(x, keras.layers.Dense(2, name="top")(inner.call(x))))
    assert matching("deep", flat) == {"deep"}
