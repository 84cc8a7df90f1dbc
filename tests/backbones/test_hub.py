"""Failures of a hub are told apart from defects."""

import urllib.error

import pytest
import requests
from huggingface_hub.errors import EntryNotFoundError
from kagglehub.exceptions import CredentialError

import tltk
from tltk.backbones import hub


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no route to host"),
        urllib.error.URLError("no route to host"),
        TimeoutError("timed out"),
        CredentialError("no token"),
        EntryNotFoundError("no such file"),
        ValueError("Unknown preset identifier"),
        Exception("URL fetch failure on https://storage.example: None -- timed out"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_network_and_of_authentication_are_failures_of_the_hub(error):
    assert hub.is_hub_failure(error)


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), AttributeError("x"), AssertionError("x")], ids=repr)
def test_a_defect_is_no_failure_of_the_hub(error):
    assert not hub.is_hub_failure(error)


def test_a_defect_while_a_preset_is_downloaded_keeps_its_traceback(monkeypatch, tmp_path):
    import keras_hub

    def defect(*_, **__):
        raise TypeError("from_preset() got an unexpected keyword argument")

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path))
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", defect)
    with pytest.raises(TypeError, match="unexpected keyword") as caught:
        tltk.backbone("resnet_18_imagenet").build()
    assert not isinstance(caught.value, tltk.errors.TltkError)
