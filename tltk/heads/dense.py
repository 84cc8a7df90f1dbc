"""The dense head of a detector: classes, distances to edges and centreness at every position of a feature pyramid."""

import math
from collections.abc import Mapping, Sequence

import keras

from tltk.heads.pyramid import separable

_PRIOR = 0.01  # first probability of a class: otherwise the first steps only unlearn objects (Lin et al. 2017)
_FIRST_DISTANCE = 4.0  # in strides: the middle of what a level learns
_GROUP_CHANNELS = 8  # of 256 in the paper
_LARGEST_LOGARITHM = 6.0  # of a distance in strides, so that it cannot overflow


def dense_head(
    levels: Mapping[int, keras.KerasTensor],
    *,
    classes: int,
    channels: int,
    depth: int,
    strides: Sequence[float],
    seed: int = 0,
) -> dict[str, keras.KerasTensor]:
    """Build the head of FCOS (Tian et al. 2019), whose layers all levels share.

    As in the paper, features are normalized in groups of channels, each position of each image by itself: levels differ
    in their statistics, and a level without objects would not learn useful statistics.

    Args:
        levels: Stride → float32 [batch, rows, columns, channels], the finest first.
        classes: Number of classes.
        channels: Channels of the hidden layers.
        depth: Hidden layers of the branch of classes, and of that of boxes.
        strides: Pixels per position of each level.
        seed: Seed of the initial weights.

    Returns:
        For all positions of all levels, level by level, float32: "classes" [batch, positions, classes], probabilities;
        "distances" [batch, positions, 4], pixels to the edges of the object (top, left, bottom, right); "centreness"
        [batch, positions, 1], in [0, 1].
    """
    branches = {
        branch: [
            layer
            for number in range(depth)
            for layer in _hidden(channels, seed=seed + 10 * number + offset, name=f"{branch}_{number}")
        ]
        for branch, offset in (("class_branch", 0), ("box_branch", 5))
    }
    predictors = {
        "classes": _predictor(classes, math.log(_PRIOR / (1 - _PRIOR)), seed=seed + 1, name="predict_classes"),
        "distances": _predictor(4, math.log(_FIRST_DISTANCE), seed=seed + 2, name="predict_distances"),
        "centreness": _predictor(1, 0.0, seed=seed + 3, name="predict_centreness"),
    }
    rows: dict[str, list[keras.KerasTensor]] = {name: [] for name in predictors}
    for (stride, tensor), pixels in zip(levels.items(), strides, strict=True):
        hidden = dict.fromkeys(branches, tensor)
        for branch, layers in branches.items():
            for layer in layers:
                hidden[branch] = layer(hidden[branch])
        for name, predictor in predictors.items():
            values = predictor(hidden["class_branch" if name == "classes" else "box_branch"])
            flat = keras.layers.Reshape((-1, values.shape[-1]), dtype="float32", name=f"{name}_{stride}")(values)
            rows[name].append(_distances(flat, pixels, stride) if name == "distances" else flat)
    joined = {name: _joined(parts, name) for name, parts in rows.items()}
    for name in ("classes", "centreness"):
        joined[name] = keras.layers.Activation("sigmoid", dtype="float32", name=f"{name}_sigmoid")(joined[name])
    return joined


def _hidden(channels: int, *, seed: int, name: str) -> list[keras.layers.Layer]:
    """Return the layers of a hidden layer, groups of up to 8 channels in its norm."""
    groups = channels // math.gcd(channels, _GROUP_CHANNELS)
    return [
        separable(channels, seed=seed, name=name),
        keras.layers.GroupNormalization(groups, dtype="float32", name=f"{name}_norm"),
        keras.layers.ReLU(dtype="float32", name=f"{name}_relu"),
    ]


def _joined(parts: list[keras.KerasTensor], name: str) -> keras.KerasTensor:
    return parts[0] if len(parts) == 1 else keras.layers.Concatenate(axis=1, dtype="float32", name=f"{name}_all")(parts)


def _distances(logarithms: keras.KerasTensor, pixels: float, stride: int) -> keras.KerasTensor:
    """Turn logarithms of distances in strides into pixels."""
    limited = keras.ops.minimum(logarithms, _LARGEST_LOGARITHM)
    return keras.layers.Rescaling(pixels, dtype="float32", name=f"distances_pixels_{stride}")(keras.ops.exp(limited))


def _predictor(units: int, bias: float, *, seed: int, name: str) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        units,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        bias_initializer=keras.initializers.Constant(bias),
        dtype="float32",
        name=name,
    )
