"""The record of an assembled or adopted model."""

from dataclasses import dataclass, field
from typing import Any

import keras

from tltk.backbones.base import Origin
from tltk.foundation import display, familiar
from tltk.modalities.modality import modality_of
from tltk.tasks.base import Task


@familiar.attributes
@dataclass(frozen=True)
class TransferModel:
    """A Keras model with its task, input format, stages and origin.

    Args:
        keras: Functional and flat; float32 pixels [batch, height, width, 3] in [0, 255], or int32 token ids
            [batch, tokens] → float32 [batch, outputs], or [batch, tokens, outputs] for a task with outputs per token.
        task: Meaning of the outputs.
        input_spec: Input format that the backbone expects.
        stages: Layer or operation name → stage; "head" for the layers that tltk added after the backbone.
        backbone: Name of the backbone.
        origin: Origin of the pretrained weights.
        precision: Keras dtype policy of the backbone.
    """

    keras: keras.Model
    task: Task
    input_spec: Any
    stages: dict[str, str] = field(repr=False)
    backbone: str
    origin: Origin
    precision: str

    __repr__ = display.short_repr

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Stages from the input to the output, "head" last."""
        return tuple(dict.fromkeys(self.stages[layer.name] for layer in self.keras.layers if layer.name in self.stages))

    def mask(self) -> keras.KerasTensor | None:
        """Return a symbolic mask that is True for real tokens, bool [batch, tokens]; None if inputs have no padding."""
        return modality_of(self.input_spec).mask(self.keras.inputs[0], self.input_spec)

    def describe(self) -> str:
        """Describe the model in one line."""
        size, outputs = self.input_spec.describe(), sum(output.shape[-1] for output in self.keras.outputs)
        return (
            f"{self.backbone} ({self.keras.count_params():,} parameters, {size}, {self.precision}) → "
            f"{self.task.name} {outputs} outputs; stages: {', '.join(self.stage_names)}"
        )
