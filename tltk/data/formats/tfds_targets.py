"""Boxes and masks of TensorFlow Datasets builders."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tltk.data.boxes import BoxTargets
from tltk.data.formats.annotated_images import AnnotatedImage, Annotation, boxes_in_pixels
from tltk.data.formats.image_sizes import ImageSize, image_size, is_stored
from tltk.data.formats.mask_files import MaskFile, MaskReader, read_values
from tltk.data.invalid import Invalid
from tltk.data.masks import IGNORE, MaskTargets
from tltk.data.targets import as_objects
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import LabelSpec

_IGNORED = ("is_crowd", "is_difficult")


def has_boxes(feature: Any) -> bool:
    """Tell whether a feature is a sequence of "bbox" and "label", as that of COCO and VOC."""
    inner = getattr(feature, "feature", None)
    return inner is not None and hasattr(inner, "keys") and {"bbox", "label"} <= set(inner.keys())


def box_targets(
    objects: Iterable[dict[str, np.ndarray]], images: Iterable[bytes], feature: Any, ids: np.ndarray, invalid: Invalid
) -> tuple[BoxTargets, LabelSpec]:
    """Return the boxes of a split.

    TensorFlow Datasets has boxes in fractions of the stored pixels; those of images that viewers turn are turned.

    Args:
        objects: For each example "bbox" [k, 4] (y_min, x_min, y_max, x_max) and "label" [k]; "is_crowd" or
            "is_difficult" marks boxes to ignore.
        images: The encoded image of each example; only headers are read.
        feature: The feature of the objects.
        ids: Id of each example.
        invalid: Boxes outside of their image or without area, or without a label, are added to it.
    """
    labels = LabelSpec(tuple(feature.feature["label"].names), "boxes")
    values, sizes = [], []
    for example_id, item, data in zip(ids, objects, images, strict=True):
        header = image_size(data)
        # An image that cannot be read is left out when it is decoded; its boxes are not needed.
        size = ImageSize(1, 1) if isinstance(header, str) else header
        annotations = [] if isinstance(header, str) else list(_annotations(example_id, item, len(labels), invalid))
        image = AnnotatedImage(example_id, "", annotations, annotated_size=size.stored)
        values.append(boxes_in_pixels(image, size, invalid, normalized=True))
        sizes.append((size.height, size.width))
    return BoxTargets(as_objects(values), np.array(sizes, np.int32)), labels


def _annotations(example_id: str, item: dict[str, np.ndarray], classes: int, invalid: Invalid) -> Iterator[Annotation]:
    ignored = np.zeros(len(item["label"]), bool)
    for name in _IGNORED:
        ignored |= np.asarray(item.get(name, ignored), bool)
    for row, (box, label) in enumerate(zip(item["bbox"], item["label"], strict=True)):
        place = f"object {row}"
        if not np.isfinite(box).all() or not 0 <= label < classes:
            reason = f"must have a box and a label. Received: {box.tolist()}, {label}"
            invalid.add(f"{place} ({example_id})", reason, is_annotation=True)
        else:
            y_min, x_min, y_max, x_max = box.tolist()
            yield Annotation(place, (y_min, x_min, y_max, x_max), int(label), bool(ignored[row]))


def mask_targets(masks: Iterable[bytes], images: Iterable[bytes], name: str) -> tuple[MaskTargets, LabelSpec]:
    """Return the masks of a split, still encoded; the values that occur are the classes, and 255 does not count.

    Args:
        masks: The encoded mask of each example.
        images: The encoded image of each example; only headers are read.
        name: Name of the feature, for errors.

    Raises:
        InvalidInput: If masks have colours, or fewer than two or more than 255 values.
    """
    values, sizes, occurring = [], [], []
    for mask, data in zip(masks, images, strict=True):
        size = image_size(data)
        mask_values = np.unique(read_values(mask, colours=False))
        mask_size = image_size(mask)
        stored = None if isinstance(mask_size, str) else mask_size.stored
        turned = not isinstance(size, str) and is_stored(stored, size)
        orientation = size.orientation if turned and not isinstance(size, str) else 1
        values.append(MaskFile(name, orientation, mask))
        sizes.append((1, 1) if isinstance(size, str) else (size.height, size.width))
        occurring.append(mask_values[mask_values != IGNORE])
    classes = sorted({int(value) for mask_values in occurring for value in mask_values})
    if not 1 < len(classes) <= IGNORE:
        listed = check.listing(classes, limit=5)
        raise InvalidInput(
            f"`label`={name!r}: masks must have 2 to {IGNORE} values. Received: {len(classes)}: {listed}"
        )
    reader = MaskReader(tuple((value, index) for index, value in enumerate(classes)))
    contents = np.array([np.isin(classes, mask_values) for mask_values in occurring])
    targets = MaskTargets(as_objects(values), reader, np.array(sizes, np.int32), contents)
    return targets, LabelSpec(tuple(map(str, classes)), "masks")
