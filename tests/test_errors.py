"""Public exceptions: one base class, and the built-in exceptions that Python users expect."""

import ast
import builtins

import pytest
import tensorflow as tf

import tltk
from tests import ROOT
from tests.conftest import squares
from tltk import errors

RAISED_FOR_PYTHON = {"AttributeError", "IndexError"}  # what `__getattr__` and `__getitem__` must raise


def test_every_exception_is_a_tltk_error():
    assert all(issubclass(getattr(errors, name), errors.TltkError) for name in errors.__all__)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.InvalidInput, ValueError),
        (errors.InvalidType, TypeError),
        (errors.NotFound, FileNotFoundError),
        (errors.FileError, OSError),
        (errors.OutOfMemory, MemoryError),
        (errors.MissingExtra, ModuleNotFoundError),
    ],
)
def test_an_exception_is_also_the_builtin_one(error, builtin):
    assert issubclass(error, builtin)


def test_an_error_of_the_system_keeps_its_number_and_path():
    error = errors.FileError(28, "No space left on device", "/full")
    assert (error.errno, error.filename) == (28, "/full")


@pytest.mark.parametrize("error", [errors.InvalidInput, errors.InvalidType])
def test_an_exception_in_a_tf_function_keeps_its_class(error):
    @tf.function
    def traced(x):
        if x.shape.rank == 0:
            raise error("`x` must be a vector")
        return x

    with pytest.raises(error, match="`x` must be a vector"):
        traced(tf.constant(1.0))


def test_bad_input_is_a_tltk_error(tmp_path):
    with pytest.raises(errors.InvalidInput, match="val"):
        tltk.split(squares(), val=2.0)
    with pytest.raises(errors.NotFound, match="nowhere"):
        tltk.from_folder(tmp_path / "nowhere")


def raised_builtins():
    builtin = {name for name in dir(builtins) if name.endswith("Error")} - RAISED_FOR_PYTHON
    for path in (ROOT / "tltk").rglob("*.py"):
        if "replay" in path.parts:  # runs without tltk
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            called = node.exc.func if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) else None
            if isinstance(called, ast.Name) and called.id in builtin:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {called.id}"


def test_tltk_raises_only_its_own_exceptions():
    assert list(raised_builtins()) == []


def test_tracebacks_show_the_public_name():
    assert {getattr(errors, name).__module__ for name in errors.__all__} == {"tltk.errors"}
