"""Boxes and masks in memory, as the targets of images in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tltk.data.boxes import BoxTargets
from tltk.data.masks import IGNORE, MaskTargets, array_targets
from tltk.data.targets import as_objects
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import Boxes, LabelSpec
from tltk.specs.labels import as_names, clean_name

_BOX_KEYS = ("boxes", "labels", "ignored", "area")


def boxes_of(y: Any, pixels: np.ndarray, labels: Any) -> tuple[BoxTargets, LabelSpec]:
    """Convert boxes in memory to targets.

    Args:
        y: For each image, `Boxes`, or a dict of "boxes" [k, 4] (y_min, x_min, y_max, x_max) in pixels, "labels" [k]
            (names, or indices of `labels`), and, if wanted, "ignored" [k] and "area" [k].
        pixels: The images, [n, height, width, channels].
        labels: Names of the classes, or a `LabelSpec`; None for those that occur, sorted.

    Raises:
        InvalidInput: If there is not one item per image, boxes are invalid or lie outside of their image, or a label is
            unknown; all are listed.
    """
    _check_count(y, len(pixels), pixels)
    names = _names(labels)
    if names is None:
        occurring = {clean_name(label) for item in y for label in _labels(item) if isinstance(label, str)}
        if not occurring:
            raise InvalidInput("`labels` must name the classes: no box of `y` has a class name.")
        names = tuple(sorted(occurring))
    problems = check.Problems()
    values = []
    for row, item in enumerate(y):
        try:
            values.append(_as_boxes(item, names, pixels.shape[1:3]))
        except InvalidInput as error:
            problems.add(f"`y`[{row}]: {error}")
    problems.raise_if_any()
    sizes = np.tile(np.array(pixels.shape[1:3], np.int32), (len(pixels), 1))
    return BoxTargets(as_objects(values), sizes), LabelSpec(names, "boxes")


def masks_of(y: Any, pixels: np.ndarray, labels: Any) -> tuple[MaskTargets, LabelSpec]:
    """Convert masks in memory to targets.

    Args:
        y: Class of each pixel, integers [n, height, width] of the size of the images; 255 for pixels that do not count.
        pixels: The images, [n, height, width, channels].
        labels: Names of the classes, or a `LabelSpec`; None for "0", "1" ….

    Raises:
        InvalidInput: If the shape or dtype is wrong, or a value has no class.
    """
    masks = np.asarray(y)
    masks = masks[..., 0] if masks.ndim == 4 and masks.shape[-1] == 1 else masks
    if masks.dtype.kind not in "uib" or masks.shape != pixels.shape[:3]:
        raise InvalidInput(
            f'`y` must be integers of the shape {list(pixels.shape[:3])} for label_type="masks". Received: '
            f"{masks.dtype} {list(masks.shape)}"
        )
    values = np.unique(masks)
    counted = values[values != IGNORE]
    names = _names(labels) or tuple(str(value) for value in range(int(counted.max(initial=1)) + 1)[: IGNORE + 1])
    unknown = counted[(counted < 0) | (counted >= len(names))]
    if len(unknown) or not 1 < len(names) <= IGNORE:
        raise InvalidInput(
            f"`y` must hold the numbers of 2 to {IGNORE} classes, or {IGNORE}. Received: {len(names)} classes"
            + (f", and the values {check.listing(unknown, limit=5)}" if len(unknown) else "")
        )
    return array_targets(masks.astype(np.uint8), len(names)), LabelSpec(names, "masks")


# Label type → y, pixels and labels → targets and labels.
CONVERTERS: dict[str, Callable[[Any, np.ndarray, Any], tuple[Any, LabelSpec]]] = {"boxes": boxes_of, "masks": masks_of}


def _check_count(y: Any, count: int, pixels: np.ndarray) -> None:
    is_list = isinstance(y, Sequence | np.ndarray) and not isinstance(y, str | bytes)
    if not is_list or len(y) != count or pixels.ndim != 4:
        received = f"{len(y)} items" if is_list else type(y).__name__
        raise InvalidInput(f"`y` must be a list of {count} dicts or `Boxes`, one per image. Received: {received}")


def _names(labels: Any) -> tuple[str, ...] | None:
    return None if labels is None else labels.names if isinstance(labels, LabelSpec) else as_names(labels)


def _labels(item: Any) -> Sequence[Any]:
    labels = item.get("labels", ()) if isinstance(item, Mapping) else ()
    return np.asarray(labels).tolist() if hasattr(labels, "__array__") else labels


def _as_boxes(item: Any, names: tuple[str, ...], size: tuple[int, ...]) -> Boxes:
    """Return the boxes of an image.

    Raises:
        InvalidInput: If they are invalid.
    """
    if isinstance(item, Boxes):
        boxes = item
    elif isinstance(item, Mapping) and {"boxes", "labels"} <= set(item):
        check.known_keys("y", item, _BOX_KEYS)
        classes = [_class_index(label, names) for label in _labels(item)]
        boxes = Boxes(item["boxes"], classes, item.get("ignored"), item.get("area"))
    else:
        raise InvalidInput(f'must be `Boxes`, or a dict of "boxes" and "labels". Received: {item!r:.60}')
    height, width = size
    limits = np.array([height, width], np.float32)
    outside = (boxes.boxes[:, :2] < 0).any(1) | (boxes.boxes[:, 2:] > limits).any(1)
    flat = (boxes.boxes[:, 2:] <= boxes.boxes[:, :2]).any(1)
    if outside.any() or flat.any():
        box = boxes.boxes[np.flatnonzero(outside | flat)[0]].tolist()
        raise InvalidInput(
            f"boxes must have an area, and lie in their image of {width} x {height} pixels. Received: {box}"
        )
    if len(boxes) and boxes.classes.max() >= len(names):
        raise InvalidInput(f"classes must be below {len(names)}, the number of labels. Received: {boxes.classes.max()}")
    return boxes


def _class_index(label: Any, names: tuple[str, ...]) -> int:
    if check.is_whole(label) and 0 <= label < len(names):
        return int(label)
    name = clean_name(label) if isinstance(label, str) else label
    if name not in names:
        raise InvalidInput(f"{label!r} is not one of the {len(names)} classes.{check.did_you_mean(label, names)}")
    return names.index(name)
