"""Wraps a user's functional model as an image backbone, and infers its stages from its resolutions."""

import math
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tltk.backbones.base import Backbone, Origin, Preprocessing, Stage
from tltk.backbones.image.keras_applications_table import stages
from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.specs import ImageSpec

if TYPE_CHECKING:
    import keras

_RESERVED = ("head", "backbone")  # what plans call the parts of every model


def from_model(model: "keras.Model", *, size: tuple[int, int] | None = None) -> Backbone:
    """Wrap a functional (or built sequential) model as an image backbone without preprocessing.

    Args:
        model: Model from pixels [batch, height, width, channels] to features [batch, h, w, channels]. It is not copied:
            training the backbone trains the model.
        size: Height and width in pixels; required if the model takes any size.

    Returns:
        The backbone.

    Raises:
        InvalidType: If `model` is not a Keras model.
        InvalidInput: If it cannot be an image backbone; lists every problem.
    """
    import keras

    check.instance_of(
        "x", model, (str, keras.Model), hint="Pass a name from `tltk backbones`, or a functional keras.Model."
    )
    flat = feature_model(model)
    height, width = _size(flat, size)
    return Backbone(
        name=model.name,
        modality="image",
        input_spec=ImageSpec(height, width, flat.inputs[0].shape[-1]),
        preprocessing=Preprocessing(source="none given"),
        stages=infer_stages(flat, size=(height, width)),
        weights="model",
        parameters=model.count_params(),
        top1=None,
        top1_source="",
        fast_bfloat16=False,
        builder=partial(_user_model, flat),
        locator=partial(Origin, "model", None, None),
        shapes=partial(_shapes, flat),
    )


def infer_stages(model: "keras.Model", *, size: tuple[int, int]) -> tuple[Stage, ...]:
    """Infer stages: one per resolution, each ending at the last tensor that all later layers depend on.

    A resolution without such a tensor (as in NASNet), or without weights, is merged with the next one. Padding layers
    do not end a stage. The last stage ends at the model's output.

    Args:
        model: Functional model with one input and output [batch, h, w, channels].
        size: Height and width in pixels, to determine the resolutions.

    Returns:
        Stages named "stem", "conv2" …
    """
    sized = _at_size(model, size)
    order = graph.nodes(sized)
    ends: dict[int, str] = {}
    for node in graph.cut_nodes(order):
        shape = node.outputs[0].shape
        if len(shape) == 4 and shape[1] and not type(node.operation).__name__.startswith("ZeroPadding"):
            ends[round(math.log2(size[0] / shape[1]))] = node.operation.name
    last = order[-1].operation.name
    lasts = [*(end for end in ends.values() if end != last), last]
    return stages(*_with_weights(sized, order, lasts))


def named_stages(ends: dict[str, str]) -> tuple[Stage, ...]:
    """Turn {stage name: name of its last layer}, in order, into stages."""
    check.instance_of("stages", ends, dict, hint="Pass {stage name: name of its last layer}, in order.")
    if not ends:
        raise InvalidInput("`stages` must contain at least one stage. Received: {}")
    reserved = [name for name in ends if name in _RESERVED]
    if reserved:
        raise InvalidInput(
            f"`stages` names {reserved[0]!r}, which plans have for a part of every model: the layers after the last "
            "stage are the head, and all others the backbone. Use another name"
        )
    return tuple(Stage(name, last) for name, last in ends.items())


def _with_weights(model: "keras.Model", order: list[Any], lasts: list[str]) -> list[str]:
    """Drop the ends of stages that would have no weights."""
    import keras

    with_weights = {
        layer.name for layer in model.layers if layer.weights and not isinstance(layer, keras.layers.Normalization)
    }
    kept: list[str] = []
    before: set[str] = set()
    for last in lasts:
        leading = graph.ancestors(order, last)
        if (leading - before) & with_weights:
            kept.append(last)
            before = leading
    # What follows the last weights, such as a final pooling, belongs to the last stage.
    return [*kept[:-1], lasts[-1]]


def _at_size(model: "keras.Model", size: tuple[int, int]) -> "keras.Model":
    """Return a model whose input has this size; the model itself if it has a fixed size."""
    import keras

    if None not in model.inputs[0].shape[1:3]:
        return model
    pixels = keras.Input((*size, model.inputs[0].shape[-1]))
    sized = keras.Model(pixels, graph.call_layers(model, pixels))
    private.forget_calls(sized)  # so that `layer.output` still refers to the user's model
    return sized


def _shapes(model: "keras.Model", shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    return graph.output_shapes(_at_size(model, shape[:2]))


def _user_model(model: "keras.Model", shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    """Return the user's model; shape and origin are known from `from_model`."""
    return model


def feature_model(model: "keras.Model") -> "keras.Model":
    """Return a model as a functional one, or raise if it does not have one image input and one feature map."""
    flat = functional(model)
    problems = check.Problems()
    for side, tensors in (("input", flat.inputs), ("output", flat.outputs)):
        if len(tensors) != 1:
            problems.add(f"it must have one {side}, and has {len(tensors)}")
        elif len(tensors[0].shape) != 4:
            hint = _where_to_cut(flat) if side == "output" else ""
            problems.add(f"its {side} must be [batch, height, width, channels], and is {tensors[0].shape}{hint}")
    if not problems.messages and flat.inputs[0].shape[-1] is None:
        problems.add("its input must have a known number of channels")
    problems.raise_if_any(f"{model.name!r} cannot be an image backbone:")
    return flat


def functional(model: "keras.Model") -> "keras.Model":
    """Return a functional or built sequential model as a functional one.

    Raises:
        InvalidInput: If it is a subclassed model, or a sequential model that is not built.
    """
    import keras

    if isinstance(model, keras.Function):
        return model
    is_sequential = isinstance(model, keras.Sequential)
    if is_sequential and model.built and model.inputs:
        return keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    received = f"{type(model).__name__}{', not built yet' if is_sequential else ''}"
    raise InvalidInput(
        f"{model.name!r} is not a functional model; build it as keras.Model(inputs, features). Received: {received}"
    )


def _where_to_cut(model: "keras.Model") -> str:
    """Suggest the last feature map of a model that ends with a pooling or a classifier."""
    layers = {layer.name for layer in model.layers}
    maps = [node.operation.name for node in graph.nodes(model) if not node.is_input and len(node.outputs[0].shape) == 4]
    layer_maps = [name for name in maps if name in layers]
    if not layer_maps:
        return ""
    return f"; pass its last feature map: keras.Model(model.input, model.get_layer({layer_maps[-1]!r}).output)"


def _size(model: "keras.Model", size: tuple[int, int] | None) -> tuple[int, int]:
    fixed = tuple(model.inputs[0].shape[1:3])
    if size is None and None in fixed:
        raise InvalidInput(f"{model.name!r} takes images of any size: pass `image_size`.")
    if size is not None and any(side not in (None, expected) for side, expected in zip(fixed, size, strict=True)):
        raise InvalidInput(f"`image_size` must be {fixed}, which {model.name!r} was built for. Received: {size}")
    return size or fixed
