"""A progress bar on standard error for work that takes longer than two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SHOW_AFTER = 2.0  # seconds


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar with the remaining time.

    It appears after two seconds, and only if standard error is a terminal.

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
    if not sys.stderr.isatty():
        yield _silent
        return
    progress_bar = _Bar(title, total)
    try:
        yield progress_bar.advance
    finally:
        progress_bar.close()


def _silent(steps: int = 1, note: str = "") -> None:
    """Do nothing; stands in for `advance` if standard error is not a terminal."""


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
