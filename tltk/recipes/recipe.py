"""The records `Phase` and `Recipe`: a recipe is a list of phases, each one `model.fit` with one plan."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation.errors import InvalidInput
from tltk.modalities.augmentation import Augmentation
from tltk.modalities.image.augment import as_augmentations
from tltk.optimizers.from_keras import as_optimizer
from tltk.optimizers.schedules import SCHEDULES
from tltk.trainability.plan import Plan, freeze

SOLVERS = ("optimizer", "probe")


@dataclass(frozen=True)
class Phase:
    """One `model.fit` with one plan.

    Args:
        name: Shown in tables and logs.
        plan: Which layers are trained.
        epochs: Passes over the training examples.
        optimizer: `tltk.adamw(…)`, `tltk.sgd(…)`, the name of a Keras optimizer, such as "lion", or a Keras optimizer,
            whose settings are copied. It is built anew for this phase, for the trainable weights.
        schedule: "constant", "cosine", "linear", "one_cycle" or "step"; not used if the learning rate of the optimizer
            is itself a Keras schedule.
        warmup: Steps in which the learning rate rises from 0: a fraction of the phase's steps, in [0, 1), or a number
            of steps, at least 1.
        augment: Applied to each training batch, in order: one or several augmentations of `tltk.augment`, Keras layers
            such as `keras.layers.RandomFlip()`, or registered functions (see docs/augment.md). None means the default
            of the task: `tltk.augment.standard()` for images, `dense()` for boxes and masks, nothing for texts.
        augmentations_per_example: Number of fixed augmented copies of each example, drawn once and used in turn; 0
            draws new ones every epoch. The features of fixed copies can be cached.
        patience: Epochs without improvement on validation before the phase ends; None runs all epochs.
            The weights of the best epoch are kept either way.
        wise_ft: Whether to interpolate, after the phase, between the weights at its start and at its end, and keep the
            interpolation that is best on validation (WiSE-FT, Wortsman et al. 2022).
        solver: "optimizer" runs `model.fit`. "probe" fits the last linear layer at once, by cross-validated and
            calibrated regression on the features, see `tltk.recipes.tuned_probe`; epochs, optimizer, schedule and
            callbacks are then not used.
        temperature: What the logits are divided by after the phase, so that probabilities that are too certain become
            right (Guo et al. 2017); 1 leaves them as they are. For heads whose last layer a tuned probe can fit.
            History and scores are those before the division, which changes no predicted class; of several labels, none
            if the threshold is 0.5.
        contrastive_temperature: Temperature of the supervised contrastive loss (Khosla et al. 2020), which trains the
            backbone alone to put examples of one class near each other; None uses the loss of the task.
    """

    name: str
    plan: Plan
    epochs: int
    optimizer: Any  # a tltk.optimizers.spec.Optimizer, once the phase is created
    schedule: str = "cosine"
    warmup: float = 0.1
    augment: Any = ()  # a tuple of Augmentation, once the phase is created, or None
    augmentations_per_example: int = 0
    patience: int | None = None
    wise_ft: bool = False
    contrastive_temperature: float | None = None
    solver: str = "optimizer"
    temperature: float = 1.0

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        check.instance_of("plan", self.plan, Plan, hint='Pass a plan such as tltk.freeze("backbone").')
        object.__setattr__(self, "optimizer", as_optimizer(self.optimizer))
        object.__setattr__(self, "augment", None if self.augment is None else as_augmentations(self.augment))
        check.store_python_numbers(self)
        check.one_of("schedule", self.schedule, SCHEDULES)
        check.one_of("solver", self.solver, SOLVERS)
        if not isinstance(self.warmup, int) or isinstance(self.warmup, bool):
            check.within("warmup", self.warmup, low=0, high=1, open_high=True)
        problems = check.Problems()
        for name, value in (("epochs", self.epochs), ("patience", self.patience)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                problems.add(f"`{name}` must be a whole number above 0. Received: {value!r}")
        copies = self.augmentations_per_example
        if not isinstance(copies, int) or isinstance(copies, bool) or copies < 0:
            problems.add(f"`augmentations_per_example` must be a whole number of at least 0. Received: {copies!r}")
        elif copies and self.augment == ():
            problems.add("`augmentations_per_example` needs `augment`. Received: augment=()")
        for problem in _temperature_problems(self.temperature, self.contrastive_temperature, self.solver):
            problems.add(problem)
        if isinstance(self.warmup, int) and self.warmup < 0:
            problems.add(f"`warmup` must be at least 0. Received: {self.warmup!r}")
        if self.solver == "probe" and self.plan != freeze("backbone"):
            problems.add('`solver="probe"` needs plan=tltk.freeze("backbone"): it fits the last layer of the head')
        problems.raise_if_any()

    @property
    def has_constant_rate(self) -> bool:
        """Whether the learning rate stays the same, so that callbacks can change it."""
        return self.schedule == "constant" and not self.warmup and not self.optimizer.has_schedule

    def warmup_steps(self, total: int) -> int:
        """Return the steps of the warm-up in a phase of `total` steps."""
        return self.warmup if isinstance(self.warmup, int) else int(self.warmup * total)


def _temperature_problems(temperature: Any, contrastive: Any, solver: str) -> Iterator[str]:
    """Say what is wrong with the temperatures of a phase."""
    if contrastive is not None and (not check.is_number(contrastive) or contrastive <= 0):
        yield f"`contrastive_temperature` must be above 0, such as 0.1. Received: {contrastive!r}"
    if not check.is_number(temperature) or not 0 < temperature < float("inf"):
        yield f"`temperature` must be above 0, such as 1.5. Received: {temperature!r}"
    elif temperature != 1 and solver == "probe":
        yield "`temperature` must be 1 in a phase that fits a probe, which is calibrated by itself"
    elif temperature != 1 and contrastive is not None:
        yield "`temperature` must be 1 in a contrastive phase, which does not train the logits"


@dataclass(frozen=True)
class Recipe:
    """Phases in order. A phase that does not beat the previous phase on validation is undone.

    Args:
        name: Such as "linear_probe", or a name of your own.
        phases: At least one phase; names must differ.
    """

    name: str
    phases: tuple[Phase, ...]

    __repr__ = display.short_repr

    def __post_init__(self) -> None:
        if not self.phases:
            raise InvalidInput("`phases` must hold at least one Phase. Received: ()")
        for phase in self.phases:
            check.instance_of("phases", phase, Phase)
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise InvalidInput(f"the names of phases must be unique. Received: {check.listing(names)}")

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    def with_augmentation(self, augmentations: tuple[Augmentation, ...]) -> "Recipe":
        """Return the recipe with these augmentations in every phase whose `augment` is None."""
        phases = (replace(phase, augment=augmentations) if phase.augment is None else phase for phase in self.phases)
        return replace(self, phases=tuple(phases))

    def with_last_phase(self, *, epochs: int | None = None, learning_rate: Any = None) -> "Recipe":
        """Return the recipe with other options of its last phase; None leaves an option unchanged.

        Args:
            epochs: Passes over the training examples.
            learning_rate: Peak learning rate, or a Keras schedule.

        Raises:
            InvalidInput: If a number is out of range.
        """
        phase = self.phases[-1]
        if epochs is not None:
            phase = replace(phase, epochs=epochs)
        if learning_rate is not None:
            phase = replace(phase, optimizer=replace(phase.optimizer, learning_rate=learning_rate))
        return replace(self, phases=(*self.phases[:-1], phase))

    def to_config(self) -> dict:
        """Return the recipe as JSON values, for the record of the run."""
        phases = []
        for phase in self.phases:
            augment = None if phase.augment is None else [augmentation.to_config() for augmentation in phase.augment]
            values = {"plan": asdict(phase.plan), "optimizer": phase.optimizer.to_config(), "augment": augment}
            phases.append({**vars(phase), **values})
        return {"name": self.name, "phases": phases}
