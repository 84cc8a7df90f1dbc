"""`tltk.backbone`: what it takes and what it refuses."""

import subprocess
import sys

import numpy as np
import pytest

import tltk
from tests.conftest import conv_net
from tltk.backbones import Preprocessing, Stage, backbone, names


def test_selecting_a_backbone_reads_no_files():
    assert backbone("resnet50") == backbone("resnet50")
    assert backbone("resnet50") != backbone("resnet50", image_size=96)
    assert len({backbone(name) for name in names("image")}) == len(names("image"))


def test_selecting_a_backbone_does_not_import_keras():
    code = "import sys, tltk; tltk.backbone('resnet50').describe(); sys.exit('keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_every_keras_application_is_in_the_catalog():
    assert len(names("image")) == 40 + 2 + 4
    assert names() == (*names("image"), *names("text"), *names("audio"))
    assert names()[0] == "resnet50"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("resnet", "resnet"), ("ResNet50", "resnet50"), ("efficientnetb0", "efficientnet_b0"), ("vgg-16", "vgg16")],
)
def test_the_error_for_an_unknown_name_suggests_the_nearest_one(wrong, right):
    with pytest.raises(ValueError, match=rf"there is no backbone {wrong!r}.*register_backbone.*Did you mean '{right}"):
        backbone(wrong)


def test_the_error_for_a_model_file_says_how_to_load_it():
    with pytest.raises(ValueError, match=r"'model.keras' is a file. Load a whole model with keras.models.load_model"):
        backbone("model.keras")


def test_a_value_that_is_neither_name_nor_model_is_a_type_error():
    with pytest.raises(TypeError, match=r"`x` must be str or Model. Received: int. Pass a name from"):
        backbone(50)


def test_the_image_size_is_height_and_width():
    assert backbone("vgg16", image_size=(64, 96)).input_spec.shape == (64, 96, 3)
    assert backbone("vgg16", image_size=64).input_spec.shape == (64, 64, 3)


@pytest.mark.parametrize("size", [0, -1, 64.0, "64", (64,), (64, 0), True])
def test_an_invalid_image_size_is_an_error(size):
    with pytest.raises(ValueError, match=r"`image_size` must be a whole number of pixels, or"):
        backbone("vgg16", image_size=size)


@pytest.mark.parametrize(
    ("name", "low"),
    [("resnet50", 32), ("inception_v3", 75), ("xception", 71), ("efficientnet_lite0", 32), ("resnet_18_imagenet", 32)],
)
def test_an_image_size_below_the_minimum_of_the_family_is_an_error(name, low):
    with pytest.raises(ValueError, match=f"`image_size` of {name} must be at least {low}. Received: {low - 1}×{low}"):
        backbone(name, image_size=(low - 1, low))
    assert backbone(name, image_size=low).input_spec.height == low


def test_weights_must_be_pretrained_random_or_a_file(tmp_path):
    with pytest.raises(
        ValueError, match=r"`weights` must be 'pretrained', 'random' or the path.*Did you mean 'random'"
    ):
        backbone("vgg16", weights="randm")
    with pytest.raises(FileNotFoundError, match=r"`weights`: .*none\.weights\.h5 does not exist"):
        backbone("vgg16", weights=tmp_path / "none.weights.h5")
    with pytest.raises(TypeError, match=r"`weights` must be str or Path. Received: NoneType"):
        backbone("vgg16", weights=None)
    (tmp_path / "weights.pth").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"`weights` must be a file that ends in \.weights\.h5, \.h5, \.keras\. Received"
    ):
        backbone("vgg16", weights=tmp_path / "weights.pth")


def test_preprocessing_and_stages_can_be_overridden():
    preprocessing = Preprocessing(scale=(0.5,))
    selected = backbone("vgg16", preprocessing=preprocessing, stages={"low": "block2_pool", "high": "block5_pool"})
    assert selected.preprocessing == preprocessing
    assert selected.stages == (Stage("low", "block2_pool"), Stage("high", "block5_pool"))


def test_a_stage_that_ends_at_an_unknown_layer_is_an_error_when_building():
    selected = backbone("vgg16", weights="random", image_size=32, stages={"low": "block2_pol"})
    with pytest.raises(ValueError, match=r"stage 'low' ends at 'block2_pol', which is not in the model. Did you mean"):
        selected.build()


def test_stages_must_be_a_non_empty_dictionary():
    with pytest.raises(TypeError, match=r"`stages` must be dict. Received: list"):
        backbone("vgg16", stages=["block2_pool"])
    with pytest.raises(ValueError, match=r"`stages` must contain at least one stage"):
        backbone("vgg16", stages={})


def test_weights_do_not_apply_to_a_user_s_model():
    with pytest.raises(ValueError, match=r"your own model, which has weights. Received: 'random'"):
        backbone(conv_net(), weights="random")


def test_a_user_s_model_itself_is_built():
    net = conv_net()
    selected = tltk.backbone(net, preprocessing=Preprocessing(scale=(1 / 255,)))
    body, origin = selected.build()
    assert body is net
    assert origin == tltk.backbones.Origin("model", None, None)
    pixels = np.full((1, 16, 16, 3), 255, "float32")
    np.testing.assert_allclose(selected.preprocess(pixels), np.ones_like(pixels), rtol=1e-6)


def test_the_stages_of_your_own_model_are_checked_at_once():
    with pytest.raises(ValueError, match=r"stage 'low' is empty: an earlier stage contains its end, 'stem_relu'"):
        backbone(conv_net(), stages={"high": "conv3_relu", "low": "stem_relu"})
    with pytest.raises(ValueError, match=r"`stages` names 'head'.*Use another name"):
        backbone(conv_net(), stages={"head": "conv3_relu"})
