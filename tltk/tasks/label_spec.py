"""The labels of a task, in every form that its constructor takes."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidType
from tltk.specs import LabelSpec
from tltk.specs.labels import as_names

Labels: TypeAlias = LabelSpec | Sequence[str] | np.ndarray | Source | tf.data.Dataset  # see `label_spec`


def label_spec(labels: Labels, label_type: str) -> LabelSpec:
    """Return the labels that the constructor of a task was given in any form.

    Args:
        labels: A LabelSpec, which is returned unchanged; names as a list, tuple, array or dict of
            class index → name; a Source; or a dataset with
            `class_names`, as `keras.utils.image_dataset_from_directory` returns.
        label_type: Type of labels that are given as names.

    Raises:
        InvalidType: If `labels` is anything else, a source without labels, or a dataset without class names.
        InvalidInput: If there are no names, or a name is repeated.
    """
    names: Any = labels.labels if isinstance(labels, Source) else labels
    if isinstance(labels, tf.data.Dataset):
        names = class_names(labels)
        if not names:
            raise InvalidType(
                "`labels` is a tf.data.Dataset without `class_names`: keras.utils.image_dataset_from_directory sets "
                "them, but map, batch and take do not keep them. Pass the names as a list."
            )
    if isinstance(names, LabelSpec):
        return names
    if not isinstance(names, list | tuple | np.ndarray | Mapping):
        check.instance_of("labels", names, LabelSpec, hint='Pass `source.labels`, or a list of names: ["cat", "dog"].')
    return LabelSpec(as_names(names), label_type)


def class_names(data: tf.data.Dataset) -> tuple[str, ...] | None:
    """Return the `class_names` that `keras.utils.image_dataset_from_directory` gives its datasets; None if absent."""
    names = getattr(data, "class_names", None)
    return None if names is None else tuple(map(str, names))
