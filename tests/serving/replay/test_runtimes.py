"""The runtimes import neither tltk nor TensorFlow, and report files they cannot load."""

import ast
import importlib
from pathlib import Path

import pytest

from tltk.serving.replay import runtimes


def test_only_numpy_and_the_runtimes_are_imported():
    tree = ast.parse(Path(runtimes.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} == {
        *("collections", "pathlib", "typing", "numpy", "os"),
        *runtimes.FILES.values(),
    }


@pytest.mark.parametrize("file", runtimes.FILES)
def test_an_invalid_file_is_an_error(tmp_path, file):
    (tmp_path / file).write_bytes(b"garbage")
    with pytest.raises(Exception, match=r"(?s).+"):  # each runtime raises its own exception
        runtimes.load(str(tmp_path / file))
    assert importlib.util.find_spec(runtimes.FILES[file]) is not None
