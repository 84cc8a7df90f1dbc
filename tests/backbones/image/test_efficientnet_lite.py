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

LITE0, LITE2 = lite.NETWORKS


@pytest.fixture(scope="module")
def pth():
    return weights.get(LITE0.name) / LITE0.file


@pytest.fixture(scope="module")
def classifiers(pth):
    paths = {LITE0.name: pth, LITE2.name: weights.get(LITE2.name) / LITE2.file}
    return {network.name: lite.classifier(paths[network.name], network) for network in lite.NETWORKS}


def published_preprocessing(picture, network):
    """Crop the centre and resize it (bicubic); another pixel for the corner moves the palace by 0.07."""
    spec = network.reference_input
    image = Image.fromarray(picture)
    side = round(min(image.size) * spec.crop_fraction)
    left, top = ((length - side) // 2 for length in image.size)
    image = image.crop((left, top, left + side, top + side))
    return np.asarray(image.resize((spec.width, spec.height), Image.Resampling.BICUBIC), "float32")


# The answers of the PyTorch implementation of these weights (package efficientnet-lite-pytorch 0.1.0): the three most
# probable classes, and the probability of the first.
PALACE, DAISY, ESPRESSO, CAT = (
    lambda: load_sample_image("china.jpg"),
    lambda: load_sample_image("flower.jpg"),
    skimage.data.coffee,
    skimage.data.chelsea,
)
ANSWERS = [
    (LITE0, PALACE, [698, 442, 663], 0.349),
    (LITE0, DAISY, [985, 947, 309], 0.321),
    (LITE0, ESPRESSO, [967, 968, 925], 0.951),
    (LITE0, CAT, [282, 285, 281], 0.385),
    (LITE2, PALACE, [698, 442, 483], 0.338),
    (LITE2, DAISY, [599, 310, 309], 0.293),
    (LITE2, ESPRESSO, [967, 968, 925], 0.886),
    (LITE2, CAT, [285, 282, 281], 0.620),
]


@pytest.mark.parametrize(("network", "photo", "classes", "probability"), ANSWERS)
def test_the_classifiers_reproduce_reference_predictions(classifiers, network, photo, classes, probability):
    pixels = published_preprocessing(photo(), network)[None]
    probabilities = keras.ops.convert_to_numpy(classifiers[network.name](pixels, training=False))[0]
    assert probabilities.argsort()[::-1][:3].tolist() == classes
    assert probabilities[classes[0]] == pytest.approx(probability, abs=0.02 if network is LITE0 else 0.001)


def test_the_size_of_the_second_network_is_the_published_one(classifiers):
    counted = sum(int(np.prod(weight.shape)) for weight in classifiers[LITE2.name].trainable_weights)
    assert counted == pytest.approx(6.09e6, abs=5e3)  # "6.09M" in the table of the authors
    assert [groups[3:] for groups in LITE2.groups] == [(16, 1), (24, 3), (48, 3), (88, 4), (120, 4), (208, 5), (352, 1)]


def test_the_structure_is_that_of_keras_own_efficientnet_without_its_extras():
    blocks = copy.deepcopy(DEFAULT_BLOCKS_ARGS)
    for block in blocks:
        block["se_ratio"] = 0
    reference = EfficientNet(
        1.0, 1.0, 224, activation="relu6", blocks_args=blocks, include_top=False, weights=None, input_shape=(64, 64, 3)
    )
    body, _ = backbone(LITE0.name, weights="random", image_size=64).build()
    for layer in body.layers:
        if layer.weights:
            reference.get_layer(layer.name).set_weights(layer.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    # The reference network divides by 255 itself.
    np.testing.assert_allclose(body(x, training=False), reference(x * 255, training=False), atol=1e-4)
    assert body.count_params() == reference.count_params() - 7, "but for its normalization layer"


def test_pretrained_weights_come_from_the_cache_of_tltk(pth):
    body, origin = backbone(LITE0.name, image_size=64).build()
    assert (origin.kind, origin.path) == ("tltk cache", str(pth))
    assert origin.sha256 == dict(weights.packages.PACKAGES[LITE0.name].files)[LITE0.file]
    assert body.output_shape == (None, 2, 2, 1280)


def test_weights_that_keras_wrote_are_read_as_well(pth, tmp_path):
    body, _ = backbone(LITE0.name, weights=pth, image_size=32).build()
    body.save_weights(tmp_path / "lite.weights.h5")
    again, origin = backbone(LITE0.name, weights=tmp_path / "lite.weights.h5", image_size=32).build()
    np.testing.assert_array_equal(again.get_layer("top_conv").kernel, body.get_layer("top_conv").kernel)
    assert origin.kind == "path"


def test_a_damaged_file_in_the_cache_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    (tmp_path / LITE0.name).mkdir()
    (tmp_path / LITE0.name / LITE0.file).write_bytes(b"half a file")
    with pytest.raises(OSError, match=r"is damaged: its SHA-256 is .*run `tltk weights get efficientnet_lite0`"):
        backbone(LITE0.name).build()


def test_the_error_for_missing_weights_names_the_registry(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"(?s)tltk cache: no .*`tltk weights get efficientnet_lite0`"):
        backbone(LITE0.name).build()


def test_a_truncated_pth_is_an_error(pth, tmp_path):
    (tmp_path / "cut.pth").write_bytes(pth.read_bytes()[:1_000_000])
    with pytest.raises(ValueError, match=r"cut.pth is not a .pth weight file, or is damaged: it is truncated"):
        backbone(LITE0.name, weights=tmp_path / "cut.pth").build()


def test_weights_of_another_network_are_listed(monkeypatch, pth):
    tensors = lite._tensors(str(pth))
    del tensors["_bn0.bias"]
    tensors["_conv_head.weight"] = tensors["_conv_head.weight"][:7]
    monkeypatch.setattr(lite, "_tensors", lambda path: tensors)
    with pytest.raises(
        ValueError, match=r"(?s)no '_bn0.bias'.*'_conv_head.weight' has the shape \(1, 1, 320, 7\) where"
    ):
        backbone(LITE0.name, weights=pth).build()
