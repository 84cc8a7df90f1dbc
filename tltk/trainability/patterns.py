"""Patterns: which layers a rule applies to, and how far each layer is from the head."""

import fnmatch
import math
import re

import keras

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.trainability.layers import HEAD, LayerRow

_TOP = re.compile(r"top:(?:(?P<count>[1-9]\d*)|(?P<percent>\d+(?:\.\d+)?)%|(?P<stages>[1-9]\d*) stages?)")
_NO_STAGES = (
    "none declared. Use layer names, declare stages with `stages=` of tltk.adopt, or count layers from the output: "
    "tltk.trainability.train_top(layers=2)"
)


def check_pattern(pattern: str) -> None:
    """Raise unless a pattern is well-formed.

    Raises:
        InvalidType: If it is not a string.
        InvalidInput: If it starts with "top:" and is not like "top:12", "top:25%" or "top:2 stages".
    """
    check.instance_of("pattern", pattern, str, hint="A stage, 'backbone', 'head', '*', or a glob over layer names.")
    if pattern.startswith("top:"):
        match = _TOP.fullmatch(pattern)
        if not match or (match["percent"] and not 0 < float(match["percent"]) <= 100):
            raise InvalidInput(f"`pattern` must be like 'top:12', 'top:25%' or 'top:2 stages'. Received: {pattern!r}")


def matching(pattern: str, rows: list[LayerRow]) -> set[str]:
    """Find the layers that match a pattern.

    Args:
        pattern: See `tltk.trainability.plan.Rule`.
        rows: Layers of the model, in order.

    Returns:
        Layer names; empty if no layer matches.
    """
    stages = stage_names(rows)
    if pattern == "backbone":
        return {row.name for row in rows if row.stage and row.stage != HEAD}
    if pattern == "first":
        first = next((row.stage for row in rows if row.stage and row.parameters), None)
        return {row.name for row in rows if first and row.stage == first}
    if pattern.startswith("top:"):
        return _top(pattern, rows)
    if pattern.endswith("..") and pattern[:-2] in stages:
        above = [stage for stage in stages[stages.index(pattern[:-2]) :] if stage != HEAD]
        return {row.name for row in rows if row.stage in above}
    if pattern in stages:
        return {row.name for row in rows if row.stage == pattern}
    return {row.name for row in rows if fnmatch.fnmatchcase(row.name, pattern)}


def no_match(pattern: str, rows: list[LayerRow]) -> str:
    """Explain why a pattern matches no layer, and list what it could match."""
    if pattern.startswith("top:") and pattern.endswith(("stage", "stages")):
        declared = check.listing([stage for stage in stage_names(rows) if stage != HEAD], limit=60) or "none declared"
        return f"`{pattern}` asks for more stages than the backbone has: {declared}"
    if pattern.startswith("top:"):
        count = len(_with_weights(rows))
        return f"`{pattern}` asks for more layers than the {count} of the backbone that have weights."
    stages = stage_names(rows)
    near = check.did_you_mean(pattern, [*stages, *(row.name for row in rows)])
    declared = check.listing(stages, limit=60) or _NO_STAGES
    nested = check.listing([repr(row.name) for row in rows if isinstance(row.layer, keras.Model)])
    hint = f". {nested} is a nested model, which is a single layer to a plan: build with `.call(x)` instead"
    return f"`{pattern}` matches no layer.{near} stages: {declared}{hint if nested else ''}"


def stage_names(rows: list[LayerRow]) -> list[str]:
    """List the stages of a model from the input to the output."""
    return list(dict.fromkeys(row.stage for row in rows if row.stage))


def steps_from_head(rows: list[LayerRow]) -> dict[str, int]:
    """Count for every layer how many steps it lies below the head.

    With stages, a step is a stage: 0 for the head, 1 for the last stage of the backbone, 2 for the one before it; a
    layer without a stage belongs to the stage before it. Without stages, every layer with weights is a step, and the
    last of them is 0.

    Args:
        rows: Layers of the model, in order.

    Returns:
        Layer name → steps.
    """
    stages = [stage for stage in stage_names(rows) if stage != HEAD]
    if not stages:
        return _steps_by_layer(rows)
    steps_of_stage = {stage: len(stages) - index for index, stage in enumerate(stages)} | {HEAD: 0}
    current, steps = len(stages), {}
    for row in rows:
        current = steps_of_stage.get(row.stage, current)
        steps[row.name] = current
    return steps


def _steps_by_layer(rows: list[LayerRow]) -> dict[str, int]:
    steps, above = {}, 0
    for row in reversed(rows):
        steps[row.name] = above
        above += bool(row.parameters)
    return steps


def _top(pattern: str, rows: list[LayerRow]) -> set[str]:
    amount = _TOP.fullmatch(pattern)
    backbone = _with_weights(rows)
    if not amount or not backbone:
        return set()
    if amount["stages"]:
        return _top_stages(int(amount["stages"]), rows)
    count = int(amount["count"]) if amount["count"] else math.ceil(len(backbone) * float(amount["percent"]) / 100)
    if count > len(backbone):
        return set()
    lowest = rows.index(backbone[-count])
    return {row.name for row in rows[lowest:]} | {row.name for row in rows if row.stage == HEAD}


def _top_stages(count: int, rows: list[LayerRow]) -> set[str]:
    stages = [stage for stage in stage_names(rows) if stage != HEAD]
    if count > len(stages):
        return set()
    return {row.name for row in rows if row.stage == HEAD or row.stage in stages[-count:]}


def _with_weights(rows: list[LayerRow]) -> list[LayerRow]:
    """List the backbone's layers that have weights."""
    return [row for row in rows if row.parameters and row.stage != HEAD]
