"""Progress on standard error: bars for work that takes longer than two seconds, or lines of text."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec

from tltk.foundation.errors import InvalidInput

_SHOW_AFTER = 2.0  # seconds
_SILENT, _BARS, _LINES = 0, 1, 2
_verbose: ContextVar[int] = ContextVar("verbose", default=_BARS)
log = logging.getLogger("tltk")


@contextmanager
def verbosity(verbose: int | str) -> Iterator[None]:
    """Choose how progress is shown within the block.

    Args:
        verbose: 0 shows nothing, 1 or "auto" bars on terminals and in notebooks with ipywidgets, and lines elsewhere;
            2 lines only.

    Raises:
        InvalidInput: If `verbose` is something else.
    """
    if verbose not in ("auto", _SILENT, _BARS, _LINES):
        raise InvalidInput(f"`verbose` must be 'auto', 0, 1 or 2. Received: {verbose!r}")
    token = _verbose.set(_BARS if verbose == "auto" else int(verbose))
    try:
        yield
    finally:
        _verbose.reset(token)


def level() -> int:
    """Return how progress is shown: 0 for nothing, 1 for bars, 2 for lines, as `verbose` of Keras."""
    return _verbose.get()


def line(text: str) -> None:
    """Show a line of text, such as the metrics of an epoch, where no bars are shown.

    It is logged if the logger "tltk" shows messages of level INFO, and written to standard error otherwise.
    """
    if _verbose.get() == _SILENT:
        return
    if log.isEnabledFor(logging.INFO):
        log.info("%s", text)
    elif not _shows_bars():
        sys.stderr.write(f"{text}\n")


def _shows_bars() -> bool:
    """Tell whether bars can be shown; Rich draws them in a notebook with ipywidgets, and warns without."""
    has_bars = sys.stderr.isatty() or (_is_notebook() and find_spec("ipywidgets") is not None)
    return _verbose.get() == _BARS and has_bars


def _is_notebook() -> bool:
    """Tell whether the code runs in a Jupyter notebook, whose standard error is not a terminal but which shows bars."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar with the remaining time.

    It appears after two seconds, and only on a terminal or in a notebook with ipywidgets, see `verbosity`.

    Args:
        title: Text before the bar, such as "reading".
        total: Number of steps; None if unknown.

    Yields:
        A function `advance(steps=1, note="")` to call after each step.

    Examples:
        >>> with bar("reading", total=2) as advance:
        ...     advance()
        ...     advance(note="nearly")
    """
    if not _shows_bars():
        yield _silent
        return
    progress_bar = _Bar(title, total)
    try:
        yield progress_bar.advance
    finally:
        progress_bar.close()


def _silent(steps: int = 1, note: str = "") -> None:
    """Do nothing; stands in for `advance` if no bar is shown."""


class _Bar:
    def __init__(self, title: str, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
        columns += [TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")]
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task(title, total=total, note="")
        self.created_at = time.monotonic()
        self.is_shown = False

    def advance(self, steps: int = 1, note: str = "") -> None:
        if not self.is_shown and time.monotonic() - self.created_at > _SHOW_AFTER:
            self.progress.start()
            self.is_shown = True
        if note:
            self.progress.update(self.task, note=note)
        self.progress.advance(self.task, steps)

    def close(self) -> None:
        if self.is_shown:
            self.progress.stop()
