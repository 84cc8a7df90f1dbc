"""Patterns: which layers a rule speaks of, and how far each layer is from the head."""

import fnmatch
import math
import re

import keras

from tltk.foundation import checks as check
from tltk.trainability.layers import HEAD, LayerRow

_TOP = re.compile(r"top:(?:(?P<count>[1-9]\d*)|(?P<percent>\d+(?:\.\d+)?)%|(?P<stages>[1-9]\d*) stages?)")


def check_pattern(pattern: str) -> None:
    """Raise unless a pattern can be read.

    Raises:
        TypeError: if it is no text.
        ValueError: if it starts like "top:12", "top:25%" or "top:2 stages" and goes on otherwise.
    """
    check.kind_of("pattern", pattern, str, hint="A stage, 'backbone', 'head', '*', or a glob over layer names.")
    if pattern.startswith("top:"):
        found = _TOP.fullmatch(pattern)
        if not found or (found["percent"] and not 0 < float(found["percent"]) <= 100):
            raise ValueError(f"`pattern` must be such as 'top:12', 'top:25%' or 'top:2 stages'. Received: {pattern!r}")


def matching(pattern: str, found: list[LayerRow]) -> set[str]:
    """Name the layers that a pattern speaks of.

    Args:
        pattern: see `tltk.trainability.plan.Rule`.
        found: the layers of the model, in order.

    Returns:
        Layer names; empty if there is no such layer.
    """
    stages = stage_names(found)
    if pattern == "backbone":
        return {row.name for row in found if row.stage and row.stage != HEAD}
    if pattern == "first":
        first = next((row.stage for row in found if row.stage and row.parameters), None)
        return {row.name for row in found if first and row.stage == first}
    if pattern.startswith("top:"):
        return _top(pattern, found)
    if pattern.endswith("..") and pattern[:-2] in stages:
        above = [stage for stage in stages[stages.index(pattern[:-2]) :] if stage != HEAD]
        return {row.name for row in found if row.stage in above}
    if pattern in stages:
        return {row.name for row in found if row.stage == pattern}
    return {row.name for row in found if fnmatch.fnmatchcase(row.name, pattern)}


def unmatched(pattern: str, found: list[LayerRow]) -> str:
    """Say why a pattern matches no layer, and what there is."""
    if pattern.startswith("top:") and pattern.endswith(("stage", "stages")):
        known = check.listing([stage for stage in stage_names(found) if stage != HEAD], limit=60) or "none declared"
        return f"`{pattern}` asks for more stages than there are: {known}"
    if pattern.startswith("top:"):
        return f"`{pattern}` asks for more layers with weights than the {len(_countable(found))} there are."
    stages = stage_names(found)
    near = check.did_you_mean(pattern, [*stages, *(row.name for row in found)])
    known = check.listing(stages, limit=60) or "none declared, use layer names"
    nested = check.listing([repr(row.name) for row in found if isinstance(row.layer, keras.Model)])
    flat = f". {nested} is a model inside this one, and one layer to a plan: build with `.call(x)` of it"
    return f"`{pattern}` matches no layer.{near} stages: {known}{flat if nested else ''}"


def stage_names(found: list[LayerRow]) -> list[str]:
    """List the stages of a model from the input to the output."""
    return list(dict.fromkeys(row.stage for row in found if row.stage))


def steps_from_head(found: list[LayerRow]) -> dict[str, int]:
    """Count for every layer how many steps it lies below the head.

    With stages a step is a stage: 0 for the head, 1 for the last stage of the backbone, 2 for the one before it; a
    layer without a stage goes with the one before it. Without stages every layer with weights is a step, and the
    last of them is 0.

    Args:
        found: the layers of the model, in order.

    Returns:
        Layer name → steps.
    """
    stages = [stage for stage in stage_names(found) if stage != HEAD]
    if not stages:
        return _steps_by_layer(found)
    steps = {stage: len(stages) - index for index, stage in enumerate(stages)} | {HEAD: 0}
    here, result = len(stages), {}
    for row in found:
        here = steps.get(row.stage, here)
        result[row.name] = here
    return result


def _steps_by_layer(found: list[LayerRow]) -> dict[str, int]:
    result, above = {}, 0
    for row in reversed(found):
        result[row.name] = above
        above += bool(row.parameters)
    return result


def _top(pattern: str, found: list[LayerRow]) -> set[str]:
    amount = _TOP.fullmatch(pattern)
    body = _countable(found)
    if not amount or not body:
        return set()
    if amount["stages"]:
        return _top_stages(int(amount["stages"]), found)
    count = int(amount["count"]) if amount["count"] else math.ceil(len(body) * float(amount["percent"]) / 100)
    if count > len(body):
        return set()
    lowest = found.index(body[-count])
    return {row.name for row in found[lowest:]} | {row.name for row in found if row.stage == HEAD}


def _top_stages(count: int, found: list[LayerRow]) -> set[str]:
    stages = [stage for stage in stage_names(found) if stage != HEAD]
    if count > len(stages):
        return set()
    return {row.name for row in found if row.stage == HEAD or row.stage in stages[-count:]}


def _countable(found: list[LayerRow]) -> list[LayerRow]:
    return [row for row in found if row.parameters and row.stage != HEAD]
