"""Sources from COCO annotation files (Lin et al. 2014), as labelling tools export them."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats import annotated_images as annotated
from tltk.data.formats.annotated_images import AnnotatedImage, Annotation
from tltk.data.formats.coco_masks import mask_source
from tltk.data.formats.json_file import read_json
from tltk.data.formats.media_files import readable
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing_file
from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import local_path
from tltk.specs import LabelSpec
from tltk.specs.image import MAX_PIXELS

log = logging.getLogger("tltk")

_KEYS = ("images", "annotations", "categories")
_SNIFFED = 2**16  # bytes that tell a COCO file from another JSON file
_COCO_KEY = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_OTHER_KEY = re.compile(rb'"(paragraphs|question)"\s*:')


@familiar.arguments
def from_coco(
    file: str | Path,
    images: str | Path | None = None,
    *,
    masks: bool = False,
    labels: LabelSpec | Sequence[str] | None = None,
    exclude: Exclude = None,
) -> Source:
    """Read boxes or masks from a COCO annotation file.

    Crowds (`iscrowd`) are ignored boxes, which count neither as objects nor as missed. Images without annotations have
    no object. Categories with equal names are one class. Numbers may be written as texts. If width and height in the
    file are those of the stored pixels of a photograph that a viewer shows turned (EXIF), its annotations are turned
    with it; otherwise they are taken as drawn on the image as a viewer shows it.

    Args:
        file: JSON, UTF-8, with the lists "images" ("id", "file_name"), "annotations" ("image_id", "category_id", "bbox"
            [x, y, width, height] in pixels) and "categories" ("id", "name").
        images: Folder of the images; None looks beside the file, and in the folders that COCO and labelling tools use.
        masks: Whether to read a mask of classes for each image, from polygons and run lengths, instead of boxes; needs
            the extra tltk[boxes]. Pixels without an object have the class "background", which comes first. Where
            objects overlap, the smaller one counts.
        labels: Classes in the order of the model's outputs, or the `LabelSpec` of another source; None means the
            categories in the order of their ids.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files with `Boxes` or masks, in the order of the file. Images that do not exist, whose size is
        not that in the file, or whose name leads out of the folder are in `invalid`, and so are annotations that cannot
        be used, such as boxes outside of their image or without area: their image stays.

    Raises:
        NotFound: If the file or all of its images do not exist.
        InvalidInput: If it is not JSON, not in the format of COCO, or has no usable image.
        MissingExtra: If `masks` is True and pycocotools is not installed.
    """
    path = existing_file(file)
    content = _checked(path, read_json(path))
    invalid = Invalid()
    categories = _categories(path, content["categories"])
    images_by_id = _images(path, content["images"], None if images is None else local_path(images), invalid)
    used = _assign(path, content["annotations"], images_by_id, categories, invalid, masks=masks)
    names = list(dict.fromkeys(categories.values()))
    default = ["background", *(name for name in names if name != "background")] if masks else names
    label_type = "masks" if masks else "boxes"
    spec = annotated.class_indices(used, labels, label_type, default)
    for image in images_by_id.values() if spec.names != tuple(names) else ():
        image.annotations = [_renumbered(annotation, names, spec) for annotation in image.annotations]
        image.extra = [item.with_class(names, spec) for item in image.extra]
    usable = [image for image in images_by_id.values() if image.path]
    read = mask_source if masks else annotated.box_source
    return read(usable, spec, invalid, place=path).without(exclude)


@dataclass(frozen=True)
class Segment:
    """The outline of an object.

    Args:
        class_index: Index of its label.
        area: Area in pixels.
        shape: Polygons, or run lengths, as in the file.
    """

    class_index: int
    area: float
    shape: Any

    def with_class(self, names: Sequence[str], labels: LabelSpec) -> "Segment":
        """Return the segment with the index of its class in other labels."""
        return Segment(labels.names.index(names[self.class_index]), self.area, self.shape)


def _renumbered(annotation: Annotation, names: Sequence[str], labels: LabelSpec) -> Annotation:
    index = labels.names.index(names[annotation.class_index])
    return Annotation(annotation.place, annotation.edges, index, annotation.ignored, annotation.area)


def _checked(path: Path, content: Any) -> dict[str, list]:
    """Return the content if it has the three lists of COCO.

    Raises:
        InvalidInput: If a list is missing; the message names it.
    """
    expected = 'an object with the lists "images", "annotations" and "categories"'
    if not isinstance(content, dict):
        hint = " This looks like a file of results." if isinstance(content, list) else ""
        raise InvalidInput(f"{path} is not in the format of COCO, {expected}. Received: {content!r:.60}.{hint}")
    problems = check.Problems()
    for key in _KEYS:
        if not isinstance(content.get(key), list):
            problems.add(f"{key!r} must be a list. Received: {content[key]!r:.40}" if key in content else f"no {key!r}")
    problems.raise_if_any(f"{path} is not in the format of COCO, {expected}:" if problems.messages else "")
    return content


def _key(value: Any) -> Any:
    """Return an id in the form used for comparison: 3 and "3" are equal."""
    if type(value) is int:  # almost all ids of a large file; a bool is not an id
        return value
    number = annotated.whole(value)
    return number if number is not None else annotated.text(value) or None


def _categories(path: Path, items: list) -> dict[Any, str]:
    """Return id → name, in the order of the ids.

    Raises:
        InvalidInput: If a category has no id or name, or an id has two names; all are listed.
    """
    problems = check.Problems()
    names: dict[Any, str] = {}
    for row, item in enumerate(items):
        key, name = (_key(item.get("id")), annotated.text(item.get("name"))) if isinstance(item, dict) else (None, "")
        if key is None or not name:
            problems.add(f'categories[{row}] must have an "id" and a "name". Received: {item!r:.60}')
        elif names.setdefault(key, name) != name:
            problems.add(f"categories[{row}]: the id {key!r} belongs to {names[key]!r} and to {name!r}")
    if not items:
        problems.add("'categories' must not be empty")
    problems.raise_if_any(f"the categories of {path}:" if problems.messages else "")
    names = dict(sorted(names.items(), key=lambda item: (isinstance(item[0], str), item[0])))
    shared = sorted({name for name in names.values() if list(names.values()).count(name) > 1})
    if shared:
        log.info("%s: categories with equal names are one class: %s", path, check.listing(shared))
    return names


def _images(path: Path, items: list, folder: Path | None, invalid: Invalid) -> dict[Any, AnnotatedImage]:
    """Return id → image; the path of an image that cannot be used is ""."""
    rows: dict[Any, tuple[str, str, Any]] = {}
    file_names: dict[str, Any] = {}
    for row, item in enumerate(items):
        place = f"{path.name}, images[{row}]"
        key, name = (_key(item.get("id")), item.get("file_name")) if isinstance(item, dict) else (None, None)
        if key is None or not isinstance(name, str) or not name.strip() or check.unencodable(name):
            invalid.add(place, f'must have an "id" and a "file_name". Received: {item!r:.60}')
        elif key in rows:
            invalid.add(place, f"the id {key!r} occurs twice: {rows[key][0]!r} has it too")
        elif name in file_names:
            invalid.add(place, f"the file {name!r} occurs twice: the image {file_names[name]!r} has it too")
        else:
            file_names[name] = key
            rows[key] = (name, place, (annotated.whole(item.get("height")), annotated.whole(item.get("width"))))
    names = [name for name, _, _ in rows.values()]
    root, paths = annotated.find_images(names, folder, _folders(path), place=path)
    images = {}
    for (key, (name, _, size)), file in zip(rows.items(), paths, strict=True):
        image_id = readable(name)
        is_missing = annotated.add_missing(image_id, file, name, root, invalid)
        stated = size if all(side is not None and side > 0 for side in size) else None
        images[key] = AnnotatedImage(image_id, "" if is_missing else file, annotated_size=stated, extra=[])
    return images


def _folders(path: Path) -> list[Path]:
    """Return the folders in which the images of an annotation file may be."""
    part = re.sub(r"^(instances|annotations?|labels?)[_-]?|\.coco$", "", path.stem)  # instances_train2017
    folder = path.parent.absolute()
    tops = [folder, folder.parent]
    subs = ["images", "data", "img", "imgs", part, f"images/{part}"]
    return [*tops[:1], *(top / sub for top in tops for sub in subs if sub), *tops[1:]]


def _assign(
    path: Path,
    items: list,
    images: dict[Any, AnnotatedImage],
    categories: dict[Any, str],
    invalid: Invalid,
    *,
    masks: bool,
) -> list[tuple[str, str]]:
    """Add the annotations to their images, and return the classes that occur, each with a place."""
    names = list(dict.fromkeys(categories.values()))
    index = {key: names.index(name) for key, name in categories.items()}
    used: dict[str, str] = {}
    for row, item in enumerate(items):
        place = f"{path.name}, annotations[{row}]"
        if not isinstance(item, dict):
            invalid.add(place, f"must be an object. Received: {item!r:.60}", is_annotation=True)
            continue
        image = images.get(_key(item.get("image_id")))
        class_index = index.get(_key(item.get("category_id")))
        if image is None or class_index is None:
            key = "image_id" if image is None else "category_id"
            reason = f"there is no {key.removesuffix('_id')} with its {key!r}, {item.get(key)!r:.40}"
            invalid.add(place, reason, is_annotation=True)
            continue
        used.setdefault(names[class_index], place)
        area = annotated.number(item.get("area"))
        reason = (
            _add_segment(image, item, class_index, area) if masks else _add_box(image, item, class_index, area, place)
        )
        if reason:
            invalid.add(f"{place} ({image.example_id})", reason, is_annotation=True)
    return list(used.items())


def _add_box(image: AnnotatedImage, item: dict[str, Any], class_index: int, area: float, place: str) -> str:
    """Add the box of an annotation to its image; return why it cannot be used."""
    box = item.get("bbox")
    numbers = [annotated.number(value) for value in box] if isinstance(box, list) else []
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        return f'"bbox" must be four numbers [x, y, width, height]. Received: {box!r:.60}'
    x, y, width, height = numbers
    ignored = any(
        annotated.number(int(item[key]) if isinstance(item.get(key), bool) else item.get(key)) == 1
        for key in ("iscrowd", "ignore")
    )
    edges = (y, x, y + height, x + width)
    image.annotations.append(Annotation(place, edges, class_index, ignored, area if 0 < area <= MAX_PIXELS else None))
    return ""


def _add_segment(image: AnnotatedImage, item: dict[str, Any], class_index: int, area: float) -> str:
    """Add the outline of an object to its image; return why it cannot be used."""
    shape, reason = segment_of(item.get("segmentation"))
    if not reason:
        image.extra.append(Segment(class_index, area if area > 0 else 0.0, shape))
    return reason


def segment_of(value: Any) -> tuple[Any, str]:
    """Return a "segmentation" with numbers only, and why it cannot be used.

    Args:
        value: Polygons [[x, y, x, y, …], …], or run lengths {"size": [height, width], "counts": list or text}.
    """
    if isinstance(value, dict):
        size, counts = value.get("size"), value.get("counts")
        sides = [annotated.whole(side) for side in size] if isinstance(size, list) else []
        lengths = [annotated.whole(count) for count in counts] if isinstance(counts, list) else counts
        is_text = isinstance(lengths, str) and lengths.isascii() and lengths != ""
        is_list = isinstance(lengths, list) and all(count is not None and count >= 0 for count in lengths)
        if len(sides) == 2 and all(side is not None and side > 0 for side in sides) and (is_text or is_list):
            return {"size": sides, "counts": lengths}, ""
        return None, f'"segmentation" must have a "size" and "counts". Received: {value!r:.60}'
    polygons = value if isinstance(value, list) else []
    polygons = [polygons] if polygons and not isinstance(polygons[0], list) else polygons
    points = [[annotated.number(number) for number in polygon] for polygon in polygons if isinstance(polygon, list)]
    points = [polygon for polygon in points if polygon]
    is_valid = points and all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in points)
    if is_valid and all(np.isfinite(polygon).all() for polygon in points):
        return points, ""
    return None, f'"segmentation" must be polygons of at least three points, or run lengths. Received: {value!r:.60}'


def is_coco(path: Path) -> bool:
    """Tell whether a path is a JSON file with lists of COCO near its beginning or its end."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        beginning = file.read(_SNIFFED)
        end = max(file.seek(0, 2) - _SNIFFED, 0)
        file.seek(end)
        text = beginning + file.read(_SNIFFED)
    return _COCO_KEY.search(text) is not None and _OTHER_KEY.search(text) is None


register_format("coco", from_coco, suffixes=(".json",), recognizes=is_coco)
register_format("coco_masks", partial(from_coco, masks=True), suffixes=())
