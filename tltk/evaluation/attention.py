"""What predictions depend on: Grad-CAM (Selvaraju et al. 2017)."""

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tltk.foundation import keras_graph as graph
from tltk.models.features import features
from tltk.models.transfer_model import TransferModel


class Attention(NamedTuple):
    """What predictions depend on.

    Attributes:
        scores: The highest output of each element, such as the logit of the predicted class, float32 [n].
        maps: How much it depends on each position of the features, in [0, 1], float32 [n, height, width]; height 1 for
            features along time. None if the features of the model have no positions.
    """

    scores: np.ndarray
    maps: np.ndarray | None


def attention(model: TransferModel, inputs: np.ndarray) -> Attention | None:
    """Compute Grad-CAM: features of the last stage, weighted by the mean gradient of the highest output.

    Args:
        model: With one output per element.
        inputs: Inputs of the network, [n, …].

    Returns:
        Scores and maps; None if the model has several outputs, or outputs for positions.
    """
    network = model.keras
    if len(network.outputs) != 1 or len(network.outputs[0].shape) != 2:
        return None
    tensor, outputs = features(model), _logits(network)
    part = keras.Model(network.inputs[0], [tensor, outputs])
    values = tf.constant(inputs, model.input_spec.dtype)
    with tf.GradientTape() as tape:
        tape.watch(values)
        maps, scores = part(values, training=False)
        best = tf.reduce_max(scores, -1)
    if len(tensor.shape) not in (3, 4):
        return Attention(best.numpy().astype(np.float32), None)
    gradients = tape.gradient(best, maps)
    axes = tuple(range(1, len(tensor.shape) - 1))
    weights = tf.reduce_mean(tf.cast(gradients, tf.float32), axes, keepdims=True)
    positive = tf.nn.relu(tf.reduce_sum(weights * tf.cast(maps, tf.float32), -1)).numpy()
    if positive.ndim == 2:
        positive = positive[:, None]
    highest = positive.max((1, 2), keepdims=True)
    return Attention(best.numpy().astype(np.float32), positive / np.where(highest > 0, highest, 1))


def _logits(network: keras.Model) -> keras.KerasTensor:
    """Return the input of a final activation, whose gradient does not vanish where the model is sure; or the output."""
    last = graph.nodes(network)[-1]
    is_activation = isinstance(last.operation, keras.layers.Activation)
    return last.input_tensors[0] if is_activation else network.outputs[0]
