"""`tltk.adopt`: use an existing Keras model with tltk."""

import keras

from tltk.backbones.base import Origin
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.models.transfer_model import TransferModel
from tltk.specs import ImageSpec
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task


def adopt(
    model: keras.Model, task: Task, *, spec: ImageSpec | None = None, stages: dict[str, str] | None = None
) -> TransferModel:
    """Use your own Keras model with tltk: train, evaluate, predict with and export it like an assembled model.

    Args:
        model: A functional model: pixels [batch, height, width, 3] in [0, 255] → [batch, outputs], with the activation
            of the task already applied (softmax for classes).
        task: Meaning of the outputs, such as `tltk.classification(labels)`.
        spec: Input format; the default stretches images to the input shape of the model.
        stages: Layer name → stage, for plans that name stages; "head" for the layers of the head.

    Returns:
        The model as a TransferModel; the Keras model is shared, not copied.

    Raises:
        InvalidType: If `model` is not a Keras model.
        InvalidInput: If it is not functional, its outputs do not fit the task, or `stages` names an unknown layer.

    Examples:
        >>> import tltk
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
        >>> adopt(model, tltk.classification(tltk.specs.LabelSpec(("cat", "dog")))).input_spec.shape
        (8, 8, 3)
    """
    check.instance_of("model", model, keras.Model)
    require_task(task)
    problems = check.Problems()
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InvalidInput(
            "`model` must be a functional or built sequential keras.Model with one input and one output."
        )
    units, expected = model.outputs[0].shape[-1], sum(map(len, task.describe_outputs().values()))
    if units != expected:
        problems.add(f"the task needs {expected} outputs. Received: a model with {units}")
    unknown = set(stages or {}) - {layer.name for layer in model.layers}
    if unknown:
        problems.add(f"`stages` names layers that are not in the model: {check.listing(sorted(unknown))}")
    shape = tuple(model.inputs[0].shape[1:])
    if spec is None and (len(shape) != 3 or None in shape):
        problems.add(f"the input shape of the model is {shape}: pass `spec=ImageSpec(height, width)`")
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
