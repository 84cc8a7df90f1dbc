"""The table that a person reads before any training: what learns, how fast, and how much of it there is."""

from tltk.trainability.effects import Decision, learning_parameters, state
from tltk.trainability.layers import LayerRow

_TITLES = ("layer", "stage", "state", "multiplier", "learning", "parameters")
_NUMBERS = 3  # columns from the right that are numbers


def draw(found: list[LayerRow], decided: dict[str, Decision], batch_norm: str) -> str:
    """Draw one line a layer with weights, and the totals.

    Args:
        found: the layers of the model, in order.
        decided: layer name → what happens to it.
        batch_norm: the plan's policy.

    Returns:
        Text; "multiplier" is of the phase's learning rate, "learning" counts the parameters that get a gradient.
    """
    weighted = [row for row in found if row.parameters]
    learning = [learning_parameters(row, decided[row.name], batch_norm) for row in weighted]
    lines = [_line(row, decided[row.name], batch_norm, count) for row, count in zip(weighted, learning, strict=True)]
    total, learn = sum(row.parameters for row in weighted), sum(learning)
    totals = ("total", "", f"{learn:,} of {total:,} learn", "", f"{learn:,}", f"{total:,}")
    return _aligned([_TITLES, *lines, totals])


def _line(row: LayerRow, decision: Decision, batch_norm: str, learning: int) -> tuple[str, ...]:
    multiplier = f"{decision.multiplier:.4g}" if learning else "-"
    shown = state(row, decision, batch_norm)
    return row.name, row.stage, shown, multiplier, f"{learning:,}", f"{row.parameters:,}"


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(_TITLES))]
    text, numbers = slice(None, -_NUMBERS), slice(-_NUMBERS, None)
    return "\n".join(
        "  ".join(
            [cell.ljust(width) for cell, width in zip(line[text], widths[text], strict=True)]
            + [cell.rjust(width) for cell, width in zip(line[numbers], widths[numbers], strict=True)]
        )
        for line in lines
    )
