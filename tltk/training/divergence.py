"""Why a training loss became NaN or infinite: which layer was first, found on the batch at which it happened."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph
from tltk.models.frozen_split import functional_parts


def explain(
    model: keras.Model, batch: Any, *, good_weights: tuple[keras.Model, list[np.ndarray]], stages: dict[str, str]
) -> str:
    """Say what is not finite first: the data, the output of a layer, the loss, or the gradient of a layer.

    The step is done once more on the same batch, layer by layer, with the last weights that were kept: those at which
    it happened are lost, since the step has changed them.

    Args:
        model: The fitted model, compiled.
        batch: Inputs, targets and sample weights, as `model.fit` takes them.
        good_weights: The whole model and its last good weights, which are assigned.
        stages: Layer name → stage.

    Returns:
        A sentence.
    """
    whole, weights = good_weights
    whole.set_weights(weights)
    inputs, targets, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
    for name, values in (("inputs", inputs), ("targets", targets), ("sample weights", sample_weight)):
        if not _all_finite(keras.tree.flatten(values)):
            return f"The {name} of this batch have values that are not finite."
    for layer, outputs in _layer_outputs(model, inputs):
        if not _all_finite(outputs):
            return f"The first values that are not finite are the outputs of {_named(layer, stages)}."
    with tf.GradientTape() as tape:
        predictions = model(inputs, training=True)
        loss = model.compute_loss(inputs, targets, predictions, sample_weight)
    if not _all_finite([loss]):
        return "The outputs of the model are finite, its loss is not."
    variables = [variable for variable in model.trainable_variables if variable.trainable]
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    computed = [pair for pair in zip(variables, gradients, strict=True) if pair[1] is not None]
    bad = [variable.path for variable, gradient in computed if not _all_finite([gradient])]
    if bad:
        return f"Outputs and loss are finite, but not the gradients of {check.listing(reversed(bad), limit=3)}."
    return _too_large(computed)


def _too_large(gradients: Sequence[tuple[keras.Variable, Any]]) -> str:
    """Say that steps were too large, and which weights a step changes most, relative to their size."""
    message = "With the last good weights this batch is finite: the steps after them were too large."
    norms = [
        (float(tf.norm(tf.convert_to_tensor(gradient))), float(tf.norm(variable.value)), variable.path)
        for variable, gradient in gradients
    ]
    ratios = [(gradient / weight, gradient, weight, path) for gradient, weight, path in norms if weight and gradient]
    if not ratios:
        return message
    _, gradient, weight, path = max(ratios)
    largest = f"Relative to their norm ({weight:.2g}), the weights {path} have the largest gradient ({gradient:.2g})."
    return f"{message} {largest}"


def _layer_outputs(model: keras.Model, inputs: Any) -> Iterator[tuple[str, Sequence[Any]]]:
    """Yield the name of each layer, from the inputs to the outputs, and its outputs in inference mode."""
    for part in functional_parts(model):
        tensors = dict(zip(map(id, part.inputs), keras.tree.flatten(inputs), strict=True))
        for node in graph.nodes(part):
            if not node.is_input:
                graph.call_nodes([node], tensors)  # no new model can be built from the layers of a frozen split
                yield node.operation.name, [tensors[id(output)] for output in node.outputs]
        inputs = [tensors[id(output)] for output in part.outputs]


def _named(layer: str, stages: dict[str, str]) -> str:
    return f"the layer {layer!r}" + (f" (stage {stages[layer]})" if layer in stages else "")


def _all_finite(tensors: Sequence[Any]) -> bool:
    """Tell whether all floating-point values are finite."""
    arrays = (tf.convert_to_tensor(tensor) for tensor in tensors if tensor is not None)
    return all(bool(tf.reduce_all(tf.math.is_finite(array))) for array in arrays if array.dtype.is_floating)
