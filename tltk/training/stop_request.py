"""Ctrl-C and SIGTERM during training: the step under way ends and a checkpoint is written, then training stops."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

log = logging.getLogger("tltk")


class TrainingStopped(KeyboardInterrupt):
    """Raised after Ctrl-C or SIGTERM; a KeyboardInterrupt, as in any Python program.

    Args:
        signal_number: `signal.SIGINT` or `signal.SIGTERM`.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class StopRequest:
    """Whether the user or the system wants a training to stop.

    While `is_postponed`, the first signal is only noted, so that the state of the training can be saved between two
    steps; a second one stops it at once. Otherwise every signal does.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self.is_postponed = False

    @contextlib.contextmanager
    def postponed(self) -> Iterator[None]:
        """Note signals within the context instead of raising an exception."""
        self.is_postponed = True
        try:
            yield
        finally:
            self.is_postponed = False

    def raise_if_any(self) -> None:
        """Raise `TrainingStopped` if a signal was noted."""
        if self.signal_number is not None:
            raise TrainingStopped(self.signal_number)

    def handle(self, signal_number: int, frame: FrameType | None) -> Any:
        """Note a signal, or raise `TrainingStopped`."""
        is_first, self.signal_number = self.signal_number is None, signal_number
        if not (self.is_postponed and is_first):
            raise TrainingStopped(signal_number)
        name = "Ctrl-C" if signal_number == signal.SIGINT else "SIGTERM"
        log.warning("%s: training stops after this step, with a checkpoint; once more stops it now.", name)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Handle Ctrl-C and SIGTERM within the context, and restore the handlers that were there before.

    Outside the main thread, where Python allows no handlers, no signal is handled. Nor is one that the program ignores
    or for which it has a handler of its own.

    Yields:
        The request, to be asked between steps.
    """
    request = StopRequest()
    replaced: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            if signal.getsignal(number) == default:
                replaced[number] = signal.signal(number, request.handle)
    try:
        yield request
    finally:
        for number, handler in replaced.items():
            signal.signal(number, handler)
