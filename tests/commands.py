"""Runs the command line and the examples, in a new process or in this one."""

import contextlib
import io
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from tltk.cli import main


def shell(*arguments: object, cwd: Path | None = None, timeout: int = 300, env: dict | None = None):
    """Run a command of tltk in a new process, as a user does."""
    command = [sys.executable, "-m", "tltk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=timeout, env=env)


def command(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command of tltk in this process: a new one would first import TensorFlow, for several seconds."""
    return _in_process(main.main, ["tltk", *map(str, arguments)], cwd)


def script(path: Path, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """Run a script in this process."""
    return _in_process(lambda: runpy.run_path(str(path), run_name="__main__"), [str(path), *map(str, arguments)], cwd)


def _in_process(call: Callable[[], object], argv: list[str], cwd: Path | None) -> subprocess.CompletedProcess:
    """Return exit code and output of a call as of a process; exceptions other than SystemExit are raised."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch("tltk.foundation.hardware.keep_freed_memory"),  # it would configure the process of the tests
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            call()
        except SystemExit as caught:
            code = caught.code or 0
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in (out, err))
    return subprocess.CompletedProcess(argv, code, stdout, stderr)
