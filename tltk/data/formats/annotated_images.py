"""Annotated images of all formats become one source: boxes are turned, clipped to their image, or listed as invalid."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.boxes import BoxTargets
from tltk.data.formats.image_sizes import ImageSize, image_sizes, inside, is_stored, mismatch, turn_boxes
from tltk.data.formats.media_files import existing_path, why_missing
from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.data.targets import as_float, as_objects
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.specs import Boxes, LabelSpec
from tltk.specs.labels import as_names, clean_name

_SAMPLED = 20  # images that are looked for in a folder
_NORMALIZED = 1.5  # edges below it, in images of far more pixels, are fractions


@dataclass(frozen=True)
class Annotation:
    """A box as it is in a file.

    Args:
        place: Where it is, such as "annotation 17"; an invalid one is listed by it.
        edges: (y_min, x_min, y_max, x_max) in pixels, or in fractions of the image.
        class_index: Index of its label.
        ignored: Whether it counts neither as an object nor as missed.
        area: Area of the object in pixels; None for that of the box.
    """

    place: str
    edges: tuple[float, float, float, float]
    class_index: int
    ignored: bool = False
    area: float | None = None


@dataclass
class AnnotatedImage:
    """An image with its annotations.

    Args:
        example_id: Its name in reports.
        path: Path of the file.
        annotations: Its boxes.
        annotated_size: Height and width that the annotations state; None if they state none.
        part: "train", "val" or "test"; "" if the data has no parts.
        extra: What a format adds.
    """

    example_id: str
    path: str
    annotations: list[Annotation] = field(default_factory=list)
    annotated_size: tuple[int, int] | None = None
    part: str = ""
    extra: Any = None


def box_source(
    images: Sequence[AnnotatedImage], labels: LabelSpec, invalid: Invalid, *, place: Path, normalized: bool = False
) -> Source:
    """Create a source from annotated images.

    A box is clipped to its image; one outside of it or without area is left out and listed, and so is an image whose
    size cannot be read or is not that of its annotations.

    Args:
        images: The images.
        labels: Labels of the classes.
        invalid: Invalid examples so far; further ones are added.
        place: File or folder of the annotations, for errors.
        normalized: Whether edges are fractions of the image.

    Raises:
        InvalidInput: If no image can be used, or all boxes seem to be in another unit.
    """
    usable, sizes = usable_images(images, invalid, place=place)
    boxes = [
        boxes_in_pixels(image, size, invalid, normalized=normalized) for image, size in zip(usable, sizes, strict=True)
    ]
    _check_unit(usable, sizes, place, normalized=normalized)
    shapes = np.array([(size.height, size.width) for size in sizes], np.int32)
    return source_of(usable, BoxTargets(as_objects(boxes), shapes), labels, invalid)


def source_of(images: Sequence[AnnotatedImage], targets: Any, labels: LabelSpec, invalid: Iterable) -> Source:
    """Return a source of image files with these targets."""
    parts = [image.part for image in images]
    return Source(
        "image",
        "files",
        as_objects([image.path for image in images]),
        targets,
        labels,
        parts=np.array(parts) if any(parts) else None,
        ids=as_objects([image.example_id for image in images]),
        invalid=tuple(invalid),
    )


def usable_images(
    images: Sequence[AnnotatedImage], invalid: Invalid, *, place: Path
) -> tuple[list[AnnotatedImage], list[ImageSize]]:
    """Return the images whose size is known and is that of their annotations, and their sizes.

    Args:
        images: Images whose files exist.
        invalid: The others are added to it.
        place: File or folder of the annotations, for errors.

    Raises:
        InvalidInput: If no image remains.
    """
    usable, usable_sizes = [], []
    for image, size in zip(images, image_sizes([image.path for image in images]), strict=True):
        annotated = image.annotated_size
        if isinstance(size, str):  # a decoder may read it all the same; the validation before a training will tell
            size = size if annotated is None else ImageSize(*annotated)  # noqa: PLW2901
        reason = size if isinstance(size, str) else "" if annotated is None else mismatch(annotated, size)
        if reason or isinstance(size, str):
            invalid.add(image.example_id, reason)
        else:
            usable.append(image)
            usable_sizes.append(size)
    if not usable:
        raise InvalidInput(f"{place} has no image that can be used: {invalid.listing(limit=3) or 'it is empty'}")
    return usable, usable_sizes


def boxes_in_pixels(image: AnnotatedImage, size: ImageSize, invalid: Invalid, *, normalized: bool) -> Boxes:
    """Return the boxes of an image in pixels as a viewer shows it, clipped to it.

    Args:
        image: An image with its annotations.
        size: Its size.
        invalid: Boxes outside of it and boxes without area are added.
        normalized: Whether edges are fractions: of the stored pixels if the annotations state their size.
    """
    annotations = image.annotations
    if not annotations:
        return Boxes([], [])
    limits = np.array([size.height, size.width] * 2, np.float64)
    edges = np.array([annotation.edges for annotation in annotations], np.float64).reshape(-1, 4)
    on_stored = is_stored(image.annotated_size, size)
    edges = edges * np.array((size.stored if on_stored else (size.height, size.width)) * 2) if normalized else edges
    edges = turn_boxes(edges, size) if on_stored else edges
    clipped = edges.clip(0, limits)
    is_box, is_visible = (np.all(boxes[:, 2:] > boxes[:, :2], axis=1) for boxes in (edges, clipped.astype(np.float32)))
    for row in np.flatnonzero(~is_visible):
        y_min, x_min, y_max, x_max = (f"{edge:g}" for edge in edges[row])
        reason = f"lies outside of its image of {size.width} x {size.height} pixels" if is_box[row] else "has no area"
        place = f"{annotations[row].place} ({image.example_id})"
        invalid.add(place, f"the box from ({x_min}, {y_min}) to ({x_max}, {y_max}) {reason}", is_annotation=True)
    kept = np.flatnonzero(is_visible)
    box_areas = (clipped[:, 2:] - clipped[:, :2]).prod(1)
    areas = [box_areas[row] if annotations[row].area is None else annotations[row].area for row in kept]
    classes = [annotations[row].class_index for row in kept]
    return Boxes(clipped[kept], classes, [annotations[row].ignored for row in kept], areas)


def _check_unit(images: Sequence[AnnotatedImage], sizes: Sequence[ImageSize], place: Path, *, normalized: bool) -> None:
    """Raise if boxes that should be in pixels look like fractions."""
    edges = [annotation.edges for image in images for annotation in image.annotations]
    smallest = min(min(size.height, size.width) for size in sizes)
    are_whole = all(float(edge).is_integer() for box in edges for edge in box)
    if not normalized and edges and smallest > 8 and not are_whole and np.abs(edges).max() <= _NORMALIZED:
        raise InvalidInput(
            f"the boxes of {place} must be in pixels. Received: fractions, at most {np.abs(edges).max():g}. Multiply "
            "them by width and height of their images."
        )


def find_images(
    names: Sequence[str], images: Path | None, candidates: Sequence[Path], *, place: Path
) -> tuple[Path, list[str]]:
    """Find image files by the names in an annotation file.

    Args:
        names: Names of the files, relative to a folder of images, in any form: with backslashes, without suffix, or
            with the folders of another computer.
        images: Folder of the images; None for the first of `candidates` that has some of them.
        candidates: Folders to look into.
        place: The annotation file, for errors.

    Returns:
        The folder; and the path of each file, which need not exist: "" for a name that leads out of the folder.

    Raises:
        NotFound: If the folder or all images do not exist.
    """
    if images is not None and not images.is_dir():
        raise NotFound(f"`images` must be an existing folder. Received: {images}")
    folders = (
        [images] if images is not None else list(dict.fromkeys(folder for folder in candidates if folder.is_dir()))
    )
    step = max(1, len(names) // _SAMPLED)
    # Look up all names only if no sampled one exists, and file names without folders only if no full name exists.
    for tried in (names[::step], names, [_last_part(name) for name in names]):
        for folder in folders:
            if any(os.path.isfile(path_in(folder, name)) for name in tried):  # noqa: PTH113
                return folder, _paths_in(folder, names)
    looked = check.listing(folders)
    advice = "Pass the folder of the images" + ("" if images else ": images=…, or --images")
    raise NotFound(
        f"none of the {len(names):,} images of {place} exists, such as {names[0]!r}, in {looked}. {advice}."
        if names
        else f"{place} has no images"
    )


def add_missing(image_id: str, path: str, name: str, folder: Path, invalid: Invalid) -> bool:
    """Tell whether a file that an annotation names does not exist or may not be read, and list it."""
    reason = why_missing(Path(path)) if path else f"its name {name!r} leads out of {folder}"
    if reason:
        invalid.add(image_id, reason)
    return bool(reason)


def _paths_in(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the path of each name; names with folders of another computer are looked up by their last part."""
    paths = [path_in(folder, name) for name in names]
    counts = Counter(map(_last_part, names))
    for row, name in enumerate(names):
        last = _last_part(name)
        if counts[last] == 1 and not os.path.isfile(paths[row]):  # noqa: PTH113
            other = path_in(folder, last)
            paths[row] = other if os.path.isfile(other) else paths[row]  # noqa: PTH113
    return paths


def path_in(folder: Path, name: str) -> str:
    """Return the path of a file by its name in an annotation; "" if that leads out of the folder."""
    path = "" if "\0" in name else inside(str(folder), name.replace("\\", "/"))
    return str(existing_path(folder, os.path.relpath(path, folder))) if path else ""


def _last_part(name: str) -> str:
    return re.split(r"[\\/]", name)[-1]


def class_indices(
    used: Iterable[tuple[str, str]], labels: LabelSpec | Sequence[str] | None, label_type: str, default: Sequence[str]
) -> LabelSpec:
    """Return the labels of a file.

    Args:
        used: Name of each class that occurs, and where.
        labels: Labels of a model, or names in the order of its outputs; None for `default`.
        label_type: "boxes" or "masks".
        default: Names of the classes of the file.

    Raises:
        InvalidInput: If a class is not among `labels`; all are listed. If there is no class at all.
    """
    if labels is None and not default:
        raise InvalidInput("there is no object in any annotation. Pass the classes of the model as `labels`.")
    if labels is None:
        return LabelSpec(tuple(default), label_type)
    names = labels.names if isinstance(labels, LabelSpec) else as_names(labels)
    problems = check.Problems()
    for name, where in used:
        if name not in names:
            problems.add(f"{where}: {name!r} is not one of the {len(names)} classes.{check.did_you_mean(name, names)}")
    problems.raise_if_any(f"classes: {check.listing(names)}" if problems.messages else "")
    return LabelSpec(names, label_type)


def number(value: Any) -> float:
    """Convert a number, or a text as some tools write it, to a finite float; NaN if it is not one."""
    converted = float("nan") if isinstance(value, bool) else as_float(value)
    return converted if math.isfinite(converted) else float("nan")


def whole(value: Any) -> int | None:
    """Convert a whole number, also "3" and 3.0, to an int; None if it is not one."""
    converted = number(value)
    return int(converted) if converted.is_integer() else None


def text(value: Any) -> str:
    """Return a name in the form used for comparison; "" if it is neither a text nor a number."""
    return clean_name(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""
