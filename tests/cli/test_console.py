"""Commands print results on standard output, messages on standard error, and end with an exit code."""

import json
import logging

import numpy as np
import pytest
import tensorflow as tf

from tltk.cli import console
from tltk.errors import AuditError, InvalidInput, OutOfMemory


def test_bad_input_is_one_line_on_standard_error_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as caught, console.command(as_json=False):
        raise InvalidInput("`epochs` must be above 0")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: `epochs` must be above 0\n"


def test_an_operating_system_error_names_its_file(capsys):
    with pytest.raises(SystemExit), console.command(as_json=True):
        raise FileNotFoundError(2, "No such file or directory", "photos")
    streams = capsys.readouterr()
    assert json.loads(streams.out) == {"error": "photos: No such file or directory"}


def test_ctrl_c_is_exit_code_130(capsys):
    with pytest.raises(SystemExit) as caught, console.command(as_json=False):
        raise KeyboardInterrupt
    assert caught.value.code == 130


@pytest.mark.parametrize(
    "error",
    [
        *(ZeroDivisionError(), ValueError("of Keras"), TypeError("of NumPy"), KeyError("x"), OSError("of a library")),
        *(MemoryError(), MemoryError("deep")),
    ],
    ids=repr,
)
def test_an_unexpected_exception_is_not_taken_for_bad_input(error):
    with pytest.raises(type(error)) as caught, console.command(as_json=False):
        raise error
    assert caught.value is error


def test_a_failed_audit_is_told_as_a_refusal(capsys):
    with pytest.raises(SystemExit) as caught, console.command(as_json=False):
        raise AuditError("probe did not do what its plan says")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "Error: probe did not do what its plan says\n"


def test_too_little_memory_of_a_gpu_is_told_with_the_way_out(capsys):
    with pytest.raises(SystemExit) as caught, console.command(as_json=False):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,3]\nmany lines")
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "a smaller --batch-size" in message and "shape[64,3]" in message and "many lines" not in message


def test_too_little_memory_is_told(capsys):
    for allocate in (lambda: np.empty(10**15), lambda: _raise(OutOfMemory("the cache needs 3 GB"))):
        with pytest.raises(SystemExit) as caught, console.command(as_json=False):
            allocate()
        assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "Error: Unable to allocate 7.11 PiB" in message and "Error: the cache needs 3 GB" in message


def _raise(error):
    raise error


def test_debug_shows_the_traceback_of_bad_input_as_well(capsys):
    with pytest.raises(SystemExit) as caught, console.command(as_json=True, debug=True):
        raise InvalidInput("`epochs` must be above 0")
    assert caught.value.code == 2
    streams = capsys.readouterr()
    assert "Traceback (most recent call last)" in streams.err and streams.err.endswith(
        "Error: `epochs` must be above 0\n"
    )
    assert json.loads(streams.out) == {"error": "`epochs` must be above 0"}


def test_a_piped_table_formats_numbers_and_truncates_nothing(capsys):
    console.show_table(["name", "count", "fraction"], [("x" * 150, 1234, 0.5), ("y", None, None)])
    text = capsys.readouterr().out
    assert "x" * 150 in text
    assert "1,234" in text
    assert "0.5000" in text


def test_a_command_leaves_the_logger_as_it_was(capsys):
    logger = logging.getLogger("tltk")
    before = (list(logger.handlers), logger.level, logger.propagate)
    with console.command(as_json=False):
        logger.info("one epoch")
    assert "one epoch" in capsys.readouterr().err
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_control_characters_of_names_do_not_reach_the_terminal(capsys):
    name = "cat\x1b]0;title\x07\x1b[2J\x9b31m\r\x7fé\u202d"
    logger = logging.getLogger("tltk")
    with pytest.raises(SystemExit), console.command(as_json=True):
        logger.info("%s was left out", name)
        console.show(name)
        console.show_table([name], [[name]], title=name)
        console.show_json({"label": name})
        raise InvalidInput(f"{name} is wrong")
    streams = capsys.readouterr()
    for text in streams:
        assert not [
            character
            for character in text
            if (ord(character) < 32 and character != "\n") or 127 <= ord(character) < 160
        ]
        assert r"cat\x1b]0;title\x07" in text
    lines = [line for line in streams.out.splitlines() if line.startswith("{")]
    assert json.loads(lines[0]) == {"label": name}
