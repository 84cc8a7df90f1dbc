"""Input formats are restored from the folder of a run."""

import json

import pytest

from tests.texts import TOKENIZER
from tltk.specs import ImageSpec, TextSpec
from tltk.training import spec_files


def test_images_need_no_file(tmp_path):
    spec = ImageSpec(32, 48, resize="pad")
    assert spec_files.read(tmp_path, json.loads(json.dumps(spec_files.to_config(spec)))) == spec
    assert list(tmp_path.iterdir()) == []


def test_texts_need_the_files_of_their_tokenizer(tmp_path):
    spec = TextSpec(TOKENIZER, 32)
    config = json.loads(json.dumps(spec_files.to_config(spec)))
    with pytest.raises(FileNotFoundError, match=r"vocabulary\.json is missing"):
        spec_files.read(tmp_path, config)
    spec_files.write(tmp_path, spec)
    assert spec_files.read(tmp_path, config) == spec
