"""Output of the commands: results on standard output, messages on standard error, errors as exit codes."""

import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tltk.foundation import files
from tltk.foundation.errors import TltkError

if TYPE_CHECKING:
    from tltk.evaluation.report import Report
    from tltk.specs import InvalidExample

# File names, labels and texts are untrusted: in a terminal, control characters would move the cursor, change the
# title or type keys. They are shown as "\\x1b"; in JSON, which escapes most of them itself, as "\\u001b".
_CONTROLS = [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"]
_SHOWN = {code: f"\\x{code:02x}" for code in _CONTROLS}
_SHOWN_IN_JSON = {code: f"\\u{code:04x}" for code in _CONTROLS}
BAD_INPUT = 2


@contextlib.contextmanager
def command(*, as_json: bool, debug: bool = False) -> Iterator[None]:
    """Log to standard error, and turn errors that the user can act on into one message and an exit code.

    Args:
        as_json: Whether to also print an error as a JSON object on standard output.
        debug: Whether to print the traceback of such an error as well.

    Raises:
        SystemExit: With 2 for an error of `tltk.errors`, and for what the system refuses, such as a missing file or
            memory; 130 for Ctrl-C, 143 for SIGTERM. Any other exception is a defect and keeps its traceback: a
            `ValueError` of Keras or NumPy does not tell the user what to change.
    """
    try:
        with _logging_to_stderr():
            yield
    except KeyboardInterrupt as error:
        say("Interrupted.")
        # As a shell reports a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM.
        raise SystemExit(128 + getattr(error, "signal_number", signal.SIGINT)) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of the pipe exited, as in `| head`
        raise SystemExit(0) from None
    except Exception as error:
        if not _is_told(error):
            raise
        if debug:
            say(traceback.format_exc())
        message = _message(error)
        say(f"Error: {message}")
        if as_json:
            show_json({"error": message})
        raise SystemExit(BAD_INPUT) from None


def run(app: Any, arguments: list[str]) -> None:
    """Run a Typer app, and print usage errors as JSON too if `--json` was given.

    Args:
        app: The `typer.Typer` app.
        arguments: Arguments of the command line, without the name of the program.

    Raises:
        SystemExit: With 2 for a usage error, such as an unknown option.
    """
    try:
        app(arguments, standalone_mode=False)
    except Exception as error:
        # Usage errors of Typer have no public base class, but these two methods.
        print_usage, format_message = getattr(error, "show", None), getattr(error, "format_message", None)
        if print_usage is None or format_message is None:
            raise
        print_usage()
        if "--json" in arguments:
            show_json({"error": format_message()})
        raise SystemExit(BAD_INPUT) from None


def say(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{printable(text)}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{printable(text)}\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    r"""Return a text in which control characters, with which a terminal can be commanded, are written as "\x1b".

    Examples:
        >>> printable("cat\x1b[2J"), printable("two\nlines")
        ('cat\\x1b[2J', 'two\nlines')
    """
    return text.translate(_SHOWN)


def show_json(value: Any) -> None:
    """Write a value as one line of JSON to standard output."""
    show(json.dumps(files.as_json_values(value), ensure_ascii=False).translate(_SHOWN_IN_JSON))


def show_table(columns: list[str], rows: Iterable[Iterable[Any]], *, title: str = "") -> None:
    """Print a table on standard output, with numbers right-aligned, and without truncation if it is piped.

    Args:
        columns: Column headings.
        rows: Cells of each row, one for each column.
        title: Line above the table.
    """
    from rich.console import Console
    from rich.table import Table

    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(row[index][1] for row in cells) for index in range(len(columns))]
    table = Table(title=printable(title) or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, is_numeric in zip(columns, numeric, strict=True):
        table.add_column(printable(name), justify="right" if is_numeric and cells else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(text for text, _ in row))
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False, markup=False).print(table)


def show_report(report: "Report") -> None:
    """Print the accuracy with its interval, the metrics and notes of a report, and name the invalid examples."""
    if report.headline:
        show(report.headline)
    for note in report.notes:
        show(f"note: {note}")
    tables = [rows for rows in (report.classes, *report.tables.values()) if rows]
    in_tables = {row.get("metric") for rows in tables for row in rows}
    show_table(["metric", "value"], [pair for pair in report.metrics.items() if pair[0] not in in_tables])
    for rows in tables:
        columns = [column for column in rows[0] if column != "metric"]
        show_table(columns, [[row[column] for column in columns] for row in rows])
    report_invalid(report.invalid)


def report_invalid(invalid: "tuple[InvalidExample, ...]") -> None:
    """Say on standard error how many examples were left out, and why."""
    if invalid:
        from tltk.data.invalid import by_reason

        say("\n  ".join([f"left out: {len(invalid):,} example{'s' * (len(invalid) != 1)}", *by_reason(invalid)]))


def quiet_tensorflow() -> None:
    """Import TensorFlow without the start-up messages of its C++ code, which no environment variable silences."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as messages:
        os.dup2(messages.fileno(), 2)
        try:
            import tensorflow as tf

            tf.constant(0)  # the first operation makes TensorFlow look for devices
        except BaseException:
            messages.seek(0)
            os.write(stderr, messages.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _cell(value: object) -> tuple[str, bool]:
    """Return the text of a table cell, and whether it is right-aligned."""
    if value is None:
        return "–", True
    if isinstance(value, float):
        return f"{value:.4f}", True
    if isinstance(value, int):
        return f"{value:,}", True
    return printable(str(value)), False


def _is_told(error: Exception) -> bool:
    """Tell whether an error is told in one message: tltk raised it on purpose, or the system refused something."""
    is_refusal = isinstance(error, OSError) and error.errno is not None
    return isinstance(error, TltkError) or is_refusal or _is_too_large_array(error) or _is_full_device(error)


def _is_too_large_array(error: Exception) -> bool:
    """Tell whether NumPy could not allocate an array; any other MemoryError does not say what was too large."""
    return isinstance(error, MemoryError) and type(error).__module__.split(".")[0] == "numpy"


def _is_full_device(error: Exception) -> bool:
    """Tell whether the memory of a GPU does not suffice."""
    tensorflow = sys.modules.get("tensorflow")  # only if it is loaded can it have raised the error
    return tensorflow is not None and isinstance(error, tensorflow.errors.ResourceExhaustedError)


def _message(error: Exception) -> str:
    if _is_full_device(error):
        return f"out of memory; a smaller --batch-size needs less. TensorFlow says: {str(error).splitlines()[0]}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextlib.contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Log messages of tltk to standard error; afterwards the logger is as it was."""
    logger = logging.getLogger("tltk")
    level, propagate = logger.level, logger.propagate
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    is_new = not logger.handlers
    if is_new:
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        if is_new:
            logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def start_tensorflow() -> None:
    """Import TensorFlow with its log messages silenced, after the memory allocator was configured for it."""
    # Real errors are raised as exceptions; the logged ones are harmless, such as oneDNN's about int64.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tltk.foundation import hardware

    hardware.keep_freed_memory()
    quiet_tensorflow()
