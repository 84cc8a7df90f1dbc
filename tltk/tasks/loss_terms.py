"""Losses for uneven classes: class weights, focal loss, logit adjustment and label smoothing, from probabilities."""

from dataclasses import dataclass
from typing import Any

import keras

_SMALLEST = 1e-7  # probability whose logarithm is taken, as in Keras


@dataclass(frozen=True)
class LossTerms:
    """What changes the loss of a training on uneven classes; the defaults leave it as it is.

    Args:
        class_weights: Weight of each class; for several labels, of its positives. () for equal weights.
        negative_weights: Weight of the negatives of each label, for several labels.
        focal_gamma: Exponent of the focal loss (Lin et al. 2017, equation 4).
        logit_offsets: Added to the logits of the classes (Menon et al. 2021, equation 10). () for none.
        label_smoothing: Fraction of each target spread over all classes; None keeps that of the task.
    """

    class_weights: tuple[float, ...] = ()
    negative_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0
    logit_offsets: tuple[float, ...] = ()
    label_smoothing: float | None = None


NO_TERMS = LossTerms()


def class_losses(targets: Any, probabilities: Any, terms: LossTerms, *, smoothing: float = 0.0) -> Any:
    """Compute the cross-entropy of exclusive classes.

    Args:
        targets: Rows of probabilities, float32 [..., classes].
        probabilities: Outputs of a softmax, float32 [..., classes].
        terms: What changes the loss.
        smoothing: Label smoothing, unless `terms` have another.

    Returns:
        float32 [...].
    """
    ops = keras.ops
    classes = probabilities.shape[-1]
    smoothing = smoothing if terms.label_smoothing is None else terms.label_smoothing
    targets = targets * (1.0 - smoothing) + smoothing / classes
    logits = ops.log(ops.clip(probabilities, _SMALLEST, 1.0))
    if terms.logit_offsets:
        logits += ops.convert_to_tensor(terms.logit_offsets, "float32")
    log_probabilities = ops.log_softmax(logits, axis=-1)
    losses = -targets * log_probabilities
    if terms.class_weights:
        losses *= ops.convert_to_tensor(terms.class_weights, "float32")
    if terms.focal_gamma:
        losses *= ops.power(1.0 - ops.exp(log_probabilities), terms.focal_gamma)
    return ops.sum(losses, axis=-1)


def label_losses(targets: Any, probabilities: Any, terms: LossTerms, *, smoothing: float = 0.0) -> Any:
    """Compute the binary cross-entropy of several labels, averaged over them.

    Args:
        targets: 0/1, float32 [batch, labels].
        probabilities: Outputs of a sigmoid, float32 [batch, labels].
        terms: What changes the loss.
        smoothing: Label smoothing, unless `terms` have another.

    Returns:
        float32 [batch].
    """
    ops = keras.ops
    smoothing = smoothing if terms.label_smoothing is None else terms.label_smoothing
    targets = targets * (1.0 - smoothing) + smoothing / 2
    clipped = ops.clip(probabilities, _SMALLEST, 1.0 - _SMALLEST)
    logits = ops.log(clipped) - ops.log(1.0 - clipped)
    if terms.logit_offsets:
        logits += ops.convert_to_tensor(terms.logit_offsets, "float32")
    positives, negatives = ops.softplus(-logits) * targets, ops.softplus(logits) * (1.0 - targets)
    if terms.class_weights:
        positives *= ops.convert_to_tensor(terms.class_weights, "float32")
        negatives *= ops.convert_to_tensor(terms.negative_weights, "float32")
    if terms.focal_gamma:
        positives *= ops.power(ops.sigmoid(-logits), terms.focal_gamma)
        negatives *= ops.power(ops.sigmoid(logits), terms.focal_gamma)
    return ops.mean(positives + negatives, axis=-1)


class ClassLoss(keras.losses.Loss):
    """Cross-entropy of exclusive classes, one-hot targets [batch, classes].

    Args:
        terms: What changes the loss.
        smoothing: Label smoothing of the task.
    """

    losses = staticmethod(class_losses)

    def __init__(self, terms: LossTerms, smoothing: float = 0.0) -> None:
        super().__init__()
        self.terms, self.smoothing = terms, smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each example, float32 [batch]."""
        return self.losses(y_true, y_pred, self.terms, smoothing=self.smoothing)


class LabelLoss(ClassLoss):
    """Binary cross-entropy of several labels, 0/1 targets [batch, labels]."""

    losses = staticmethod(label_losses)


class BalancedAccuracy(keras.metrics.Metric):
    """Mean recall of the classes that occur, from rows of probabilities.

    Args:
        classes: Number of classes.
        name: Name of the metric.
    """

    def __init__(self, classes: int, name: str = "balanced_accuracy") -> None:
        super().__init__(name=name)
        self.classes = classes
        self.hits = self.add_weight(name="hits", shape=(classes,), initializer="zeros")
        self.actual = self.add_weight(name="actual", shape=(classes,), initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: targets and probabilities [batch, classes], weights [batch]."""
        ops = keras.ops
        true = ops.one_hot(ops.argmax(y_true, axis=-1), self.classes, dtype="float32")
        if sample_weight is not None:
            true *= ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        predicted = ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes, dtype="float32")
        self.hits.assign_add(ops.sum(true * predicted, axis=0))
        self.actual.assign_add(ops.sum(true, axis=0))

    def result(self) -> Any:
        """Return the mean over the classes with examples."""
        ops = keras.ops
        occurs = ops.cast(self.actual > 0, "float32")
        return ops.sum(self.hits / ops.maximum(self.actual, 1e-7)) / ops.maximum(ops.sum(occurs), 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"classes": self.classes, "name": self.name}
