"""Sources from arrays and lists in memory: images, texts, pairs of texts, and sounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tltk.data import targets as convert
from tltk.data.exclude import Exclude
from tltk.data.formats import dense_targets
from tltk.data.formats.sounds import as_waveforms
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.specs import LabelSpec
from tltk.specs.image import as_value_range
from tltk.specs.labels import as_names

_MANY_CLASSES = 10_000  # more of them without names are more likely ids or values
_DIFFERENT_SIZES = (
    "`x` must be one array [n, height, width, channels]; its images differ in size. Resize them first. With boxes or "
    "masks, pad them on the right and at the bottom with np.pad (masks with 255), which moves no box, or write them to "
    "files, for tltk.from_coco(…) and tltk.from_masks(…)."
)
_LABEL_TYPES = ("categorical", "multilabel", "regression")


@familiar.arguments
def from_arrays(
    x: Any,
    y: Any = None,
    *,
    labels: LabelSpec | Sequence[str] | None = None,
    label_type: str = "categorical",
    sample_weight: Any = None,
    value_range: tuple[float, float] | None = None,
    sample_rate: int | None = None,
    exclude: Exclude = None,
) -> Source:
    """Create a source from images, texts or sounds in memory.

    Args:
        x: Pixels [n, height, width] or [n, height, width, channels], uint8 or float in [0, 255]; a list of arrays or
            PIL images of one size; a list of texts; or a list of tuples of two texts. Grey, RGB and RGBA (1, 3, 4
            channels) are converted to what a model takes. With `sample_rate`, sounds: samples [n, samples] or [n,
            samples, channels], or a list of arrays of different lengths; floats in [-1, 1] or uint8, int16, int32.
        y: For "categorical", one class index, class name or one-hot row per example; for "multilabel", a list of class
            names per example, or 0 and 1 [n, k]; for "regression", numbers [n] or [n, k]; for "boxes", a dict of
            "boxes" [k, 4] (y_min, x_min, y_max, x_max in pixels) and "labels" [k], or `Boxes`, per image; for "masks",
            class numbers [n, height, width], 255 for pixels that do not count. None if unlabelled.
        labels: Names of the classes or columns in the order of the model's outputs, also as a dict of class index →
            name; or the `LabelSpec` of another source.
        label_type: "categorical", "multilabel", "regression", "boxes" or "masks"; ignored if `labels` is a `LabelSpec`,
            which has a type.
        sample_weight: Weight of each example in loss and metrics, [n], at least 0; None if all count the same.
        value_range: Value of black and of white, such as (0, 65535) for 16-bit images and (0, 1) for floats; the
            default is (0, 255). The model must be built for the same range: `tltk.backbone(name, value_range=…)`.
        sample_rate: Samples per second of sounds; None for images and texts.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source in memory. Pixels in uint8, and in uint16 with `value_range`, are not copied.

    Raises:
        InvalidType: If `x` is not a numeric array of images, a list of texts or a list of pairs of texts.
        InvalidInput: If a shape, range or length is wrong.

    Examples:
        >>> from_arrays(np.zeros((4, 8, 8, 3), "uint8"), ["cat", "dog", "cat", "dog"]).labels.names
        ('cat', 'dog')
    """
    modality, examples = _examples(x, value_range, sample_rate)
    targets: Any = None
    spec = None
    if y is not None:
        label_type = labels.type if isinstance(labels, LabelSpec) else label_type
        if label_type in dense_targets.CONVERTERS:
            targets, spec = dense_targets.CONVERTERS[label_type](y, examples, labels)
        else:
            targets, spec = check_targets(y, len(examples), labels=labels, label_type=label_type)
    own_range = None
    if value_range is not None:
        if modality != "image":
            raise InvalidInput(f"`value_range` applies to images, and `x` holds {check.plural(modality)}.")
        own_range = as_value_range(value_range)
    source = Source(modality, "arrays", examples, targets, spec, value_range=own_range)
    return source.with_sample_weight(sample_weight).without(exclude)


def _examples(x: Any, value_range: tuple[float, float] | None, sample_rate: int | None) -> tuple[str, Any]:
    """Return the modality of values in memory, and the values as a source holds them."""
    if sample_rate is not None:
        return "audio", as_waveforms(x, sample_rate)
    x = as_texts(x)
    pairs = as_pairs(x)
    if pairs is not None or is_text(x):
        return "text", pairs if pairs is not None else np.asarray(x, object)
    return "image", check_pixels(x, value_range)


def as_texts(x: Any) -> Any:
    """Convert texts in any form to a list of strings, or of tuples of two strings; return other values unchanged.

    Args:
        x: Strings or bytes in a list, an array [n] or [n, 1], a tensor, or a column of a table; [n, 2] for pairs.

    Raises:
        InvalidType: If `x` is one text, or a list of lists of texts.
    """
    if isinstance(x, str | bytes):
        raise InvalidType(f"`x` must be a list of texts. Received: one text. Pass [{_decoded(x)!r:.40}].")
    if not isinstance(x, list | tuple | Image.Image) and hasattr(x, "__array__"):
        array = np.asarray(x)
        x = array[:, 0] if array.dtype.kind in "OSU" and array.ndim == 2 and array.shape[1] == 1 else array
        is_table = array.dtype.kind in "OSU" and x.ndim == 2 and x.shape[1] == 2
        x = list(map(tuple, x.tolist())) if is_table else x
    items = x if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype.kind in "OS") else ()
    first = next((item for item in items if item is not None), None)
    if isinstance(first, list) and first and isinstance(first[0], str | bytes):
        raise InvalidType(
            f"`x` must be a list of texts, or of tuples of two texts. Received: a list of lists, such as {first!r:.60}"
        )
    if isinstance(first, tuple) and first and isinstance(first[0], bytes):
        return [tuple(map(_decoded, item)) if isinstance(item, tuple) else item for item in items]
    return list(map(_decoded, items)) if isinstance(first, bytes) else x


def _decoded(text: Any) -> Any:
    """Decode UTF-8, as a SavedModel does; other values stay as they are."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def is_text(x: Any) -> bool:
    """Tell whether a value is a list or array of texts."""
    items = x if isinstance(x, list | tuple | np.ndarray) else ()
    return isinstance(next((item for item in items if item is not None), None), str)


def as_pairs(x: Any) -> np.ndarray | None:
    """Convert tuples of two texts to an object array [n, 2]; return None if `x` is not a list of tuples.

    Raises:
        InvalidType: If an item is not a tuple of two texts; the message names the first one.
    """
    items = x if isinstance(x, list | tuple) else ()
    if not isinstance(next((item for item in items if item is not None), None), tuple):
        return None
    for row, item in enumerate(items):
        if not isinstance(item, tuple) or len(item) != 2 or not all(isinstance(text, str | None) for text in item):
            raise InvalidType(f"`x`[{row}] must be a tuple of two texts, like the other items. Received: {item!r:.60}")
    return np.array(items, object).reshape(-1, 2)


def check_pixels(x: Any, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Convert images to pixels [n, height, width, channels], uint8 or float32 in [0, 255], or of a stated range.

    Args:
        x: Pixels.
        value_range: Stated range; None means (0, 255).

    Raises:
        InvalidType: If `x` is not numeric.
        InvalidInput: If rank, number of channels or range is wrong, or there are NaN or infinite values.
    """
    try:
        pixels = np.asarray([as_pixels(image) for image in x] if isinstance(x, list | tuple) else x)
    except ValueError as error:  # images of different sizes
        raise InvalidInput(_DIFFERENT_SIZES) from error
    if pixels.dtype.kind not in "uif":
        raise InvalidType(f"`x` must be numeric or a list of texts. Received: dtype {pixels.dtype}")
    if pixels.ndim == 3 and pixels.shape[-1] in (1, 3, 4) and min(pixels.shape[:2]) > 4:
        raise InvalidInput(
            f"`x` has the shape {pixels.shape}. If it is one image, pass x[None]; if it is {pixels.shape[0]} grey "
            f"images of {pixels.shape[1]} x {pixels.shape[2]} pixels, pass x[..., None]."
        )
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels
    # An image with a height of 1, 3 or 4 and larger other sides is more likely one with the channels first.
    channels_first = pixels.ndim == 4 and pixels.shape[1] in (1, 3, 4) and min(pixels.shape[2:]) > 4
    if pixels.ndim != 4 or 0 in pixels.shape or channels_first:
        hint = " Did you mean to put the channels last?" if channels_first else ""
        raise InvalidInput(
            "`x` must be [n, height, width] or [n, height, width, channels], and not empty. "
            f"Received: {np.shape(x)}.{hint}"
        )
    if pixels.dtype == np.uint8 and value_range is None:
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite((low, high)).all():
        raise InvalidInput("`x` must be finite. Received: NaN or infinite pixels")
    if value_range is not None:
        _check_range(pixels, *as_value_range(value_range))
        return pixels if pixels.dtype in (np.uint8, np.uint16) else pixels.astype(np.float32)
    if low < 0 or high > 255:
        raise InvalidInput(
            f"`x` must lie in [0, 255], unless you state another `value_range`. Received: {low:g} to {high:g}"
        )
    if pixels.dtype.kind == "f" and 0 < high <= 1:
        raise InvalidInput(
            f"`x` must lie in [0, 255]. Received: {low:g} to {high:g}. Did you mean x * 255, or value_range=(0, 1)?"
        )
    return pixels.astype(np.float32 if pixels.dtype.kind == "f" else np.uint8)


def _check_range(pixels: np.ndarray, low: float, high: float) -> None:
    """Raise if values lie outside of a stated range; the message says how many, and in how many images."""
    outside = (pixels < low) | (pixels > high)
    if outside.any():
        images = np.flatnonzero(outside.reshape(len(pixels), -1).any(1))
        raise InvalidInput(
            f"`x` must lie in `value_range`, {low:g} to {high:g}. Received: {pixels.min():g} to {pixels.max():g}; "
            f"{outside.sum()} of {pixels.size} values lie outside, in {len(images)} of {len(pixels)} images, the first "
            f"of which is {images[0]}."
        )


def as_pixels(image: Any) -> Any:
    """Return the pixels of a PIL image as tltk decodes files: upright, RGB, alpha on white; others unchanged."""
    if not isinstance(image, Image.Image):
        return image
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "L" or upright.mode.startswith("I;16"):
        return np.asarray(upright)[..., None]
    if upright.has_transparency_data:
        rgba = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(upright.convert("RGB"))


def check_targets(
    y: Any, count: int, *, labels: LabelSpec | Sequence[str] | None, label_type: str
) -> tuple[np.ndarray, LabelSpec]:
    """Convert `y` to targets and labels; see `from_arrays` for the arguments.

    Returns:
        Targets [n, …] and their labels; a `LabelSpec` that was passed is returned as it is.

    Raises:
        InvalidInput: If a length, rank, range or name is wrong.
    """
    spec = labels if isinstance(labels, LabelSpec) else None
    label_type = spec.type if spec else label_type
    check.one_of("label_type", label_type, (*_LABEL_TYPES, *dense_targets.CONVERTERS))
    values = _as_array(y)
    if len(values) != count if values.ndim else True:
        raise InvalidInput(f"`y` must have {count} values, one per example of `x`. Received: shape {np.shape(y)}")
    names = labels.names if isinstance(labels, LabelSpec) else as_names(labels) if labels is not None else None
    if label_type == "categorical" and _are_numbers(labels):
        values = np.array([str(value) for value in values])  # numbers as names: `y` has names too, and not indices
    converters = {"categorical": _categorical, "multilabel": _multilabel, "regression": _regression}
    targets, new_spec = converters[label_type](values, names)
    return targets, spec or new_spec


def _are_numbers(labels: Any) -> bool:
    is_listed = isinstance(labels, list | tuple | np.ndarray) and len(labels) > 0
    return is_listed and all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels)


def _as_array(y: Any) -> np.ndarray:
    """Convert `y` to an array; rows of different lengths become an object array [n] of lists.

    Raises:
        InvalidInput: If some values are lists and others are not, such as None, or arrays differ in shape.
    """
    rows = [list(row) for row in y] if isinstance(y, list | tuple) and all(map(_is_row, y)) else []
    if len({len(row) for row in rows}) < 2:
        try:
            array = np.asarray(rows or y)
        except ValueError as error:
            raise InvalidInput(_why_irregular(y)) from error
        # Not as strings of NumPy: NaN among names would become the name "nan".
        return np.array(y, object) if array.dtype.kind in "US" and array.ndim == 1 else array
    ragged = np.empty(len(rows), object)
    ragged[:] = rows
    return ragged


def _why_irregular(y: Any) -> str:
    """Return the message for values that make no array: lists among single values, or arrays of several shapes."""
    single = (row for row, value in enumerate(y) if value is None or np.isscalar(value))
    received = check.listing(f"{_row_id(row)} is {y[row]!r}" for row in single)
    return (
        "`y` must have one value per example, or one list per example. Received: "
        f"{received or 'arrays or lists of different shapes'}. An example without any label has an empty list []; "
        "leave out examples whose labels are unknown."
    )


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple | set | frozenset)


def _row_id(row: int) -> str:
    return f"`y`[{row}]"


def _categorical(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2 and values.dtype.kind in "biuf" and values.shape[1] > 1:
        values = _from_one_hot(values)
    if values.ndim != 1 or any(map(_is_row, values)):
        raise InvalidInput(
            f'`y` must be [n] for label_type="categorical". Received: {values.shape}. '
            'Did you mean label_type="multilabel"?'
        )
    if values.dtype.kind in "USO":
        return convert.categorical(_names_of(values), names=names, row_id=_row_id)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InvalidInput(_without_class(~np.isfinite(values), values))
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        raise InvalidInput(
            '`y` must be whole numbers for label_type="categorical". Did you mean label_type="regression"?'
        )
    return _from_indices(values.astype(np.int64), names)


def _from_indices(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    """Convert class indices; without names, numbers that start above 0 are the names of the classes."""
    low, high = int(values.min()), int(values.max())
    if names is None and low > 0:
        numbers, values = np.unique(values, return_inverse=True)
        names, low, high = tuple(map(str, numbers)), 0, len(numbers) - 1
    if names is None and high >= max(_MANY_CLASSES, len(values)):
        raise InvalidInput(
            f"`y` has numbers up to {high:,}, and so many classes for {len(values):,} examples. For numbers that name "
            'classes pass list(map(str, y)); for values, label_type="regression"; for few examples of many classes, '
            "`labels`."
        )
    count = len(names) if names is not None else high + 1
    if low < 0 or high >= count:
        hint = " Do classes start at 1? Pass y - 1." if (low, high) == (1, count) else ""
        hint = hint or " Leave out examples without a label, such as -1." * (low == -1)
        raise InvalidInput(f"`y` must be class indices in [0, {count}). Received: {low} to {high}.{hint}")
    if count < 2:
        raise InvalidInput(f"at least two classes are needed. Received: {names[0] if names else 0!r} alone")
    return values.astype(np.int32), LabelSpec(names or tuple(str(index) for index in range(count)), "categorical")


def _from_one_hot(values: np.ndarray) -> np.ndarray:
    """Return class indices [n] for rows with a single 1; raise for other rows."""
    if np.isin(values, (0, 1)).all() and (values.sum(1) == 1).all():
        return values.argmax(1)
    is_multilabel = np.isin(values, (0, 1)).all()
    hint = 'Did you mean label_type="multilabel"?' if is_multilabel else "Pass class indices, such as y.argmax(1)."
    raise InvalidInput(
        f'`y` must be [n] or one-hot [n, classes] for label_type="categorical". Received: {values.shape}, '
        f"with rows that do not have a single 1. {hint}"
    )


def _names_of(values: np.ndarray) -> list[str]:
    """Return class names, and raise if there is none for some examples."""
    names = [value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value for value in values]
    is_missing = np.array([name is None or name != name or not str(name).strip() for name in names])
    if is_missing.any():
        raise InvalidInput(_without_class(is_missing, values))
    return [str(name) for name in names]


def _without_class(selected: np.ndarray, values: np.ndarray) -> str:
    rows = check.listing(f"{_row_id(row)} is {values[row]!r}" for row in np.flatnonzero(selected).tolist())
    return f"`y` must have a class for each example. Received: {rows}. Leave these examples out."


def _multilabel(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    rows = _class_names(values)
    if rows is not None:
        return convert.multilabel(rows, names=names, row_id=_row_id)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise InvalidInput(
            '`y` must be lists of class names, or [n, classes] of 0 and 1, for label_type="multilabel". '
            f"Received: {values.shape}"
        )
    names = names or tuple(str(index) for index in range(values.shape[1]))
    _check_name_count(names, values.shape[1])
    return values.astype(np.float32), LabelSpec(names, "multilabel")


def _class_names(values: np.ndarray) -> list[list[str]] | None:
    """Return the class names of each example; None if the values are not class names."""
    rows = values.tolist() if values.ndim in (1, 2) else []
    are_names = all(isinstance(row, list) and all(isinstance(name, str) for name in row) for row in rows)
    return rows if are_names and any(rows) else None


def _regression(values: np.ndarray, names: tuple[str, ...] | None) -> tuple[np.ndarray, LabelSpec]:
    columns = values[:, None] if values.ndim == 1 else values
    if columns.ndim != 2:
        raise InvalidInput(f'`y` must be [n] or [n, columns] for label_type="regression". Received: {values.shape}')
    names = names or (("value",) if columns.shape[1] == 1 else tuple(f"value {i}" for i in range(columns.shape[1])))
    _check_name_count(names, columns.shape[1])
    return convert.regression(columns, names=names, row_id=_row_id)


def _check_name_count(names: tuple[str, ...], columns: int) -> None:
    if len(names) != columns:
        raise InvalidInput(f"`labels` must name the {columns} columns of `y`. Received: {len(names)} names")
