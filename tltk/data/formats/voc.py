"""Sources from annotations of Pascal VOC (Everingham et al. 2010), an XML file for each image."""

import codecs
import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats import annotated_images as annotated
from tltk.data.formats.annotated_images import AnnotatedImage, Annotation
from tltk.data.formats.folder import part_of
from tltk.data.formats.media_files import IMAGES, is_ignored, readable
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import read_text
from tltk.data.invalid import Invalid
from tltk.data.source import PARTS, Source
from tltk.foundation import familiar
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.foundation.paths import local_path
from tltk.specs import LabelSpec

MAX_BYTES = 2**24  # of an XML file
_IMAGE_FOLDERS = ("JPEGImages", "images", "Images", "img", "imgs")
_LISTS = "ImageSets/Main"
_ENTITIES = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCODING = re.compile(rb"""^\s*<\?xml[^>]*encoding=["']([\w.:-]+)["']""")


@familiar.arguments
def from_voc(
    folder: str | Path,
    images: str | Path | None = None,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    one_based: bool | None = None,
    exclude: Exclude = None,
) -> Source:
    """Read boxes from a folder of Pascal VOC annotations, as LabelImg and other tools write them.

    Difficult objects are ignored boxes, which count neither as objects nor as missed. Images without an object stay, if
    they have an XML file. Photographs that a viewer shows turned (EXIF) are treated as in `from_coco`.

    Args:
        folder: Folder with XML files at any depth below it. If it has lists ImageSets/Main/train.txt and val.txt or
            test.txt, or sub-folders train and valid or test, `split` returns these parts.
        images: Folder of the images; None looks beside the XML files, and in JPEGImages/ or images/.
        labels: Classes in the order of the model's outputs, or the `LabelSpec` of another source; None means those that
            occur, sorted.
        one_based: Whether the first pixel is 1 and boxes include their last pixel, as in the files of VOC itself; most
            tools count from 0. None means True if <source> names a VOC database.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files with `Boxes`, sorted by the names of the XML files. Damaged XML files, images that do
        not exist or have another size, and boxes that cannot be used are in `invalid`.

    Raises:
        NotFound: If the folder does not exist, has no XML files, or none of the images exists.
        InvalidInput: If no image can be used, or a class is not among `labels`.
    """
    root = _existing(folder)
    files = _xml_files(root)
    parts = _listed_parts(root)
    invalid = Invalid()
    rows: list[tuple[str, Path, ElementTree.Element]] = []
    for path in files:
        if parts and path.stem not in parts:
            continue
        place = readable(os.path.relpath(path, root))
        try:
            rows.append((place, path, read_xml(path)))
        except InvalidInput as error:
            invalid.add(place, str(error))
    if not rows:
        raise InvalidInput(f"{root} has no annotation that can be read: {invalid.listing(limit=3)}")
    annotated_images = _images(root, rows, None if images is None else local_path(images), parts, invalid)
    used: dict[str, str] = {}
    objects = [_objects(place, element, used, invalid, one_based) for (place, _, element) in rows]
    spec = annotated.class_indices(used.items(), labels, "boxes", sorted(used))
    for image, items in zip(annotated_images, objects, strict=True):
        image.annotations = [
            Annotation(place, edges, spec.names.index(name), ignored) for place, name, edges, ignored in items
        ]
    usable = [image for image in annotated_images if image.path]
    return annotated.box_source(usable, spec, invalid, place=root).without(exclude)


def read_xml(path: Path) -> ElementTree.Element:
    """Parse an XML file without a document type, which could define entities.

    Raises:
        InvalidInput: If it is larger than 16 MB, has a document type or entities, or is not XML.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"larger than {MAX_BYTES / 2**20:.0f} MB, too large for the annotation of an image")
    text = _xml_text(path)
    if _ENTITIES.search(text):
        raise InvalidInput("has a document type or entities, which are not read")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise InvalidInput(f"is not valid XML: {error}") from error


def _xml_text(path: Path) -> str:
    """Decode an XML file in the encoding that it declares."""
    data = path.read_bytes()
    declared = _ENCODING.match(data)
    name = declared[1].decode() if declared else "utf-8"
    try:
        is_utf8 = codecs.lookup(name).name in ("utf-8", "utf-16", "ascii")
        return read_text(path) if is_utf8 else data.decode(name)
    except (LookupError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be decoded as {name}: {error}") from error


def _existing(folder: str | Path) -> Path:
    root = local_path(folder)
    if not root.exists():
        raise NotFound(f"{root} does not exist.")
    if not root.is_dir():
        raise FileError(f"{root} is a file. Pass the folder of the annotations.")
    return root


def _xml_files(root: Path) -> list[Path]:
    files = []
    for top, names, entries in os.walk(root, followlinks=False):
        names[:] = sorted(name for name in names if not is_ignored(name))
        files += [Path(top, name) for name in sorted(entries) if name.lower().endswith(".xml") and not is_ignored(name)]
    if not files:
        raise NotFound(f"{root} has no .xml files. Pass the folder of the annotations.")
    return files


def _listed_parts(root: Path) -> dict[str, str]:
    """Return name of an image → part, from the lists of VOC; empty without a list of the training part."""
    parts: dict[str, str] = {}
    for part in PARTS:
        path = root / _LISTS / f"{part}.txt"
        if path.is_file():
            parts |= {line.split()[0]: part for line in read_text(path).splitlines() if line.strip()}
    return parts if len(set(parts.values())) > 1 and "train" in parts.values() else {}


def _images(
    root: Path,
    rows: Sequence[tuple[str, Path, ElementTree.Element]],
    folder: Path | None,
    parts: dict[str, str],
    invalid: Invalid,
) -> list[AnnotatedImage]:
    """Return the image of each XML file; the path is "" if it cannot be used.

    The name of the XML file is tried first: people who rename both files rarely change the name inside.
    """
    if folder is not None and not folder.is_dir():
        raise NotFound(f"`images` must be an existing folder. Received: {folder}")
    by_folder = _folder_parts(root, rows)
    images, missing = [], []
    taken: dict[str, str] = {}
    for place, path, element in rows:
        stated = element.findtext("filename", "").strip()
        file = _image_file(path, stated, [folder] if folder else _folders(root, path))
        reason = f"its image {stated or path.stem!r} does not exist" if not file else ""
        reason = reason or (f"{taken[file]} belongs to the same image" if file in taken else "")
        if reason:
            invalid.add(place, reason)
            missing += [] if file else [place]
        taken.setdefault(file, place)
        part = parts.get(path.stem, "") or by_folder.get(place, "")
        name = readable(os.path.relpath(file, folder or root)) if file else place
        images.append(AnnotatedImage(name, "" if reason else file, annotated_size=_size(element), part=part))
    if len(missing) == len(rows):
        raise NotFound(
            f"none of the {len(rows):,} images of {root} exists, such as that of {rows[0][0]}. Pass the folder of the "
            "images: images=…, or --images."
        )
    return images


def _folder_parts(root: Path, rows: Sequence[tuple[str, Path, ElementTree.Element]]) -> dict[str, str]:
    """Return place → part if the sub-folders are parts."""
    folders = {place: path.relative_to(root).parts[:-1] for place, path, _ in rows}
    parts = {place: part_of(names[0]) if names else "" for place, names in folders.items()}
    return parts if all(parts.values()) and len(set(parts.values())) > 1 and "train" in parts.values() else {}


def _folders(root: Path, path: Path) -> list[Path]:
    tops = list(dict.fromkeys([path.parent, path.parent.parent, root]))
    return [*tops, *(top / name for top in tops for name in _IMAGE_FOLDERS)]


def _image_file(path: Path, stated: str, folders: Sequence[Path]) -> str:
    """Return the path of the image of an XML file; "" if it does not exist in any of the folders."""
    for folder in folders:
        for suffix in dict.fromkeys([Path(stated).suffix, *IMAGES.suffixes, *map(str.upper, IMAGES.suffixes)]):
            if suffix and (folder / f"{path.stem}{suffix}").is_file():
                return str(folder / f"{path.stem}{suffix}")
    for folder in folders:
        file = annotated.path_in(folder, stated) if stated else ""
        if file and os.path.isfile(file):  # noqa: PTH113
            return file
    return ""


def _size(element: ElementTree.Element) -> tuple[int, int] | None:
    """Return height and width in an XML file; None if they are missing, or 0, as some tools write."""
    height, width = (annotated.whole(element.findtext(f"size/{side}", "")) for side in ("height", "width"))
    return (height, width) if height and width and height > 0 and width > 0 else None


def _objects(
    place: str, element: ElementTree.Element, used: dict[str, str], invalid: Invalid, one_based: bool | None
) -> list[tuple[str, str, tuple[float, float, float, float], bool]]:
    """Return place, class, edges and ignore flag of each usable object."""
    is_voc = "voc" in element.findtext("source/database", "").lower()
    first = 1 if (is_voc if one_based is None else one_based) else 0
    objects = []
    for number, item in enumerate(element.findall("object")):
        where = f"{place}, object {number}"
        name = annotated.text(item.findtext("name", ""))
        x_min, y_min, x_max, y_max = (
            annotated.number(item.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        if not name or not np.isfinite([x_min, y_min, x_max, y_max]).all():
            reason = 'must have a "name", and a "bndbox" with the numbers xmin, ymin, xmax and ymax'
            invalid.add(where, reason, is_annotation=True)
            continue
        used.setdefault(name, where)
        ignored = annotated.number(item.findtext("difficult", "0")) == 1
        objects.append((where, name, (y_min - first, x_min - first, y_max, x_max), ignored))
    return objects


def is_voc(path: Path) -> bool:
    """Tell whether a folder has annotations of Pascal VOC."""
    if not path.is_dir():
        return False
    folders = [path / "Annotations", path, *(path / part for part in ("train", "valid", "val", "test"))]
    return any(next(folder.glob("*.xml"), None) is not None for folder in folders if folder.is_dir())


register_format("voc", from_voc, suffixes=(), recognizes=is_voc)
