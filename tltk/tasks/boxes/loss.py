"""Losses of FCOS: focal loss of classes, GIoU loss of boxes, cross-entropy of centreness.

Each returns one value per image whose mean over the batch is the sum over positions, divided by the number of positions
with an object: Keras averages over the batch, and the number of positions says nothing about the objects.
"""

from typing import Any

import keras

from tltk.tasks.boxes.fcos import BACKGROUND
from tltk.tasks.boxes.operations import giou

_CLIP = 1e-6  # probabilities


@keras.saving.register_keras_serializable(package="tltk")
class FocalLoss(keras.losses.Loss):
    """Focal loss of one sigmoid per class (Lin et al. 2017): positions that are easily told from objects hardly count.

    Args:
        gamma: Exponent of the probability of the wrong answer.
        alpha: Weight of the true class of a position; other classes have 1 - alpha.
        name: Name of the loss.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, name: str = "focal_loss") -> None:
        super().__init__(name=name)
        self.gamma, self.alpha = gamma, alpha

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each image.

        Args:
            y_true: [batch, positions, 1], class of each position, -1 for background, -2 to leave it out.
            y_pred: float [batch, positions, classes], probabilities.

        Returns:
            float32 [batch].
        """
        ops = keras.ops
        classes = ops.cast(y_true[..., 0], "int32")
        target = ops.one_hot(classes, y_pred.shape[-1], dtype="float32")  # zeros for negative classes
        predicted = ops.clip(ops.cast(y_pred, "float32"), _CLIP, 1 - _CLIP)
        correct = target * predicted + (1 - target) * (1 - predicted)
        weights = (target * self.alpha + (1 - target) * (1 - self.alpha)) * (1 - correct) ** self.gamma
        losses = ops.sum(-weights * ops.log(correct), axis=-1) * ops.cast(classes >= BACKGROUND, "float32")
        return _per_object(ops.sum(losses, axis=1), ops.cast(classes >= 0, "float32"))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"gamma": self.gamma, "alpha": self.alpha, "name": self.name}


@keras.saving.register_keras_serializable(package="tltk")
class BoxLoss(keras.losses.Loss):
    """1 - GIoU of predicted and true boxes, weighted by the centreness of the position (Tian et al. 2019).

    Args:
        weight: Factor of the loss, relative to that of classes.
        name: Name of the loss.
    """

    def __init__(self, weight: float = 1.0, name: str = "box_loss") -> None:
        super().__init__(name=name)
        self.weight = weight

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each image.

        Args:
            y_true: float [batch, positions, 4], distances to the edges of the object (top, left, bottom, right); 0
                without an object.
            y_pred: float [batch, positions, 4], predicted distances.

        Returns:
            float32 [batch].
        """
        ops = keras.ops
        true, predicted = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        weights = centreness(true)
        # Both boxes relative to the position: their overlap does not depend on where it is.
        overlaps = giou(_around_origin(true), _around_origin(predicted))
        return self.weight * _per_object(ops.sum((1 - overlaps) * weights, axis=1), weights)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"weight": self.weight, "name": self.name}


@keras.saving.register_keras_serializable(package="tltk")
class CentrenessLoss(keras.losses.Loss):
    """Cross-entropy of the centreness of positions with an object."""

    def __init__(self, name: str = "centreness_loss") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each image.

        Args:
            y_true: float [batch, positions, 4], distances to the edges of the object; 0 without an object.
            y_pred: float [batch, positions, 1], predicted centreness in [0, 1].

        Returns:
            float32 [batch].
        """
        ops = keras.ops
        true = ops.cast(y_true, "float32")
        is_object = ops.cast(ops.max(true, axis=-1) > 0, "float32")
        target = centreness(true)
        predicted = ops.clip(ops.cast(y_pred[..., 0], "float32"), _CLIP, 1 - _CLIP)
        losses = -(target * ops.log(predicted) + (1 - target) * ops.log(1 - predicted))
        return _per_object(ops.sum(losses * is_object, axis=1), is_object)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"name": self.name}


def centreness(distances: Any) -> Any:
    """Compute how central positions are in their object (Tian et al. 2019, equation 3).

    Args:
        distances: float [..., 4]: top, left, bottom, right.

    Returns:
        float [...]: 1 in the middle, 0 at an edge or without an object.

    Examples:
        >>> centreness([[1.0, 1.0, 4.0, 1.0]]).numpy().tolist()
        [0.5]
    """
    ops = keras.ops
    distances = ops.convert_to_tensor(distances)
    near = ops.minimum(distances[..., :2], distances[..., 2:])
    far = ops.maximum(distances[..., :2], distances[..., 2:])
    ratios = ops.maximum(near, 0.0) / ops.maximum(far, 1e-6)
    return ops.sqrt(ratios[..., 0] * ratios[..., 1])


def _around_origin(distances: Any) -> Any:
    ops = keras.ops
    return ops.concatenate([-distances[..., :2], distances[..., 2:]], axis=-1)


def _per_object(losses: Any, weights: Any) -> Any:
    """Divide sums [batch] by the mean weight of an image, at least that of one position in the batch."""
    ops = keras.ops
    count = ops.cast(ops.shape(losses)[0], "float32")
    return losses * count / ops.maximum(ops.sum(weights), 1.0)
