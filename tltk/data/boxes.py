"""The targets of object detection: the boxes of each image."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.data.strata import rarest_classes
from tltk.data.targets import Targets, as_objects, register_targets
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import Boxes, LabelSpec

NO_OBJECT = -1  # label of a row of padding


@dataclass(frozen=True, eq=False)
class BoxTargets(Targets):
    """The boxes of each image: object [n] of `Boxes`.

    Args:
        values: Object [n] of `Boxes`, in pixels of the original images.
        sizes: Height and width of each original image as it is decoded, int32 [n, 2].

    Raises:
        InvalidInput: If there is not one size per image.

    Examples:
        >>> values = np.array([None, None], object)
        >>> values[:] = [Boxes([[1, 2, 3, 4]], [0]), Boxes([], [])]
        >>> targets = BoxTargets(values, [[10, 10], [20, 30]])
        >>> targets.counts(LabelSpec(("cat", "dog"), "boxes"))
        {'cat': 1, 'dog': 0}
    """

    sizes: Any = None

    def __post_init__(self) -> None:
        sizes = np.zeros((0, 2), np.int32) if self.sizes is None else np.asarray(self.sizes, np.int32).reshape(-1, 2)
        if len(sizes) != len(self.values):
            raise InvalidInput(
                f"`sizes` must have height and width of the {len(self.values)} images. Received: "
                f"{None if self.sizes is None else list(np.shape(self.sizes))}"
            )
        object.__setattr__(self, "sizes", sizes)

    def take(self, indices: np.ndarray | Sequence[int]) -> "BoxTargets":
        """Return the targets at these indices, in that order."""
        rows = np.asarray(indices, np.int64)
        return BoxTargets(self.values[rows], self.sizes[rows])

    @property
    def element_spec(self) -> Any:
        """Specs of the tensors that `batch` returns."""
        import tensorflow as tf

        return {
            "boxes": tf.TensorSpec([None, None, 4], tf.float32),
            "labels": tf.TensorSpec([None, None], tf.int32),
            "ignored": tf.TensorSpec([None, None], tf.bool),
            "areas": tf.TensorSpec([None, None], tf.float32),
        }

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the boxes of a batch in the form that augmentations take.

        Args:
            rows: Indices of its examples, int64 [b].

        Returns:
            "boxes" float32 [b, k, 4] in pixels of the original images, "labels" int32, "ignored" bool and "areas"
            float32 [b, k]. k is the largest number of boxes in the batch; rows of padding have the label -1 and the
            box 0, 0, 0, 0.
        """
        return pad_boxes([self.values[row] for row in rows])

    def label(self, index: int, labels: LabelSpec) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Return name and (y_min, x_min, y_max, x_max) of each box."""
        boxes = self.values[index]
        names = (_named(boxes, row, labels) for row in range(len(boxes)))
        return tuple(zip(names, map(tuple, boxes.boxes.tolist()), strict=True))

    def cell(self, index: int, labels: LabelSpec) -> str:
        """Return how many boxes of each label an image has."""
        boxes = self.values[index]
        counts = Counter(_named(boxes, row, labels) for row in range(len(boxes)))
        return check.listing(f"{count} {name}" for name, count in counts.items()) or "no box"

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of boxes per label, without ignored ones."""
        classes = [boxes.classes[~boxes.ignored] for boxes in self.values]
        counts = np.bincount(np.concatenate([np.zeros(0, np.int32), *classes]), minlength=len(labels))
        return {name: int(count) for name, count in zip(labels.names, counts, strict=True)}

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of boxes, of labels, and of images without a box."""
        counts = [int((~boxes.ignored).sum()) for boxes in self.values]
        ignored = sum(map(len, self.values)) - sum(counts)
        texts = [f"{sum(counts):,} boxes of {len(labels)} classes"]
        texts += [f"{ignored:,} ignored boxes"] * (ignored > 0)
        texts += [f"{counts.count(0):,} images without a box"] * (0 in counts)
        return ", ".join(texts)

    def contents(self, classes: int) -> np.ndarray:
        """Return whether an image contains a class, bool [n, classes]; ignored boxes do not count.

        Args:
            classes: Number of classes.
        """
        contents = np.zeros((len(self.values), classes), bool)
        for row, boxes in enumerate(self.values):
            contents[row, boxes.classes[~boxes.ignored]] = True
        return contents

    def strata(self) -> np.ndarray:
        """Return the rarest class that each image contains."""
        largest = max((int(boxes.classes.max()) for boxes in self.values if len(boxes)), default=-1)
        return rarest_classes(self.contents(largest + 1))

    def relabelled(self, labels: LabelSpec, new_labels: LabelSpec) -> "BoxTargets":
        """Return the indices of the same names in `new_labels`."""
        numbers = np.array([new_labels.names.index(name) for name in labels.names], np.int32)
        return BoxTargets(
            as_objects(
                [Boxes(boxes.boxes, numbers[boxes.classes], boxes.ignored, boxes.area) for boxes in self.values]
            ),
            self.sizes,
        )

    def tobytes(self) -> bytes:
        """Return the bytes of all boxes and of the sizes of the images."""
        return b"".join((self.sizes.tobytes(), *(boxes.tobytes() for boxes in self.values)))


def pad_boxes(values: Sequence[Boxes]) -> dict[str, np.ndarray]:
    """Join the boxes of several images to arrays; see `BoxTargets.batch`."""
    shape = len(values), max(map(len, values), default=0)
    boxes, areas, ignored = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32), np.zeros(shape, bool)
    labels = np.full(shape, NO_OBJECT, np.int32)
    for row, value in enumerate(values):
        boxes[row, : len(value)] = value.boxes
        labels[row, : len(value)] = value.classes
        ignored[row, : len(value)] = value.ignored
        areas[row, : len(value)] = value.area
    return {"boxes": boxes, "labels": labels, "ignored": ignored, "areas": areas}


def _named(boxes: Boxes, row: int, labels: LabelSpec) -> str:
    return labels.names[boxes.classes[row]] + " (ignored)" * bool(boxes.ignored[row])


register_targets("boxes", BoxTargets)
