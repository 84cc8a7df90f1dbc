"""Fixed augmented copies: each example changed in the same few ways every time, so that the results can be kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.image.augment.stateless import Transform
from tltk.modalities.image.augment.transforms import MIXING, Augmentation, chain


@dataclass(frozen=True)
class Copies:
    """Augmentation drawn once for each example and copy, not once an epoch; made by `copies`.

    Args:
        augmentations: applied in order.
        count: copies of each example; epoch e sees copy e modulo `count`.
    """

    augmentations: tuple[Augmentation, ...]
    count: int


def copies(augmentations: Augmentation | Sequence[Augmentation], count: int) -> Copies:
    """Describe a fixed number of augmented copies of each example.

    Ten copies give a linear probe most of what fresh augmentation gives it, and what a frozen backbone makes of them
    can be computed once.

    Args:
        augmentations: from `tltk.augment`, none of them one that mixes examples.
        count: copies of each example, at least 1.

    Returns:
        What `batches(augment=)` takes in place of augmentations.

    Raises:
        ValueError: if there is nothing to apply, it mixes examples, or `count` is below 1.

    Example:
        >>> from tltk.modalities.image.augment.transforms import flip
        >>> copies(flip(), 10).count
        10
    """
    chosen = (augmentations,) if isinstance(augmentations, Augmentation) else tuple(augmentations)
    problems = check.Problems()
    mixing = [augmentation.name for augmentation in chosen if augmentation.name in MIXING]
    if not chosen:
        problems.add("`augmentations` must hold at least one: equal copies are of no use. Received: ()")
    if mixing:
        problems.add(f"{check.listing(mixing)} mix the examples of a batch, and have no copies of one example")
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        problems.add(f"`count` must be a whole number above 0. Received: {count!r}")
    problems.raise_if_any()
    return Copies(chosen, count)


def build(spec: Copies, seed: int) -> Transform:
    """Build the graph function for copies.

    Args:
        spec: what to do.
        seed: equal seeds give equal copies.

    Returns:
        (images float32 [b, h, w, c], numbers int64 [b] of the examples, copy int64 scalar) → images. Each picture is
        changed by itself, so that what comes out does not depend on the batch it is in.
    """
    change = chain(spec.augmentations)
    unlabelled = tf.zeros([1])

    def each(images: tf.Tensor, numbers: tf.Tensor, copy: tf.Tensor) -> tf.Tensor:
        fold = tf.random.experimental.stateless_fold_in
        of_copy = fold(tf.constant([seed, 1], tf.int64), copy)

        def one(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, number = pair
            changed, _ = change(image[None], unlabelled, fold(of_copy, number))
            return tf.ensure_shape(changed[0], images.shape[1:])

        return tf.map_fn(one, (images, numbers), fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32))

    return each
