"""Rules: the lines of a plan, and the checks of a plan's rules against a model."""

from dataclasses import dataclass

import keras

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.trainability.effects import Decision, effects, has_variables_for
from tltk.trainability.layers import HasStages, LayerRow, model_and_stages, own_state, own_trainable
from tltk.trainability.lora import weights as lora
from tltk.trainability.patterns import check_pattern, no_match

ACTIONS = ("frozen", "train", "lora", "bias", "norm")
_RANK, _TARGET = 8, "*"


@dataclass(frozen=True)
class Rule:
    """One line of a plan.

    Args:
        pattern: Layers that the rule applies to: a stage ("conv5"), a stage and all after it up to the head
            ("conv4.."), "first" (the first stage with weights), "backbone" (every stage but the head), "head", "top:12"
            or "top:25%" (that many of the backbone's layers with weights, counted from its output, and all above them,
            the head included), "top:2 stages", "*" (everything), or a glob over layer names ("conv5_block3_*").
        action: "frozen"; "train"; "lora" (a low-rank change of the kernels is trained, Hu et al. 2022); "bias" (biases,
            and the shifts of norms, Ben Zaken et al. 2022); "norm" (scales and shifts of norms).
        lr_multiplier: Factor of the phase's learning rate.
        rank: Rank of LoRA.
        target: Sublayers that LoRA is applied to: comma-separated globs over the path of a sublayer or its last name
            ("query", "*query,*value"); "*" is every sublayer that supports LoRA.
    """

    pattern: str
    action: str
    lr_multiplier: float = 1.0
    rank: int = _RANK
    target: str = _TARGET

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        check.store_python_numbers(self)
        check_pattern(self.pattern)
        check.one_of("action", self.action, ACTIONS)
        problems = check.Problems()
        if not check.is_number(self.lr_multiplier) or not 0 < self.lr_multiplier < float("inf"):
            hint = "use the action 'frozen' to train nothing"
            problems.add(f"`lr_multiplier` must be a number above 0. Received: {self.lr_multiplier!r}; {hint}")
        if not isinstance(self.rank, int) or isinstance(self.rank, bool) or self.rank < 1:
            problems.add(f"`rank` must be a whole number above 0. Received: {self.rank!r}")
        if not isinstance(self.target, str) or not lora.split_target(self.target):
            problems.add(f"`target` must be globs over names of sublayers, such as 'query'. Received: {self.target!r}")
        if self.action != "lora" and (self.rank, self.target) != (_RANK, _TARGET):
            problems.add(f"`rank` and `target` require action='lora'. Received: action={self.action!r}")
        if self.action == "frozen" and self.lr_multiplier != 1:
            problems.add("`lr_multiplier` has no effect with action='frozen'")
        problems.raise_if_any()


def check_cover(
    model: keras.Model | HasStages,
    rows: list[LayerRow],
    matches: dict[Rule, set[str]],
    deciding: dict[str, Rule],
    problems: check.Problems,
) -> None:
    """Report rules that match no layer, layers that no rule covers, and weights outside of all layers.

    Args:
        model: The model, with or without stages.
        rows: Its layers, in order.
        matches: Rule → names of the layers that it matches.
        deciding: Layer name → the first rule that matches it.
        problems: What is wrong is added to it.
    """
    for rule, names in matches.items():
        if not names:
            problems.add(no_match(rule.pattern, rows))
    uncovered = [row.name for row in rows if row.name not in deciding]
    if uncovered:
        problems.add(
            f"no rule covers {len(uncovered)} layers: {check.listing(uncovered, limit=6)}; end with Rule('*', …)"
        )
    keras_model, _ = model_and_stages(model)
    in_layers = {id(weight) for row in rows for weight in getattr(row.layer, "weights", ())}
    direct_weights = (*own_trainable(keras_model), *own_state(keras_model))
    outside = [weight.name for weight in direct_weights if id(weight) not in in_layers]
    if outside:
        problems.add(f"the model has weights that belong to no layer: {check.listing(outside)}; put them into a layer")


def check_effect(
    rows: list[LayerRow], matches: dict[Rule, set[str]], deciding: dict[str, Rule], problems: check.Problems
) -> None:
    """Report rules that match layers and have no effect: too late, LoRA on pooling, biases in layers without bias.

    The pattern "*" may be without effect, since plans end with it.

    Args:
        rows: Layers of the model, in order.
        matches: Rule → names of the layers that it matches.
        deciding: Layer name → the first rule that matches it.
        problems: What is wrong is added to it.
    """
    for rule, names in matches.items():
        decided = [row for row in rows if deciding.get(row.name) == rule]
        if names and not decided and rule.pattern != "*" and rule.action != "lora":
            problems.add(f"rule {rule.pattern!r} comes too late: earlier rules decide all its layers")
        if rule.action == "lora" and names:
            problem = lora.target_problem(decided, rule.target) if decided else "earlier rules decide all its layers"
            if problem:
                problems.add(f"`lora` of rule {rule.pattern!r}: {problem}")
        if (
            decided
            and rule.action in ("bias", "norm")
            and not any(has_variables_for(row, rule.action) for row in decided)
        ):
            problems.add(f"rule {rule.pattern!r} trains every {rule.action}, and none of its layers has one")


def check_sharing(rows: list[LayerRow], decisions: dict[str, Decision], batch_norm: str) -> None:
    """Raise if there are two different decisions about one variable, as of a layer inside and outside a nested model.

    Raises:
        InvalidInput: Naming the layers and the variable.
    """
    problems = check.Problems()
    first: dict[int, tuple[str, float]] = {}
    for row in rows:
        decision = decisions[row.name]
        for effect in effects(row, decision, batch_norm):
            trained_ids = {id(variable) for variable in effect.trained_variables}
            for variable in own_trainable(effect.sublayer):
                rate = decision.lr_multiplier if id(variable) in trained_ids else 0.0
                name, first_rate = first.setdefault(id(variable), (row.name, rate))
                if first_rate != rate:
                    problems.add(f"{name!r} and {row.name!r} share {variable.path!r}; decide the same for both")
    problems.raise_if_any()
