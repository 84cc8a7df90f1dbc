"""Audit: proof by bytes of which weights moved, and a diagnosis of those that moved or stayed against their flags."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.optimizers.state import unwrapped
from tltk.trainability.audit.gradients import decays, got_gradient
from tltk.trainability.audit.proof import MIN_STEPS, AuditError, as_bytes
from tltk.trainability.layers import HasStages, is_normalization_with_statistics, model_and_stages


@dataclass
class Audit:
    """What an audit found; filled when the `with` block is left.

    Args:
        moved: paths of the weights that are not the same bytes any more.
        unmoved: paths of those that are.
        created: paths of the weights that did not exist when the block was entered, which cannot be judged.
        problems: one sentence or two for each layer that did not do what its flags say.
    """

    moved: tuple[str, ...] = ()
    unmoved: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@contextmanager
def audit(model: keras.Model | HasStages, *, strict: bool = True) -> Iterator[Audit]:
    """Watch which weights move, and tell when they do not obey the `trainable` flags.

    Keras ignores a flag that changes after `compile` and `fit`, trains a trainable child of a frozen parent, and moves
    the statistics of a batch norm whose scale and shift are frozen, all without a word. The audit compares every weight
    before and after, moving statistics included, and names the layer, the reason and the way out. It works on any
    built `keras.Model`; optimizer variables and random seeds are no weights.

    Args:
        model: functional, Sequential or subclassed, or what `tltk.assemble` returned.
        strict: raise on leaving if there is a problem; with False, read `found.problems`.

    Returns:
        A context manager; its value is filled on leaving. If the block raises, nothing is compared. It keeps 32 bytes
        a weight tensor, and copies one tensor at a time to hash it.

    Raises:
        AuditError: on leaving, listing every problem.
        TypeError: if `model` is no model.
        ValueError: on entering, if the model has no weights yet.

    Example:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")], name="small")
        >>> model.compile("sgd", "mse")
        >>> with audit(model) as found:
        ...     history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        >>> found.moved
        ('small/out/kernel', 'small/out/bias')
    """
    plain, _ = model_and_stages(model)
    if not plain.weights:
        raise ValueError(f"model {plain.name!r} has no weights yet. Call it once on a batch, then audit it.")
    optimizer = getattr(plain, "optimizer", None)
    before = {id(each.variable): (_digest(each.variable), each) for each in _owned(plain)}
    begun = _steps(optimizer)
    found = Audit()
    yield found
    now = _owned(plain)
    same = getattr(plain, "optimizer", None) is optimizer
    training = _Training(getattr(plain, "optimizer", None), begun if same else 0, same=same)
    _compare(found, before, now, training)
    problems = check.Problems()
    problems.found = list(found.problems)
    if strict:
        problems.raise_if_any(f"the audit of {plain.name!r} found {len(found.problems)} problems:", error=AuditError)


@dataclass(frozen=True)
class _Owned:
    """One weight, the layer that owns it, and what the flags said when it was looked at."""

    variable: keras.Variable
    layer: keras.Layer
    frozen_parent: str
    layer_flag: bool
    own_flag: bool  # of the variable; False for moving statistics and other state
    is_state: bool

    @property
    def frozen(self) -> bool:
        """Whether somebody who reads the flags believes it frozen: its own, its layer's, or one around that."""
        # A layer's flag sets those of its weights; where they differ, somebody set the weight's own, as a plan does.
        return bool(self.frozen_parent) or not (self.layer_flag if self.is_state else self.own_flag)

    @property
    def statistics(self) -> bool:
        """Whether it is a moving statistic of batch norm."""
        return self.is_state and is_normalization_with_statistics(self.layer)


class _Training:
    """The optimizer in use on leaving: which weights it knows, and how many steps it made."""

    def __init__(self, optimizer: Any, begun: int, *, same: bool) -> None:
        self.optimizer, self.same = optimizer, same
        self.steps = _steps(optimizer) - begun
        variables = [] if optimizer is None else private.optimizer_variables(optimizer)
        self.known = {id(variable) for variable in variables}
        self.gradient = got_gradient(optimizer)

    def holds(self, each: _Owned) -> bool:
        """Tell whether it trains a weight, or for a statistic its layer.

        Of a layer with statistics alone nothing is in the optimizer: it is held if that is the one of the beginning.
        """
        owned = private.own_trainable_variables(each.layer) if each.is_state else [each.variable]
        if not owned:
            return self.same and self.steps > 0
        return any(id(variable) in self.known for variable in owned)


def _owned(model: keras.Model) -> list[_Owned]:
    """List every weight once, with its layer; of several parents, a frozen one counts."""
    found: dict[int, _Owned] = {}
    waiting: list[tuple[keras.Layer, str]] = [(model, "")]
    seen = set()
    while waiting:
        layer, parent = waiting.pop(0)
        if (id(layer), bool(parent)) in seen:
            continue
        seen.add((id(layer), bool(parent)))
        own = private.own_trainable_variables(layer), private.own_state_variables(layer)
        for state, variables in enumerate(own):
            for variable in variables:
                if id(variable) not in found or parent:
                    flag = bool(variable.trainable)
                    found[id(variable)] = _Owned(variable, layer, parent, layer.trainable, flag, bool(state))
        inside = parent or ("" if layer.trainable else layer.name)
        waiting += [(child, inside) for child in private.direct_sublayers(layer)]
    # `weights` leaves seeds and metrics out, and has the order of `get_weights`.
    return [found[id(variable)] for variable in model.weights]


def _compare(found: Audit, before: dict[int, tuple[bytes, _Owned]], now: list[_Owned], training: _Training) -> None:
    moved: list[str] = []
    unmoved: list[str] = []
    problems: list[str] = []
    known = [each for each in now if id(each.variable) in before]
    changed = [_digest(each.variable) != before[id(each.variable)][0] for each in known]
    alive = {id(each.layer) for each, moves in zip(known, changed, strict=True) if moves}
    for each, moves in zip(known, changed, strict=True):
        (moved if moves else unmoved).append(each.variable.path)
        earlier = before[id(each.variable)][1]
        moves_why = _why_moved(each, earlier, training) or _only_decayed(each, training) if moves else ""
        problems.append(moves_why if moves else _why_unmoved(each, training, alive=id(each.layer) in alive))
    found.moved, found.unmoved = tuple(moved), tuple(unmoved)
    found.created = tuple(each.variable.path for each in now if id(each.variable) not in before)
    found.problems = tuple(dict.fromkeys(problem for problem in problems if problem))  # one a layer and reason


def _why_moved(each: _Owned, earlier: _Owned, training: _Training) -> str:
    """Explain a weight that moved; an empty string if it was free to."""
    if each.statistics and not each.frozen:
        return _with_frozen_affine(each.layer)
    held = training.holds(each)
    if not each.frozen or not (earlier.frozen or held):
        return ""  # free to move, or frozen inside the block after it had learned
    moved = "its moving statistics drifted" if each.statistics else "its state changed" if each.is_state else "it moved"
    begin = f"`{each.layer.name}`: {moved} although "
    if each.frozen_parent and each.layer_flag:
        return (
            f"{begin}`{each.frozen_parent}` around it is frozen: its own `trainable` is True, and that is what Keras "
            f"asks. Way out: set `trainable` of `{each.layer.name}` to False, after that of `{each.frozen_parent}`."
        )
    if held or each.statistics:
        return (
            f"{begin}it is flagged frozen: `trainable` was changed after compile and fit, and training goes on as it "
            "was traced. Way out: compile again, with a new optimizer, whenever a flag has changed."
        )
    return (
        f"{begin}it is flagged frozen, and the optimizer does not know it: something else wrote it, such as "
        "set_weights, load_weights or the layer's own call. Way out: write it outside of the audit."
    )


def _with_frozen_affine(layer: keras.Layer) -> str:
    affine = private.own_trainable_variables(layer)
    if not affine or any(variable.trainable for variable in affine):
        return ""
    return (
        f"`{layer.name}`: its moving statistics drifted although its gamma and beta are frozen: the layer itself is "
        "trainable, so it runs in training mode. Way out: set `trainable` of the layer to False, which holds both."
    )


def _why_unmoved(each: _Owned, training: _Training, *, alive: bool) -> str:
    """Explain a weight that stayed although it was to learn; an empty string if it was to stay.

    Where the optimizer remembers nothing, a weight whose layer is alive may have had a gradient too small to move it.
    """
    if each.is_state or each.frozen or not training.steps:
        return ""
    if not training.holds(each):
        return (
            f"`{each.layer.name}`: it did not move although it is flagged trainable: `trainable` was changed after "
            "compile and fit, and the optimizer does not know it. Way out: compile again, with a new optimizer, "
            "whenever a flag has changed."
        )
    if training.steps < MIN_STEPS or training.gradient.get(id(each.variable), alive):
        return ""
    return (
        f"`{each.layer.name}`: {each.variable.name} got no gradient in {training.steps} steps, though it is flagged "
        "trainable: the loss does not depend on it, or all that it feeds is dead, or the rate is too small for its "
        "dtype. Way out: connect it to an output that has a loss, or freeze it."
    )


def _only_decayed(each: _Owned, training: _Training) -> str:
    """Explain a weight that moved without a gradient; an empty string if it had one, or nobody can know."""
    if each.is_state or training.steps < MIN_STEPS or not decays(training.optimizer):
        return ""
    if training.gradient.get(id(each.variable), True):
        return ""
    return (
        f"`{each.layer.name}`: {each.variable.name} moved by weight decay alone, without a gradient in "
        f"{training.steps} steps: the loss does not depend on it, or all that it feeds is dead. Way out: connect it to "
        "an output that has a loss, or freeze it."
    )


def _steps(optimizer: Any) -> int:
    return int(keras.ops.convert_to_numpy(unwrapped(optimizer).iterations)) if optimizer is not None else 0


def _digest(variable: keras.Variable) -> bytes:
    return hashlib.blake2b(as_bytes(keras.ops.convert_to_numpy(variable)), digest_size=32).digest()
