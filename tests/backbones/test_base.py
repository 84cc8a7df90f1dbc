"""The `Backbone` value: preprocessing, stages of layers, building."""

import logging
import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.conftest import STAGES, conv_net
from tltk.backbones import Endpoint, Preprocessing, Stage, backbone, layer_stages
from tltk.backbones.image.keras_applications_table import CAFFE


def test_preprocessing_must_be_numbers():
    with pytest.raises(ValueError, match=r"(?s)`scale` must be a tuple of one number.*`offset` must be a tuple"):
        Preprocessing(scale=(), offset=(float("nan"),))
    with pytest.raises(ValueError, match=r"`channel_order` must be one of 'rgb', 'bgr'. Received: 'gbr'"):
        Preprocessing(channel_order="gbr")


def test_identity_preprocessing_adds_no_layer():
    pixels = keras.Input((8, 8, 3))
    assert backbone("efficientnet_b0").preprocess(pixels) is pixels


def test_preprocessing_layers_have_recognizable_names():
    pixels = keras.Input((8, 8, 3))
    model = keras.Model(pixels, backbone("resnet50").preprocess(pixels))
    assert [operation.name for operation in model.operations[1:]] == ["preprocessing_bgr", "preprocessing_rescaling"]


def test_a_flat_model_with_flipped_channels_loads_without_tltk(tmp_path):
    selected = backbone(conv_net(), preprocessing=CAFFE)
    pixels = keras.Input((16, 16, 3))
    flat = keras.Model(pixels, selected.build()[0].call(selected.preprocess(pixels)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype("float32")
    flat.save(tmp_path / "flat.keras")
    np.save(tmp_path / "in.npy", images)
    code = (
        "import sys, keras, numpy as np\n"
        "outputs = keras.models.load_model('flat.keras')(np.load('in.npy'), training=False)\n"
        "np.save('out.npy', keras.ops.convert_to_numpy(outputs)); sys.exit('tltk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, timeout=120).returncode == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), flat(images, training=False))


def test_layers_belong_to_the_first_stage_that_they_lead_to():
    net = conv_net()
    stages = [Stage(name, last) for name, last in STAGES.items()]
    pixels = keras.Input((16, 16, 3), name="raw")
    x = net.call(keras.layers.Rescaling(1 / 255, name="preprocessing_rescaling")(pixels))
    flat = keras.Model(pixels, keras.layers.Dense(2, name="head_output")(keras.layers.Flatten(name="head_flat")(x)))
    stage_of = layer_stages(flat, stages)
    assert stage_of["raw"] == stage_of["preprocessing_rescaling"] == stage_of["stem_conv"] == "stem"
    assert stage_of["conv2_bn"] == "conv2"
    assert stage_of["conv3_relu"] == "conv3"
    assert "head_output" not in stage_of
    assert list(stage_of) == [layer.name for layer in flat.layers if not layer.name.startswith("head")]


def test_a_shortcut_belongs_to_the_stage_that_it_ends_in():
    selected = backbone("resnet50", weights="random", image_size=32)
    stage_of = layer_stages(selected.build()[0], selected.stages)
    assert stage_of["conv3_block1_0_conv"] == "conv3"
    assert stage_of["pool1_pool"] == "stem"


def test_building_logs_where_the_weights_came_from(caplog):
    with caplog.at_level(logging.INFO, "tltk"):
        backbone("vgg16", weights="random", image_size=32).build()
    assert "vgg16: weights from random" in caplog.text


def test_layers_take_the_global_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    body, _ = backbone("mobilenet_v3_small", weights="random", image_size=32).build()
    assert body.get_layer("conv").compute_dtype == "bfloat16"
    assert body.get_layer("conv").variable_dtype == "float32"


def test_channels_first_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    with pytest.raises(ValueError, match=r"backbones need keras.config.set_image_data_format"):
        backbone("vgg16", weights="random").build()


def test_describe_summarizes_a_backbone():
    text = backbone("efficientnet_lite0").describe()
    assert "efficientnet_lite0: 3,413,024 parameters, 224×224, pretrained weights" in text
    assert "ImageNet top-1 0.751 (https://" in text
    assert "x × 0.0078125 + -0.992188" in text
    assert "conv5 (top_activation)" in text
    assert "none outside the network" in backbone("convnext_tiny").describe()


def test_endpoints_are_known_without_initializing_weights(monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a weight was drawn")

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", refuse)
    selected = backbone("mobilenet_v2", image_size=64)
    assert selected.endpoints(("conv3", "stem")) == {"conv3": Endpoint(8, 32), "stem": Endpoint(2, 16)}
    assert list(selected.endpoints()) == ["stem", "conv2", "conv3", "conv4", "conv5"]


def test_endpoints_follow_user_defined_stages():
    selected = backbone("vgg16", stages={"low": "block2_pool", "high": "block4_conv1"})
    assert selected.endpoints() == {"low": Endpoint(4, 128), "high": Endpoint(32, 512)}, (
        "what follows belongs to the last"
    )


def test_endpoints_do_not_change_a_user_s_model():
    pixels = keras.Input((None, None, 3))
    net = keras.Model(pixels, keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(pixels))
    selected = backbone(net, image_size=30)
    assert list(selected.endpoints().values()) == [Endpoint(2, 4)]
    assert len(net.get_layer("conv")._inbound_nodes) == 1


def test_the_error_for_an_unknown_endpoint_lists_the_stages():
    with pytest.raises(ValueError, match=r"conv_net has no stage 'conv4'; stages: stem, conv2, conv3"):
        backbone(conv_net(), stages=STAGES).endpoints(("conv4",))
    with pytest.raises(ValueError, match=r"stage 'low' ends at 'stem_rel'.*Did you mean 'stem_relu'"):
        backbone(conv_net(), stages={"low": "stem_rel"}).endpoints()


def test_endpoints_do_not_advance_the_random_state():
    random.seed(0)
    wanted = random.random()
    random.seed(0)
    backbone("vgg16", image_size=48).endpoints()
    assert random.random() == wanted
