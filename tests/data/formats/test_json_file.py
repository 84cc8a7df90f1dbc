"""JSON files."""

import pytest

from tltk.data.formats.json_file import read_json
from tltk.errors import InvalidInput


def test_a_file_that_is_no_json_raises(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": [1]}')
    assert read_json(path) == {"a": [1]}
    for content in (b"{", b"[" * 100_000, b"\xff", b'{"a": ' + b"9" * 5000 + b"}"):
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=r"a.json"):
            read_json(path)
