"""The table behind `tltk backbones`."""

import subprocess
import sys

from tltk.backbones import names
from tltk.backbones.catalog import minimum, table


def test_there_is_one_row_a_name():
    assert tuple(row.name for row in table()) == names()
    assert all(row.parameters and row.top1 and row.input_size >= 224 for row in table() if row.modality == "image")
    assert all(row.parameters and row.input_size >= 256 for row in table() if row.modality == "text")


def test_it_says_where_weights_are_right_now(monkeypatch, tmp_path):
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


def test_it_is_made_without_keras_and_numpy():
    loaded = "bool({'keras', 'numpy'} & set(sys.modules))"
    code = f"import sys; from tltk.backbones.catalog import table; table(); sys.exit({loaded})"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_minimum_is_that_of_the_family():
    assert [minimum(name) for name in ("resnet50", "inception_v3", "efficientnet_lite0", "resnet_18_imagenet")] == [
        32,
        75,
        32,
        32,
    ]
