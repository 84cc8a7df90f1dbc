"""Rules: the lines of a plan, and everything that can be wrong with them on a given model."""

from dataclasses import dataclass

import keras

from tltk.foundation import checks as check
from tltk.trainability.effects import Decision, could_learn, effects
from tltk.trainability.layers import HasStages, LayerRow, model_and_stages, own_state, own_trainable
from tltk.trainability.lora import weights as low_rank
from tltk.trainability.patterns import check_pattern, unmatched

ACTIONS = ("frozen", "train", "lora", "bias", "norm")
_RANK, _TARGET = 8, "*"


@dataclass(frozen=True)
class Rule:
    """One line of a plan.

    Args:
        pattern: a stage ("conv5"), a stage and all after it up to the head ("conv4.."), "first" (the first stage with
            weights), "backbone" (every stage but the head), "head", "top:12" or "top:25%" (that many of the
            backbone's layers with weights, counted from its output, and all above them, the head included), "*"
            (everything), or a glob over layer names ("conv5_block3_*").
        action: "frozen"; "train"; "lora" (a low-rank change of kernels learns, Hu et al. 2022); "bias" (biases, and
            the shifts of norms, Ben Zaken et al. 2022); "norm" (scales and shifts of norms).
        multiplier: of the phase's learning rate.
        rank: of LoRA.
        target: where inside a layer LoRA goes: comma-separated globs over the path of a sublayer or its last name
            ("query", "*query*,*value*"); "*" is every sublayer that can take it.
    """

    pattern: str
    action: str
    multiplier: float = 1.0
    rank: int = _RANK
    target: str = _TARGET

    def __post_init__(self) -> None:
        check_pattern(self.pattern)
        check.one_of("action", self.action, ACTIONS)
        problems = check.Problems()
        if not check.is_number(self.multiplier) or not 0 < self.multiplier < float("inf"):
            problems.add(f"`multiplier` must be a number above 0. Received: {self.multiplier!r}; 'frozen' is an action")
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            problems.add(f"`rank` must be a whole number above 0. Received: {self.rank!r}")
        if not isinstance(self.target, str) or not low_rank.split_target(self.target):
            problems.add(f"`target` must be globs over names of sublayers, such as 'query'. Received: {self.target!r}")
        if self.action != "lora" and (self.rank, self.target) != (_RANK, _TARGET):
            problems.add(f"`rank` and `target` are of LoRA; action {self.action!r} has none")
        if self.action == "frozen" and self.multiplier != 1:
            problems.add("`multiplier` means nothing where the action is 'frozen'")
        problems.raise_if_any()


def check_cover(
    model: keras.Model | HasStages,
    found: list[LayerRow],
    matches: dict[Rule, set[str]],
    rules: dict[str, Rule],
    problems: check.Problems,
) -> None:
    """Note the rules that match no layer, the layers that no rule covers, and weights that are in no layer."""
    for rule, names in matches.items():
        if not names:
            problems.add(unmatched(rule.pattern, found))
    uncovered = [row.name for row in found if row.name not in rules]
    if uncovered:
        problems.add(
            f"no rule covers {len(uncovered)} layers: {check.listing(uncovered, limit=6)}; end with Rule('*', …)"
        )
    plain, _ = model_and_stages(model)
    held = {id(weight) for row in found for weight in getattr(row.layer, "weights", ())}
    own = [weight.name for weight in (*own_trainable(plain), *own_state(plain)) if id(weight) not in held]
    if own:
        problems.add(f"the model itself holds weights that belong to no layer: {check.listing(own)}; put them in one")


def check_effect(
    found: list[LayerRow], matches: dict[Rule, set[str]], rules: dict[str, Rule], problems: check.Problems
) -> None:
    """Note the rules that would do nothing although they match: too late, LoRA on pooling, biases where there is none.

    "*" may come to nothing: it is what a plan ends with.
    """
    for rule, names in matches.items():
        mine = [row for row in found if rules.get(row.name) == rule]
        if names and not mine and rule.pattern != "*" and rule.action != "lora":
            problems.add(f"rule {rule.pattern!r} comes too late: the rules before it decide all its layers")
        if rule.action == "lora" and names:
            shadowed = "" if mine else "the rules before it decide all its layers"
            problem = shadowed or low_rank.unreached(mine, rule.target)
            if problem:
                problems.add(f"`lora` of rule {rule.pattern!r}: {problem}")
        if mine and rule.action in ("bias", "norm") and not any(could_learn(row, rule.action) for row in mine):
            problems.add(f"rule {rule.pattern!r} trains every {rule.action}, and none of its layers has one")


def check_sharing(found: list[LayerRow], decided: dict[str, Decision], batch_norm: str) -> None:
    """Refuse two decisions on one variable, which a layer in a nested model and outside of it may bring about."""
    problems = check.Problems()
    seen: dict[int, tuple[str, float]] = {}
    for row in found:
        decision = decided[row.name]
        for effect in effects(row, decision, batch_norm):
            learning = {id(variable) for variable in effect.learning}
            for variable in own_trainable(effect.part):
                now = decision.multiplier if id(variable) in learning else 0.0
                name, before = seen.setdefault(id(variable), (row.name, now))
                if before != now:
                    problems.add(f"{name!r} and {row.name!r} share {variable.path!r}; decide the same for both")
    problems.raise_if_any()
