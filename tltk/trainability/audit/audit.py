"""Audit: proof by bytes of which weights changed, and why a weight did or did not, contrary to its `trainable` flag."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras

from tltk.foundation import checks as check
from tltk.foundation import display
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import AuditError, InvalidInput
from tltk.optimizers.state import without_loss_scaling
from tltk.trainability.audit.byte_check import MIN_STEPS, NO_GRADIENT, as_bytes
from tltk.trainability.audit.gradients import got_gradient, moves_without_gradient
from tltk.trainability.layers import HasStages, is_normalization_with_statistics, model_and_stages


@dataclass
class Audit:
    """Result of an audit; filled when the `with` block is left.

    Args:
        changed: Paths of the weights whose bytes have changed.
        unchanged: Paths of the weights whose bytes have not.
        created: Paths of the weights that did not exist when the block was entered, which cannot be judged.
        problems: One or two sentences for each layer that contradicts its flags.
    """

    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    __repr__ = display.short_repr


@contextmanager
def audit(model: keras.Model | HasStages, *, strict: bool = True) -> Iterator[Audit]:
    """Observe which weights move, and report those that contradict their `trainable` flags.

    Keras ignores a flag that changes after `compile` and `fit`, trains a trainable child of a frozen parent, and moves
    the statistics of a batch norm whose scale and shift are frozen, or which is called with `training=False`, all
    without a warning. The audit compares every weight before and after, moving statistics included, and names the
    layer, the reason and the fix. It works on any built `keras.Model`; optimizer variables and random seeds do not
    count as weights.

    Args:
        model: A functional, Sequential or subclassed model, or the result of `tltk.assemble`.
        strict: Raise on leaving if there is a problem; with False, read `problems` of the result.

    Returns:
        A context manager; its value is filled on leaving. If the block raises, nothing is compared. It keeps 32 bytes
        per weight, and copies one weight at a time to hash it.

    Raises:
        AuditError: On leaving, listing every problem.
        InvalidType: If `model` is not a model.
        InvalidInput: On entering, if the model has no weights yet.

    Examples:
        >>> import numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")], name="small")
        >>> model.compile("sgd", "mse")
        >>> with audit(model) as result:
        ...     history = model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
        >>> result.changed
        ('small/out/kernel', 'small/out/bias')
    """
    keras_model, _ = model_and_stages(model)
    if not keras_model.weights:
        raise InvalidInput(f"model {keras_model.name!r} has no weights yet. Call it once on a batch, then audit it.")
    optimizer = getattr(keras_model, "optimizer", None)
    before = {id(weight.variable): (_digest(weight.variable), weight) for weight in _weights(keras_model)}
    first_step = _steps(optimizer)
    result = Audit()
    yield result
    after = _weights(keras_model)
    same = getattr(keras_model, "optimizer", None) is optimizer
    training = _Training(keras_model, first_step if same else 0, same=same)
    _compare(result, before, after, training)
    problems = check.Problems()
    problems.messages = list(result.problems)
    if strict:
        title = f"the audit of {keras_model.name!r} found {len(result.problems)} problems:"
        problems.raise_if_any(title, error=AuditError)


@dataclass(frozen=True)
class _Weight:
    """A weight, the layer that owns it, and its flags at the time."""

    variable: keras.Variable
    layer: keras.Layer
    frozen_parent: str
    layer_flag: bool
    own_flag: bool  # of the variable; False for moving statistics and other state
    is_state: bool

    @property
    def frozen(self) -> bool:
        """Whether a reader of the flags believes it frozen: by its own flag, its layer's, or that of a parent."""
        # A layer's flag sets those of its weights; where they differ, the weight's own was set later, as plans do.
        return bool(self.frozen_parent) or not (self.layer_flag if self.is_state else self.own_flag)

    @property
    def statistics(self) -> bool:
        """Whether it is a moving statistic of batch norm."""
        return self.is_state and is_normalization_with_statistics(self.layer)


class _Training:
    """The optimizer in use on leaving: the weights it was built for, and the steps it has taken.

    `calls_with_training_false` has the layers that are called with `training=False`, by the `id` of each layer inside.
    """

    def __init__(self, model: keras.Model, first_step: int, *, same: bool) -> None:
        self.optimizer, self.same = getattr(model, "optimizer", None), same
        optimizer = self.optimizer
        self.steps = _steps(optimizer) - first_step
        variables = [] if optimizer is None else private.optimizer_variables(optimizer)
        self.trained = {id(variable) for variable in variables}
        self.gradient = got_gradient(optimizer)
        self.calls_with_training_false = _calls_with_training_false(model)

    def trains(self, weight: _Weight) -> bool:
        """Tell whether the optimizer trains a weight or, for a statistic, the layer of it.

        A layer with nothing but statistics is not in any optimizer: it counts as trained if the optimizer is the one
        that was in use on entering.
        """
        variables = private.own_trainable_variables(weight.layer) if weight.is_state else [weight.variable]
        if not variables:
            return self.same and self.steps > 0
        return any(id(variable) in self.trained for variable in variables)


def _weights(model: keras.Model) -> list[_Weight]:
    """List every weight once, with its layer; of several parents, a frozen one counts."""
    weights: dict[int, _Weight] = {}
    queue: list[tuple[keras.Layer, str]] = [(model, "")]
    visited = set()
    while queue:
        layer, frozen_parent = queue.pop(0)
        if (id(layer), bool(frozen_parent)) in visited:
            continue
        visited.add((id(layer), bool(frozen_parent)))
        layer_variables = private.own_trainable_variables(layer), private.own_state_variables(layer)
        for is_state, variables in enumerate(layer_variables):
            for variable in variables:
                if id(variable) not in weights or frozen_parent:
                    flag = bool(variable.trainable)
                    weight = _Weight(variable, layer, frozen_parent, layer.trainable, flag, bool(is_state))
                    weights[id(variable)] = weight
        inside = frozen_parent or ("" if layer.trainable else layer.name)
        queue += [(sublayer, inside) for sublayer in private.direct_sublayers(layer)]
    # `model.weights` leaves out seeds and metrics, and has the order of `get_weights`.
    return [weights[id(variable)] for variable in model.weights]


def _compare(
    result: Audit, before: dict[int, tuple[bytes, _Weight]], after: list[_Weight], training: _Training
) -> None:
    changed: list[str] = []
    unchanged: list[str] = []
    problems: list[str] = []
    existing = [weight for weight in after if id(weight.variable) in before]
    is_changed = [_digest(weight.variable) != before[id(weight.variable)][0] for weight in existing]
    changed_layers = {id(weight.layer) for weight, has_changed in zip(existing, is_changed, strict=True) if has_changed}
    for weight, has_changed in zip(existing, is_changed, strict=True):
        (changed if has_changed else unchanged).append(weight.variable.path)
        if has_changed:
            earlier = before[id(weight.variable)][1]
            problems.append(_why_changed(weight, earlier, training) or _only_decayed(weight, training))
        else:
            problems.append(_why_unchanged(weight, training, layer_changed=id(weight.layer) in changed_layers))
    result.changed, result.unchanged = tuple(changed), tuple(unchanged)
    result.created = tuple(weight.variable.path for weight in after if id(weight.variable) not in before)
    result.problems = tuple(dict.fromkeys(problem for problem in problems if problem))  # once per layer and reason


def _why_changed(weight: _Weight, earlier: _Weight, training: _Training) -> str:
    """Explain a weight that changed; an empty string if it was free to."""
    if weight.statistics and not weight.frozen:
        return _in_inference_mode(weight.layer, training) or _with_frozen_affine(weight.layer)
    trained = training.trains(weight)
    if not weight.frozen or not (earlier.frozen or trained):
        return ""  # free to change, or frozen inside the block after it had learned
    what = "it changed"
    if weight.is_state:
        what = "its moving statistics drifted" if weight.statistics else "its state changed"
    begin = f"`{weight.layer.name}`: {what} although "
    if weight.frozen_parent and weight.layer_flag:
        return (
            f"{begin}`{weight.frozen_parent}` around it is frozen: its own `trainable` is True, and Keras reads only "
            f"that. To fix: set `trainable` of `{weight.layer.name}` to False, after that of `{weight.frozen_parent}`."
        )
    if trained or weight.statistics:
        return (
            f"{begin}it is flagged frozen: `trainable` was changed after compile and fit, and training continues as it "
            "was traced. To fix: compile again, with a new optimizer, whenever a flag has changed."
        )
    return (
        f"{begin}it is flagged frozen, and the optimizer does not train it: something else has written it, such as "
        "set_weights, load_weights or the layer's own call. To fix: write it outside of the audit."
    )


def _calls_with_training_false(model: keras.Model) -> dict[int, str]:
    """Map the `id` of each layer to the name of the layer, itself or around it, that is called with training=False."""
    calls: dict[int, str] = {}
    for part in private.flattened_sublayers(model):
        for node in graph.nodes(part) if isinstance(part, keras.Function) else ():
            if node.arguments.kwargs.get("training") is False:
                inside = private.flattened_sublayers(node.operation)
                calls.update({id(layer): node.operation.name for layer in inside})
    return calls


def _in_inference_mode(layer: keras.Layer, training: _Training) -> str:
    called = training.calls_with_training_false.get(id(layer))
    if called is None:
        return ""
    return (
        f"`{layer.name}`: its moving statistics drifted although `{called}` is called with training=False: Keras calls "
        f"every layer with training=True in `fit`. To fix: set `trainable` of `{layer.name}` to False, which keeps its "
        "statistics, gamma and beta; or train with tltk.fit, whose plans can train gamma and beta alone."
    )


def _with_frozen_affine(layer: keras.Layer) -> str:
    affine = private.own_trainable_variables(layer)
    if not affine or any(variable.trainable for variable in affine):
        return ""
    return (
        f"`{layer.name}`: its moving statistics drifted although its gamma and beta are frozen: the layer itself is "
        "trainable, so it runs in training mode. To fix: set `trainable` of the layer to False, which freezes both."
    )


def _why_unchanged(weight: _Weight, training: _Training, *, layer_changed: bool) -> str:
    """Explain a weight that did not change although it is trainable; an empty string if it was to stay.

    Without optimizer state, a weight whose layer has changed may have had a gradient too small to change it.
    """
    if weight.is_state or weight.frozen or not training.steps:
        return ""
    if not training.trains(weight):
        return (
            f"`{weight.layer.name}`: it did not change although it is flagged trainable: `trainable` was changed after "
            "compile and fit, and the optimizer does not train it. To fix: compile again, with a new optimizer, "
            "whenever a flag has changed."
        )
    if training.steps < MIN_STEPS or training.gradient.get(id(weight.variable), layer_changed):
        return ""
    return (
        f"`{weight.layer.name}`: {weight.variable.name} got no gradient in {training.steps} steps, though it is "
        f"flagged trainable: {NO_GRADIENT}, or everything it feeds is dead, or the learning rate is too small for its "
        "dtype. To fix: look at the examples; connect it to an output that has a loss, or freeze it."
    )


def _only_decayed(weight: _Weight, training: _Training) -> str:
    """Explain a weight that changed without a gradient; an empty string if it had one, or it is unknown."""
    if weight.is_state or training.steps < MIN_STEPS or not moves_without_gradient(training.optimizer):
        return ""
    if training.gradient.get(id(weight.variable), True):
        return ""
    return (
        f"`{weight.layer.name}`: {weight.variable.name} changed by weight decay alone, without a gradient in "
        f"{training.steps} steps: {NO_GRADIENT}, or everything it feeds is dead. To fix: look at the examples; connect "
        "it to an output that has a loss, or freeze it."
    )


def _steps(optimizer: Any) -> int:
    return int(keras.ops.convert_to_numpy(without_loss_scaling(optimizer).iterations)) if optimizer is not None else 0


def _digest(variable: keras.Variable) -> bytes:
    return hashlib.blake2b(as_bytes(keras.ops.convert_to_numpy(variable)), digest_size=32).digest()
