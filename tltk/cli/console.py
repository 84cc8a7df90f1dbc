"""What a shell sees: tables and JSON on standard output, everything else on standard error, and an exit code."""

import contextlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from tltk.foundation import checks as check
from tltk.foundation import files

if TYPE_CHECKING:
    from tltk.evaluation.report import Report
    from tltk.specs import InvalidExample

BAD_INPUT = 2
_REFUSED = (check.MissingExtraError, check.ServingError)
INTERRUPTED = 130


@contextlib.contextmanager
def command(*, as_json: bool) -> Iterator[None]:
    """Run a command's body: log to standard error, turn errors into one message and an exit code.

    Args:
        as_json: also report an error as the one JSON object on standard output.

    Raises:
        SystemExit: 2 for bad input and what the machine refuses, 130 for Ctrl-C. Anything else is a defect of
            tltk and keeps its traceback.
    """
    _log_to_stderr()
    try:
        yield
    except KeyboardInterrupt:
        say("Interrupted.")
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left, as `| head` does
        raise SystemExit(0) from None
    except (ValueError, TypeError, OSError, FloatingPointError, MemoryError, *_REFUSED) as error:
        text = _message(error)
        say(f"Error: {text}")
        if as_json:
            show_json({"error": text})
        raise SystemExit(BAD_INPUT) from None


def run(app: Any) -> None:
    """Run a Typer app; what was typed wrong is told as JSON too where that was asked for.

    Raises:
        SystemExit: 2 for what was typed wrong.
    """
    try:
        app(standalone_mode=False)
    except Exception as error:
        show, words = getattr(error, "show", None), getattr(error, "format_message", None)
        if show is None or words is None:  # Typer's own errors have no public base class
            raise
        show()
        if "--json" in sys.argv:
            show_json({"error": words()})
        raise SystemExit(BAD_INPUT) from None


def say(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show(text: str) -> None:
    """Write a line to standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def show_json(value: Any) -> None:
    """Write the one JSON object of a command to standard output."""
    show(json.dumps(files.as_json_values(value), ensure_ascii=False))


def show_table(columns: list[str], rows: Iterable[Iterable[Any]], *, title: str = "") -> None:
    """Draw a table on standard output; numbers are right-aligned, nothing is cut when it is piped.

    Args:
        columns: headings.
        rows: one cell a column.
        title: above it.
    """
    from rich.console import Console
    from rich.table import Table

    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [all(row[index][1] for row in cells) for index in range(len(columns))]
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name, right in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if right and cells else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(text for text, _ in row))
    width = None if sys.stdout.isatty() else 400
    Console(width=width, highlight=False, markup=False).print(table)


def show_report(report: "Report") -> None:
    """Draw what an evaluation found, and say what was left out."""
    show_table(["metric", "value"], report.metrics.items())
    if report.classes:
        show_table(list(report.classes[0]), [row.values() for row in report.classes])
    say_invalid(report.invalid)


def say_invalid(invalid: "tuple[InvalidExample, ...]") -> None:
    """Name the first examples that were left out, and count the rest."""
    for example in invalid[:10]:
        say(f"left out: {example.example_id}: {example.reason}")
    if len(invalid) > 10:
        say(f"left out: {len(invalid) - 10} more")


def quiet_tensorflow() -> None:
    """Import TensorFlow without the start-up lines of its C++ side, which no environment variable silences."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import tensorflow as tf

            tf.constant(0)  # the first operation is what makes it look for devices
        except BaseException:
            noise.seek(0)
            os.write(saved, noise.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _cell(value: object) -> tuple[str, bool]:
    if value is None:
        return "–", True
    if isinstance(value, float):
        return f"{value:.4f}", True
    if isinstance(value, int):
        return f"{value:,}", True
    return str(value), False


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _log_to_stderr() -> None:
    logger = logging.getLogger("tltk")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


def start_tensorflow() -> None:
    """Make TensorFlow keep to itself what is no error, before it is imported."""
    # What goes wrong is an exception; the errors that it logs besides are none, such as oneDNN's about int64.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tltk.foundation import hardware as machine

    machine.keep_freed_memory()
    quiet_tensorflow()
