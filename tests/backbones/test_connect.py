import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net
from tltk.backbones import Preprocessing
from tltk.backbones.connect import connect

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")


def calls(model):
    """Return how often each layer of a model was called."""
    return {layer.name: len(layer._inbound_nodes) for layer in model.layers}


def test_every_layer_of_a_backbone_is_called_once():
    backbone = tltk.backbone("mobilenet", weights="random", image_size=32)
    network = connect(backbone).network
    assert set(calls(network).values()) == {1}
    assert network.input.name == "pixels"
    assert {name: tensor.shape for name, tensor in network.output.items()} == {"conv5": (None, 1, 1, 1024)}


def test_features_of_several_stages_have_their_names():
    network = connect(tltk.backbone(conv_net(), stages=STAGES), ("stem", "conv3")).network
    assert {name: tensor.shape for name, tensor in network.output.items()} == {
        "stem": (None, 16, 16, 4),
        "conv3": (None, 4, 4, 8),
    }


def test_what_follows_the_last_declared_stage_belongs_to_it():
    network = connect(tltk.backbone(conv_net(), stages={"low": "stem_relu", "high": "conv3_conv"})).network
    assert network.output["high"] is network.get_layer("conv3_relu").output


def test_the_error_for_an_unknown_stage_lists_the_stages():
    with pytest.raises(ValueError, match=r"conv_net has no stage 'conv4'; stages: stem, conv2, conv3.*Did you mean"):
        connect(tltk.backbone(conv_net(), stages=STAGES), ("conv4",))


def test_a_user_s_model_is_used_as_it_is():
    net = conv_net()
    network = connect(tltk.backbone(net, stages=STAGES)).network
    assert network.input is net.input
    assert network.output["conv3"] is net.output
    assert set(calls(net).values()) == {1}


def test_a_model_of_any_size_is_used_as_it_is():
    pixels = keras.Input((None, None, 3), name="any")
    net = keras.Model(pixels, keras.layers.Conv2D(4, 3, strides=2, name="conv")(pixels))
    backbone = tltk.backbone(net, image_size=32)
    model = tltk.assemble(backbone, tltk.classification(tltk.specs.LabelSpec(("a", "b"))))
    assert model.keras.input is net.input
    assert set(calls(net).values()) == {1}
    features = tltk.embed(backbone, np.zeros((3, 20, 20, 3), "uint8"), pooling=None)
    assert features.features.shape == (3, 15, 15, 4)


def test_with_preprocessing_a_user_s_model_is_copied():
    net = conv_net()
    halved = Preprocessing(scale=(0.5,), channel_order="bgr")
    network = connect(tltk.backbone(net, stages=STAGES, preprocessing=halved)).network
    assert network.get_layer("stem_conv") is not net.get_layer("stem_conv")
    assert set(calls(network).values()) == set(calls(net).values()) == {1}
    np.testing.assert_allclose(network(PIXELS)["conv3"], net(PIXELS[..., ::-1] / 2), rtol=1e-5, atol=1e-5)


def test_a_model_that_cannot_be_copied_is_an_error_with_a_fix():
    class Odd(keras.layers.Layer):
        def __init__(self, function, **options):
            super().__init__(**options)
            self.function = function

        def call(self, x):
            return self.function(x)

    pixels = keras.Input((16, 16, 3))
    net = keras.Model(pixels, keras.layers.Conv2D(2, 3)(Odd(keras.ops.abs, name="odd")(pixels)), name="net")
    with pytest.raises(ValueError, match=r"'net' cannot be copied.*`preprocessing`.*get_config"):
        connect(tltk.backbone(net, preprocessing=Preprocessing(scale=(0.5,))))


def test_layers_named_like_the_input_or_the_preprocessing_keep_their_names():
    x = keras.Input((16, 16, 3), name="mine")
    y = keras.layers.Conv2D(3, 3, name="pixels")(x)
    net = keras.Model(x, keras.layers.Conv2D(2, 3, name="preprocessing_rescaling")(y))
    network = connect(tltk.backbone(net, preprocessing=Preprocessing(scale=(0.5,)))).network
    assert [operation.name for operation in network.operations] == [
        "pixels_1", "preprocessing_rescaling_1", "pixels", "preprocessing_rescaling",
    ]  # fmt: skip
