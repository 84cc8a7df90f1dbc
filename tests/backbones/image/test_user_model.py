"""A user's own model as a backbone, and stages inferred from its resolutions."""

import keras
import pytest

from tests.conftest import STAGES, conv_net
from tltk.backbones import backbone
from tltk.backbones.image import user_model


def last_layers(backbone):
    return {stage.name: stage.last for stage in backbone.stages}


def test_stages_end_where_the_resolution_changes():
    selected = backbone(conv_net())
    assert last_layers(selected) == STAGES
    assert (selected.name, selected.weights, selected.input_spec.shape) == ("conv_net", "model", (16, 16, 3))
    assert selected.parameters == conv_net().count_params()


def test_inferred_stages_of_a_resnet_are_those_of_the_table_except_for_the_stem():
    net = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    table = last_layers(backbone("resnet50"))
    assert last_layers(backbone(net)) == {**table, "stem": "conv1_relu"}


def test_a_resolution_without_a_single_tensor_is_merged_with_the_next():
    net = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(64, 64, 3))
    assert last_layers(backbone(net))["conv5"] == "relu"
    pixels = keras.Input((32, 32, 3))
    low = keras.layers.Conv2D(4, 3, 2, padding="same", name="low")(pixels)
    down = keras.layers.AveragePooling2D(8, name="skip")(pixels)
    high = keras.layers.Conv2D(3, 3, 4, padding="same", name="high")(low)
    net = keras.Model(pixels, keras.layers.Add(name="sum")([high, down]))
    assert last_layers(backbone(net)) == {"stem": "sum"}


def test_a_pooling_at_the_end_belongs_to_the_last_stage():
    net = conv_net()
    longer = keras.Model(net.input, keras.layers.MaxPooling2D(name="pool")(net.output))
    assert last_layers(backbone(longer)) == {**STAGES, "conv3": "pool"}


def test_a_sequential_model_is_a_backbone():
    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, 2, name="conv")]
    selected = backbone(keras.Sequential(layers))
    assert last_layers(selected) == {"stem": "conv"}
    assert selected.build()[0].output_shape == (None, 7, 7, 4)


def test_a_model_for_any_size_requires_an_image_size():
    pixels = keras.Input((None, None, 3))
    net = keras.Model(pixels, keras.layers.Conv2D(4, 3, 2, name="conv")(pixels), name="free")
    with pytest.raises(ValueError, match=r"'free' takes images of any size: pass `image_size`"):
        backbone(net)
    assert backbone(net, image_size=32).input_spec.shape == (32, 32, 3)


def test_an_image_size_that_differs_from_the_model_is_an_error():
    with pytest.raises(
        ValueError, match=r"`image_size` must be \(16, 16\), which 'conv_net' was built for. Received: \(32, 32\)"
    ):
        backbone(conv_net(), image_size=32)


def test_the_error_for_a_pooled_output_suggests_the_last_feature_map():
    net = conv_net()
    pooled = keras.Model(net.input, keras.layers.GlobalAveragePooling2D()(net.output), name="pooled")
    with pytest.raises(
        ValueError,
        match=r"(?s)output must be \[batch, height, width, channels\], and is \(None, 8\).*get_layer\('conv3_relu'\)",
    ):
        backbone(pooled)


def test_all_problems_of_a_model_are_listed_at_once():
    tokens = keras.Input((7,))
    text = keras.Model(tokens, [keras.layers.Dense(2)(tokens), keras.layers.Dense(3)(tokens)], name="text")
    with pytest.raises(
        ValueError, match=r"(?s)'text' cannot be an image backbone.*its input must be .*one output, and has 2"
    ):
        backbone(text)


def test_a_model_has_channels_of_its_own():
    pixels = keras.Input((16, 16, 5))
    model = keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels), name="five")
    assert backbone(model).input_spec.shape == backbone(model, channels=5).input_spec.shape == (16, 16, 5)
    with pytest.raises(ValueError, match=r"`channels` of 'five', your own model, is 5. Received: 3"):
        backbone(model, channels=3)
    unknown = keras.Input((None, None, None))
    with pytest.raises(ValueError, match=r"its input must have a known number of channels"):
        backbone(keras.Model(unknown, keras.layers.ReLU()(unknown)))


def test_a_model_that_is_not_functional_is_an_error():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"is not a functional model; build it as keras.Model.*Received: Subclassed"):
        backbone(Subclassed())
    with pytest.raises(ValueError, match=r"Received: Sequential, not built yet"):
        backbone(keras.Sequential([keras.layers.Conv2D(4, 3)]))


def test_named_stages_keep_their_order():
    assert [stage.name for stage in user_model.named_stages({"b": "x", "a": "y"})] == ["b", "a"]
