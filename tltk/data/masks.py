"""The targets of semantic segmentation: a mask for each image, read together with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tltk.data.strata import rarest_classes
from tltk.data.targets import Targets, as_objects, register_targets
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import LabelSpec

IGNORE = 255  # value of pixels that count neither in the loss nor in the metrics


@dataclass(frozen=True, eq=False)
class MaskTargets(Targets):
    """The class of each pixel, in masks that are read together with their batch.

    Args:
        values: Object [n], what `read_value` takes: the path of a file, an array, polygons.
        read_value: One of `values` → uint8 [height, width] of the original size, class numbers, 255 for pixels that do
            not count; called in the reading threads. It raises an OSError or ValueError for an unreadable
            mask, whose example is left out and listed as invalid.
        sizes: Height and width of each original image as it is decoded, int32 [n, 2]; None if unknown.
        contents: Whether an image contains a class, bool [n, classes]; None if unknown. The split depends on it.

    Raises:
        InvalidInput: If there is not one row of `sizes` or `contents` per image.
    """

    read_value: Callable[[Any], np.ndarray] = np.asarray
    sizes: Any = None
    contents: Any = None

    def __post_init__(self) -> None:
        problems = check.Problems()
        for name in ("sizes", "contents"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.values):
                problems.add(f"`{name}` must have {len(self.values)} rows, one per image. Received: {len(values)}")
        problems.raise_if_any()

    def take(self, indices: np.ndarray | Sequence[int]) -> "MaskTargets":
        """Return the targets at these indices, in that order; nothing is read."""
        rows = np.asarray(indices, np.int64)
        sizes, contents = (None if values is None else values[rows] for values in (self.sizes, self.contents))
        return replace(self, values=self.values[rows], sizes=sizes, contents=contents)

    @property
    def element_spec(self) -> Any:
        """Spec of the tensor that `batch` returns."""
        import tensorflow as tf

        return {"masks": tf.TensorSpec([None, None, None], tf.uint8)}

    def read_mask(self, index: int) -> np.ndarray:
        """Read the mask of one image.

        Returns:
            Class numbers, uint8 [height, width].

        Raises:
            OSError: If its file cannot be read.
            InvalidInput: If it is damaged, or its size is not that of its image.
        """
        mask = np.asarray(self.read_value(self.values[index]))
        if mask.ndim != 2 or mask.dtype != np.uint8:
            raise InvalidInput(f"a mask must be uint8 [height, width]. Received: {mask.dtype}{list(mask.shape)}")
        if self.sizes is not None and tuple(self.sizes[index]) != mask.shape:
            (height, width), (rows, columns) = self.sizes[index], mask.shape
            raise InvalidInput(f"the mask has {columns} x {rows} pixels, its image {width} x {height}")
        return mask

    def read_masks(self, rows: np.ndarray) -> tuple[list[np.ndarray], dict[int, str]]:
        """Read the masks of several images, each in its own size.

        Args:
            rows: Indices of examples, int64 [b].

        Returns:
            uint8 [height, width] of those that can be read, in order; and index → reason for the others.
        """
        masks, unreadable = [], {}
        for row in rows:
            try:
                masks.append(self.read_mask(row))
            except (OSError, ValueError, EOFError) as error:
                unreadable[int(row)] = f"its mask cannot be read: {error}"
        return masks, unreadable

    def read(self, rows: np.ndarray) -> tuple[Any, dict[int, str]]:
        """Return the masks of a batch that can be read, as `batch` does, and index → reason for the others."""
        masks, unreadable = self.read_masks(rows)
        return {"masks": pad_masks(masks)}, unreadable

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Read the masks of a batch.

        Args:
            rows: Indices of its examples, int64 [b].

        Returns:
            "masks" uint8 [b, height, width] of the largest height and width, padded below and right with 255.

        Raises:
            InvalidInput: Naming every mask that cannot be read.
        """
        batch, unreadable = self.read(rows)
        if unreadable:
            raise InvalidInput(f"masks cannot be read: {check.listing(unreadable.values())}")
        return batch

    def label(self, index: int, labels: LabelSpec) -> np.ndarray:
        """Read the mask of one image, uint8 [height, width]."""
        return self.read_mask(index)

    def cell(self, index: int, labels: LabelSpec) -> str:
        """Return the fraction of pixels of each class."""
        mask = self.read_mask(index)
        counts = np.bincount(mask.ravel(), minlength=IGNORE + 1)
        names = {**dict(enumerate(labels.names)), IGNORE: "ignored"}
        shown = sorted(np.flatnonzero(counts), key=lambda value: -counts[value])
        return check.listing(f"{counts[value] / mask.size:.1%} {names.get(int(value), value)}" for value in shown)

    def counts(self, labels: LabelSpec) -> dict[str, int]:
        """Return the number of images per class that contain it; empty if unknown."""
        if self.contents is None:
            return {}
        return {name: int(count) for name, count in zip(labels.names, self.contents.sum(0), strict=True)}

    def describe(self, labels: LabelSpec) -> str:
        """Return the number of classes."""
        return f"masks of {len(labels)} classes"

    def strata(self) -> np.ndarray | None:
        """Return the rarest class that each image contains; None if unknown."""
        return None if self.contents is None else rarest_classes(self.contents)

    def relabelled(self, labels: LabelSpec, new_labels: LabelSpec) -> "MaskTargets":
        """Return the numbers of the same names in `new_labels`."""
        numbers = [new_labels.names.index(name) for name in labels.names]
        contents = None
        if self.contents is not None:
            contents = np.zeros((len(self.values), len(new_labels)), bool)
            contents[:, numbers] = self.contents
        return replace(self, read_value=Renumbered(self.read_value, tuple(numbers)), contents=contents)

    def tobytes(self) -> bytes:
        """Return bytes of each value, from its `tobytes` if it has such a method."""
        texts = (value.tobytes() if hasattr(value, "tobytes") else repr(value).encode() for value in self.values)
        return b"\0".join(texts)


@dataclass(frozen=True)
class Renumbered:
    """Reads a mask and gives its classes other numbers; 255 stays.

    Args:
        read_value: Reads a mask.
        numbers: New number of each class.
    """

    read_value: Callable[[Any], np.ndarray]
    numbers: tuple[int, ...]

    def __call__(self, value: Any) -> np.ndarray:
        table = np.full(IGNORE + 1, IGNORE, np.uint8)
        table[: len(self.numbers)] = self.numbers
        return table[self.read_value(value)]


def pad_masks(masks: Sequence[np.ndarray]) -> np.ndarray:
    """Join masks of several sizes to uint8 [b, height, width]; see `MaskTargets.batch`."""
    height, width = (max((mask.shape[axis] for mask in masks), default=0) for axis in (0, 1))
    padded = np.full((len(masks), height, width), IGNORE, np.uint8)
    for row, mask in enumerate(masks):
        padded[row, : mask.shape[0], : mask.shape[1]] = mask
    return padded


def array_targets(masks: np.ndarray, classes: int) -> MaskTargets:
    """Return the targets of masks in memory.

    Args:
        masks: Class numbers, uint8 [n, height, width].
        classes: Number of classes.
    """
    contents = np.array([np.bincount(mask.ravel(), minlength=classes)[:classes] > 0 for mask in masks])
    sizes = np.tile(np.array(masks.shape[1:], np.int32), (len(masks), 1))
    return MaskTargets(as_objects(list(masks)), sizes=sizes, contents=contents.reshape(-1, classes))


register_targets("masks", MaskTargets)
