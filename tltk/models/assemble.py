"""Assembling: backbone + task → one flat functional Keras model."""

from dataclasses import dataclass, replace
from typing import Any

import keras

from tltk.backbones.base import Backbone, Origin, layer_stages, real_tokens
from tltk.foundation import checks as check
from tltk.foundation import hardware as machine
from tltk.foundation import keras_graph as graph
from tltk.specs import ImageSpec, TextSpec
from tltk.tasks.base import Task
from tltk.trainability.layers import HEAD_PREFIX


@dataclass(frozen=True)
class TransferModel:
    """A plain Keras model and what tltk knows about it.

    Args:
        keras: functional, flat; float32 pixels [batch, height, width, 3] in [0, 255], or int32 token ids
            [batch, tokens] → float32 [batch, outputs], for tags and answers [batch, tokens, outputs].
        task: what its outputs mean.
        input: what it eats.
        stages: layer name → stage, "head" for the head.
        backbone: the backbone's name.
        origin: where its pretrained weights came from.
        precision: the Keras dtype policy of its backbone.
    """

    keras: keras.Model
    task: Task
    input: ImageSpec | TextSpec
    stages: dict[str, str]
    backbone: str
    origin: Origin
    precision: str

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Stages from the input to the output, "head" last."""
        return tuple(dict.fromkeys(self.stages[layer.name] for layer in self.keras.layers if layer.name in self.stages))

    def features(self) -> keras.KerasTensor:
        """Return what enters the head; of an adopted model without stages, what enters its last layer with weights."""
        nodes = graph.nodes(self.keras)
        head = [node for node in nodes if self.stages.get(node.operation.name) == "head"]
        head = head or [node for node in nodes if node.operation.name.startswith(HEAD_PREFIX)]
        if not head:
            head = [node for node in nodes if getattr(node.operation, "weights", ())][-1:]
        return head[0].input_tensors[0]

    def mask(self) -> keras.KerasTensor | None:
        """Tell real tokens from padding, bool [batch, tokens]; None for pictures."""
        return real_tokens(self.keras.inputs[0], self.input) if isinstance(self.input, TextSpec) else None

    def describe(self) -> str:
        """Say in one line what this is."""
        size = self.input.describe()
        return (
            f"{self.backbone} ({self.keras.count_params():,} parameters, {size}, {self.precision}) → "
            f"{self.task.name} {self.task.units} outputs; stages: {', '.join(self.stage_names)}"
        )


def assemble(backbone: Backbone, task: Task, *, precision: str = "auto", seed: int = 0) -> TransferModel:
    """Build one flat model: raw pixels → preprocessing → backbone layers → head; of text, token ids come first.

    Flat, so that explanations, the frozen boundary and layer rules see every layer, and plain, so that it
    loads with Keras alone.

    Args:
        backbone: from `tltk.backbone`; its weights are found and read now.
        task: from `tltk.classification`, `tltk.regression`, `tltk.token_classification` or `tltk.question_answering`.
        precision: "auto" (see `tltk.foundation.hardware.precision`), "float32", "mixed_bfloat16" or "mixed_float16".
        seed: of the head's initial weights and dropout.

    Returns:
        The model; `.keras` is a `keras.Model`.

    Raises:
        TypeError: if the arguments are swapped or no backbone or task.
        FileNotFoundError: if the pretrained weights are nowhere to be had, with the ways out.

    Example:
        >>> import tltk
        >>> task = tltk.classification(tltk.specs.LabelSpec(("cat", "dog")))
        >>> model = assemble(tltk.backbone("mobilenet_v2", weights="random", input_size=32), task)
        >>> model.keras.output_shape
        (None, 2)
    """
    check.kind_of("backbone", backbone, Backbone, hint="Pass tltk.backbone('resnet50').")
    if not hasattr(task, "outputs"):
        raise TypeError(
            f"`task` must come from tltk.classification, regress, tag or answer. Received: {type(task).__name__}"
        )
    task, spec = _pooled(task, backbone.input), task.reads(backbone.input)
    policy = machine.precision(precision, fast_bfloat16=backbone.fast_bfloat16)
    with machine.dtype_policy(policy):
        body, origin = backbone.build()
        inputs = keras.Input(spec.shape, dtype=spec.dtype, name=spec.name)
        # `body.call`, not `body(...)`: calling the layers one by one keeps the graph flat.
        features = body.call(backbone.preprocess(inputs))
        outputs = task.outputs(features, mask=backbone.mask(inputs), seed=seed)
        model = keras.Model(inputs, outputs, name=f"{_safe(backbone.name)}_{task.name}")
    return TransferModel(model, task, spec, _stages(model, backbone), backbone.name, origin, policy)


def _pooled(task: Task, spec: ImageSpec | TextSpec) -> Task:
    """Let a head that leaves it open pool as the backbone is read best: of GPT-2 the last token knows the whole."""
    if task.head.pooling != "auto":
        return task
    own = "last" if isinstance(spec, TextSpec) and spec.causal else "avg"
    record: Any = task  # every task is a frozen dataclass, which a protocol cannot say
    return replace(record, head=replace(task.head, pooling=own))


def _stages(model: keras.Model, backbone: Backbone) -> dict[str, str]:
    """Give every layer a stage; what follows the last declared one up to the head belongs to that one."""
    found = layer_stages(model, backbone.stages)
    last = backbone.stages[-1].name
    names = (layer.name for layer in model.layers)
    return {name: "head" if name.startswith(HEAD_PREFIX) else found.get(name, last) for name in names}


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name)


def adopt(
    model: keras.Model, task: Task, *, spec: ImageSpec | None = None, stages: dict[str, str] | None = None
) -> TransferModel:
    """Take somebody else's Keras model into the walk: train, evaluate, predict or export it as if tltk had built it.

    Args:
        model: functional; pixels [batch, height, width, 3] in [0, 255] → [batch, outputs] with the task's activation
            already applied (softmax for classes).
        task: what its outputs mean.
        spec: how pictures are brought to its input; the default stretches them to the model's own input shape.
        stages: layer name → stage, if plans shall speak of stages; "head" for the layers of the head.

    Returns:
        The model, not copied.

    Raises:
        ValueError: if it is not functional, its outputs do not fit the task, or a stage names no layer.
    """
    check.kind_of("model", model, keras.Model)
    problems = check.Problems()
    if not getattr(model, "inputs", None) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError("`model` must be a functional or built sequential keras.Model with one input and one output.")
    units = model.outputs[0].shape[-1]
    if units != task.units:
        problems.add(f"the task has {task.units} outputs, the model {units}")
    unknown = set(stages or {}) - {layer.name for layer in model.layers}
    if unknown:
        problems.add(f"`stages` names layers that the model has not: {check.listing(sorted(unknown))}")
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
