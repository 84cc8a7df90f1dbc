"""RandAugment: a few random operations for each image."""

import math
from collections.abc import Callable
from functools import partial

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import Augmentation, Targets, Transform, fold_in, register_augmentation
from tltk.modalities.image.augment import color
from tltk.modalities.image.augment.boxes_and_masks import move_targets
from tltk.modalities.image.augment.geometric import image_size, rotation, shear, translation, warp

GEOMETRIC = ("shear", "translate", "rotate")
PHOTOMETRIC = (
    "brightness",
    "contrast",
    "saturation",
    "sharpness",
    "solarize",
    "posterize",
    "auto_contrast",
    "equalize",
)
# Strengths at magnitude 1 (Cubuk et al. 2019, table 6; torchvision's RandAugment uses the same).
MAX_SHEAR, MAX_TRANSLATION, MAX_DEGREES, MAX_ENHANCEMENT, MAX_BITS_LOST = 0.3, 150 / 331, 30, 0.9, 4

Change = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (images [b, h, w, c], levels [b]) → images


def rand_augment(*, operations: int = 2, magnitude: float = 0.3) -> Augmentation:
    """Apply a few operations drawn at random for each image (Cubuk et al. 2020).

    The operations are: shear, translate, rotate, brightness, contrast, saturation, sharpness, solarize, posterize,
    auto-contrast and equalize. Each is applied with a random strength up to `magnitude`.

    Args:
        operations: Number of operations per image, drawn with replacement.
        magnitude: Largest strength, in [0, 1]; 1 is the paper's 10: shear by 0.3, translate by 0.45 of the image,
            rotate by 30 degrees, factors 1 ± 0.9.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If a value is out of range.

    Examples:
        >>> rand_augment(magnitude=0.5).to_config()
        {'name': 'rand_augment', 'operations': 2, 'magnitude': 0.5}
    """
    check.counts(operations=operations)
    check.within("magnitude", magnitude, low=0, high=1)
    return Augmentation("rand_augment", (("operations", operations), ("magnitude", magnitude)))


def _rand_augment(operations: int, magnitude: float) -> Transform:
    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        for number in range(operations):
            images, targets = _apply_random_operation(images, targets, fold_in(seed, number), magnitude)
        return images, targets

    return transform


def _apply_random_operation(
    images: tf.Tensor, targets: Targets, seed: tf.Tensor, magnitude: float
) -> tuple[tf.Tensor, Targets]:
    """Apply one operation to each image, drawn for each image separately.

    A `switch_case` per image computes only the operation that is drawn. (`keras.layers.RandAugment` computes all
    operations for every image, and draws one for the whole batch.)
    """
    count = tf.shape(images)[0]
    choices = tf.random.stateless_uniform(
        [count], fold_in(seed, 0), maxval=len(GEOMETRIC + PHOTOMETRIC), dtype=tf.int32
    )
    levels = tf.random.stateless_uniform([count, 2], fold_in(seed, 1), -magnitude, magnitude)
    matrices = geometric_matrices(choices, levels, images)
    moves = [partial(_move, fill_mode="reflect" if name == "rotate" else "nearest") for name in GEOMETRIC]
    changes = [partial(_recolor, change=photometric(name, magnitude)) for name in PHOTOMETRIC]

    def apply(drawn: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        image, choice, level, matrix = drawn
        changed = tf.switch_case(choice, [partial(branch, image, level, matrix) for branch in (*moves, *changes)])
        return tf.ensure_shape(changed, images.shape[1:])

    elements = (images, choices, levels[:, 0], matrices)
    changed = tf.map_fn(apply, elements, fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))
    return changed, move_targets(targets, matrices, images)


def geometric_matrices(choices: tf.Tensor, levels: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Return the affine map of the operation drawn for each image.

    Args:
        choices: int32 [b]: indices into `GEOMETRIC + PHOTOMETRIC`.
        levels: float32 [b, 2] in [-1, 1].
        images: [b, h, w, c]; only their size is used.

    Returns:
        float32 [b, 2, 3] for `warp`; the identity for photometric operations.
    """
    height, width = image_size(images)
    first, second = levels[:, 0], levels[:, 1]
    candidates = (
        shear(first * MAX_SHEAR, second * MAX_SHEAR, images),
        translation(first * MAX_TRANSLATION * width, second * MAX_TRANSLATION * height),
        rotation(first * math.radians(MAX_DEGREES), images),
    )
    zeros = tf.zeros_like(first)
    matrices = translation(zeros, zeros)
    for index, candidate in enumerate(candidates):
        matrices = tf.where((choices == index)[:, None, None], candidate, matrices)
    return matrices


def photometric(name: str, magnitude: float) -> Change:
    """Return the function of one photometric operation.

    Args:
        name: One of `PHOTOMETRIC`.
        magnitude: Sets how many bits "posterize" removes.

    Returns:
        (images float32 [b, h, w, c] in 0..255, levels float32 [b] in [-magnitude, magnitude]) → images.
    """

    def enhanced(adjust: Change) -> Change:
        return lambda images, levels: adjust(images, 1 + levels * MAX_ENHANCEMENT)

    bits = 8 - round(MAX_BITS_LOST * magnitude)
    changes: dict[str, Change] = {
        "brightness": enhanced(color.adjust_brightness),
        "contrast": enhanced(color.adjust_contrast),
        "saturation": enhanced(color.adjust_saturation),
        "sharpness": enhanced(color.adjust_sharpness),
        "solarize": lambda images, levels: color.solarize(images, 255 * (1 - tf.abs(levels))),
        "posterize": lambda images, levels: color.posterize(images, bits),
        "auto_contrast": lambda images, levels: color.auto_contrast(images),
        "equalize": lambda images, levels: color.equalize(images),
    }
    return changes[name]


def _move(image: tf.Tensor, level: tf.Tensor, matrix: tf.Tensor, *, fill_mode: str) -> tf.Tensor:
    return color.clip_to_pixels(warp(image[None], {}, matrix[None], fill_mode=fill_mode)[0][0])


def _recolor(image: tf.Tensor, level: tf.Tensor, matrix: tf.Tensor, *, change: Change) -> tf.Tensor:
    return color.clip_to_pixels(color.keep_alpha(change)(image[None], level[None])[0])


register_augmentation("rand_augment", rand_augment, build=_rand_augment)
