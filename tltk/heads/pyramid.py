"""A light feature pyramid: features of several strides with the same channels, each aware of the coarser ones."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tltk.foundation import keras_private as private

_MOMENTUM = 0.9  # of batch norms: a head is trained for some hundreds of steps


def feature_pyramid(
    features: Mapping[int, keras.KerasTensor],
    *,
    strides: Sequence[int],
    channels: int,
    seed: int = 0,
) -> dict[int, keras.KerasTensor]:
    """Build a feature pyramid (Lin et al. 2017) of depthwise separable convolutions.

    Each level is a 1×1 convolution of the features of its stride, plus the enlarged level above, smoothed by a 3×3
    convolution. Levels that the backbone lacks are made of the nearest one: coarser ones by convolutions of stride 2,
    finer ones by enlarging, as for vision transformers, which have one stride (Li et al. 2022, ViTDet).

    Args:
        features: Stride → float [batch, height, width, channels], the finest first.
        strides: Strides of the levels, the finest first, each twice the one before.
        channels: Channels of every level.
        seed: Seed of the initial weights.

    Returns:
        Stride → float32 [batch, rows, columns, channels], the finest first.
    """
    lateral = {
        stride: normalized(pointwise(tensor, channels, seed=seed + stride, name=f"pyramid_lateral_{stride}"))
        for stride, tensor in features.items()
    }
    for stride in strides:
        if stride not in lateral and stride // 2 in lateral:
            lateral[stride] = _downsampled(lateral[stride // 2], channels, stride=stride, seed=seed)
    above: Any = None
    merged = {}
    for stride in sorted({*lateral, *strides}, reverse=True):
        own = lateral.get(stride)
        if own is None:
            own = keras.layers.UpSampling2D(2, dtype="float32", name=f"pyramid_finer_{stride}")(above)
        elif above is not None:
            own = keras.layers.Add(dtype="float32", name=f"pyramid_sum_{stride}")([own, enlarged(above, own)])
        above = merged[stride] = own
    return {
        stride: convolution(merged[stride], channels, seed=seed + stride + 1, name=f"pyramid_smooth_{stride}")
        for stride in strides
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


def enlarged(x: keras.KerasTensor, like: keras.KerasTensor, *, interpolation: str = "nearest") -> keras.KerasTensor:
    """Enlarge features to the rows and columns of others."""
    rows, columns = like.shape[1:3]
    if (rows, columns) == tuple(x.shape[1:3]):
        return x
    if rows == 2 * x.shape[1] and columns == 2 * x.shape[2]:
        return keras.layers.UpSampling2D(2, interpolation=interpolation, dtype="float32")(x)
    return keras.ops.image.resize(x, (rows, columns), interpolation=interpolation)  # features of unpadded convolutions


def _downsampled(x: keras.KerasTensor, channels: int, *, stride: int, seed: int) -> keras.KerasTensor:
    return convolution(x, channels, seed=seed + stride, name=f"pyramid_coarser_{stride}", strides=2)
