"""A light feature pyramid: features of several strides with the same channels, each aware of the coarser ones."""

from collections.abc import Mapping
from typing import Any

import keras

from tltk.foundation import keras_private as private

_MOMENTUM = 0.9  # of batch norms: a head is trained for some hundreds of steps


def feature_pyramid(
    features: Mapping[int, keras.KerasTensor],
    *,
    sizes: Mapping[int, tuple[int, int]],
    channels: int,
    seed: int = 0,
) -> dict[int, keras.KerasTensor]:
    """Build a feature pyramid (Lin et al. 2017) of depthwise separable convolutions.

    Each level is a 1×1 convolution of the features of its stride, plus the enlarged level above, smoothed by a 3×3
    convolution. Levels that the backbone lacks are made of the nearest one: coarser ones by convolutions of stride 2,
    finer ones by enlarging, as for vision transformers, which have one stride (Li et al. 2022, ViTDet).

    Args:
        features: Stride → float [batch, height, width, channels], the finest first.
        sizes: Stride → rows and columns of each level, the finest first, each stride twice the previous. Features of
            another size, which unpadded convolutions have, are resized.
        channels: Channels of every level.
        seed: Seed of the initial weights.

    Returns:
        Stride → float32 [batch, rows, columns, channels], the finest first.
    """
    lateral = {
        stride: resized(
            normalized(pointwise(features[stride], channels, seed=seed + stride, name=f"pyramid_lateral_{stride}")),
            size,
        )
        for stride, size in sizes.items()
        if stride in features
    }
    for stride, size in sizes.items():
        if stride not in lateral and stride // 2 in lateral:
            name = f"pyramid_coarser_{stride}"
            coarser = convolution(lateral[stride // 2], channels, seed=seed + stride, name=name, strides=2)
            lateral[stride] = resized(coarser, size)
    above: Any = None
    merged = {}
    for stride, size in reversed(tuple(sizes.items())):
        larger = None if above is None else resized(above, size)
        if larger is None or stride not in lateral:
            merged[stride] = lateral.get(stride, larger)
        else:
            merged[stride] = keras.layers.Add(dtype="float32", name=f"pyramid_sum_{stride}")([lateral[stride], larger])
        above = merged[stride]
    return {
        stride: convolution(merged[stride], channels, seed=seed + stride + 1, name=f"pyramid_smooth_{stride}")
        for stride in sizes
    }


def convolution(x: keras.KerasTensor, channels: int, *, seed: int, name: str, strides: int = 1) -> keras.KerasTensor:
    """Add a depthwise separable 3×3 convolution, a batch norm and a ReLU, in float32."""
    return activated(separable(channels, seed=seed, name=name, strides=strides)(x), name=name)


def separable(channels: int, *, seed: int, name: str, strides: int = 1) -> keras.layers.Layer:
    """Return a depthwise separable 3×3 convolution without bias."""
    return keras.layers.SeparableConv2D(
        channels,
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer=keras.initializers.HeNormal(seed=seed),
        pointwise_initializer=keras.initializers.HeNormal(seed=seed + 1),
        dtype="float32",
        name=name,
    )


def pointwise(x: keras.KerasTensor, channels: int, *, seed: int, name: str) -> keras.KerasTensor:
    """Add a 1×1 convolution without bias, in float32."""
    kernel = keras.initializers.GlorotUniform(seed=seed)
    layer = keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer=kernel, dtype="float32", name=name)
    return layer(x)


def normalized(x: keras.KerasTensor, *, name: str | None = None) -> keras.KerasTensor:
    """Add a batch norm, in float32."""
    name = name or private.producing_node(x).operation.name
    return keras.layers.BatchNormalization(momentum=_MOMENTUM, dtype="float32", name=f"{name}_norm")(x)


def activated(x: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    """Add a batch norm and a ReLU, in float32."""
    return keras.layers.ReLU(dtype="float32", name=f"{name}_relu")(normalized(x, name=name))


def resized(x: keras.KerasTensor, size: tuple[int, int], *, interpolation: str = "nearest") -> keras.KerasTensor:
    """Resize features to some rows and columns."""
    rows, columns = x.shape[1:3]
    if size == (rows, columns):
        return x
    factors = size[0] // rows, size[1] // columns
    if size == (factors[0] * rows, factors[1] * columns):
        return keras.layers.UpSampling2D(factors, interpolation=interpolation, dtype="float32")(x)
    return keras.ops.image.resize(x, size, interpolation=interpolation)
