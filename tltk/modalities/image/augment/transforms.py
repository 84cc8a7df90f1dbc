"""Augmentations as data: frozen records that become pure functions of a batch and a seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.image.augment.operations import draw_each
from tltk.modalities.image.augment.operations import operations as operation_layers
from tltk.modalities.image.augment.stateless import Transform, from_layer

NAMES = ("flip", "crop_resize", "rotate", "colour", "rand_augment", "mixup", "cutmix")
MIXING = ("mixup", "cutmix")


@dataclass(frozen=True)
class Augmentation:
    """One named augmentation and its numbers; made by the functions below.

    Args:
        name: "flip", "crop_resize", "rotate", "colour", "rand_augment", "mixup" or "cutmix".
        values: (parameter, value) pairs.
    """

    name: str
    values: tuple[tuple[str, Any], ...]

    def to_config(self) -> dict[str, Any]:
        """Plain JSON values that `from_config` takes back."""
        return {"name": self.name, **dict(self.values)}

    def build(self) -> Transform:
        """Build the graph function: (images float32 [b, h, w, c] in 0 … 255, targets, seed int64 [2]) → the two."""
        return _BUILDERS[self.name](**dict(self.values))


def from_config(config: dict[str, Any]) -> Augmentation:
    """Rebuild an augmentation from what its `to_config` gave.

    Raises:
        ValueError: for an unknown name or parameter.
    """
    check.one_of("name", config.get("name"), NAMES)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key != "name"}
    known = globals()[config["name"]]
    check.known_keys(config["name"], values, known.__annotations__.keys() - {"return"})
    return known(**values)


def standard() -> tuple[Augmentation, ...]:
    """Return what fine-tuning uses by default: flip, a gentle crop, gentle colour.

    Example:
        >>> [augmentation.name for augmentation in standard()]
        ['flip', 'crop_resize', 'colour']
    """
    return (flip(), crop_resize(scale=(0.6, 1.0)), colour(brightness=0.1, contrast=0.2, saturation=0.2))


def flip(*, horizontal: bool = True, vertical: bool = False) -> Augmentation:
    """Mirror half of the pictures. Not for text, digits, or anything where left and right mean something.

    Args:
        horizontal: swap left and right.
        vertical: swap top and bottom; for pictures without an up, such as textures or tissue.

    Example:
        >>> flip(vertical=True).to_config()
        {'name': 'flip', 'horizontal': True, 'vertical': True}
    """
    if not horizontal and not vertical:
        raise ValueError("flip() needs `horizontal` or `vertical`. Received: neither")
    return Augmentation("flip", (("horizontal", horizontal), ("vertical", vertical)))


def crop_resize(*, scale: tuple[float, float] = (0.5, 1.0), ratio: tuple[float, float] = (0.75, 4 / 3)) -> Augmentation:
    """Show a random part of each picture at full size (Szegedy et al. 2015, section 6).

    Args:
        scale: smallest and largest share of the picture's area.
        ratio: smallest and largest width over height of the part, relative to the picture's own.

    Example:
        >>> crop_resize(scale=(0.8, 1.0)).name
        'crop_resize'
    """
    problems = check.Problems()
    for name, value, top in (("scale", scale, 1.0), ("ratio", ratio, float("inf"))):
        if len(value) != 2 or not all(map(check.is_number, value)) or not 0 < value[0] <= value[1] <= top:
            problems.add(f"`{name}` must be two rising numbers above 0 and at most {top}. Received: {value!r}")
    problems.raise_if_any()
    return Augmentation("crop_resize", (("scale", tuple(scale)), ("ratio", tuple(ratio))))


def rotate(degrees: float = 15.0) -> Augmentation:
    """Turn each picture by a random angle; corners are filled by reflection.

    Args:
        degrees: largest angle, either way, in (0, 180].

    Example:
        >>> rotate(10).to_config()
        {'name': 'rotate', 'degrees': 10}
    """
    check.positive(degrees=degrees)
    check.within("degrees", degrees, low=0, high=180)
    return Augmentation("rotate", (("degrees", degrees),))


def colour(
    *, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0, hue: float = 0.0
) -> Augmentation:
    """Change the colours of each picture.

    Args:
        brightness: largest shift, as a share of white.
        contrast: largest relative change of contrast.
        saturation: largest relative change of saturation.
        hue: largest turn of the colour wheel, 0.5 being half.

    Example:
        >>> colour(brightness=0.1).name
        'colour'
    """
    given = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "hue": hue}
    problems = check.Problems()
    for name, value in given.items():
        top = 0.5 if name == "hue" else 1
        if not check.is_number(value) or not 0 <= value <= top:
            problems.add(f"`{name}` must be at least 0 and at most {top}. Received: {value!r}")
    if not any(given.values()):
        problems.add("colour() needs one of brightness, contrast, saturation, hue above 0")
    problems.raise_if_any()
    return Augmentation("colour", tuple(given.items()))


def rand_augment(*, operations: int = 2, magnitude: float = 0.3) -> Augmentation:
    """Apply a few operations drawn at random for each picture (Cubuk et al. 2020).

    Shear, shift, turn, brightness, contrast, saturation, sharpness, solarise, posterise, equalise, automatic contrast.

    Args:
        operations: how many are drawn.
        magnitude: strength, in [0, 1].

    Example:
        >>> rand_augment(magnitude=0.5).to_config()
        {'name': 'rand_augment', 'operations': 2, 'magnitude': 0.5}
    """
    check.positive(operations=operations)
    check.within("magnitude", magnitude, low=0, high=1)
    return Augmentation("rand_augment", (("operations", operations), ("magnitude", magnitude)))


def mixup(alpha: float = 0.2) -> Augmentation:
    """Blend each picture and its target with another of the batch (Zhang et al. 2018).

    Args:
        alpha: of the Beta(alpha, alpha) that the weights are drawn from.

    Example:
        >>> mixup(0.4).to_config()
        {'name': 'mixup', 'alpha': 0.4}
    """
    check.positive(alpha=alpha)
    return Augmentation("mixup", (("alpha", alpha),))


def cutmix(alpha: float = 1.0) -> Augmentation:
    """Paste a part of another picture of the batch into each, and mix the targets by area (Yun et al. 2019).

    Args:
        alpha: of the Beta(alpha, alpha) that the areas are drawn from, at most 1.

    Example:
        >>> cutmix().name
        'cutmix'
    """
    check.positive(alpha=alpha)
    check.within("alpha", alpha, low=0, high=1)
    return Augmentation("cutmix", (("alpha", alpha),))


def chain(augmentations: tuple[Augmentation, ...]) -> Transform:
    """Build one function that applies augmentations in order, each with a seed of its own.

    Args:
        augmentations: records.

    Returns:
        (images float32 [b, h, w, c] in 0 … 255, targets, seed int64 [2]) → (images, targets). A pure function: equal
        arguments give equal results, whatever ran before.
    """
    built = [augmentation.build() for augmentation in augmentations]

    def apply(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for number, transform in enumerate(built):
            images, targets = transform(images, targets, tf.random.experimental.stateless_fold_in(seed, number))
        return tf.clip_by_value(images, 0.0, 255.0), targets

    return apply


def _flip(horizontal: bool, vertical: bool) -> Transform:
    # keras.layers.RandomFlip does the same and takes four times as long: it goes through a cast and a cond a side.
    axes = [axis for axis, wanted in ((2, horizontal), (1, vertical)) if wanted]

    def transform(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for axis in axes:
            coin = _uniform(images, seed, axis, 0.0, 1.0) < 0.5
            images = tf.where(coin, tf.reverse(images, [axis]), images)
        return images, targets

    return transform


def _colour(brightness: float, contrast: float, saturation: float, hue: float) -> Transform:
    factors = {"brightness_factor": brightness or None, "contrast_factor": contrast or None, "hue_factor": hue or None}
    jitter = (
        from_layer(keras.layers.RandomColorJitter(value_range=(0, 255), seed=0, dtype="float32", **factors))
        if any(factors.values())
        else None
    )

    def transform(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if jitter is not None:
            images, targets = jitter(images, targets, seed)
        if saturation:
            # A blend with the grey picture, as torchvision's; Keras' way through HSV takes ten times as long.
            grey = tf.image.rgb_to_grayscale(images)
            images = grey + (images - grey) * _uniform(images, seed, 3, 1 - saturation, 1 + saturation)
        return images, targets

    return transform


def _uniform(images: tf.Tensor, seed: tf.Tensor, number: int, low: float, high: float) -> tf.Tensor:
    """Draw one number a picture: float32 [b, 1, 1, 1]."""
    own = tf.random.experimental.stateless_fold_in(seed, 100 + number)
    return tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], own, low, high)


def _rotate(degrees: float) -> Transform:
    return from_layer(keras.layers.RandomRotation(degrees / 360, fill_mode="reflect", seed=0, dtype="float32"))


def _rand_augment(operations: int, magnitude: float) -> Transform:
    layers = [from_layer(layer) for layer in operation_layers(magnitude)]
    nothing = tf.zeros([1])  # in the place of targets: these leave them alone

    def alone(transform: Transform) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        return lambda images, seed: transform(images, nothing, seed)[0]

    each = draw_each([alone(layer) for layer in layers], count=operations)
    return lambda images, targets, seed: (each(images, seed), targets)


def _mixup(alpha: float) -> Transform:
    return from_layer(keras.layers.MixUp(alpha=alpha, seed=0, dtype="float32"), mixes=True)


def _cutmix(alpha: float) -> Transform:
    return from_layer(keras.layers.CutMix(factor=(alpha, alpha), seed=0, dtype="float32"), mixes=True)


def _crop_resize(scale: tuple[float, float], ratio: tuple[float, float]) -> Transform:
    # Keras' RandomCrop takes one window for the whole batch and does not resize; this op takes one a picture.
    def transform(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shape = tf.shape(images)
        seeds = [tf.random.experimental.stateless_fold_in(seed, number) for number in range(3)]
        area = tf.random.stateless_uniform([shape[0]], seeds[0], scale[0], scale[1])
        tilt = tf.exp(tf.random.stateless_uniform([shape[0]], seeds[1], tf.math.log(ratio[0]), tf.math.log(ratio[1])))
        height, width = tf.minimum(tf.sqrt(area / tilt), 1.0), tf.minimum(tf.sqrt(area * tilt), 1.0)
        place = tf.random.stateless_uniform([2, shape[0]], seeds[2])
        top, left = place[0] * (1 - height), place[1] * (1 - width)
        boxes = tf.stack([top, left, top + height, left + width], 1)
        return tf.image.crop_and_resize(images, boxes, tf.range(shape[0]), shape[1:3]), targets

    return transform


_BUILDERS: dict[str, Callable[..., Transform]] = {
    "flip": _flip,
    "crop_resize": _crop_resize,
    "rotate": _rotate,
    "colour": _colour,
    "rand_augment": _rand_augment,
    "mixup": _mixup,
    "cutmix": _cutmix,
}
