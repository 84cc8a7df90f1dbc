"""Durations as text, such as "5 min", and points in time until which work may take."""

import re
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from tltk.foundation.errors import InvalidInput

_UNITS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+?)s?\s*")


def number_and_unit(text: str) -> tuple[float, str]:
    """Return the number and the unit of a text, in the singular; (0.0, "") if it is something else.

    Examples:
        >>> number_and_unit("500 steps"), number_and_unit("five")
        ((500.0, 'step'), (0.0, ''))
    """
    match = _PATTERN.fullmatch(text.lower())
    return (float(match.group(1)), match.group(2)) if match else (0.0, "")


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration such as "5 min", "30s" or "2 hours"; None if the text is none above 0.

    Examples:
        >>> seconds_of("5 min"), seconds_of("1.5h"), seconds_of("5")
        (300.0, 5400.0, None)
    """
    number, unit = number_and_unit(text)
    return number * _UNITS[unit] if unit in _UNITS and number > 0 else None


def budget_seconds(budget: Any) -> float | None:
    """Return the seconds of a budget such as "5 min"; None means no limit.

    Raises:
        InvalidInput: If it is not a duration.
    """
    if budget is None:
        return None
    seconds = seconds_of(budget) if isinstance(budget, str) else None
    if seconds is None:
        raise InvalidInput(f"`budget` must be a time such as '5 min', '30 s' or '2 h', or None. Received: {budget!r}")
    return seconds


@dataclass(frozen=True)
class Deadline:
    """A point in time.

    Args:
        seconds: Time from `started_at` on; None for any.
        started_at: Value of `time.perf_counter`.
    """

    seconds: float | None
    started_at: float

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """Return the point in time after some seconds from now; None for never."""
        return cls(seconds, perf_counter())

    @property
    def left(self) -> float:
        """Seconds until then; infinite if there is no limit, and below 0 afterwards."""
        return float("inf") if self.seconds is None else self.seconds - (perf_counter() - self.started_at)


def describe(seconds: float) -> str:
    """Format a duration.

    Examples:
        >>> describe(42), describe(400)
        ('42 s', '7 min')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
