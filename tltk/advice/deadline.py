"""A point in time until which work may take."""

from dataclasses import dataclass
from time import perf_counter


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


def duration_text(seconds: float) -> str:
    """Write a duration as people say it.

    Examples:
        >>> duration_text(42), duration_text(400)
        ('42 s', '7 min')
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
