"""The certificate of an export detects outputs that differ from those of the trained model."""

import contextlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tltk
from tests.conftest import replaying_here, squares_model
from tests.texts import text_model, tiny_preset
from tltk.errors import ServingError
from tltk.serving import certificate
from tltk.serving.replay import replay


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    model = squares_model(head=tltk.head(zero_init=False))
    with replaying_here():
        for _ in range(2):
            tltk.export(model, folder / "images")
        model = text_model(tiny_preset(folder / "preset"), head=tltk.head(zero_init=False, normalization=None))
        tltk.export(model, folder / "texts")
    return folder


@pytest.mark.parametrize("c_interface", [False, True])
@pytest.mark.parametrize("modality", ["images", "texts"])
def test_a_certificate_is_replayed_and_timed_in_a_clean_process(exported, modality, c_interface):
    verified = tltk.verify(exported / modality, c_interface=c_interface)
    assert verified.path.name == ("2" if modality == "images" else "1")
    assert set(verified.differences) == {"serving_default", "predict_tensor", "embed"}
    assert max(verified.largest_differences.values()) <= certificate.TOLERANCE
    assert verified.size_bytes == sum(file.stat().st_size for file in verified.path.rglob("*") if file.is_file())
    assert verified.load_seconds > 0
    assert set(verified.latencies) == {"1", "32"}
    assert all(0 < percentiles["p50_ms"] <= percentiles["p99_ms"] for percentiles in verified.latencies.values())


def test_a_version_folder_can_be_verified_without_timing(exported, replay_here):
    verified = tltk.verify(exported / "images" / "1", measure_latency=False)
    assert verified.path.name == "1"
    assert verified.latencies == {}
    assert verified.first_outputs["label"]


def test_a_certificate_is_small_and_holds_24_valid_and_2_invalid_requests(exported):
    stored = np.load(exported / "images" / "1" / certificate.FILE)
    assert len(stored["serving_default/inputs/image_bytes:ends"]) == 26
    assert stored["serving_default/outputs/valid"].tolist() == [True] * 24 + [False] * 2
    assert len(stored["predict_tensor/inputs/pixels"]) == 2
    assert (exported / "images" / "1" / certificate.FILE).stat().st_size < 1_000_000


@pytest.mark.parametrize("c_interface", [False, True])
def test_outputs_that_differ_from_the_stored_ones_are_reported(exported, tmp_path, c_interface):
    shutil.copytree(exported / "images" / "1", tmp_path / "1")
    file = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(file))
    stored["serving_default/outputs/probability"] = stored["serving_default/outputs/probability"] + 1e-4
    stored["serving_default/outputs/label"][0] ^= 1
    stored["embed/outputs/more"] = np.zeros(26)
    np.savez(file, **stored)
    process = contextlib.nullcontext() if c_interface else replaying_here()
    with process, pytest.raises(RuntimeError) as caught:
        tltk.verify(tmp_path, measure_latency=False, c_interface=c_interface)
    message = str(caught.value)
    assert "does not reproduce the outputs of the trained model" in message
    assert "`label` of serving_default differs by 1" in message
    assert "`probability` of serving_default differs by 0.0001" in message
    assert "`more` of embed differs by inf" in message
    assert "`probabilities`" not in message


@pytest.mark.parametrize("damage", ["garbage", "truncated", "flipped", "foreign"])
def test_a_damaged_certificate_is_not_reported_as_a_damaged_model(exported, tmp_path, damage):
    shutil.copytree(exported / "images" / "1", tmp_path / "1")
    file = tmp_path / "1" / certificate.FILE
    data = file.read_bytes()
    middle = len(data) // 2
    if damage == "foreign":
        np.savez(file, a=np.zeros(1))
    else:
        flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
        file.write_bytes({"garbage": b"garbage", "truncated": data[:middle], "flipped": flipped}[damage])
    with pytest.raises(ServingError, match=r"certificate\.npz is damaged, or was written by an older version of tltk"):
        tltk.verify(tmp_path, measure_latency=False)


def test_a_model_that_cannot_be_loaded_is_an_error(exported, tmp_path):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(RuntimeError, match=r"could not be loaded or called in a clean process: \w+: [^\n]+$"):
        tltk.verify(tmp_path, measure_latency=False)
    with pytest.raises(RuntimeError, match=r"could not be loaded or called in a clean process: RuntimeError: [^\n]+$"):
        tltk.verify(tmp_path, measure_latency=False, c_interface=True)


def test_a_missing_export_or_certificate_is_an_error(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="contains no exported model and no version folders"):
        tltk.verify(tmp_path / "nowhere")
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    (tmp_path / "1" / certificate.FILE).unlink()
    with pytest.raises(FileNotFoundError, match="has no certificate"):
        tltk.verify(tmp_path)


def test_strings_of_any_bytes_and_lengths_are_restored_and_stored_without_padding(tmp_path):
    strings = [b"", b"ends in zeros\x00\x00", "süß".encode(), bytes(300_000)]
    labels = np.array([[b"a", b"bc"], [b"", b"d\0"]], object)
    stored = {"inputs": {"x": strings}, "outputs": {"y": np.array([[1.5], [2.0], [3.0]]), "labels": labels}}
    tensor = {"inputs": {"t": np.zeros([2, 3])}, "outputs": {"y": np.ones(2)}}
    features = {"inputs": {"x": strings}, "outputs": {"f": np.ones(4)}}
    certificate.write(tmp_path, {"serving_default": stored, "predict_tensor": tensor, "embed": features})
    arrays = np.load(tmp_path / certificate.FILE, allow_pickle=False)
    assert replay._columns(arrays, "serving_default/inputs/")["x"].tolist() == strings
    assert replay._columns(arrays, "serving_default/outputs/")["labels"].tolist() == labels.tolist()
    assert replay._columns(arrays, "embed/inputs/") == {}  # requests shared by several signatures are stored once
    assert sum(array.nbytes for array in arrays.values()) < 310_000
    np.testing.assert_array_equal(arrays["serving_default/outputs/y"], [[1.5], [2.0], [3.0]])


def test_the_difference_of_each_float_is_relative_to_its_own_size():
    expected = np.array([[1e12, 30.0], [2e12, 31.0]])
    assert replay._difference(expected + np.array([[0, 3], [0, 0]]), expected) == pytest.approx(0.1)
    assert replay._difference(expected * (1 + 1e-7), expected) == pytest.approx(1e-7, rel=0.1)
    assert replay._difference(np.array([0.5]), np.array([0.25])) == 0.25
    assert np.isnan(replay._difference(np.array([np.nan]), np.array([1.0])))
    assert replay._difference(np.array([1.0, 2.0]), np.array([1.0])) == np.inf


def test_a_missing_operation_and_a_killed_process_are_reported(exported, tmp_path, monkeypatch):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    file = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(file))
    tensors = json.loads(str(stored["tensors"]))
    tensors["embed"]["inputs"]["texts"] = "nowhere:0"
    np.savez(file, **{**stored, "tensors": json.dumps(tensors)})
    with pytest.raises(RuntimeError, match="RuntimeError: the graph has no operation 'nowhere'"):
        tltk.verify(tmp_path, measure_latency=False, c_interface=True)
    script = tmp_path / "killed.py"
    script.write_text("import os; os.kill(os.getpid(), 9)")
    monkeypatch.setattr(certificate, "_REPLAY", script)
    with pytest.raises(RuntimeError, match="ended with signal 9"):
        tltk.verify(tmp_path, measure_latency=False)


def test_a_nan_is_reported_as_a_difference(exported, tmp_path, replay_here):
    shutil.copytree(exported / "texts" / "1", tmp_path / "1")
    file = tmp_path / "1" / certificate.FILE
    stored = dict(np.load(file))
    stored["embed/outputs/features"][0] = np.nan
    np.savez(file, **stored)
    with pytest.raises(RuntimeError, match="`features` of embed differs by nan"):
        tltk.verify(tmp_path, measure_latency=False)


def test_the_c_interface_requires_a_saved_model(tmp_path):
    exported = tltk.export(squares_model(), tmp_path / "onnx", format="onnx")
    with pytest.raises(ValueError, match="`c_interface=True` requires a SavedModel"):
        tltk.verify(exported.path, c_interface=True)


def test_verify_needs_no_package_but_tensorflow(exported):
    code = """
import sys
class Blocker:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {"keras_hub", "sklearn", "typer", "rich", "PIL", "jinja2", "matplotlib", "filelock",
                                  "tensorflow_datasets", "safetensors", "tensorflow_text"}:
            raise ImportError(name)
sys.meta_path.insert(0, Blocker())
import tltk
for c_interface in (False, True):
    verified = tltk.verify(sys.argv[1], measure_latency=False, c_interface=c_interface)
    print(max(verified.largest_differences.values()) <= 1e-5)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""
    process = subprocess.run(
        [sys.executable, "-c", code, str(exported / "texts")], capture_output=True, text=True, check=False
    )
    assert process.stdout.split("\n")[:3] == ["True", "True", "[]"], process.stderr


def test_the_clean_process_runs_a_saved_model_without_keras(exported):
    code = """
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
print(sorted({"keras", "sklearn", "matplotlib"} & set(sys.modules)))
"""
    export_folder = exported / "images" / "1"
    arguments = map(str, (replay.__file__, export_folder, export_folder / certificate.FILE))
    process = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    result, imported = process.stdout.splitlines()
    assert set(json.loads(result)["signatures"]) == {"serving_default", "predict_tensor", "embed"}, result
    assert imported == "[]"
