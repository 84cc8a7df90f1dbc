"""The table of a plan: what is trained in each layer, how fast, and how many parameters."""

from tltk.trainability.effects import Decision, state, trained_parameters
from tltk.trainability.layers import LayerRow

_TITLES = ("layer", "stage", "state", "lr multiplier", "trained", "parameters")
_NUMBERS = 3  # columns from the right that are numbers


def draw(rows: list[LayerRow], decisions: dict[str, Decision], batch_norm: str) -> str:
    """Draw one line per layer with weights, and the totals.

    Args:
        rows: Layers of the model, in order.
        decisions: Layer name → decision.
        batch_norm: The plan's policy.

    Returns:
        Text; "lr multiplier" is a factor of the phase's learning rate, "trained" counts the parameters that get a
        gradient.
    """
    weighted = [row for row in rows if row.parameters]
    counts = [trained_parameters(row, decisions[row.name], batch_norm) for row in weighted]
    lines = [_line(row, decisions[row.name], batch_norm, count) for row, count in zip(weighted, counts, strict=True)]
    total, trained = sum(row.parameters for row in weighted), sum(counts)
    totals = ("total", "", f"{trained:,} of {total:,} trained", "", f"{trained:,}", f"{total:,}")
    return _aligned([_TITLES, *lines, totals])


def _line(row: LayerRow, decision: Decision, batch_norm: str, trained: int) -> tuple[str, ...]:
    multiplier = f"{decision.lr_multiplier:.4g}" if trained else "-"
    return row.name, row.stage, state(row, decision, batch_norm), multiplier, f"{trained:,}", f"{row.parameters:,}"


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
