"""`tltk.assemble`: a backbone and a task become one flat functional Keras model."""

from dataclasses import replace
from typing import Any

import keras

from tltk.backbones.base import Backbone, operation_stages
from tltk.backbones.connect import connect
from tltk.foundation import checks as check
from tltk.foundation import familiar, hardware, keras_private
from tltk.foundation import keras_graph as graph
from tltk.foundation.initial_seeds import initial_seeds
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task
from tltk.trainability.layers import HEAD


@familiar.arguments
def assemble(backbone: Backbone, task: Task, *, precision: str = "auto", seed: int = 0) -> TransferModel:
    """Build one flat Keras model: raw input → preprocessing → backbone layers → head.

    The model is flat, without nested models, so that plans and audits can access every layer. It consists of standard
    layers and loads with Keras alone. A backbone made of your own model by `tltk.backbone(my_model)` shares its layers,
    so that training changes your model too; with `preprocessing=` they are copied.

    Args:
        backbone: From `tltk.backbone`; its weights are located and read now.
        task: Task of the model, such as `tltk.classification(labels)`; it chooses the features that its head uses.
        precision: "auto" (see `tltk.foundation.hardware.precision`), "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Seed of the initial weights: of the head, and of a backbone with weights="random".

    Returns:
        The model; `.keras` is a `keras.Model`. All layers added after the output of the backbone have the stage
        "head". A new layer whose name is taken in the backbone gets a numbered name.

    Raises:
        InvalidType: If the arguments are swapped, or not a backbone and a task.
        InvalidInput: If the task is not registered, or cannot use this kind of input.
        NotFound: If no pretrained weights are found; the message lists where to get them.
        IncompatibleKeras: If the backend of Keras is not TensorFlow.

    Examples:
        >>> import tltk
        >>> task = tltk.classification(tltk.specs.LabelSpec(("cat", "dog")))
        >>> model = assemble(tltk.backbone("mobilenet_v2", weights="random", image_size=32), task)
        >>> model.keras.output_shape
        (None, 2)
    """
    keras_private.require_tensorflow()
    check.instance_of("backbone", backbone, Backbone, hint="Pass tltk.backbone('resnet50').")
    require_task(task)
    seed = check.seed(seed)
    spec = task.input_spec(backbone.input_spec)
    task = _with_pooling(task, backbone.input_spec).for_backbone(backbone).for_input(spec)
    policy = hardware.precision(precision, fast_bfloat16=backbone.fast_bfloat16)
    with hardware.dtype_policy(policy), initial_seeds(seed):
        connected = connect(backbone, task.endpoints(backbone))
        network = connected.network
        outputs = task.outputs(network.output, mask=connected.mask, seed=seed)
        # Operations that compute a mask from the input are new as well, but do not belong to the head.
        head = graph.descendants(network.outputs, graph.rename_added(network, outputs))
        model = keras.Model(network.inputs[0], outputs, name=f"{_valid_name(backbone.name)}_{task.name}")
    stages = _stages(network, backbone) | {operation.name: HEAD for operation in head}
    return TransferModel(model, task, spec, stages, backbone.name, connected.origin, policy)


def _with_pooling(task: Task, spec: Any) -> Task:
    """Replace the pooling "auto" by the default of the modality, such as the last token for causal language models."""
    if task.head is None or task.head.pooling != "auto":
        return task
    dataclass_task: Any = task  # every registered task is a frozen dataclass, but `Task` is not typed as one
    return replace(dataclass_task, head=replace(task.head, pooling=modality_of(spec).default_pooling(spec)))


def _stages(network: keras.Model, backbone: Backbone) -> dict[str, str]:
    """Return the stage of every operation of a backbone; operations after the last stage are assigned to it."""
    names = [operation.name for operation in network.operations]
    present = [stage for stage in backbone.stages if stage.last in names]
    stage_of = operation_stages(network, present)
    return {name: stage_of.get(name, present[-1].name) for name in names}


def _valid_name(name: str) -> str:
    """Replace the characters that Keras does not allow in the name of a model."""
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)
