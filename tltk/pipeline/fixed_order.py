"""Whether a `tf.data.Dataset` yields the same elements in the same order whenever it is read."""

import re
from typing import Any

from tltk.foundation import keras_private as private

_RANDOM = re.compile(r"Random|Multinomial|TruncatedNormal|Gamma|Shuffle|SampleDistortedBoundingBox")
_STATELESS = re.compile(r"Stateless")
_PYTHON = re.compile(r"PyFunc|GeneratorDataset")
_STATE = re.compile(r"ReadVariableOp|Assign.*VariableOp|ResourceGather")


def why_order_varies(dataset: Any) -> str:
    """Say why a dataset may yield other elements, or another order, when it is read again.

    Steps whose order cannot be known count as varying: Python functions, interleaved files that are read in parallel,
    and functions that read variables, as random layers of Keras do.

    Args:
        dataset: A `tf.data.Dataset`.

    Returns:
        The reason, such as "it is shuffled in each epoch"; "" if elements and order are always the same.

    Examples:
        >>> import tensorflow as tf
        >>> why_order_varies(tf.data.Dataset.range(4).shuffle(4).batch(2))
        'it is shuffled anew whenever it is read'
    """
    reasons = [_why_varies(step) for step in private.dataset_steps(dataset)]
    if dataset.options().deterministic is False:
        reasons.append("its options allow any order (deterministic=False)")
    return next((reason for reason in reasons if reason), "")


def _why_varies(step: private.DatasetStep) -> str:
    if step.reshuffles:
        return "it is shuffled anew whenever it is read"
    if step.deterministic == "false" or "ParallelInterleave" in step.name:
        return "it is read in parallel, in an order that may vary"
    if "Random" in step.name or any(_RANDOM.search(name) and not _STATELESS.search(name) for name in step.operations):
        return "it draws random numbers"
    if any(map(_PYTHON.search, step.operations)):
        return "it calls Python functions, which may return something else each time"
    if any(map(_STATE.search, step.operations)):
        return "its functions read variables, which may change"
    return ""
