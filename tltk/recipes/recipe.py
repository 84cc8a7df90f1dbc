"""Phases and recipes as records: a recipe is a list of phases, each one `model.fit` with one plan."""

from dataclasses import asdict, dataclass, replace

from tltk.foundation import checks as check
from tltk.modalities.image.augment import Augmentation
from tltk.optimizers.schedules import SCHEDULES
from tltk.optimizers.spec import Optimizer
from tltk.trainability.plan import Plan


@dataclass(frozen=True)
class Phase:
    """One `model.fit` with one plan.

    Args:
        name: what tables and logs call it.
        plan: which layers learn.
        epochs: passes over the training examples.
        optimizer: built anew for this phase, for the layers that learn.
        schedule: "constant", "cosine", "linear" or "one_cycle".
        warmup: steps in which the rate rises from 0: a share of the phase's, in [0, 1), or a whole number from 1 on.
        augment: applied to each batch while training, in order; None is `tltk.augment.standard()` for pictures
            and nothing for texts.
        views: augmented copies of each example, drawn once and seen in turn; 0 draws afresh every epoch. What a frozen
            backbone makes of fixed copies can be computed once.
        patience: epochs without a better validation result before the phase ends; None runs them all.
            The best epoch's weights are kept either way.
        mix: after the phase keep the mixture of the weights it started from and those it found that is best on
            validation (WiSE-FT, Wortsman et al. 2022).
        contrast: temperature of a phase in which the backbone learns to put examples of one class near each other, and
            the head learns nothing; None is the task's own loss.
    """

    name: str
    plan: Plan
    epochs: int
    optimizer: Optimizer
    schedule: str = "cosine"
    warmup: float = 0.1
    augment: tuple[Augmentation, ...] | None = ()
    views: int = 0
    patience: int | None = None
    mix: bool = False
    contrast: float | None = None

    def __post_init__(self) -> None:
        check.kind_of("plan", self.plan, Plan, hint='Pass the likes of tltk.freeze("backbone").')
        check.kind_of("optimizer", self.optimizer, Optimizer, hint="Pass adamw(…) or sgd(…).")
        check.one_of("schedule", self.schedule, SCHEDULES)
        if not isinstance(self.warmup, int) or isinstance(self.warmup, bool):
            check.within("warmup", self.warmup, low=0, high=1, open_high=True)
        problems = check.Problems()
        for name, value in (("epochs", self.epochs), ("patience", self.patience)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
        if not isinstance(self.views, int) or isinstance(self.views, bool) or self.views < 0:
            problems.add(f"`views` must be a whole number of at least 0. Received: {self.views!r}")
        elif self.views and self.augment == ():
            problems.add("`views` are augmented copies, and need `augment`. Received: augment=()")
        if self.contrast is not None and (not check.is_number(self.contrast) or self.contrast <= 0):
            problems.add(f"`contrast` must be a temperature above 0, such as 0.1. Received: {self.contrast!r}")
        if isinstance(self.warmup, int) and self.warmup < 0:
            problems.add(f"`warmup` must be at least 0. Received: {self.warmup!r}")
        problems.raise_if_any()

    def warmup_steps(self, total: int) -> int:
        """Return the steps of the warm-up in a phase of `total` steps."""
        return self.warmup if isinstance(self.warmup, int) else int(self.warmup * total)


@dataclass(frozen=True)
class Recipe:
    """Phases in order. A phase that does not beat the one before it on validation is undone.

    Args:
        name: "linear_probe", "fine_tune", "full" or your own.
        phases: at least one.
    """

    name: str
    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise ValueError("`phases` must hold at least one Phase. Received: ()")
        for phase in self.phases:
            check.kind_of("phases", phase, Phase)
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases must have names of their own. Received: {check.listing(names)}")

    @property
    def epochs(self) -> int:
        """Passes over the training examples, all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def with_augmentation(self, augmentations: tuple[Augmentation, ...]) -> "Recipe":
        """Return the recipe with these augmentations in the phases that name none."""
        phases = (replace(phase, augment=augmentations) if phase.augment is None else phase for phase in self.phases)
        return replace(self, phases=tuple(phases))

    def to_config(self) -> dict:
        """Return the recipe as plain JSON values, for the run's record."""
        phases = []
        for phase in self.phases:
            config = asdict(phase)
            if phase.augment is not None:
                config["augment"] = [augmentation.to_config() for augmentation in phase.augment]
            phases.append(config)
        return {"name": self.name, "phases": phases}
