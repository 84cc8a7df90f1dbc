"""Presets of a hub, which a folder stands for."""

import huggingface_hub
import numpy as np
import pytest

import tltk
from tests import families
from tltk.backbones import kerashub_files as hub_files
from tltk.backbones.text import kerashub as hub_text


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub of Hugging Face's whose repositories are folders."""

    def download(repo_id, filename, **_):
        file = tmp_path / repo_id / filename
        if not file.is_file():
            raise huggingface_hub.errors.EntryNotFoundError(f"{repo_id} has no {filename}")
        return str(file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return tmp_path


def test_a_handle_of_a_text_model_is_recognized(hub):
    families.preset("roberta", hub / "someone" / "tiny")
    handle = "hf://someone/tiny"
    assert hub_files.architecture(handle) == "RobertaBackbone"
    assert hub_text.is_text_preset(handle)
    backbone = tltk.backbone(handle)
    assert (backbone.modality, backbone.input_spec.tokenizer.type, backbone.name) == ("text", "bytepair", handle)
    body, origin = backbone.build()
    assert (origin.kind, origin.path) == ("hub", handle)
    here = tltk.backbone(str(hub / "someone" / "tiny")).build()[0]
    ids = np.array([[0, 9, 8, 2]], "int32")
    np.testing.assert_array_equal(body.predict(ids, verbose=0), here.predict(ids, verbose=0))


def test_json_files_are_read_from_folders_and_hubs(hub):
    folder = families.preset("electra", hub / "someone" / "tiny")
    assert hub_files.read(str(folder), "config.json") == hub_files.read("hf://someone/tiny", "config.json")
    assert hub_files.read(str(folder), "no.json") == hub_files.read("hf://someone/tiny", "no.json") == {}
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json of .* is damaged"):
        hub_files.read(str(folder), "config.json")


def test_an_unreachable_hub_is_an_error_with_a_fix(monkeypatch):
    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
    with pytest.raises(
        OSError, match=r"cannot load the preset hf://a/b: no route to host.*copied from another machine"
    ):
        tltk.backbone("hf://a/b")
