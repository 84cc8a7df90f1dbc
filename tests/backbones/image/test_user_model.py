"""A user's own model as a backbone, and stages inferred from its resolutions."""

import keras
import pytest

from tests.conftest import STAGES, conv_net
from tltk.backbones import backbone
from tltk.backbones.image import user_model as own


def lasts(chosen):
    return {stage.name: stage.last for stage in chosen.stages}


def test_stages_end_where_the_resolution_falls():
    chosen = backbone(conv_net())
    assert lasts(chosen) == STAGES
    assert (chosen.name, chosen.weights, chosen.input.shape) == ("conv_net", "model", (16, 16, 3))
    assert chosen.parameters == conv_net().count_params()


def test_inferred_stages_of_a_resnet_are_those_of_its_row_but_for_the_stem():
    net = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(64, 64, 3))
    table = lasts(backbone("resnet50"))
    assert lasts(backbone(net)) == {**table, "stem": "conv1_relu"}


def test_a_resolution_without_a_single_tensor_joins_the_next():
    net = keras.applications.DenseNet121(include_top=False, weights=None, input_shape=(64, 64, 3))
    assert lasts(backbone(net))["conv5"] == "relu"
    pixels = keras.Input((32, 32, 3))
    low = keras.layers.Conv2D(4, 3, 2, padding="same", name="low")(pixels)
    down = keras.layers.AveragePooling2D(8, name="skip")(pixels)
    high = keras.layers.Conv2D(3, 3, 4, padding="same", name="high")(low)
    net = keras.Model(pixels, keras.layers.Add(name="sum")([high, down]))
    assert lasts(backbone(net)) == {"stem": "sum"}


def test_a_pooling_at_the_end_belongs_to_the_last_stage():
    net = conv_net()
    longer = keras.Model(net.input, keras.layers.MaxPooling2D(name="pool")(net.output))
    assert lasts(backbone(longer)) == {**STAGES, "conv3": "pool"}


def test_a_sequential_model_is_one_too():
    layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, 2, name="conv")]
    chosen = backbone(keras.Sequential(layers))
    assert lasts(chosen) == {"stem": "conv"}
    assert chosen.build()[0].output_shape == (None, 7, 7, 4)


def test_a_model_for_any_size_needs_a_size():
    pixels = keras.Input((None, None, 3))
    net = keras.Model(pixels, keras.layers.Conv2D(4, 3, 2, name="conv")(pixels), name="free")
    with pytest.raises(ValueError, match=r"'free' takes images of any size: pass `image_size`"):
        backbone(net)
    assert backbone(net, image_size=32).input.shape == (32, 32, 3)


def test_another_size_than_the_models_is_refused():
    with pytest.raises(
        ValueError, match=r"`image_size` must be \(16, 16\), which 'conv_net' was built for. Received: \(32, 32\)"
    ):
        backbone(conv_net(), image_size=32)


def test_a_model_that_ends_in_a_pooling_says_where_to_cut():
    net = conv_net()
    pooled = keras.Model(net.input, keras.layers.GlobalAveragePooling2D()(net.output), name="pooled")
    with pytest.raises(
        ValueError,
        match=r"(?s)output must be \[batch, height, width, channels\], and is \(None, 8\).*get_layer\('conv3_relu'\)",
    ):
        backbone(pooled)


def test_everything_wrong_is_listed_at_once():
    tokens = keras.Input((7,))
    text = keras.Model(tokens, [keras.layers.Dense(2)(tokens), keras.layers.Dense(3)(tokens)], name="text")
    with pytest.raises(
        ValueError, match=r"(?s)'text' cannot be an image backbone.*its input must be .*one output, and has 2"
    ):
        backbone(text)


def test_grey_models_are_refused():
    pixels = keras.Input((16, 16, 1))
    with pytest.raises(ValueError, match=r"its input must have 3 channels, and has 1"):
        backbone(keras.Model(pixels, keras.layers.Conv2D(4, 3)(pixels)))


def test_a_model_that_is_not_functional_is_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"is no functional model .it is a Subclassed.; build it as keras.Model"):
        backbone(Subclassed())
    with pytest.raises(ValueError, match=r"it is a Sequential, not built yet"):
        backbone(keras.Sequential([keras.layers.Conv2D(4, 3)]))


def test_named_stages_keep_their_order():
    assert [stage.name for stage in own.named_stages({"b": "x", "a": "y"})] == ["b", "a"]
