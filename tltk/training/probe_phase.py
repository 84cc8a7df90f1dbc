"""A phase that fits the last linear layer at once: a tuned, calibrated probe, copied into the head."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import keras
import numpy as np

from tltk.foundation import hardware, progress
from tltk.foundation import keras_graph as graph
from tltk.foundation.errors import AuditError, InvalidInput
from tltk.models.frozen_split import FrozenSplit, part_above_prefix, split_frozen_prefix
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.loader import Loader, explain_data_errors, trace
from tltk.probes.fit import Probe, fit_probe
from tltk.recipes.general import tuned_probe
from tltk.recipes.recipe import Phase
from tltk.trainability.apply import AppliedPlan, apply_plan
from tltk.trainability.audit.byte_check import check_phase
from tltk.trainability.layers import HEAD
from tltk.trainability.plan import Plan
from tltk.training.best_epoch import score
from tltk.training.phase import PhaseResult, PhaseStart, TrainedPhase
from tltk.training.phase_data import Feed, PhaseData, ignore_unknown_length_warning

_OUTPUT, _NORM = "head_output", "head_norm"  # names of the layers that `tltk.heads` builds


@dataclass(frozen=True, eq=False)
class HeadInputs:
    """What a linear probe is fitted to: one row for each element of the training data, in their order.

    Args:
        features: Inputs of the normalization before the last linear layer, or of that layer: float32 [n, channels].
        targets: Targets of the last linear layer, float32 [n, outputs].
        weight: Weights of the elements, float32 [n]; None for equal ones.
        examples: Example of each element, int64 [n]; windows of one text have the same.
        groups: What must not be divided between folds, int64 [n]: the example, or the group of the source.
    """

    features: np.ndarray
    targets: np.ndarray
    weight: np.ndarray | None
    examples: np.ndarray
    groups: np.ndarray

    def take(self, rows: np.ndarray) -> "HeadInputs":
        """Return the elements at rows, int64 [k]."""
        weight = None if self.weight is None else self.weight[rows]
        return HeadInputs(self.features[rows], self.targets[rows], weight, self.examples[rows], self.groups[rows])


def why_no_probe(model: TransferModel) -> str:
    """Return why the head of a model cannot be fitted as a linear probe; "" if it can."""
    task = model.task
    if not task.probe_kind:
        return f"{task.name} has no linear probe"
    if task.objective.loss is not None:
        return "the task has a loss of the user's own"
    if task.head is None or _layer(model, _OUTPUT) is None:
        return "the last layer is not one that tltk added"
    return "the head has hidden layers" if task.head.hidden else ""


def train_probe(
    model: TransferModel,
    phase: Phase,
    index: int,
    feed: Feed,
    *,
    start: PhaseStart,
    write: Callable[[dict[str, Any]], None],
) -> TrainedPhase:
    """Fit the last linear layer, and compute the metrics of the history.

    Args:
        model: Changed in place.
        phase: A phase with `solver="probe"`.
        index: Its position in the recipe.
        feed: Gives the batches.
        start: What the phase takes over.
        write: Receives one history row.

    Returns:
        The result; the state of the optimizer is passed on.

    Raises:
        InvalidInput: If the head has no linear probe.
        AuditError: If another weight changed.
    """
    started_at = perf_counter()
    problem = why_no_probe(model)
    if problem:
        raise InvalidInput(f"phase {phase.name!r} cannot fit a probe: {problem}. Use tltk.linear_probe() instead.")
    with apply_plan(phase.plan, model) as applied_plan:
        before = model.keras.get_weights()
        prepared, feed.prepared_probe = feed.prepared_probe, None  # once: a later phase may change the backbone
        if prepared is None:
            prepared = _prepare(model, phase, index, feed, applied_plan)
        inputs, probe = prepared.inputs, prepared.probe
        set_head(model, inputs.features, probe)
        _audit(model, before)
        metrics = _metrics(model, prepared.data)
    metrics_text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
    progress.line(f"{phase.name}  {metrics_text}  ({describe_probe(model, probe, inputs)})")
    seconds = round(perf_counter() - started_at, 3)
    write({"phase": phase.name, "epoch": 1, "seconds": seconds, **metrics})
    best = score(metrics, model.task.monitor) if prepared.data.val else None
    if best is not None and start.score_to_beat is not None and best <= start.score_to_beat:
        model.keras.set_weights(start.weights)
        return TrainedPhase(
            PhaseResult(phase.name, 1, 0, False, start.score_to_beat, seconds, 0.0), start.optimizer_state
        )
    return TrainedPhase(PhaseResult(phase.name, 1, 1, True, best, seconds), start.optimizer_state)


def prepare_probe(model: TransferModel, feed: Feed) -> "PreparedProbe":
    """Fit a probe, and keep it for the next phase of the feed that fits one.

    Args:
        model: Ends with the probe in its head, see `fit_head`.
        feed: Gives the training batches; keeps the result.

    Returns:
        The probe, with what it was fitted to.
    """
    phase = tuned_probe().phases[0]
    with apply_plan(phase.plan, model) as applied_plan:
        feed.prepared_probe = _prepare(model, phase, 0, feed, applied_plan)
    return feed.prepared_probe


@dataclass(frozen=True, eq=False)
class PreparedProbe:
    """A probe that was fitted to the training examples.

    Args:
        data: Batches of the examples.
        inputs: What the last layer was fitted to.
        seconds: Time that these inputs took.
        probe: The probe.
    """

    data: PhaseData
    inputs: HeadInputs
    seconds: float
    probe: Probe


def _prepare(model: TransferModel, phase: Phase, index: int, feed: Feed, applied_plan: AppliedPlan) -> PreparedProbe:
    started_at = perf_counter()
    frozen_split = split_frozen_prefix(model.keras, applied_plan.decisions)
    data = feed.phase_data(phase, index, frozen_split, shuffle=False)
    inputs = _head_inputs(model, data, frozen_split, feed)
    seconds = perf_counter() - started_at
    return PreparedProbe(data, inputs, seconds, fit_head(model, inputs, seed=feed.seed))


def _head_inputs(model: TransferModel, data: PhaseData, frozen_split: FrozenSplit, feed: Feed) -> HeadInputs:
    """Compute what the last linear layer is fitted to, in one pass over the training batches."""
    lower = part_above_prefix(model.keras, frozen_split, _probe_input(model))
    prefix = None if data.model is frozen_split.suffix else frozen_split.prefix

    def run(inputs: Any) -> Any:
        return lower(inputs if prefix is None else prefix(inputs, training=False), training=False)

    compute = trace(run, data.train.dataset().element_spec[0])
    rows, features, targets, weights = [], [], [], []
    with explain_data_errors(data.train):
        for batch_rows, (inputs, batch_targets, *weight) in _batches(data.train):
            rows.append(batch_rows)
            features.append(np.asarray(compute(inputs), np.float32))
            targets.append(model.task.probe_targets(np.asarray(batch_targets, np.float32)))
            weights += [np.asarray(values, np.float32) for values in weight]
    elements = np.concatenate(rows)
    examples = elements if feed.train.example_ids is None else feed.train.example_ids[elements]
    return HeadInputs(
        np.concatenate(features),
        np.concatenate(targets),
        np.concatenate(weights) if weights else None,
        examples,
        examples if feed.train.groups is None else feed.train.groups[examples],
    )


def fit_head(model: TransferModel, inputs: HeadInputs, *, seed: int, folds: int = 5) -> Probe:
    """Fit a probe, and copy it into the head: the model then is the probe exactly.

    A batch norm before the last layer gets the mean and variance of all training examples.

    Args:
        model: Changed in place: the last linear layer, and the statistics of the batch norm before it.
        inputs: From `prepare_probe`.
        seed: Seed of the folds.
        folds: Number of folds.

    Returns:
        The probe, of `inputs.features`.
    """
    probe = fit_probe(
        inputs.features,
        inputs.targets,
        kind=model.task.probe_kind,
        weight=inputs.weight,
        groups=inputs.groups,
        folds=folds,
        seed=seed,
    )
    set_head(model, inputs.features, probe)
    return probe


def set_head(model: TransferModel, features: np.ndarray, probe: Probe) -> None:
    """Copy a probe into the head of a model.

    Args:
        model: Changed in place.
        features: Features of the training examples, for the statistics of a batch norm, float32 [n, channels].
        probe: Linear model of these features.
    """
    kernel, bias = probe.kernel.astype(np.float64), probe.bias.astype(np.float64)
    norm = _batch_norm(model)
    if norm is not None:
        mean, variance = features.mean(0, dtype=np.float64), features.var(0, dtype=np.float64)
        norm.moving_mean.assign(mean)
        norm.moving_variance.assign(variance)
        kernel, bias = kernel * np.sqrt(variance + norm.epsilon)[:, None], bias + mean @ kernel
    output: Any = _layer(model, _OUTPUT)
    output.kernel.assign(kernel)
    output.bias.assign(bias)


def require_logits(model: TransferModel, plan: Plan) -> None:
    """Check that the logits of a model can be divided by a temperature after training with a plan.

    Raises:
        InvalidInput: If the head does not end in a linear layer of its own, the plan freezes this layer, or there are
            no probabilities.
    """
    problem = why_no_probe(model)
    if not problem and model.task.probe_kind == "regression":
        problem = f"{model.task.name} has no probabilities"
    if not problem and plan.resolve(model)[_OUTPUT].action == "frozen":
        problem = "the plan freezes the last layer"
    if problem:
        raise InvalidInput(f"`temperature` cannot be used: {problem}. Leave it at 1.")


def divide_logits(model: TransferModel, temperature: float) -> None:
    """Divide the logits of a model by a temperature: kernel and bias of its last layer.

    Args:
        model: Changed in place.
        temperature: Above 0.

    """
    output: Any = _layer(model, _OUTPUT)
    for weight in (output.kernel, output.bias):
        weight.assign(weight / temperature)


def describe_probe(model: TransferModel, probe: Probe, inputs: HeadInputs) -> str:
    """Describe how a probe was tuned, and its out-of-fold result, in one line."""
    right = out_of_fold_score(model.task.probe_kind, probe.out_of_fold, inputs)
    return (
        f"tuned probe: penalty {probe.penalty:.1e} ({probe.scaling} scaling), temperature {probe.temperature:.2f}; "
        f"{right} by {probe.folds.max() + 1}-fold cross-validation"
    )


def out_of_fold_score(kind: str, logits: np.ndarray, inputs: HeadInputs) -> str:
    """Describe out-of-fold predictions, such as "accuracy 0.912"."""
    names = {"categorical": "accuracy", "multilabel": "labels right", "regression": "mean absolute error / std"}
    values = example_scores(kind, logits, inputs.targets)
    return f"{names[kind]} {float(abs(np.average(values, weights=inputs.weight))):.3f}"


def example_scores(kind: str, logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Score each prediction, float [n], larger is better.

    Args:
        kind: "categorical": 1 if the most likely class is right; "multilabel": fraction of labels that are right;
            "regression": negative absolute error.
        logits: Logits, or numbers, [n, outputs].
        targets: See `HeadInputs`.
    """
    if kind == "categorical":
        return (logits.argmax(1) == targets.argmax(1)).astype(np.float64)
    if kind == "multilabel":
        return ((logits > 0) == (targets > 0.5)).mean(1)
    return -np.abs(logits - targets).mean(1)


def _batches(loader: Any) -> Iterator[tuple[np.ndarray, Any]]:
    """Yield the rows of each batch, and what the dataset of the loader yields for it."""
    if isinstance(loader, Loader):
        yield from ((batch.rows, loader.finished(batch)) for batch in loader.batches())
        return
    first = 0
    for batch in loader.dataset():
        count = int(batch[1].shape[0])
        yield np.arange(first, first + count), batch
        first += count


def _probe_input(model: TransferModel) -> keras.KerasTensor:
    """Return the input of the last linear layer, or of the batch norm before it."""
    top = _OUTPUT if _batch_norm(model) is None else _NORM
    return next(node.input_tensors[0] for node in graph.nodes(model.keras) if node.operation.name == top)


def _layer(model: TransferModel, name: str) -> keras.Layer | None:
    layers = (layer for layer in model.keras.layers if layer.name == name)
    return next((layer for layer in layers if model.stages.get(name) == HEAD), None)


def _batch_norm(model: TransferModel) -> Any:
    """Return the batch norm before the last linear layer, or None."""
    norm = _layer(model, _NORM)
    return norm if isinstance(norm, keras.layers.BatchNormalization) else None


def _audit(model: TransferModel, before: list[np.ndarray]) -> None:
    """Check byte by byte that only the last layer and the statistics of its batch norm have changed."""
    layers: list[Any] = [_layer(model, _OUTPUT), _batch_norm(model)]
    changed = {weight.path for layer in layers if layer is not None for weight in layer.weights}
    paths = [weight.path for weight in model.keras.weights]
    problems = check_phase(paths, before, model.keras.get_weights(), trained=changed, steps=0)
    if problems:
        raise AuditError("the probe changed other weights: " + " ".join(problems))


def _metrics(model: TransferModel, data: PhaseData) -> dict[str, float]:
    """Return the metrics of a history row: on training and, with the prefix "val_", on validation examples."""
    data.model.compile(
        loss=model.task.training_loss(),
        **{"weighted_metrics" if data.has_weights else "metrics": model.task.training_metrics()},
        jit_compile=hardware.jit_compile(),
    )
    with ignore_unknown_length_warning(), explain_data_errors(data.train, data.val):
        parts = {"": data.train} | ({"val_": data.val} if data.val else {})
        return {
            f"{prefix}{name}": float(value)
            for prefix, loader in parts.items()
            for name, value in data.model.evaluate(loader.dataset(), verbose=0, return_dict=True).items()
        }
