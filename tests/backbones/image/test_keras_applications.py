"""Keras Applications models: where their weights are found, and how they are loaded."""

import sys

import keras
import numpy as np
import pytest

from tltk.backbones import backbone
from tltk.backbones.image.keras_applications_table import APPLICATIONS, IMAGENET_DEVIATION, IMAGENET_MEAN

NAME = "mobilenet_v3_small"
ROW = APPLICATIONS[NAME]


@pytest.fixture(autouse=True)
def _empty_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "own"))


def saved(path, *, name=NAME):
    """Write random weights of a row; return their values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    body, _ = backbone(name, weights="random", image_size=32).build()
    body.save_weights(path) if path.name.endswith(".weights.h5") else body.save(path)
    return body.get_weights()


def assert_same(body, weights):
    for loaded, expected in zip(body.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(loaded, expected)


@pytest.mark.parametrize("file", ["some.weights.h5", "some.keras", "some.h5"])
def test_weights_are_read_from_a_path(tmp_path, file):
    weights = saved(tmp_path / file)
    body, origin = backbone(NAME, weights=tmp_path / file, image_size=64).build()
    assert_same(body, weights)
    assert (origin.kind, origin.path) == ("path", str(tmp_path / file))
    assert len(origin.sha256) == 64


def test_the_cache_of_keras_is_searched_before_that_of_tltk(tmp_path):
    saved(tmp_path / "own" / NAME / ROW.file)
    assert backbone(NAME, image_size=32).build()[1].kind == "tltk cache"
    weights = saved(tmp_path / "keras" / "models" / ROW.file)
    body, origin = backbone(NAME, image_size=32).build()
    assert_same(body, weights)
    assert origin.kind == "keras cache"


def test_weights_of_another_network_are_an_error(tmp_path):
    saved(tmp_path / "other.weights.h5", name="mobilenet")
    with pytest.raises(ValueError, match=r"other.weights.h5 does not contain the weights of MobileNetV3Small"):
        backbone(NAME, weights=tmp_path / "other.weights.h5", image_size=32).build()


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("text.h5", "is not an HDF5 file, or is damaged"),
        ("text.weights.h5", "is not an HDF5 file, or is damaged"),
        ("text.keras", "is damaged: File is not a zip file"),
    ],
)
def test_a_file_without_weights_is_an_error(tmp_path, file, problem):
    (tmp_path / file).write_text("not weights")
    with pytest.raises(ValueError, match=f"{file} {problem}"):
        backbone(NAME, weights=tmp_path / file, image_size=32).build()


def test_a_truncated_file_is_an_error(tmp_path):
    path = tmp_path / "cut.weights.h5"
    saved(path)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(ValueError, match=r"cut.weights.h5 is not an HDF5 file, or is damaged: .*truncated"):
        backbone(NAME, weights=path, image_size=32).build()


def test_the_error_for_missing_weights_lists_what_was_tried_and_what_to_do(monkeypatch, tmp_path):
    def offline(**_):
        raise Exception("URL fetch failure on …: None -- Name or service not known")

    monkeypatch.setattr(keras.applications, ROW.function, offline)
    with pytest.raises(FileNotFoundError) as caught:
        backbone(NAME).build()
    text = str(caught.value)
    assert f"keras cache: no {tmp_path / 'keras' / 'models' / ROW.file}" in text
    assert f"tltk cache: no {tmp_path / 'own' / NAME / ROW.file}" in text
    assert "hub: URL fetch failure" in text
    assert "weights='random'" in text
    assert "efficientnet_lite0, efficientnet_lite2 are available from a package registry" in text


def test_downloaded_weights_have_the_origin_hub(monkeypatch, tmp_path, capsys):
    def online(*, include_top, weights, input_shape):
        assert (include_top, weights, input_shape) == (False, "imagenet", (224, 224, 3))
        sys.stdout.write("Downloading data from …")
        monkeypatch.undo()
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
        saved(tmp_path / "keras" / "models" / ROW.file)

    monkeypatch.setattr(keras.applications, ROW.function, online)
    _, origin = backbone(NAME, image_size=32).build()
    assert origin.kind == "hub"
    assert len(origin.sha256) == 64
    assert "Downloading" not in capsys.readouterr().out, "standard output is for results"


def test_a_download_that_leaves_no_file_is_an_error(monkeypatch):
    monkeypatch.setattr(keras.applications, ROW.function, lambda **_: None)
    with pytest.raises(FileNotFoundError, match=r"hub: the downloaded file is in none of the places above"):
        backbone(NAME).build()


def test_efficientnet_contains_the_normalization_of_its_training(tmp_path):
    saved(tmp_path / "b0.weights.h5", name="efficientnet_b0")
    for weights in ("random", tmp_path / "b0.weights.h5"):
        body, _ = backbone("efficientnet_b0", weights=weights, image_size=32).build()
        inside = keras.Model(body.input, body.get_layer("normalization").output)
        pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype("float32")
        wanted = (pixels / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_DEVIATION)
        np.testing.assert_allclose(inside(pixels), wanted, rtol=1e-5, atol=1e-5)


def test_layer_names_do_not_depend_on_models_built_before():
    first, _ = backbone("mobilenet_v3_small", weights="random", image_size=32).build()
    second, _ = backbone("mobilenet_v3_small", weights="random", image_size=32).build()
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
