"""Assembling: backbone + task → one flat functional Keras model."""

from dataclasses import replace
from typing import Any

import keras

from tltk.backbones.base import Backbone, operation_stages
from tltk.backbones.connect import connect
from tltk.foundation import checks as check
from tltk.foundation import hardware as machine
from tltk.foundation import keras_graph as graph
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task
from tltk.trainability.layers import HEAD


def assemble(backbone: Backbone, task: Task, *, precision: str = "auto", seed: int = 0) -> TransferModel:
    """Build one flat Keras model: raw input → preprocessing → backbone layers → head.

    The model is flat, so that explanations, the frozen boundary and layer rules see every layer, and made of stock
    layers, so that it loads with Keras alone. A functional model of your own that is the backbone is shared, not
    copied, unless it was given `preprocessing`.

    Args:
        backbone: From `tltk.backbone`; its weights are found and read now.
        task: Such as `tltk.classification(labels)`; it says which features its head takes.
        precision: "auto" (see `tltk.foundation.hardware.precision`), "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Of the head's initial weights and dropout.

    Returns:
        The model; `.keras` is a `keras.Model`. Its head is what was added behind the backbone's features, whatever the
        layers are called; a new layer whose name the backbone has already gets a number.

    Raises:
        TypeError: If the arguments are swapped, or not a backbone and a task.
        ValueError: If the task is not registered, or needs another input.
        FileNotFoundError: If no pretrained weights are found, with the ways to get them.

    Example:
        >>> import tltk
        >>> task = tltk.classification(tltk.specs.LabelSpec(("cat", "dog")))
        >>> model = assemble(tltk.backbone("mobilenet_v2", weights="random", image_size=32), task)
        >>> model.keras.output_shape
        (None, 2)
    """
    check.kind_of("backbone", backbone, Backbone, hint="Pass tltk.backbone('resnet50').")
    require_task(task)
    task, spec = _pooled(task, backbone.input), task.input_spec(backbone.input)
    policy = machine.precision(precision, fast_bfloat16=backbone.fast_bfloat16)
    with machine.dtype_policy(policy):
        connected = connect(backbone, task.endpoints(backbone))
        network = connected.network
        outputs = task.outputs(network.output, mask=connected.mask, seed=seed)
        # The head is what the features pass through; what makes a mask of the input is new as well, but not the head.
        head = graph.descendants(network.outputs, graph.name_added(network, outputs))
        model = keras.Model(network.inputs[0], outputs, name=f"{_safe(backbone.name)}_{task.name}")
    stages = _stages(network, backbone) | {operation.name: HEAD for operation in head}
    return TransferModel(model, task, spec, stages, backbone.name, connected.origin, policy)


def _pooled(task: Task, spec: Any) -> Task:
    """Choose the pooling of a head that leaves it open: only the last token of a causal model sees the whole text."""
    if task.head is None or task.head.pooling != "auto":
        return task
    record: Any = task  # every registered task is a frozen dataclass, which the base class cannot say
    return replace(record, head=replace(task.head, pooling=modality_of(spec).default_pooling(spec)))


def _stages(network: keras.Model, backbone: Backbone) -> dict[str, str]:
    """Give every operation of a backbone a stage; what follows the last one belongs to it."""
    names = [operation.name for operation in network.operations]
    present = [stage for stage in backbone.stages if stage.last in names]
    stage_of = operation_stages(network, present)
    return {name: stage_of.get(name, present[-1].name) for name in names}


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)
