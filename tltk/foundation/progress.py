"""Progress on standard error: a bar for whatever takes longer than two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SHOW_AFTER = 2.0


@contextmanager
def bar(title: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar with the time left, once two seconds have passed and if standard error is a terminal.

    Args:
        title: what is being done.
        total: steps in all; None where that is not known.

    Yields:
        `advance(steps=1, note="")`.

    Example:
        >>> with bar("reading", total=2) as advance:
        ...     advance()
        ...     advance(note="nearly")
    """
    if not sys.stderr.isatty():
        yield _silent
        return
    shown = _Bar(title, total)
    try:
        yield shown.advance
    finally:
        shown.close()


def _silent(steps: int = 1, note: str = "") -> None:
    """Take the place of `advance` where nobody watches."""


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
        self.begun = time.monotonic()
        self.started = False

    def advance(self, steps: int = 1, note: str = "") -> None:
        if not self.started and time.monotonic() - self.begun > _SHOW_AFTER:
            self.progress.start()
            self.started = True
        if note:
            self.progress.update(self.task, note=note)
        self.progress.advance(self.task, steps)

    def close(self) -> None:
        if self.started:
            self.progress.stop()
