"""Plans: which layers are trained, and how fast, written as ordered rules over stages and layer names."""

from dataclasses import dataclass

import keras

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput
from tltk.trainability.effects import Decision
from tltk.trainability.layers import HasStages, layer_rows
from tltk.trainability.patterns import matching, steps_from_head
from tltk.trainability.rules import Rule, check_cover, check_effect, check_sharing
from tltk.trainability.summary import draw

BATCH_NORMS = ("frozen", "affine", "train")


@dataclass(frozen=True)
class Plan:
    """Which layers are trained: ordered rules, the first that matches a layer decides.

    A plan is data; nothing changes until a phase applies it. Resolving fails if a rule matches no layer or a layer is
    covered by no rule, so that a misspelt pattern cannot silently train the wrong layers.

    Args:
        rules: Tried in order for each layer.
        batch_norm: What batch norm does in layers that are trained. "frozen" keeps it frozen and in inference mode (its
            statistics come from far more images than a fine-tuning set has); "affine" keeps it in inference mode, and
            trains its scale and shift; "train" trains it and updates its statistics. Batch norm of the head is always
            trained where the head is; under LoRA all other batch norms stay frozen.
        layer_decay: Factor of the learning rate from stage to stage towards the input (Bao et al. 2022, BEiT; timm):
            with 0.75, the rate is 1 for the head, 0.75 for the last stage, 0.75² for the one before it. In a model
            without stages every layer with weights is a step, and the last one has 1.
    """

    rules: tuple[Rule, ...]
    batch_norm: str = "frozen"
    layer_decay: float = 1.0

    __repr__ = display.short_repr

    def _repr_html_(self) -> str:
        rules = [(rule.pattern, rule.action, rule.lr_multiplier, rule.rank, rule.target) for rule in self.rules]
        has_lora = any(rule.action == "lora" for rule in self.rules)
        columns = ("layers", "action", "learning rate ×", "LoRA rank", "LoRA target")[: 5 if has_lora else 3]
        summary = f"Plan: the first rule that matches a layer decides; batch norm: {self.batch_norm}"
        decay = "" if self.layer_decay == 1 else f"; layer decay: {self.layer_decay}"
        return display.html(summary + decay, [display.Table(columns, (rule[: len(columns)] for rule in rules))])

    def __post_init__(self) -> None:
        check.store_python_numbers(self)
        check.one_of("batch_norm", self.batch_norm, BATCH_NORMS)
        if not check.is_number(self.layer_decay) or not 0 < self.layer_decay <= 1:
            raise InvalidInput(f"`layer_decay` must be above 0 and at most 1. Received: {self.layer_decay!r}")

    def resolve(self, model: keras.Model | HasStages) -> dict[str, Decision]:
        """Decide about every layer of a model, without changing it.

        Args:
            model: A `keras.Model`, or the result of `tltk.assemble`.

        Returns:
            Layer name → decision, in graph order.

        Raises:
            InvalidInput: Naming every rule that matches no layer or has no effect, and every layer that no rule covers.

        Examples:
            >>> import keras
            >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
            >>> Plan((Rule("out", "train", lr_multiplier=0.1),)).resolve(model)["out"].lr_multiplier
            0.1
        """
        rows = layer_rows(model)
        matches = {rule: matching(rule.pattern, rows) for rule in self.rules}
        deciding = {row.name: rule for row in rows for rule in reversed(self.rules) if row.name in matches[rule]}
        problems = check.Problems()
        check_cover(model, rows, matches, deciding, problems)
        check_effect(rows, matches, deciding, problems)
        problems.raise_if_any()
        steps = steps_from_head(rows)
        decisions = {name: _decision(rule, self.layer_decay ** steps[name]) for name, rule in deciding.items()}
        check_sharing(rows, decisions, self.batch_norm)
        return decisions

    def describe(self, model: keras.Model | HasStages) -> str:
        """Draw a table of what is trained: layer, stage, state, learning-rate multiplier, parameters, and totals.

        Args:
            model: A `keras.Model`, or the result of `tltk.assemble`; it is not changed.

        Returns:
            Text, one line per layer with weights.
        """
        return draw(layer_rows(model), self.resolve(model), self.batch_norm)


def freeze(pattern: str = "backbone") -> Plan:
    """Freeze one part and train the rest.

    Args:
        pattern: A stage, "backbone", or a glob over layer names.

    Returns:
        The plan; `freeze("backbone")` is the linear probe.

    Examples:
        >>> [(rule.pattern, rule.action) for rule in freeze("backbone").rules]
        [('backbone', 'frozen'), ('*', 'train')]
    """
    return Plan((Rule(pattern, "frozen"), Rule("*", "train")))


def unfreeze_from(stage: str, *, batch_norm: str = "frozen") -> Plan:
    """Train a stage and everything above it towards the output; freeze everything below.

    Args:
        stage: The lowest stage that is trained, such as "conv5".
        batch_norm: "frozen", "affine" or "train", see `Plan`.

    Returns:
        The plan.

    Examples:
        >>> unfreeze_from("conv5").rules[0].pattern
        'conv5..'
    """
    return Plan((Rule(f"{stage}..", "train"), Rule("head", "train"), Rule("*", "frozen")), batch_norm)


def train_all(*, batch_norm: str = "frozen") -> Plan:
    """Train every layer.

    Args:
        batch_norm: "frozen", "affine" or "train", see `Plan`; training from scratch needs "train".

    Returns:
        The plan.

    Examples:
        >>> train_all(batch_norm="train").batch_norm
        'train'
    """
    return Plan((Rule("*", "train"),), batch_norm)


def train_top(
    *,
    layers: int | None = None,
    fraction: float | None = None,
    stages: int | None = None,
    batch_norm: str = "frozen",
) -> Plan:
    """Train the head and the top-most layers of the backbone.

    Args:
        layers: Number of layers with weights, counted from the backbone's output; or
        fraction: Fraction of them, in (0, 1], rounded up; or
        stages: Number of stages, such as the blocks of a transformer.
        batch_norm: See `Plan`.

    Returns:
        The plan; the number is resolved against the model.

    Raises:
        InvalidInput: Unless exactly one of the three is given, and in its range.

    Examples:
        >>> train_top(fraction=0.25).rules[0].pattern
        'top:25%'
    """
    options = {"layers": layers, "fraction": fraction, "stages": stages}
    if sum(value is not None for value in options.values()) != 1:
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise InvalidInput(f"give exactly one of `layers`, `fraction` and `stages`. Received: {shown}")
    for name in ("layers", "stages"):
        value = options[name]
        if value is not None and (not check.is_whole(value) or value < 1):
            raise InvalidInput(f"`{name}` must be a whole number above 0. Received: {value!r}")
    if fraction is not None and (not check.is_number(fraction) or not 0 < fraction <= 1):
        raise InvalidInput(f"`fraction` must be above 0 and at most 1. Received: {fraction!r}")
    amount = f"{layers}" if fraction is None else f"{100 * fraction:.10f}".rstrip("0").rstrip(".") + "%"
    amount = amount if stages is None else f"{stages} stage{'s' * (stages > 1)}"
    return Plan((Rule(f"top:{amount}", "train"), Rule("*", "frozen")), batch_norm)


def first_block(*, batch_norm: str = "frozen") -> Plan:
    """Train the first stage and the head: surgical fine-tuning (Lee et al. 2023).

    For images that differ from the pretraining data in how they look (noise, blur, another camera) and not in what they
    show: there the first layers are the ones that need to change.

    Args:
        batch_norm: See `Plan`.

    Returns:
        The plan.

    Examples:
        >>> [rule.pattern for rule in first_block().rules]
        ['first', 'head', '*']
    """
    return Plan((Rule("first", "train"), Rule("head", "train"), Rule("*", "frozen")), batch_norm)


def lora(rank: int = 8, *, target: str = "*") -> Plan:
    """Train the head in full and a low-rank change of the backbone's kernels (LoRA, Hu et al. 2022).

    For transformers: a hundredth of the parameters is trained, the optimizer state shrinks with it, and the change is
    merged into the kernels after the phase. Convolutional networks gain less. Biases and norms stay frozen.

    Args:
        rank: Rank of the change; 4 to 16 is usual.
        target: "*" or globs over names of sublayers, such as "query,value", which the paper uses.

    Returns:
        The plan.

    Examples:
        >>> lora(4, target="query,value").rules[1].rank
        4
    """
    return Plan((Rule("head", "train"), Rule("*", "lora", rank=rank, target=target)))


def bias_only(*, batch_norm: str = "affine") -> Plan:
    """Train the head and the biases of the backbone (BitFit, Ben Zaken et al. 2022).

    Args:
        batch_norm: See `Plan`; under "affine" the shift of batch norm, the bias of most convolutions, is trained.

    Returns:
        The plan.

    Examples:
        >>> bias_only().rules[1].action
        'bias'
    """
    return Plan((Rule("head", "train"), Rule("*", "bias")), batch_norm)


def norm_only(*, batch_norm: str = "affine") -> Plan:
    """Train the head and the scales and shifts of the backbone's norms (Frankle et al. 2021).

    Args:
        batch_norm: See `Plan`; with "frozen" only layer norms and the like are trained.

    Returns:
        The plan.

    Examples:
        >>> norm_only().batch_norm
        'affine'
    """
    return Plan((Rule("head", "train"), Rule("*", "norm")), batch_norm)


def layer_decay(decay: float = 0.75, *, batch_norm: str = "frozen") -> Plan:
    """Train every layer, more slowly the nearer it is to the input (Bao et al. 2022, BEiT; timm).

    Args:
        decay: Factor of the learning rate from stage to stage, the head having 1, see `Plan`.
        batch_norm: See `Plan`.

    Returns:
        The plan.

    Examples:
        >>> layer_decay(0.75).layer_decay
        0.75
    """
    return Plan((Rule("*", "train"),), batch_norm, decay)


def _decision(rule: Rule, decay: float) -> Decision:
    if rule.action == "frozen":
        return Decision("frozen")
    return Decision(rule.action, rule.lr_multiplier * decay, rule.rank, rule.target)
