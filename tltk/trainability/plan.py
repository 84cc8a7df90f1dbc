"""Plans: which layers learn, written as ordered rules over stages and layer names."""

import fnmatch
import math
from dataclasses import dataclass

import keras

from tltk import _check as check
from tltk.trainability.layers import HasStages, LayerRow, is_normalization_with_statistics, rows, sublayers

ACTIONS = ("frozen", "train")
BATCH_NORMS = ("frozen", "train")


@dataclass(frozen=True)
class Rule:
    """One line of a plan.

    Args:
        pattern: a stage ("conv5"), a stage and all after it up to the head ("conv4.."), "backbone" (every stage but
            the head), "head", "*" (everything), or a glob over layer names ("conv5_block3_*").
        action: "frozen" or "train".
    """

    pattern: str
    action: str

    def __post_init__(self) -> None:
        check.one_of("action", self.action, ACTIONS)


@dataclass(frozen=True)
class Plan:
    """Which layers learn: ordered rules, the first that matches a layer decides.

    A plan is data; nothing changes until a phase applies it. Resolving fails if a rule matches nothing
    or a layer is covered by no rule, so a typing error cannot silently train the wrong layers.

    Args:
        rules: tried in order for each layer.
        batch_norm: "frozen" keeps batch norm in inference mode also where layers learn (its statistics come
            from far more pictures than a fine-tuning set has); "train" lets it learn there.
            The head's own batch norm always learns where the head does.
    """

    rules: tuple[Rule, ...]
    batch_norm: str = "frozen"

    def __post_init__(self) -> None:
        check.one_of("batch_norm", self.batch_norm, BATCH_NORMS)

    def resolve(self, model: keras.Model | HasStages) -> dict[str, str]:
        """Decide for every layer of a model, without touching it.

        Args:
            model: a functional `keras.Model`, or what `tltk.assemble` returned.

        Returns:
            Layer name → "frozen" or "train", in the order of the graph.

        Raises:
            ValueError: naming every rule that matches no layer and every layer that no rule covers.

        Example:
            >>> import keras
            >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
            >>> Plan((Rule("out", "train"),)).resolve(model)
            {'out': 'train'}
        """
        found = rows(model)
        matches = {rule: _matches(rule.pattern, found) for rule in self.rules}
        decided = {}
        for row in found:
            action = next((rule.action for rule in self.rules if row.name in matches[rule]), None)
            if action:
                decided[row.name] = action
        _check_cover(found, matches, decided)
        return decided

    def describe(self, model: keras.Model | HasStages) -> str:
        """Draw the table of what would learn: layer, stage, state, parameters, and totals.

        Args:
            model: a functional `keras.Model`, or what `tltk.assemble` returned; it is not changed.

        Returns:
            Text, one line a layer that has weights.
        """
        decided = self.resolve(model)
        found = [row for row in rows(model) if row.parameters]
        lines = [("layer", "stage", "state", "parameters")]
        lines += [(row.name, row.stage, self._state(row, decided), f"{row.parameters:,}") for row in found]
        total = sum(row.parameters for row in found)
        learning = sum(learning_parameters(row, decided[row.name], self.batch_norm) for row in found)
        lines.append(("total", "", f"{learning:,} of {total:,} learn", f"{total:,}"))
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        return "\n".join(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(line[:3], widths, strict=False)), line[3].rjust(widths[3])]
            )
            for line in lines
        )

    def _state(self, row: LayerRow, decided: dict[str, str]) -> str:
        action = decided[row.name]
        partly = 0 < learning_parameters(row, action, self.batch_norm) < _own_trainable(row)
        held = action == "train" and not learning_parameters(row, action, self.batch_norm)
        return "frozen (batch norm)" if held else "train (batch norm frozen)" if partly else action


def freeze(pattern: str = "backbone") -> Plan:
    """Freeze one part and train the rest.

    Args:
        pattern: a stage, "backbone", or a glob over layer names.

    Returns:
        The plan; `freeze("backbone")` is the linear probe.

    Example:
        >>> freeze("backbone").rules[0]
        Rule(pattern='backbone', action='frozen')
    """
    return Plan((Rule(pattern, "frozen"), Rule("*", "train")))


def unfreeze_from(stage: str, *, batch_norm: str = "frozen") -> Plan:
    """Train a stage and everything above it towards the output; freeze everything below.

    Args:
        stage: the lowest stage that learns, such as "conv5".
        batch_norm: "frozen" or "train", see `Plan`.

    Returns:
        The plan.

    Example:
        >>> unfreeze_from("conv5").rules[0]
        Rule(pattern='conv5..', action='train')
    """
    return Plan((Rule(f"{stage}..", "train"), Rule("head", "train"), Rule("*", "frozen")), batch_norm)


def train_all(*, batch_norm: str = "frozen") -> Plan:
    """Train every layer.

    Args:
        batch_norm: "frozen" or "train", see `Plan`; training from scratch needs "train".

    Returns:
        The plan.

    Example:
        >>> train_all(batch_norm="train").batch_norm
        'train'
    """
    return Plan((Rule("*", "train"),), batch_norm)


def learning_parameters(row: LayerRow, action: str, batch_norm: str) -> int:
    """Count the weights of one layer that get a gradient under an action."""
    if action == "frozen":
        return 0
    return sum(_trainable_size(part) for part in sublayers(row.layer) if not holds_batch_norm(row, part, batch_norm))


def holds_batch_norm(row: LayerRow, part: keras.Layer, batch_norm: str) -> bool:
    """Tell whether a part of a layer stays in inference mode although the layer learns."""
    return batch_norm == "frozen" and row.stage != "head" and is_normalization_with_statistics(part)


def _own_trainable(row: LayerRow) -> int:
    return sum(_trainable_size(part) for part in sublayers(row.layer))


def _trainable_size(part: keras.Layer) -> int:
    # `_trainable_variables` lists a layer's own ones also while the layer itself is switched off.
    return sum(math.prod(variable.shape) for variable in part._trainable_variables)


def _matches(pattern: str, found: list[LayerRow]) -> set[str]:
    stages = list(dict.fromkeys(row.stage for row in found if row.stage))
    if pattern == "backbone":
        return {row.name for row in found if row.stage and row.stage != "head"}
    if pattern.endswith("..") and pattern[:-2] in stages:
        above = [stage for stage in stages[stages.index(pattern[:-2]) :] if stage != "head"]
        return {row.name for row in found if row.stage in above}
    if pattern in stages:
        return {row.name for row in found if row.stage == pattern}
    return {row.name for row in found if fnmatch.fnmatchcase(row.name, pattern)}


def _check_cover(found: list[LayerRow], matches: dict[Rule, set[str]], decided: dict[str, str]) -> None:
    problems = check.Problems()
    stages = list(dict.fromkeys(row.stage for row in found if row.stage))
    for rule, names in matches.items():
        if not names:
            near = check.did_you_mean(rule.pattern, [*stages, *(row.name for row in found)])
            known = check.listing(stages, limit=60) or "none declared, use layer names"
            problems.add(f"`{rule.pattern}` matches no layer.{near} stages: {known}")
    uncovered = [row.name for row in found if row.name not in decided]
    if uncovered:
        problems.add(
            f"no rule covers {len(uncovered)} layers: {check.listing(uncovered, limit=6)}; end with Rule('*', …)"
        )
    problems.raise_if_any()
