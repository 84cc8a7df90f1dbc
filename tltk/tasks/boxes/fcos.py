"""The targets of FCOS (Tian et al. 2019): which object each position of a feature pyramid learns, if any."""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

BACKGROUND, IGNORED = -1, -2  # classes of positions without an object, and of those that take no part in the loss
CENTRE_RADIUS = 1.5  # in strides: only positions this near to the centre of an object learn it
_STRIDES_PER_LEVEL = 8  # a level learns objects whose farthest edge is up to 8 strides away, as in the paper


@dataclass(frozen=True)
class Grid:
    """Positions of the levels of a feature pyramid in the input of a network, level by level, row by row.

    Args:
        input_size: Height and width of the input in pixels.
        level_sizes: Rows and columns of the features of each level, the finest first.
    """

    input_size: tuple[int, int]
    level_sizes: tuple[tuple[int, int], ...]

    @property
    def strides(self) -> tuple[float, ...]:
        """Pixels per position of each level, along the height."""
        return tuple(self.input_size[0] / rows for rows, _ in self.level_sizes)

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of positions of each level."""
        return tuple(rows * columns for rows, columns in self.level_sizes)

    def centres(self) -> np.ndarray:
        """Return the centre of each position, float32 [positions, 2]: y and x in pixels of the input."""
        height, width = self.input_size
        parts = []
        for rows, columns in self.level_sizes:
            y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
            parts.append(np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2))
        return np.concatenate(parts).astype(np.float32)

    def size_ranges(self) -> np.ndarray:
        """Return the smallest and largest distance to an edge that each position learns, float32 [positions, 2]."""
        strides = self.strides
        limits = [0.0, *(_STRIDES_PER_LEVEL * stride for stride in strides[:-1]), math.inf]
        ranges = np.stack([limits[:-1], limits[1:]], 1)
        return np.repeat(ranges, self.counts, 0).astype(np.float32)

    def radii(self) -> np.ndarray:
        """Return how far from the centre of an object a position may lie to learn it, float32 [positions]."""
        return np.repeat(np.multiply(CENTRE_RADIUS, self.strides), self.counts).astype(np.float32)


def assign(boxes: tf.Tensor, labels: tf.Tensor, ignored: tf.Tensor, grid: Grid) -> tuple[tf.Tensor, tf.Tensor]:
    """Assign an object, the background or nothing to each position, in a graph.

    A position learns an object if it lies in its box, within 1.5 strides of its centre along both axes (centre
    sampling), and if the farthest edge is in the range of its level. Among several it learns the smallest.

    Args:
        boxes: float32 [b, n, 4], in pixels of the input.
        labels: int [b, n], -1 for rows without an object.
        ignored: bool [b, n]: objects that are neither targets nor background, such as crowds.
        grid: Positions of the pyramid.

    Returns:
        int32 [b, positions], class of each position, `BACKGROUND` or `IGNORED`; and float32 [b, positions, 4], its
        distances to the edges of its object (top, left, bottom, right) in pixels, 0 without an object.

    Examples:
        >>> grid = Grid((16, 16), ((2, 2),))
        >>> boxes, labels = tf.constant([[[0.0, 0.0, 8.0, 8.0]]]), tf.constant([[3]])
        >>> classes, distances = assign(boxes, labels, tf.constant([[False]]), grid)
        >>> classes.numpy().tolist(), distances.numpy()[0, 0].tolist()
        ([[3, -1, -1, -1]], [4.0, 4.0, 4.0, 4.0])
    """
    # A row without an object, so that the smallest of the objects exists.
    boxes, ignored = tf.pad(boxes, [[0, 0], [0, 1], [0, 0]]), tf.pad(ignored, [[0, 0], [0, 1]])
    labels = tf.pad(tf.cast(labels, tf.int32), [[0, 0], [0, 1]], constant_values=BACKGROUND)
    centres = tf.constant(grid.centres())[None, :, None]  # [1, positions, 1, 2]
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]  # [b, 1, n, 2]
    distances = tf.concat([centres - low, high - centres], -1)  # [b, positions, n, 4]
    is_inside = tf.reduce_min(distances, -1) > 0
    offset = tf.reduce_max(tf.abs(centres - (low + high) / 2), -1)
    farthest, ranges = tf.reduce_max(distances, -1), tf.constant(grid.size_ranges())[None, :, None]
    is_of_level = (farthest > ranges[..., 0]) & (farthest <= ranges[..., 1])
    is_central = offset < tf.constant(grid.radii())[None, :, None]
    is_object = (labels >= 0)[:, None]
    ignored = ignored[:, None]
    is_candidate = is_inside & is_central & is_of_level & is_object & ~ignored
    areas = tf.reduce_prod(high - low, -1)  # [b, 1, n]
    areas = tf.where(is_candidate, areas, np.inf)
    has_object = tf.reduce_any(is_candidate, -1)
    smallest = tf.argmin(areas, -1, output_type=tf.int32)  # [b, positions]
    classes = tf.gather(labels, smallest, batch_dims=1)
    in_ignored = tf.reduce_any(is_inside & is_object & ignored, -1)
    without_object = tf.where(in_ignored, IGNORED, BACKGROUND)
    own_distances = tf.gather(distances, smallest, batch_dims=2)
    return tf.where(has_object, classes, without_object), tf.where(has_object[..., None], own_distances, 0.0)


def boxes_of(distances: tf.Tensor, grid: Grid) -> tf.Tensor:
    """Turn distances to edges into boxes.

    Args:
        distances: float32 [b, positions, 4]: top, left, bottom, right, in pixels.
        grid: Positions of the pyramid.

    Returns:
        float32 [b, positions, 4], within the input.
    """
    centres = tf.constant(grid.centres())
    boxes = tf.concat([centres - distances[..., :2], centres + distances[..., 2:]], -1)
    height, width = grid.input_size
    return tf.clip_by_value(boxes, 0.0, tf.constant([height, width, height, width], tf.float32))
