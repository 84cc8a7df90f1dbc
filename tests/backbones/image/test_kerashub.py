"""KerasHub presets: rows, local folders, handles."""

import keras
import keras_hub
import numpy as np
import pytest
from keras_hub.src.utils import preset_utils

from tltk.backbones import backbone
from tltk.backbones import kerashub_files as hub_files
from tltk.backbones.image import kerashub as hub

TINY = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64, 64],
    "stackwise_num_blocks": [1, 1, 1],
    "stackwise_num_strides": [1, 2, 2],
    "block_type": "basic_block",
}


@pytest.fixture
def preset(tmp_path):
    """A tiny preset folder, and the backbone that was saved there."""
    body = keras_hub.models.ResNetBackbone(**TINY)
    body.save_to_preset(str(tmp_path / "tiny"))
    keras_hub.layers.ImageConverter(
        image_size=(96, 64), scale=[0.1, 0.2, 0.3], offset=[1.0, 2.0, 3.0], interpolation="bicubic"
    ).save_to_preset(str(tmp_path / "tiny"))
    return str(tmp_path / "tiny"), body


def test_a_local_preset_folder_is_a_backbone(preset):
    folder, original = preset
    selected = backbone(folder)
    assert selected.input_spec.shape == (96, 64, 3)
    assert selected.input_spec.interpolation == "bicubic"
    assert selected.preprocessing.scale == (0.1, 0.2, 0.3)
    assert selected.preprocessing.offset == (1.0, 2.0, 3.0)
    assert selected.parameters == original.count_params()
    assert [stage.name for stage in selected.stages] == ["stem", "conv2", "conv3", "conv4"]
    body, origin = selected.build()
    assert (origin.kind, origin.path, len(origin.sha256)) == ("path", folder, 64)
    x = np.random.default_rng(0).normal(size=(1, 96, 64, 3)).astype("float32")
    np.testing.assert_array_equal(body(x, training=False), original(x, training=False))


def test_a_preset_can_be_built_from_random_or_other_weights(preset, tmp_path):
    folder, original = preset
    body, origin = backbone(folder, weights="random", image_size=64).build()
    assert origin.kind == "random"
    assert body.input_shape == (None, 64, 64, 3)
    assert np.abs(body.get_layer("conv1_conv").kernel - original.get_layer("conv1_conv").kernel).max() > 0
    body.save_weights(tmp_path / "other.weights.h5")
    rebuilt, origin = backbone(folder, weights=tmp_path / "other.weights.h5").build()
    assert origin.kind == "path"
    np.testing.assert_array_equal(rebuilt.get_layer("conv1_conv").kernel, body.get_layer("conv1_conv").kernel)


def test_a_preset_is_built_as_a_plain_model_under_the_global_policy(preset, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    body, _ = backbone(preset[0], image_size=64).build()
    assert type(body).__module__.startswith("keras.")
    assert body.get_layer("conv1_conv").compute_dtype == "bfloat16"


def test_a_folder_without_a_preset_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"is not an image preset that KerasHub can load"):
        backbone(str(tmp_path))


def test_a_text_preset_is_not_an_image_backbone(tmp_path):
    keras_hub.models.BertBackbone(
        vocabulary_size=10, num_layers=1, num_heads=1, hidden_dim=2, intermediate_dim=4, max_sequence_length=8
    ).save_to_preset(str(tmp_path / "bert"))
    with pytest.raises(ValueError, match=r"(?s)cannot be an image backbone:.*it must have one input, and has"):
        backbone(str(tmp_path / "bert"))


@pytest.mark.parametrize("handle", ["hf://someone/resnet", "kaggle://keras/resnetv1/keras/resnet_18_imagenet"])
def test_an_unreachable_handle_is_an_error(monkeypatch, handle):
    def offline(*_, **__):
        raise ConnectionError("Name or service not known\nand more")

    message = f"cannot load the preset {handle}: Name or service .*Is the hub reachable"
    with monkeypatch.context() as patch:
        patch.setattr(preset_utils, "check_file_exists", offline)
        with pytest.raises(OSError, match=message):
            backbone(handle)
    monkeypatch.setattr(hub_files, "architecture", lambda place: "ResNetBackbone")
    monkeypatch.setattr(keras_hub.layers.ImageConverter, "from_preset", offline)
    with pytest.raises(OSError, match=f"cannot read the preprocessing of {handle}: Name or service not known$"):
        backbone(handle)
    monkeypatch.setattr(keras_hub.layers.ImageConverter, "from_preset", lambda x: None)
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", offline)
    with pytest.raises(OSError, match=message):
        backbone(handle)


def test_a_reachable_handle_is_a_backbone(monkeypatch, preset):
    folder, _ = preset
    monkeypatch.setattr(hub_files, "architecture", lambda place: "ResNetBackbone")
    load, convert = keras_hub.models.Backbone.from_preset, keras_hub.layers.ImageConverter.from_preset
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", lambda x, **options: load(folder, **options))
    monkeypatch.setattr(keras_hub.layers.ImageConverter, "from_preset", lambda x: convert(folder))
    selected = backbone("hf://someone/tiny")
    assert selected.name == "hf://someone/tiny"
    assert selected.build()[1].kind == "hub"


def test_a_preset_finds_its_weights_in_the_kerashub_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "keras" / "resnetv1" / "keras" / "resnet_18_imagenet" / "3"
    original = keras_hub.models.ResNetBackbone(
        **{
            **TINY,
            "stackwise_num_filters": [64, 128, 256, 512],
            "stackwise_num_blocks": [2] * 4,
            "stackwise_num_strides": [1, 2, 2, 2],
        }
    )
    original.save_to_preset(str(folder))
    body, origin = backbone("resnet_18_imagenet", image_size=32).build()
    assert origin.kind == "kerashub cache"
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(body(x, training=False), original(x, training=False))


def test_the_error_for_an_unreachable_hub_lists_what_was_tried(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise ConnectionError("Max retries exceeded")

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", offline)
    with pytest.raises(
        FileNotFoundError, match=r"(?s)kerashub cache: no .*tltk cache: no .*hub: Max retries exceeded.*Ways out"
    ):
        backbone("resnet_18_imagenet").build()


def test_the_table_agrees_with_the_presets_of_kerashub():
    presets = keras_hub.models.ResNetBackbone.presets
    for row in hub.PRESETS.values():
        assert presets[row.name]["metadata"]["params"] == row.parameters
        assert presets[row.name]["kaggle_handle"].startswith(row.handle + "/")
