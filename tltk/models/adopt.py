"""Adopting: somebody's own Keras model as if tltk had assembled it."""

import keras

from tltk.backbones.base import Origin
from tltk.foundation import checks as check
from tltk.models.transfer_model import TransferModel
from tltk.specs import ImageSpec
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task


def adopt(
    model: keras.Model, task: Task, *, spec: ImageSpec | None = None, stages: dict[str, str] | None = None
) -> TransferModel:
    """Use your own Keras model with tltk: train, evaluate, predict and export it as if tltk had assembled it.

    Args:
        model: Functional; pixels [batch, height, width, 3] in [0, 255] → [batch, outputs] with the task's activation
            already applied (softmax for classes).
        task: What its outputs mean.
        spec: How images are resized for it; the default stretches them to the model's own input shape.
        stages: Layer name → stage, for plans that name stages; "head" for the layers of the head.

    Returns:
        The record; the model is shared, not copied.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If it is not functional, its outputs do not fit the task, or a stage names an unknown layer.

    Example:
        >>> import tltk
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
        >>> adopt(model, tltk.classification(tltk.specs.LabelSpec(("cat", "dog")))).input.shape
        (8, 8, 3)
    """
    check.kind_of("model", model, keras.Model)
    require_task(task)
    problems = check.Problems()
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("`model` must be a functional or built sequential keras.Model with one input and one output.")
    units, expected = model.outputs[0].shape[-1], sum(map(len, task.describe_outputs().values()))
    if units != expected:
        problems.add(f"the task has {expected} outputs, the model {units}")
    unknown = set(stages or {}) - {layer.name for layer in model.layers}
    if unknown:
        problems.add(f"`stages` names layers that are not in the model: {check.listing(sorted(unknown))}")
    shape = tuple(model.inputs[0].shape[1:])
    if spec is None and (len(shape) != 3 or None in shape):
        problems.add(f"the model's input shape is {shape}; pass `spec=ImageSpec(height, width)`")
    problems.raise_if_any("`model` cannot be adopted:")
    return TransferModel(
        model,
        task,
        spec or ImageSpec(*shape),
        stages or {},
        model.name,
        Origin("model", None, None),
        model.dtype_policy.name,
    )
