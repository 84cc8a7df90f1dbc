"""Sources from images and masks in two folders."""

import logging
import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats.annotated_images import AnnotatedImage, source_of
from tltk.data.formats.folder import part_of
from tltk.data.formats.image_sizes import ImageSize, image_sizes, is_stored, mismatch
from tltk.data.formats.mask_files import MaskFile, MaskReader, colour_table, read_values
from tltk.data.formats.media_files import find_files, readable
from tltk.data.formats.registry import register_format
from tltk.data.invalid import Invalid
from tltk.data.masks import IGNORE, MaskTargets
from tltk.data.source import Source
from tltk.data.targets import as_objects
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import FileError, InvalidInput, NotFound
from tltk.foundation.paths import local_path
from tltk.specs import LabelSpec
from tltk.specs.labels import as_names

log = logging.getLogger("tltk")

_SAMPLED = 200  # masks that are compared with the names of images
_THREADS = 4  # decoding releases the lock of Python
_BINARY = (0, 255)


@familiar.arguments
def from_masks(
    images: str | Path,
    masks: str | Path,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    ignore: int | None = IGNORE,
    colors: Mapping[Any, Any] | str | Path | None = None,
    exclude: Exclude = None,
) -> Source:
    """Read a folder of images and a folder of masks, which hold the class of each pixel.

    A mask belongs to the image of the same name, apart from the suffix and an affix common to all masks, such as
    "_mask". All masks are read once, to find damaged masks and the classes of each; training reads them again. A mask
    with the size of the stored pixels of a photograph that a viewer shows turned (EXIF) is turned with it.

    Args:
        images: Folder of the images. Sub-folders such as train/ and val/ are parts, which `split` returns.
        masks: Folder of the masks, with the same sub-folders: PNG (or another format without loss) with a palette whose
            indices are the classes, with grey values that are the classes, or with colours.
        labels: Classes of the values 0, 1, 2 …, leaving out `ignore`; with `colors`, the order of the model's outputs;
            or the `LabelSpec` of another source. None means the values that occur, or the classes of `colors`.
        ignore: Value of the pixels that count neither in the loss nor in the metrics; None if all count. If masks have
            only the values 0 and 255, then 255 is the class "object", on "background".
        colors: Colour of each class, such as {"road": (128, 64, 128), "sky": "#4682b4"}, or grey value, such as
            {"background": 0, "cat": 255}; a list of colours as the path of a text file, see `colour_table`. A class
            "ignore" or "void" does not count.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of image files with masks. Images without a mask, masks without an image, masks that are damaged, have
        another size than their image, or a value without a class are in `invalid`.

    Raises:
        NotFound: If a folder does not exist.
        InvalidInput: If a folder has no images, no mask belongs to an image, or none can be used.
    """
    roots = _folder("images", images), _folder("masks", masks)
    invalid = Invalid()
    pairs = _pairs(*roots, invalid)
    usable = _of_their_images(pairs, invalid)
    values = _scan([file for _, file, _ in usable], colours=colors is not None)
    readable_values = [item for item in values if not isinstance(item, str)]
    if not readable_values:
        problems = (f"{image.example_id} (its mask {text})" for (image, _, _), text in zip(usable, values, strict=True))
        raise InvalidInput(
            f"no mask of {roots[1]} can be used: {check.listing(problems, limit=3) or invalid.listing(limit=3)}"
        )
    spec, reader = _reader(labels, ignore, colors, readable_values)
    rows, contents = [], []
    for (image, file, size), mask_values in zip(usable, values, strict=True):
        reason = mask_values if isinstance(mask_values, str) else ""
        occurring = np.zeros(0, np.uint8)
        if not isinstance(mask_values, str):
            try:
                occurring = reader.classes_of(mask_values)
            except InvalidInput as error:
                reason = str(error)
        if reason:
            invalid.add(image.example_id, f"its mask {os.path.basename(file.path)} {reason}")  # noqa: PTH119
            continue
        rows.append((image, file, size))
        contents.append(np.isin(np.arange(len(spec)), occurring))
    if not rows:
        raise InvalidInput(f"no mask of {roots[1]} can be used: {invalid.listing(limit=3)}")
    sizes = np.array([(size.height, size.width) for _, _, size in rows], np.int32)
    targets = MaskTargets(as_objects([file for _, file, _ in rows]), reader, sizes, np.array(contents))
    return source_of([image for image, _, _ in rows], targets, spec, invalid).without(exclude)


def _folder(name: str, value: str | Path) -> Path:
    path = local_path(value)
    if not path.exists():
        siblings = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise NotFound(f"`{name}`: {path} does not exist.{check.did_you_mean(path.name, siblings)}")
    if not path.is_dir():
        raise FileError(f"`{name}` must be a folder. Received: {path}, a file")
    return path


def _pairs(images: Path, masks: Path, invalid: Invalid) -> list[tuple[AnnotatedImage, MaskFile]]:
    """Return pairs of an image and its mask.

    Raises:
        InvalidInput: If a folder has no images, or no mask belongs to an image.
    """
    listing, mask_listing = find_files(images), find_files(masks)
    for folder, files in ((images, listing), (masks, mask_listing)):
        if not files.paths:
            raise InvalidInput(f"{folder} contains no images{files.hint()}.")
    invalid.extend(listing.invalid(images))
    photos, mask_files = _apart(images, masks, listing.paths, mask_listing.paths)
    image_of = _by_name(photos, images, invalid)
    mask_of = _by_name(mask_files, masks, invalid)
    are_mixed = photos == mask_files
    keys = _matched(list(image_of), list(mask_of), are_mixed=are_mixed)
    if not keys:
        raise InvalidInput(
            f"no mask belongs to an image: they must have the same names. Received: {next(iter(image_of.values()))} "
            f"in {images}, {next(iter(mask_of.values()))} in {masks}"
        )
    matched = set(keys.values())
    is_among = matched if are_mixed else set()
    for key in (key for key in image_of if key not in keys and key not in is_among):
        invalid.add(readable(image_of[key]), f"has no mask in {masks}")
    for key in () if are_mixed else (key for key in mask_of if key not in matched):
        invalid.add(readable(os.path.join(masks.name, mask_of[key])), f"is a mask without an image in {images}")  # noqa: PTH118
    parts = _parts([image_of[key] for key in keys])
    return [
        (
            AnnotatedImage(readable(image_of[key]), str(images / image_of[key]), part=part),
            MaskFile(str(masks / mask_of[mask_key])),
        )
        for (key, mask_key), part in zip(keys.items(), parts, strict=True)
    ]


def _apart(images: Path, masks: Path, photos: list[str], mask_files: list[str]) -> tuple[list[str], list[str]]:
    """Separate images and masks if one folder contains the other, or both are the same."""
    first, second = images.resolve(), masks.resolve()
    if first == second:
        png = [path for path in photos if path.lower().endswith(".png")]
        other = [path for path in photos if path not in set(png)]
        return (other, png) if png and other else (photos, mask_files)
    if first in second.parents:
        taken = {os.path.realpath(path) for path in mask_files}
        return [path for path in photos if os.path.realpath(path) not in taken], mask_files
    return photos, mask_files


def _by_name(paths: Sequence[str], root: Path, invalid: Invalid) -> dict[str, str]:
    """Return name without suffix → name; further files with the same name are listed as invalid."""
    names: dict[str, str] = {}
    for path in paths:
        name = os.path.relpath(path, root)
        first = names.setdefault(readable(os.path.splitext(name)[0]), name)  # noqa: PTH122
        if first != name:
            invalid.add(readable(name), f"has the same name as {readable(first)}")
    return names


def _matched(images: Sequence[str], masks: Sequence[str], *, are_mixed: bool) -> dict[str, str]:
    """Return image → mask, by equal names or by what most masks have before and after the name of their image.

    Args:
        images: Names of images without suffix.
        masks: Names of masks without suffix.
        are_mixed: Whether both lists are the same, so that images and masks cannot be told apart by folder.
    """
    mask_names = set(masks)
    equal = {} if are_mixed else {name: name for name in images if name in mask_names}
    if equal and 2 * len(equal) >= min(len(images), len(masks)):
        return equal
    names = {os.path.split(name) for name in images}
    affixes: Counter[tuple[str, str]] = Counter()
    for mask in masks[:: max(1, len(masks) // _SAMPLED)]:
        folder, stem = os.path.split(mask)
        parts = ((start, end) for start in range(len(stem)) for end in range(start + 1, len(stem) + 1))
        affixes.update(
            (stem[:start], stem[end:])
            for start, end in parts
            if (folder, stem[start:end]) in names and end - start < len(stem)
        )
    if not affixes:
        return equal
    before, after = affixes.most_common(1)[0][0]
    with_affix = ((name, os.path.split(name)) for name in images)
    partners = {name: os.path.join(folder, f"{before}{stem}{after}") for name, (folder, stem) in with_affix}  # noqa: PTH118
    return {name: mask for name, mask in partners.items() if mask in mask_names}


def _parts(names: Sequence[str]) -> list[str]:
    """Return the part of each image, from its folder; "" if the folders are not parts."""
    folders = [Path(name).parts[:-1] for name in names]
    parts = [part_of(folder[0]) if folder else "" for folder in folders]
    return parts if all(parts) and "train" in parts and len(set(parts)) > 1 else [""] * len(names)


def _of_their_images(
    pairs: Sequence[tuple[AnnotatedImage, MaskFile]], invalid: Invalid
) -> list[tuple[AnnotatedImage, MaskFile, ImageSize]]:
    """Return the pairs of equal sizes, with the size of the image; masks of stored pixels are turned."""
    sizes = image_sizes([image.path for image, _ in pairs])
    mask_sizes = image_sizes([file.path for _, file in pairs])
    usable = []
    for (image, file), size, mask_size in zip(pairs, sizes, mask_sizes, strict=True):
        name = os.path.basename(file.path)  # noqa: PTH119
        if isinstance(size, str) or isinstance(mask_size, str):
            invalid.add(image.example_id, size if isinstance(size, str) else f"its mask {name}: {mask_size}")
            continue
        annotated = mask_size.stored
        if mismatch(annotated, size):
            reason = f"its mask {name} has {annotated[1]} x {annotated[0]} pixels (width x height), the image"
            invalid.add(image.example_id, f"{reason} {size.width} x {size.height}")
            continue
        orientation = size.orientation if is_stored(annotated, size) else 1
        usable.append((image, MaskFile(file.path, orientation), size))
    return usable


def _scan(files: Sequence[MaskFile], *, colours: bool) -> list[np.ndarray | str]:
    """Return the values that occur in each mask, or the reason why it cannot be read."""

    def values(file: MaskFile) -> np.ndarray | str:
        try:
            return np.unique(read_values(file.path, colours=colours))
        except (OSError, InvalidInput) as error:
            return str(error)

    with warnings.catch_warnings(), ThreadPoolExecutor(_THREADS) as pool:
        warnings.filterwarnings("ignore", module="PIL")  # about damaged metadata, and about sizes, which are checked
        return list(pool.map(values, files))


def _reader(labels: Any, ignore: int | None, colors: Any, values: Sequence[np.ndarray]) -> tuple[LabelSpec, MaskReader]:
    """Return the labels, and the reader that turns values into their indices.

    Args:
        labels: Argument of `from_masks`.
        ignore: Argument of `from_masks`.
        colors: Argument of `from_masks`.
        values: Values that occur in each mask.
    """
    names = None if labels is None else labels.names if isinstance(labels, LabelSpec) else as_names(labels)
    if ignore is not None and not check.is_whole(ignore):
        raise InvalidInput(f"`ignore` must be a value of masks, such as 255, or None. Received: {ignore!r}")
    if colors is not None:
        return _colour_reader(names, colour_table(colors))
    occurring = sorted({int(value) for mask_values in values for value in mask_values})
    can_be_binary = names is None or len(names) == len(_BINARY)
    if ignore == IGNORE and can_be_binary and IGNORE in occurring and set(occurring) <= set(_BINARY):
        names = names or ("background", "object")
        log.info("the masks have only the values 0 and 255: 255 is read as the class %r", names[1])
        return _spec(names), MaskReader(tuple((value, index) for index, value in enumerate(_BINARY)), ())
    ignored = () if ignore is None else (int(ignore),)
    counted = [value for value in range(max(occurring, default=0) + 1) if value not in ignored][: IGNORE + 1]
    while names is None and counted and counted[-1] not in occurring:
        counted.pop()
    names = names or tuple(str(value) for value in counted)
    every = (value for value in range(len(names) + len(ignored)) if value not in ignored)
    return _spec(names), MaskReader(
        tuple((value, index) for index, value in enumerate(every) if index < len(names)), ignored
    )


def _colour_reader(names: tuple[str, ...] | None, table: dict[str, tuple[int, ...]]) -> tuple[LabelSpec, MaskReader]:
    void = [name for name in table if name.lower() in ("ignore", "void", "unlabeled", "unlabelled")]
    void = [name for name in void if names is None or name not in names]
    names = names or tuple(name for name in table if name not in void)
    missing = [name for name in names if name not in table]
    other = [name for name in table if name not in names and name not in void]
    if missing or other:
        raise InvalidInput(
            f"`colors` must have the classes of `labels`. Without a colour: {check.listing(missing) or 'none'}; not "
            f"among the labels: {check.listing(other) or 'none'}"
        )
    classes = tuple((colour, index) for index, name in enumerate(names) for colour in table[name])
    ignored = tuple(colour for name in void for colour in table[name])
    return _spec(names), MaskReader(classes, ignored, has_colours=True)


def _spec(names: tuple[str, ...]) -> LabelSpec:
    if not 1 < len(names) <= IGNORE:
        raise InvalidInput(
            f"masks must have 2 to {IGNORE} classes. Received: {len(names)}: {check.listing(names, limit=5)}"
        )
    return LabelSpec(names, "masks")


register_format("masks", from_masks, suffixes=(), needs=("masks",))
