"""YAML files that may come from anywhere."""

import pytest

from tltk.data.formats import yaml_file
from tltk.errors import InvalidInput


def test_plain_values_are_read_and_large_files_are_not(tmp_path, monkeypatch):
    path = tmp_path / "a.yaml"
    path.write_text("names: {0: cat}\n")
    assert yaml_file.read_yaml(path) == {"names": {0: "cat"}}
    monkeypatch.setattr(yaml_file, "MAX_BYTES", 5)
    with pytest.raises(InvalidInput, match="is larger than"):
        yaml_file.read_yaml(path)
