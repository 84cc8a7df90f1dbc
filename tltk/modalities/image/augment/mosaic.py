"""Mosaic: four examples of a batch in one picture."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.modalities.augmentation import Augmentation, Targets, Transform, register_augmentation, uniform_per_example
from tltk.modalities.image.augment.boxes_and_masks import (
    MIN_VISIBLE,
    NO_OBJECT,
    check_entries,
    check_targets,
    described,
    move_boxes,
    move_masks,
)
from tltk.modalities.image.augment.rescale import check_range, check_visibility, placed, placement

_PARTS = 4


def mosaic(
    *,
    probability: float = 0.5,
    scale_range: tuple[float, float] = (0.5, 1.0),
    center_range: tuple[float, float] = (0.25, 0.75),
    min_visibility: float = MIN_VISIBLE,
    truncated: str = "drop",
) -> Augmentation:
    """Put an example and three others of its batch into one picture (Bochkovskiy et al. 2020, "YOLOv4").

    A random point divides the picture into four parts. Each shows one example, scaled by a factor of its own, at a
    random place: pixels beyond the part are cut off, and uncovered pixels are black, and 255 in masks. Every example
    of a batch is the first of one picture, and a further one in three others.

    Boxes of all four examples are kept, however many there are: a batch gets as many rows as its fullest picture needs,
    objects first. Targets of classes are blended by the area of the parts (as in RICAP, Takahashi et al. 2018).

    Args:
        probability: Fraction of the pictures that become mosaics, in (0, 1].
        scale_range: Smallest and largest factor of an example.
        center_range: Smallest and largest distance of the point from the top and the left edge, as a fraction of the
            picture, in (0, 1).
        min_visibility: Smallest fraction of the area of a box that must be left, in [0, 1].
        truncated: How boxes with a smaller visible part are handled: "drop" or "ignore", see `move_targets`.

    Returns:
        The augmentation. It needs boxes, masks, or targets encoded as float vectors [b, k].

    Raises:
        InvalidInput: If a value is out of range; all problems are listed.

    Examples:
        >>> mosaic(probability=1.0).name
        'mosaic'
    """
    problems = check.Problems()
    if not check.is_number(probability) or not 0 < probability <= 1:
        problems.add(f"`probability` must be above 0 and at most 1. Received: {probability!r}")
    check_range(problems, "scale_range", scale_range)
    check_range(problems, "center_range", center_range, maximum=1)
    check_visibility(problems, min_visibility, truncated)
    problems.raise_if_any()
    ranges = (("scale_range", tuple(map(float, scale_range))), ("center_range", tuple(map(float, center_range))))
    options = ("min_visibility", float(min_visibility)), ("truncated", truncated)
    return Augmentation("mosaic", (("probability", float(probability)), *ranges, *options))


class _Part(NamedTuple):
    """One part of each picture of a batch, and what it shows.

    Args:
        rows: Example that it shows, int32 [b].
        bounds: y_min, x_min, y_max, x_max in whole pixels, float32 [b, 4].
        scales: Factor of the example, float32 [b].
        shifts: Place of its top left corner, float32 [b, 2].
    """

    rows: tf.Tensor
    bounds: tf.Tensor
    scales: tf.Tensor
    shifts: tf.Tensor

    def covers(self, images: tf.Tensor) -> tf.Tensor:
        """Return which pixels belong to the part, bool [b, h, w]."""
        y, x = (tf.range(tf.shape(images)[axis], dtype=tf.float32)[None] + 0.5 for axis in (1, 2))
        top, left, bottom, right = tf.unstack(self.bounds[:, :, None], axis=1)
        return ((y > top) & (y < bottom))[:, :, None] & ((x > left) & (x < right))[:, None]

    def matrices(self) -> tf.Tensor:
        """Return the maps for boxes and masks, see `placement`."""
        return placement(self.scales, self.shifts)


def _mosaic(
    probability: float,
    scale_range: tuple[float, float],
    center_range: tuple[float, float],
    min_visibility: float,
    truncated: str,
) -> Transform:
    options: dict[str, Any] = {"min_visibility": min_visibility, "truncated": truncated}

    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        _check(targets, images, truncated)

        def draw(number: int, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
            return uniform_per_example(images, seed, draw=number, low=low, high=high)

        is_mosaic = draw(0) < probability
        size = tf.cast(tf.shape(images)[1:3], tf.float32)
        centre = tf.round(tf.stack([draw(1, *center_range), draw(2, *center_range)], 1) * size)
        centre = tf.where(is_mosaic[:, None], centre, size)  # the first part is then the whole picture
        parts = []
        for number, (rows, bounds) in enumerate(zip(_rows(draw(3)), _bounds(centre, size), strict=True)):
            scales = tf.where(is_mosaic, draw(10 + number, *scale_range), 1.0)
            places = tf.stack([draw(20 + number), draw(30 + number)], 1)
            room = bounds[:, 2:] - bounds[:, :2] - scales[:, None] * size  # below 0 where the example is cut off
            parts.append(_Part(rows, bounds, scales, bounds[:, :2] + places * room))
        pixels = [placed(tf.gather(images, part.rows), part.scales, part.shifts) for part in parts]
        covers = [part.covers(images) for part in parts]
        mixed = _composed(pixels, [cover[..., None] for cover in covers])
        return tf.ensure_shape(mixed, images.shape), _mixed_targets(targets, parts, covers, options)

    return transform


def _rows(uniform: tf.Tensor) -> list[tf.Tensor]:
    """Return the examples of each picture, int32 [b] four times: itself, and the next three in a random circle."""
    count = tf.shape(uniform)[0]
    circle = tf.argsort(uniform)
    place = tf.argsort(circle)
    return [tf.gather(circle, (place + step) % count) for step in range(_PARTS)]


def _bounds(centre: tf.Tensor, size: tf.Tensor) -> list[tf.Tensor]:
    """Return the four rectangles around points [b, 2], float32 [b, 4] each."""
    y, x = tf.unstack(centre, axis=1)
    zeros, height, width = tf.zeros_like(y), tf.zeros_like(y) + size[0], tf.zeros_like(y) + size[1]
    corners = ((zeros, zeros, y, x), (zeros, x, y, width), (y, zeros, height, x), (y, x, height, width))
    return [tf.stack(corner, 1) for corner in corners]


def _composed(layers: Sequence[tf.Tensor], covers: Sequence[tf.Tensor]) -> tf.Tensor:
    """Join layers, each of which is visible where it covers the picture; no pixel is covered twice."""
    result = layers[0]
    for layer, cover in zip(layers[1:], covers[1:], strict=True):
        result = tf.where(cover, layer, result)
    return result


def _mixed_targets(
    targets: Targets, parts: Sequence[_Part], covers: Sequence[tf.Tensor], options: dict[str, Any]
) -> Targets:
    """Return the targets of the pictures: boxes joined, masks composed, numbers and vectors blended by area."""
    fractions = [tf.reduce_mean(tf.cast(cover, tf.float32), [1, 2]) for cover in covers]

    def blended(values: tf.Tensor) -> tf.Tensor:
        weights = [tf.reshape(fraction, [-1] + [1] * (values.shape.rank - 1)) for fraction in fractions]
        pairs = zip(parts, weights, strict=True)
        return tf.add_n([tf.gather(values, part.rows) * tf.cast(weight, values.dtype) for part, weight in pairs])

    if not isinstance(targets, dict):
        return blended(targets)
    mixed = {name: blended(values) for name, values in targets.items() if name in _blended_entries(targets)}
    if "masks" in targets:
        layers = [move_masks(tf.gather(targets["masks"], part.rows), part.matrices()) for part in parts]
        mixed["masks"] = tf.ensure_shape(_composed(layers, covers), targets["masks"].shape)
    if "boxes" in targets:
        mixed |= _joined_boxes(
            {name: targets[name] for name in targets if name != "masks" and name not in mixed}, parts, options
        )
    return {name: mixed[name] for name in targets}


def _joined_boxes(rows: dict[str, tf.Tensor], parts: Sequence[_Part], options: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Join the rows of four examples, objects first, and leave out rows that no picture needs."""
    moved = []
    for part in parts:
        part_rows = {name: tf.gather(values, part.rows) for name, values in rows.items()}
        moved.append({**part_rows, **move_boxes(part_rows, part.matrices(), part.bounds[:, None], **options)})
    joined = {name: tf.concat([entries[name] for entries in moved], 1) for name in rows}
    is_object = joined["labels"] != NO_OBJECT
    order = tf.argsort(tf.cast(~is_object, tf.int32), axis=1, stable=True)
    needed = tf.reduce_max(tf.reduce_sum(tf.cast(is_object, tf.int32), 1))
    return {name: tf.gather(values, order, batch_dims=1)[:, :needed] for name, values in joined.items()}


def _blended_entries(targets: dict[str, tf.Tensor]) -> set[str]:
    """Return the entries that hold a number or a vector of an example, such as its weight.

    Next to boxes, entries with two axes belong to the rows of boxes.
    """
    rank = 1 if "boxes" in targets else 2
    names = set(targets) - {"boxes", "labels", "masks"}
    return {name for name in names if targets[name].dtype.is_floating and targets[name].shape.rank <= rank}


def _check(targets: Targets, images: tf.Tensor, truncated: str) -> None:
    check_targets(targets)
    if not isinstance(targets, dict):
        if not targets.dtype.is_floating or targets.shape.rank != 2:
            raise InvalidInput(
                "mosaic needs boxes or masks in a dict, or targets encoded as float vectors [b, k], which it blends. "
                f"Received: {described(targets)}. Pass `encode`, or use another augmentation."
            )
        return
    check_entries(targets, images, truncated=truncated)
    of_boxes = {name for name, values in targets.items() if "boxes" in targets and values.shape.rank == 2}
    unknown = set(targets) - {"boxes", "labels", "masks"} - of_boxes - _blended_entries(targets)
    if unknown:
        raise InvalidInput(
            f"mosaic cannot join {check.listing(sorted(map(repr, unknown)))} of `targets`: an entry must be a float "
            "number of each example, or [b, n] with a value of each box."
        )


register_augmentation("mosaic", mosaic, build=_mosaic, mixes=True)
