"""Backbones for other channels than RGB start with the weights of the RGB network, adapted as in timm."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net
from tests.texts import tiny_preset
from tltk.backbones import Preprocessing, backbone
from tltk.backbones.connect import connect
from tltk.backbones.image.channels import adapted_kernel, adapted_preprocessing, with_channels
from tltk.foundation import keras_graph as graph

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.uniform(0, 255, (2, 32, 32, 3)).astype("float32")
# Name → first convolution, and whether zeros after preprocessing mean other values in each channel.
FAMILIES = {
    "resnet50": ("conv1_conv", True),  # caffe: BGR, an offset per channel
    "vgg16": ("block1_conv1", True),
    "densenet121": ("conv1_conv", True),  # mean and deviation per channel
    "efficientnet_b0": ("stem_conv", True),  # the same, as layers of the network
    "efficientnet_v2_b0": ("stem_conv", True),
    "resnet_18_imagenet": ("conv1_conv", True),  # KerasHub
    "convnext_tiny": ("convnext_tiny_stem", False),  # does not pad
    "mobilenet_v3_small": ("conv", False),
    "mobilenet": ("conv1", False),
    "efficientnet_lite0": ("stem_conv", False),
}


def timm_adapt_input_conv(kernel: np.ndarray, channels: int) -> np.ndarray:
    """`adapt_input_conv` of timm/models/_manipulate.py, on a kernel [out, in, h, w]."""
    if channels == 1:
        return kernel.sum(axis=1, keepdims=True)
    repeated = np.tile(kernel, (1, int(np.ceil(channels / 3)), 1, 1))[:, :channels]
    return repeated * (3 / channels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 13])
def test_kernels_are_adapted_as_timm_does(channels):
    kernel = GENERATOR.normal(size=(3, 3, 3, 7))
    expected = timm_adapt_input_conv(kernel.transpose(3, 2, 0, 1), channels).transpose(2, 3, 1, 0)
    np.testing.assert_allclose(adapted_kernel(kernel, channels), expected, rtol=1e-12)


def beginning(network: keras.Model, layer: str) -> keras.Model:
    """Return a network up to a layer."""
    return keras.Model(network.inputs[0], network.get_layer(layer).output)


def adapted_pair(name: str, channels: tuple[int, ...]) -> tuple[np.ndarray, list[keras.Model]]:
    """Build one RGB network; return its first features for `IMAGES`, and networks of other channels made from it."""
    rgb = backbone(name, weights="random", image_size=32)
    network, origin = rgb.build()
    size = rgb.input_spec.shape
    shared = replace(rgb, weights="model", builder=lambda shape, origin: network, locator=lambda: origin)
    grey = np.repeat(IMAGES[..., :1], 3, -1)
    layer = FAMILIES[name][0]
    features = beginning(network, layer)(keras.ops.convert_to_numpy(rgb.preprocess(grey)), training=False)
    assert size == (32, 32, 3)
    networks = [connect(with_channels(replace(shared, weights="random"), count)).network for count in channels]
    return keras.ops.convert_to_numpy(features), networks


@pytest.mark.parametrize("name", FAMILIES)
def test_a_grey_image_gives_the_features_of_the_same_image_in_rgb(name):
    layer, pads_unequal = FAMILIES[name]
    expected, (network,) = adapted_pair(name, (1,))
    features = keras.ops.convert_to_numpy(beginning(network, layer)(IMAGES[..., :1], training=False))
    inside = (slice(None), slice(2, -2), slice(2, -2)) if pads_unequal else slice(None)
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(features[inside], expected[inside], rtol=1e-4, atol=tolerance)
    np.testing.assert_allclose(features, expected, atol=0.2 * np.abs(expected).max())
    for conv in network.layers:
        assert len(conv._inbound_nodes) == 1, "each layer has one node"


CAFFE = Preprocessing(offset=(-103.939, -116.779, -123.68), channel_order="bgr")
TORCH = Preprocessing(scale=(0.017, 0.018, 0.0175), offset=(-2.1, -2.0, -1.8))


def tiny(preprocessing: Preprocessing) -> tuple[tltk.backbones.Backbone, keras.Model]:
    """Return an RGB backbone of known weights, as if it were one of the catalog."""
    network = conv_net(size=32)
    return replace(
        backbone(network, stages=STAGES),
        builder=lambda shape, origin: keras.models.clone_model(network),
        weights="random",
        preprocessing=preprocessing,
    ), network


@pytest.mark.parametrize("preprocessing", [CAFFE, TORCH, Preprocessing()], ids=["caffe", "torch", "none"])
def test_six_channels_of_two_equal_images_give_the_features_of_one(preprocessing):
    rgb, _ = tiny(preprocessing)
    keras.utils.set_random_seed(1)
    network = connect(rgb).network
    keras.utils.set_random_seed(1)
    six = connect(with_channels(rgb, 6)).network
    doubled = np.concatenate([IMAGES, IMAGES], -1)
    expected, features = (
        keras.ops.convert_to_numpy(next(iter(model(x, training=False).values())))
        for model, x in ((network, IMAGES), (six, doubled))
    )
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_fourth_channel_starts_with_the_weights_of_red():
    rgb, _ = tiny(CAFFE)
    keras.utils.set_random_seed(1)
    kernel = connect(rgb).network.get_layer("stem_conv").kernel.numpy()
    keras.utils.set_random_seed(1)
    network = connect(with_channels(rgb, 4)).network
    adapted = network.get_layer("stem_conv").kernel.numpy()
    np.testing.assert_allclose(adapted, kernel[:, :, [2, 1, 0, 2]] * 0.75, rtol=1e-6)  # the kernel is in BGR order
    scaling = network.get_layer("preprocessing_rescaling")
    np.testing.assert_allclose(scaling.offset, [-123.68, -116.779, -103.939, -123.68])
    assert "preprocessing_bgr" not in [operation.name for operation in network.operations]


def test_endpoints_and_stages_are_those_of_the_rgb_network():
    grey, rgb = (backbone("resnet50", weights="random", channels=count) for count in (1, 3))
    assert grey.endpoints() == rgb.endpoints() and grey.stages == rgb.stages
    assert grey.input_spec.shape == (224, 224, 1) and grey.top1 is None and grey.parameters is None
    assert rgb.parameters and "unknown parameters" in grey.describe()


def test_preprocessing_of_the_user_may_have_all_channels():
    own = Preprocessing(scale=(0.1, 0.2, 0.3, 0.4, 0.5))
    assert backbone("mobilenet", channels=5, preprocessing=own, weights="random").preprocessing == own
    assert adapted_preprocessing(TORCH, 4).scale == (0.017, 0.018, 0.0175, 0.017)
    assert adapted_preprocessing(TORCH, 1).offset == (pytest.approx(-5.9 / 3),)
    with pytest.raises(ValueError, match=r"`preprocessing`.*1, 3 or 4 channels. Received: 5"):
        backbone("mobilenet", channels=4, preprocessing=own, weights="random")
    with pytest.raises(ValueError, match=r"`preprocessing` must have 1 scale and offset, or 3.*Received: 5"):
        backbone("mobilenet", preprocessing=own, weights="random")


def test_a_network_that_does_not_begin_with_a_convolution_is_an_error():
    rgb, _ = tiny(Preprocessing())
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(keras.layers.BatchNormalization()(pixels))
    normalized_first = replace(rgb, builder=lambda shape, origin: keras.Model(pixels, x), stages=rgb.stages[:0])
    with pytest.raises(ValueError, match=r"`channels` of conv_net must be 3.*does not begin with a convolution"):
        with_channels(normalized_first, 4).build()


@pytest.mark.parametrize("channels", [0, 2.5, True])
def test_channels_must_be_a_whole_number(channels):
    with pytest.raises(ValueError, match=r"`channels` must be a whole number above 0"):
        backbone("mobilenet", channels=channels, weights="random")


def test_texts_have_no_channels(tmp_path):
    preset = str(tiny_preset(tmp_path / "tiny"))
    with pytest.raises(ValueError, match=r"`channels` does not apply to .*tiny, which takes text"):
        backbone(preset, weights="random", channels=1)


def test_the_graph_of_an_adapted_network_is_reproducible():
    first, second = (connect(backbone("mobilenet", channels=2, weights="random", image_size=32)) for _ in range(2))
    names = [[operation.name for operation in connected.network.operations] for connected in (first, second)]
    assert names[0] == names[1] and graph.output_shapes(first.network)["conv1"] == (None, 16, 16, 32)
