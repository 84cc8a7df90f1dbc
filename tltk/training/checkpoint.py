"""How often a training writes a checkpoint: the record that the user passes."""

from dataclasses import dataclass
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import duration
from tltk.foundation.errors import InvalidInput


@dataclass(frozen=True)
class Checkpoint:
    """How often a training writes a checkpoint, and how many are kept.

    Args:
        every: Time or steps between two checkpoints, such as "5 min", "30 s", "2 h" or "500 steps".
        keep: Number of checkpoints on disk; if the latest is damaged, the previous one is used.

    Raises:
        InvalidInput: If `every` cannot be read, or `keep` is not a whole number above 0.

    Examples:
        >>> Checkpoint("5 min").seconds, Checkpoint("500 steps").steps
        (300.0, 500)
    """

    every: str = "5 min"
    keep: int = 2

    def __post_init__(self) -> None:
        check.counts(keep=self.keep)
        check.instance_of("every", self.every, str, hint='Pass a text such as "5 min" or "500 steps".')
        if self.seconds is None and self.steps is None:
            raise InvalidInput(
                f"`every` must be a time or a number of steps above 0, such as '5 min', '30 s' or '500 steps'. "
                f"Received: {self.every!r}."
            )

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints; None if steps are counted."""
        return duration.seconds_of(self.every)

    @property
    def steps(self) -> int | None:
        """Steps between two checkpoints; None if they depend on time."""
        number, unit = duration.number_and_unit(self.every)
        return int(number) if unit == "step" and number >= 1 and number == int(number) else None


def as_checkpoint(value: Any) -> Checkpoint | None:
    """Return the record for what `fit` received: a text, a record, or None for no checkpoints.

    Raises:
        InvalidType: If it is neither.
        InvalidInput: If the text cannot be read.
    """
    if value is None or isinstance(value, Checkpoint):
        return value
    check.instance_of(
        "checkpoint", value, (str, Checkpoint), hint='Pass a text such as "5 min", a tltk.Checkpoint, or None.'
    )
    return Checkpoint(value)
