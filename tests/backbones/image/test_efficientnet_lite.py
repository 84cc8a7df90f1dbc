"""EfficientNet-Lite0: the port gives the answers of the original. Its weights come from a package registry."""

import copy

import keras
import numpy as np
import pytest
import skimage.data
from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet
from PIL import Image
from sklearn.datasets import load_sample_image

from tltk.backbones import backbone, weights
from tltk.backbones.image import efficientnet_lite as lite


@pytest.fixture(scope="module")
def pth():
    return weights.get(lite.NAME) / lite.FILE


@pytest.fixture(scope="module")
def classifier(pth):
    return lite.classifier(pth)


def published_preprocessing(picture):
    """Crop the central 0.875 and resize it to 224 (bicubic); another pixel for the corner moves the palace by 0.07."""
    spec = lite.REFERENCE_INPUT
    image = Image.fromarray(picture)
    side = round(min(image.size) * spec.crop_fraction)
    left, top = ((length - side) // 2 for length in image.size)
    image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((spec.width, spec.height), Image.Resampling.BICUBIC), "float32")


@pytest.mark.parametrize(
    ("photo", "index", "probability"),
    [
        (lambda: load_sample_image("china.jpg"), 698, 0.36),  # palace
        (lambda: load_sample_image("flower.jpg"), 985, 0.33),  # daisy
        (skimage.data.coffee, 967, 0.95),  # espresso
        (skimage.data.chelsea, 282, 0.39),  # tiger cat
    ],
    ids=["palace", "daisy", "espresso", "tiger cat"],
)
def test_the_classifier_reproduces_reference_predictions(classifier, photo, index, probability):
    probabilities = keras.ops.convert_to_numpy(classifier(published_preprocessing(photo())[None], training=False))[0]
    assert probabilities.argmax() == index
    assert probabilities[index] == pytest.approx(probability, abs=0.02)


def test_the_structure_is_that_of_keras_own_efficientnet_without_its_extras():
    blocks = copy.deepcopy(DEFAULT_BLOCKS_ARGS)
    for block in blocks:
        block["se_ratio"] = 0
    reference = EfficientNet(
        1.0, 1.0, 224, activation="relu6", blocks_args=blocks, include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    body, _ = backbone(lite.NAME, weights="random", image_size=64).build()
    for layer in body.layers:
        if layer.weights:
            reference.get_layer(layer.name).set_weights(layer.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    # The reference network divides by 255 itself.
    np.testing.assert_allclose(body(x, training=False), reference(x * 255, training=False), atol=1e-4)
    assert body.count_params() == reference.count_params() - 7, "but for its normalization layer"


def test_pretrained_weights_come_from_the_cache_of_tltk(pth):
    body, origin = backbone(lite.NAME, image_size=64).build()
    assert (origin.kind, origin.path) == ("tltk cache", str(pth))
    assert origin.sha256 == dict(weights.packages.PACKAGES[lite.NAME].files)[lite.FILE]
    assert body.output_shape == (None, 2, 2, 1280)


def test_weights_that_keras_wrote_are_read_as_well(pth, tmp_path):
    body, _ = backbone(lite.NAME, weights=pth, image_size=32).build()
    body.save_weights(tmp_path / "lite.weights.h5")
    again, origin = backbone(lite.NAME, weights=tmp_path / "lite.weights.h5", image_size=32).build()
    np.testing.assert_array_equal(again.get_layer("top_conv").kernel, body.get_layer("top_conv").kernel)
    assert origin.kind == "path"


def test_a_damaged_file_in_the_cache_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    (tmp_path / lite.NAME).mkdir()
    (tmp_path / lite.NAME / lite.FILE).write_bytes(b"half a file")
    with pytest.raises(OSError, match=r"is damaged: its SHA-256 is .*run `tltk weights get efficientnet_lite0`"):
        backbone(lite.NAME).build()


def test_the_error_for_missing_weights_names_the_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"(?s)tltk cache: no .*`tltk weights get efficientnet_lite0`"):
        backbone(lite.NAME).build()


def test_a_truncated_pth_is_an_error(pth, tmp_path):
    (tmp_path / "cut.pth").write_bytes(pth.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"cut.pth is not a .pth weight file, or is damaged: it is truncated"):
        backbone(lite.NAME, weights=tmp_path / "cut.pth").build()


def test_weights_of_another_network_are_listed(monkeypatch, pth):
    tensors = lite._tensors(str(pth))
    del tensors["_bn0.bias"]
    tensors["_conv_head.weight"] = tensors["_conv_head.weight"][:7]
    monkeypatch.setattr(lite, "_tensors", lambda path: tensors)
    with pytest.raises(
        ValueError, match=r"(?s)no '_bn0.bias'.*'_conv_head.weight' has the shape \(1, 1, 320, 7\) where"
    ):
        backbone(lite.NAME, weights=pth).build()
