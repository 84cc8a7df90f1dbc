"""Fixed augmented copies: each example changed in the same few ways every time, so that results can be cached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.image.augment.base import Augmentation, chain, fold_in
from tltk.modalities.image.augment.targets import Targets

CopyTransform: TypeAlias = Callable[[tf.Tensor, Targets, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Targets]]


@dataclass(frozen=True)
class Copies:
    """Augmentations drawn once for each example and copy, not in every epoch; `copies` creates it.

    Args:
        augmentations: Applied in order.
        count: Copies of each example; epoch e sees copy e modulo `count`.
    """

    augmentations: tuple[Augmentation, ...]
    count: int


def copies(augmentations: Augmentation | Sequence[Augmentation], count: int) -> Copies:
    """Describe a fixed number of augmented copies of each example.

    Ten copies give a linear probe most of what fresh augmentation gives it, and a frozen backbone's features of them
    are computed once.

    Args:
        augmentations: From `tltk.augment`; none that mixes examples.
        count: Copies of each example, at least 1.

    Returns:
        A record to use in place of augmentations.

    Raises:
        ValueError: If there is no augmentation, one mixes examples, or `count` is below 1.

    Example:
        >>> from tltk.augment import flip
        >>> copies(flip(), 10).count
        10
    """
    records = (augmentations,) if isinstance(augmentations, Augmentation) else tuple(augmentations)
    problems = check.Problems()
    mixing = [augmentation.name for augmentation in records if augmentation.mixes]
    if not records:
        problems.add("`augmentations` must hold at least one: equal copies are of no use. Received: ()")
    if mixing:
        problems.add(
            f"{check.listing(mixing)}: blends different examples, so that one example has no copies of its own"
        )
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        problems.add(f"`count` must be a whole number above 0. Received: {count!r}")
    problems.raise_if_any()
    return Copies(records, count)


def build_copies(spec: Copies, seed: int) -> CopyTransform:
    """Build the graph function that makes copies.

    Args:
        spec: The record from `copies`.
        seed: Equal seeds give equal copies.

    Returns:
        (images float32 [b, h, w, c] in 0..255, targets, example_ids int64 [b], copy int64 scalar) → (images, targets).
        Pass {} where there are no targets. The result for an example does not depend on the batch it is in; what
        happens to its boxes and masks does not depend on its pixels.
    """
    transform = chain(spec.augmentations)

    def apply(
        images: tf.Tensor, targets: Targets, example_ids: tf.Tensor, copy: tf.Tensor
    ) -> tuple[tf.Tensor, Targets]:
        seed_of_copy = fold_in(tf.constant([seed, 1], tf.int64), copy)

        def one(example: tuple[tuple[tf.Tensor, Targets], tf.Tensor]) -> tuple[tf.Tensor, Targets]:
            values, example_id = example
            image, target = tf.nest.map_structure(lambda value: value[None], values)
            changed = transform(image, target, fold_in(seed_of_copy, example_id))
            return tf.nest.map_structure(lambda value, given: tf.ensure_shape(value[0], given.shape), changed, values)

        batch = (images, targets)
        signature = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape[1:], value.dtype), batch)
        return tf.map_fn(one, (batch, example_ids), fn_output_signature=signature)

    return apply
