"""Wraps a user's functional model, with a spec of its input, as a backbone of any modality."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.backbones.image.user_model import functional
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph

if TYPE_CHECKING:
    import keras


def from_model(model: "keras.Model", spec: Any) -> Backbone:
    """Wrap a functional (or built sequential) model as a backbone without preprocessing.

    Args:
        model: Model from the input that `spec` describes to features [batch, …, channels]. It is not copied: training
            the backbone trains the model.
        spec: An `ImageSpec`, a `TextSpec`, or the spec of a registered modality.

    Returns:
        The backbone, with one stage, "body", unless `stages` of `tltk.backbone` names others.

    Raises:
        InvalidType: If `model` is not a Keras model.
        InvalidInput: If the model does not fit the spec; lists every problem.
    """
    import keras

    from tltk.modalities.modality import modality_of

    check.instance_of("x", model, keras.Model, hint="`spec` describes the input of a functional keras.Model.")
    modality, flat = modality_of(spec), functional(model)
    problems = check.Problems()
    for side, tensors in (("input", flat.inputs), ("output", flat.outputs)):
        if len(tensors) != 1:
            problems.add(f"it must have one {side}, and has {len(tensors)}")
    if not problems.messages:
        check_input(flat.inputs[0], spec, problems)
    problems.raise_if_any(f"{model.name!r} cannot be a backbone of {modality.name}s:")
    return Backbone(
        name=model.name,
        modality=modality.name,
        input_spec=spec,
        preprocessing=Preprocessing(source="none given"),
        stages=(Stage("body", flat.operations[-1].name),),
        weights="model",
        parameters=model.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_user_model, flat),
        locator=partial(Origin, "model", None, None),
        shapes=partial(_shapes, flat),
    )


def check_input(inputs: "keras.KerasTensor", spec: Any, problems: check.Problems) -> None:
    """Report in which ways the input of a model differs from a spec.

    Args:
        inputs: Symbolic input of the model.
        spec: Input format that it is said to have.
        problems: What is wrong is added to it.
    """
    shape = tuple(inputs.shape[1:])
    if len(shape) != len(spec.shape) or any(
        None not in (size, expected) and size != expected for size, expected in zip(shape, spec.shape, strict=False)
    ):
        problems.add(f"its input must be [batch, {', '.join(map(str, spec.shape))}] as `spec` says, and is {shape}")
    if inputs.dtype != spec.dtype:
        problems.add(wrong_dtype(inputs, spec.dtype))
    if inputs.shape[0] is not None:
        problems.add(
            f"its batch size is fixed to {inputs.shape[0]}: build it with keras.Input(shape), without batch size"
        )


def wrong_dtype(inputs: "keras.KerasTensor", dtype: str) -> str:
    """Return the error message for a model whose input has another dtype than tltk passes, with the way out."""
    return (
        f"its input must be {dtype}, and is {inputs.dtype}. Rebuild it: x = keras.Input({tuple(inputs.shape[1:])}, "
        f"dtype={dtype!r}); model = keras.Model(x, model(keras.ops.cast(x, {inputs.dtype!r})))"
    )


def _shapes(model: "keras.Model", shape: tuple) -> Mapping[str, tuple]:
    """Return the output shapes of the user's model, whose input shape `from_model` has checked."""
    return graph.output_shapes(model)


def _user_model(model: "keras.Model", shape: tuple, origin: Origin) -> "keras.Model":
    """Return the user's model; shape and origin are known from `from_model`."""
    return model
