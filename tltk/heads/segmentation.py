"""Heads of semantic segmentation: one logit per class at every position of the finest features."""

from collections.abc import Mapping

import keras

from tltk.heads.pyramid import activated, convolution, feature_pyramid, pointwise, resized


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

    The coarsest features are weighted by what the whole image looks like, enlarged step by step, and added to a linear
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
    logits = class_logits(x, classes, seed=seed + 2, name="lraspp_logits")
    for stride in reversed(finer):
        projected = class_logits(features[stride], classes, seed=seed + stride, name=f"lraspp_logits_{stride}")
        logits = resized(logits, sizes[stride], interpolation="bilinear")
        projected = resized(projected, sizes[stride], interpolation="bilinear")
        logits = keras.layers.Add(dtype="float32", name=f"lraspp_sum_{stride}")([logits, projected])
    return resized(logits, next(iter(sizes.values())), interpolation="bilinear")


def pyramid_decoder(
    features: Mapping[int, keras.KerasTensor],
    *,
    sizes: Mapping[int, tuple[int, int]],
    classes: int,
    channels: int,
    dropout: float = 0.0,
    seed: int = 0,
) -> keras.KerasTensor:
    """Build the larger decoder: all levels of a feature pyramid, enlarged, joined and mixed at the finest one.

    As in panoptic feature pyramid networks (Kirillov et al. 2019), with depthwise separable convolutions.

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
    finest = next(iter(sizes.values()))
    levels = feature_pyramid(features, sizes=sizes, channels=channels, seed=seed)
    enlarged = [resized(level, finest, interpolation="bilinear") for level in levels.values()]
    x = enlarged[0] if len(enlarged) == 1 else keras.layers.Add(dtype="float32", name="decoder_sum")(enlarged)
    x = convolution(x, channels, seed=seed + 200, name="decoder_mix")
    if dropout:
        x = keras.layers.SpatialDropout2D(dropout, seed=seed, dtype="float32", name="decoder_dropout")(x)
    return class_logits(x, classes, seed=seed + 201, name="decoder_logits")


def class_logits(x: keras.KerasTensor, classes: int, *, seed: int, name: str) -> keras.KerasTensor:
    """Add a linear layer with one output per class at every position, in float32."""
    kernel = keras.initializers.RandomNormal(stddev=0.01, seed=seed)
    return keras.layers.Conv2D(classes, 1, kernel_initializer=kernel, dtype="float32", name=name)(x)
