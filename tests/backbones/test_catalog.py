"""The catalog of backbones, and registration of new ones."""

import subprocess
import sys

import pytest

import tltk
from tests.conftest import STAGES, conv_net
from tltk.backbones import backbone, catalog, names, table
from tltk.specs import LabelSpec


def test_the_table_has_one_row_per_name():
    assert tuple(row.name for row in table()) == names()
    assert all(row.parameters and row.top1 and row.size >= 224 for row in table() if row.modality == "image")
    assert all(row.parameters and row.size >= 256 for row in table() if row.modality == "text")


def test_the_table_shows_where_weights_are(monkeypatch, tmp_path):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "hub"))
    where = {row.name: row.weights for row in table()}
    assert set(where.values()) == {"hub", "registry"}
    assert where["efficientnet_lite0"] == "registry"
    (tmp_path / "keras" / "models").mkdir(parents=True)
    (tmp_path / "keras" / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b"")
    folder = tmp_path / "hub" / "models" / "keras" / "resnetv1" / "keras" / "resnet_18_imagenet" / "3"
    folder.mkdir(parents=True)
    (folder / "model.weights.h5").write_bytes(b"")
    where = {row.name: row.weights for row in table()}
    assert where["resnet50"] == "keras cache"
    assert where["resnet_18_imagenet"] == "kerashub cache"


def test_the_table_needs_neither_keras_nor_numpy():
    loaded = "bool({'keras', 'numpy'} & set(sys.modules))"
    code = f"import sys; from tltk.backbones.catalog import table; table(); sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_minimum_image_size_is_that_of_the_family():
    sizes = {"resnet50": 32, "inception_v3": 75, "efficientnet_lite0": 32, "resnet_18_imagenet": 32}
    assert {name: backbone(name).min_image_size for name in sizes} == sizes


@pytest.fixture
def registered(restored_registries):
    """Register a backbone for one test."""

    def small(*, weights="pretrained"):
        assert weights in ("pretrained", "random")
        return backbone(conv_net(), stages=STAGES)

    tltk.register_backbone("small", small, modality="image")
    return small


def test_a_registered_backbone_is_built_and_listed_like_the_others(registered):
    selected = tltk.backbone("small", weights="random", stages={"low": "stem_relu", "high": "conv3_relu"})
    assert (selected.name, [stage.name for stage in selected.stages]) == ("small", ["low", "high"])
    assert catalog.table()[-1] == catalog.Row("small", "image", None, None, None, "registered")
    assert names("image")[-1] == "small"
    assert "small" not in names("text")
    model = tltk.assemble(tltk.backbone("small"), tltk.classification(LabelSpec(("a", "b"))))
    assert model.backbone == "small"


def test_a_name_can_be_registered_only_once(registered):
    tltk.register_backbone("small", registered)
    with pytest.raises(ValueError, match="'resnet50' is registered already"):
        tltk.register_backbone("resnet50", registered)


def test_an_invalid_registration_is_an_error():
    with pytest.raises(TypeError, match=r"`constructor` must be a function.*Received: Functional"):
        tltk.register_backbone("net", conv_net())
    with pytest.raises(ValueError, match="the name of a backbone must be a non-empty string"):
        tltk.register_backbone("", _a_model)


@pytest.mark.usefixtures("restored_registries")
def test_a_constructor_that_does_not_return_a_backbone_is_an_error():
    tltk.register_backbone("wrong", _a_model)
    with pytest.raises(TypeError, match=r"constructor of 'wrong'.*must be Backbone. Received: Functional"):
        tltk.backbone("wrong")


def _a_model(*, weights):
    return conv_net()
