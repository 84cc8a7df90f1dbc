"""Runtimes import nothing of tltk, and none of them needs another."""

import ast
import importlib
from pathlib import Path

import pytest

from tltk.serving.replay import runtimes


def test_nothing_of_tltk_or_tensorflow_is_imported():
    tree = ast.parse(Path(runtimes.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} == {
        *("collections", "pathlib", "typing", "numpy", "os"),
        *runtimes.FILES.values(),
    }


@pytest.mark.parametrize("file", runtimes.FILES)
def test_a_file_that_is_none_is_an_error(tmp_path, file):
    (tmp_path / file).write_bytes(b"none")
    with pytest.raises(Exception, match=r"(?s).+"):  # of each runtime's own kind
        runtimes.load(str(tmp_path / file))
    assert importlib.util.find_spec(runtimes.FILES[file]) is not None
