"""Heads of semantic segmentation: one logit per class at every position of the finest features."""

from collections.abc import Mapping

import keras

from tltk.heads.pyramid import activated, convolution, normalized, pointwise, resized

LOGITS = "class_logits"  # name of the layer whose bias is the prior of the classes


def lraspp(
    features: Mapping[int, keras.KerasTensor],
    *,
    sizes: Mapping[int, tuple[int, int]],
    classes: int,
    channels: int,
    dropout: float = 0.0,
    seed: int = 0,
) -> keras.KerasTensor:
    """Build the "Lite R-ASPP" head of MobileNetV3 (Howard et al. 2019, section 6.4).

    The coarsest features are weighted by a summary of the whole image, enlarged step by step, and added to a linear
    projection of each finer level.

    Args:
        features: Stride → float [batch, height, width, channels].
        sizes: Stride → rows and columns of each level, the finest first.
        classes: Number of classes.
        channels: Channels of the coarsest level.
        dropout: Fraction of its channels that are set to 0 during training, in [0, 1).
        seed: Seed of the initial weights.

    Returns:
        Logits, float32 [batch, rows, columns, classes] of the finest level.
    """
    *finer, coarsest = (stride for stride in sizes if stride in features)
    x = activated(pointwise(features[coarsest], channels, seed=seed, name="lraspp_features"), name="lraspp_features")
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, dtype="float32", name="lraspp_pool")(features[coarsest])
    gate = pointwise(pooled, channels, seed=seed + 1, name="lraspp_gate")
    gate = keras.layers.Activation("sigmoid", dtype="float32", name="lraspp_sigmoid")(gate)
    x = keras.layers.Multiply(dtype="float32", name="lraspp_weighted")([x, gate])
    if dropout:
        x = keras.layers.SpatialDropout2D(dropout, seed=seed, dtype="float32", name="lraspp_dropout")(x)
    logits = class_logits(x, classes, seed=seed + 2, name=LOGITS)
    for stride in reversed(finer):
        projected = class_logits(features[stride], classes, seed=seed + stride, name=f"lraspp_logits_{stride}")
        logits = resized(logits, sizes[stride], interpolation="bilinear")
        projected = resized(projected, sizes[stride], interpolation="bilinear")
        logits = keras.layers.Add(dtype="float32", name=f"lraspp_sum_{stride}")([logits, projected])
    return resized(logits, next(iter(sizes.values())), interpolation="bilinear")


def unet(
    features: Mapping[int, keras.KerasTensor],
    *,
    sizes: Mapping[int, tuple[int, int]],
    classes: int,
    channels: int,
    dropout: float = 0.0,
    seed: int = 0,
) -> keras.KerasTensor:
    """Build a decoder with skip connections, as that of U-Net (Ronneberger et al. 2015).

    From coarse to fine, the features of each stride are projected to the channels of the decoder, added to the enlarged
    features of the previous stride, and mixed by a depthwise separable convolution. They are added instead of
    concatenated, as in LinkNet (Chaurasia and Culurciello 2017), since the finest level takes most of the time.

    Args:
        features: Stride → float [batch, height, width, channels].
        sizes: Stride → rows and columns of each level, the finest first.
        classes: Number of classes.
        channels: Channels of every level.
        dropout: Fraction of channels that are set to 0 before the last layer during training, in [0, 1).
        seed: Seed of the initial weights.

    Returns:
        Logits, float32 [batch, rows, columns, classes] of the finest level.
    """
    x = None
    for stride, size in reversed(tuple(sizes.items())):
        if stride in features:
            name = f"unet_skip_{stride}"
            skip = normalized(pointwise(features[stride], channels, seed=seed + stride, name=name), name=name)
            skip = resized(skip, size)
            if x is not None:
                enlarged = resized(x, size, interpolation="bilinear")
                skip = keras.layers.Add(dtype="float32", name=f"unet_sum_{stride}")([enlarged, skip])
            x = convolution(skip, channels, seed=seed + stride + 1, name=f"unet_mix_{stride}")
    if dropout:
        x = keras.layers.SpatialDropout2D(dropout, seed=seed, dtype="float32", name="unet_dropout")(x)
    logits = class_logits(x, classes, seed=seed + 200, name=LOGITS)
    return resized(logits, next(iter(sizes.values())), interpolation="bilinear")


def linear(x: keras.KerasTensor, *, classes: int, dropout: float = 0.0, seed: int = 0) -> keras.KerasTensor:
    """Build only the last layer, for features that come out of a decoder.

    Args:
        x: Features, float [batch, rows, columns, channels].
        classes: Number of classes.
        dropout: Fraction of their channels that are set to 0 during training, in [0, 1).
        seed: Seed of the initial weights.

    Returns:
        Logits, float32 [batch, rows, columns, classes].
    """
    if dropout:
        x = keras.layers.SpatialDropout2D(dropout, seed=seed, dtype="float32", name="linear_dropout")(x)
    return class_logits(x, classes, seed=seed + 1, name=LOGITS)


def class_logits(x: keras.KerasTensor, classes: int, *, seed: int, name: str) -> keras.KerasTensor:
    """Add a linear layer with one output per class at every position, in float32."""
    kernel = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.layers.Conv2D(classes, 1, kernel_initializer=kernel, dtype="float32", name=name)(x)
