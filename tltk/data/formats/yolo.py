"""Sources from annotations of YOLO: a text file for each image, and a YAML file with the names of the classes."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats import annotated_images as annotated
from tltk.data.formats.annotated_images import AnnotatedImage, Annotation
from tltk.data.formats.folder import part_of
from tltk.data.formats.media_files import find_files, outside, readable, why_missing
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import read_text
from tltk.data.formats.yaml_file import read_yaml
from tltk.data.invalid import Invalid
from tltk.data.source import PARTS, Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.foundation.paths import local_path
from tltk.specs import LabelSpec
from tltk.specs.labels import as_names

log = logging.getLogger("tltk")

_YAML = (".yaml", ".yml")
_NAME_FILES = ("classes.txt", "obj.names", "labels.txt")
_FAR = 0.5  # of an image: edges farther outside are not fractions
_BOX = 5  # values of a line with a box
_HOW = (
    "<folder>/data.yaml with `names`, `train` and `val`, or <folder>/images, <folder>/labels and <folder>/classes.txt"
)


@dataclass(frozen=True)
class _Files:
    """Contents of a data set.

    Args:
        root: Folder that the names of images are relative to.
        names: Names of the classes.
        images: Part ("" without parts) → paths of images.
        keypoints: Whether keypoints follow the box in each line.
    """

    root: Path
    names: tuple[str, ...]
    images: dict[str, list[str]]
    keypoints: bool = False


@familiar.arguments
def from_yolo(
    path: str | Path,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    normalized: bool = True,
    exclude: Exclude = None,
) -> Source:
    """Read boxes from a data set in the format of YOLO (Ultralytics, Darknet).

    Each line of a text file is a class and a box: x and y of the centre, width, height; or a class and a polygon, whose
    bounding box is taken. An image without a text file, or with an empty one, has no object. Boxes are taken as drawn
    on the image as a viewer shows it, after its EXIF orientation.

    Args:
        path: YAML file with `names` and with the folders (or lists of images) `train`, `val` and `test`; or a folder
            with such a file, or with images, text files and classes.txt. A text file is in labels/ where its image is
            in images/, or beside its image.
        labels: Classes in the order of the model's outputs, or the `LabelSpec` of another source; None means `names`.
        normalized: Whether boxes are in fractions of the image, as YOLO requires; False for pixels.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files with `Boxes`; `split` returns the parts. Lines that cannot be used, and boxes outside of
        their image or without area, are in `invalid`; their image stays.

    Raises:
        NotFound: If the path, a folder in it, all images or all text files do not exist.
        InvalidInput: If the YAML file is invalid, has no names, or all boxes are in pixels instead of fractions.
    """
    files = _files(local_path(path))
    invalid = Invalid()
    images: list[AnnotatedImage] = []
    used: dict[str, str] = {}
    label_files = 0
    for part, paths in files.images.items():
        for image_path in paths:
            image_id = readable(os.path.relpath(image_path, files.root))
            if why_missing(Path(image_path)):
                invalid.add(image_id, why_missing(Path(image_path)))
                continue
            label_path = _label_path(image_path)
            label_files += label_path.is_file()
            rows = _rows(label_path, files, invalid, normalized=normalized) if label_path.is_file() else []
            for annotation in rows:
                used.setdefault(files.names[annotation.class_index], annotation.place)
            images.append(AnnotatedImage(image_id, image_path, list(rows), part=part))
    if not images or not label_files:
        missing = "image exists" if not images else f"text file exists for any of the {len(images):,} images"
        raise NotFound(f"{path}: no {missing}. Expected: {_HOW}. {invalid.listing(limit=3)}".strip())
    if not used and len(invalid):
        raise InvalidInput(f"no line of the text files of {path} can be used: {invalid.listing(limit=3)}")
    spec = annotated.class_indices(used.items(), labels, "boxes", files.names)
    for image in images:
        image.annotations = [
            Annotation(box.place, box.edges, spec.names.index(files.names[box.class_index]))
            for box in image.annotations
        ]
    return annotated.box_source(images, spec, invalid, place=local_path(path), normalized=normalized).without(exclude)


def _files(path: Path) -> _Files:
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(f"{path} does not exist.{check.did_you_mean(path.name, siblings)}")
    if path.is_file():
        return _from_yaml(path)
    listed = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in _YAML)
    described = [entry for entry in listed if entry.stem.lower() in ("data", "dataset")] or listed
    if len(described) > 1:
        raise InvalidInput(f"{path} has several YAML files: {check.listing(e.name for e in described)}. Pass one.")
    return _from_yaml(described[0]) if described else _from_folder(path)


def _from_yaml(path: Path) -> _Files:
    content = read_yaml(path)
    if not isinstance(content, dict) or "names" not in content:
        raise InvalidInput(f"{path} must have `names`, the classes, and `train`. Received: {_keys(content)}")
    names = _class_names(path, content["names"])
    count = annotated.whole(content.get("nc", len(names)))
    if count != len(names):
        raise InvalidInput(f"{path}: `nc` is {content['nc']!r}, and `names` has {len(names)} names. Correct one.")
    root = path.parent / local_path(str(content.get("path") or "."))
    root = root if root.is_dir() else path.parent
    images = {}
    for part, key in zip(PARTS, ("train", "val", "test"), strict=True):
        entries = content.get(key) or (content.get("valid") if key == "val" else None) or []
        listed = entries if isinstance(entries, list) else [entries]
        images[part] = [image for entry in listed for image in _listed_images(path, root, key, entry)]
    images = {part: list(dict.fromkeys(paths)) for part, paths in images.items() if paths}
    if not images:
        raise InvalidInput(f"{path} must name folders of images: `train`, `val`. Received: {_keys(content)}")
    _warn_of_outside(path.parent, [image for paths in images.values() for image in paths])
    if "train" not in images or len(images) == 1:
        images = {"": [image for paths in images.values() for image in paths]}
    return _Files(root, names, images, keypoints="kpt_shape" in content)


def _warn_of_outside(root: Path, paths: Sequence[str]) -> None:
    leading_out = outside(root, paths)
    if leading_out:
        log.warning(
            "%d of %d images lead out of %s, such as %s. They are read; look at them if the data set is not your own.",
            len(leading_out),
            len(paths),
            root,
            leading_out[0],
        )


def _keys(content: Any) -> str:
    return f"the keys {check.listing(map(repr, content))}" if isinstance(content, dict) else f"{content!r:.60}"


def _class_names(path: Path, names: Any) -> tuple[str, ...]:
    """Return the names of the classes, from a list or from a dict of number → name.

    Raises:
        InvalidInput: If they are something else, or numbers are missing.
    """
    if isinstance(names, dict):
        numbered = {annotated.whole(key): name for key, name in names.items()}
        if sorted(numbered, key=str) != sorted(range(len(names)), key=str):
            raise InvalidInput(
                f"{path}: the keys of `names` must be 0 to {len(names) - 1}. Received: {list(names)!r:.80}"
            )
        names = [numbered[index] for index in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int) for name in names):
        raise InvalidInput(f"{path}: `names` must be a list of names. Received: {names!r:.80}")
    return LabelSpec(as_names([str(name) for name in names]), "boxes").names


def _listed_images(path: Path, root: Path, key: str, entry: Any) -> Iterator[str]:
    """Yield the images of an entry of a YAML file: a folder, or a text file with a path per line.

    Roboflow writes "../train/images" for the folder train/images beside the YAML file.
    """
    text = str(entry) if isinstance(entry, str) else ""
    spellings = [root / local_path(text), path.parent / text, path.parent / re.sub(r"^(\.\./)+", "", text)]
    entry_path = next((place for place in spellings if text and place.exists()), None)
    if entry_path is None:
        raise NotFound(f"{path}: `{key}` is {entry!r:.80}, and {spellings[0]} does not exist.")
    if entry_path.is_dir():
        yield from find_files(entry_path).paths
        return
    for line in filter(None, map(str.strip, read_text(entry_path).splitlines())):
        options = [entry_path.parent / line, root / line]
        yield str(next((option for option in options if option.is_file()), options[0]))


def _from_folder(path: Path) -> _Files:
    names_file = next((path / name for name in _NAME_FILES if (path / name).is_file()), None)
    names_file = names_file or next((file for name in _NAME_FILES for file in sorted(path.glob(f"*/{name}"))), None)
    if names_file is None:
        raise NotFound(f"{path} has no {' or '.join(_NAME_FILES)} with the names of the classes. Expected: {_HOW}.")
    names = [line.strip() for line in read_text(names_file).splitlines() if line.strip()]
    if not names:
        raise InvalidInput(f"{names_file} must have the name of a class in each line. It is empty.")
    image_paths = find_files(path).paths
    by_part: dict[str, list[str]] = {}
    for image in image_paths:
        folders = Path(os.path.relpath(image, path)).parts[:-1]
        by_part.setdefault(next(filter(None, map(part_of, folders)), ""), []).append(image)
    is_split = "" not in by_part and "train" in by_part and len(by_part) > 1
    return _Files(path, LabelSpec(as_names(names), "boxes").names, by_part if is_split else {"": image_paths})


def _label_path(image_path: str) -> Path:
    """Return the text file of an image: in labels/ where the image is in images/, else beside it."""
    parts = list(Path(image_path).parts)
    rows = [row for row, part in enumerate(parts[:-1]) if part == "images"]
    beside = Path(image_path).with_suffix(".txt")
    if not rows:
        other = Path(image_path).parent / "labels" / beside.name
        return beside if beside.is_file() else other
    parts[rows[-1]] = "labels"
    return next((file for file in (Path(*parts).with_suffix(".txt"), beside) if file.is_file()), beside)


def _rows(path: Path, files: _Files, invalid: Invalid, *, normalized: bool) -> list[Annotation]:
    """Return the boxes of a text file; lines that cannot be used are added to `invalid`."""
    place = readable(os.path.relpath(path, files.root))
    try:
        lines = read_text(path).splitlines()
    except InvalidInput as error:
        invalid.add(place, str(error))
        return []
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{place}, line {number}"
        values = [annotated.number(value) for value in line.split()]
        reason = _why_invalid(line, values, files, normalized=normalized)
        if reason:
            invalid.add(where, reason, is_annotation=True)
        else:
            rows.append(Annotation(where, _edges(values, files), int(values[0])))
    return rows


def _why_invalid(line: str, values: Sequence[float], files: _Files, *, normalized: bool) -> str:
    if len(values) < _BOX or not np.isfinite(values).all() or (_is_polygon(values, files) and len(values) % 2 == 0):
        return f"must be a class and a box of four numbers, or a polygon. Received: {line!r:.60}"
    if values[0] != int(values[0]) or not 0 <= values[0] < len(files.names):
        return f"there is no class {values[0]:g}: `names` has {len(files.names)} names, from 0"
    edges = np.array(_edges(values, files))
    if normalized and (edges.min() < -_FAR or edges.max() > 1 + _FAR):
        return f"must be in fractions of the image (for pixels: from_yolo(…, normalized=False)). Received: {line!r:.60}"
    return ""


def _is_polygon(values: Sequence[float], files: _Files) -> bool:
    return len(values) > _BOX + 1 and not files.keypoints  # one more value is the score of a prediction


def _edges(values: Sequence[float], files: _Files) -> tuple[float, float, float, float]:
    """Return (y_min, x_min, y_max, x_max) of a line."""
    if _is_polygon(values, files):
        points = np.reshape(values[1:], (-1, 2))
        (x_min, y_min), (x_max, y_max) = points.min(0).tolist(), points.max(0).tolist()
        return y_min, x_min, y_max, x_max
    x, y, width, height = values[1:_BOX]
    return y - height / 2, x - width / 2, y + height / 2, x + width / 2


def is_yolo(path: Path) -> bool:
    """Tell whether a path is a YAML file, or a folder with data.yaml, or with images/, labels/ and names of classes."""
    if path.is_file():
        return True
    has_yaml = any((path / f"{stem}{suffix}").is_file() for stem in ("data", "dataset") for suffix in _YAML)
    has_names = any((path / name).is_file() for name in _NAME_FILES)
    return has_yaml or (has_names and (path / "images").is_dir() and (path / "labels").is_dir())


register_format("yolo", from_yolo, suffixes=_YAML, recognizes=is_yolo)
