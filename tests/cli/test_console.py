"""Commands print results on standard output, messages on standard error, and end with an exit code."""

import json
import logging

import pytest

from tltk.cli import console
from tltk.errors import InvalidInput


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


def test_an_unexpected_exception_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), console.command(as_json=False):
        raise ZeroDivisionError


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
