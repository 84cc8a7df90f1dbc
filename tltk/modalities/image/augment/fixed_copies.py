"""Fixed augmented copies: a fixed number of augmented versions of each example, so that features can be cached."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.modalities.augmentation import Augmentation, Targets, fold_in
from tltk.modalities.image.augment.chain import chain
from tltk.modalities.image.augment.from_keras import as_augmentations
from tltk.specs.image import PIXEL_RANGE

CopyTransform: TypeAlias = Callable[[tf.Tensor, Targets, tf.Tensor, tf.Tensor], tuple[tf.Tensor, Targets]]
MoveTransform: TypeAlias = Callable[[Targets, tf.Tensor, tf.Tensor], Targets]


@dataclass(frozen=True)
class Copies:
    """Augmentations whose random values depend on the example and the copy, not on the epoch; created by `copies`.

    Args:
        augmentations: Applied in order.
        count: Copies of each example; epoch e uses copy e modulo `count`.
        value_range: Lowest and highest value of the images, see `chain`.
    """

    augmentations: tuple[Augmentation, ...]
    count: int
    value_range: tuple[float, float] | None = PIXEL_RANGE

    @property
    def reads_targets(self) -> bool:
        """Whether the pixels of a copy depend on the boxes or masks of its example."""
        return any(augmentation.reads_targets for augmentation in self.augmentations)

    def states(self) -> tuple[Any, ...]:
        """Return what the copies depend on beside the values of the augmentations, such as sizes and times of files."""
        return tuple(augmentation.state() for augmentation in self.augmentations)


def copies(augmentations: Any, count: int) -> Copies:
    """Describe a fixed number of augmented copies of each example.

    Use it to train a head on cached features of a frozen backbone: the features of the copies are computed only once,
    and ten copies improve a linear probe almost as much as new augmentations in each epoch.

    Args:
        augmentations: As in a recipe, see `as_augmentations`, except those that blend examples, such as mixup.
        count: Copies of each example, at least 1.

    Returns:
        A record to use in place of augmentations.

    Raises:
        InvalidInput: If there is no augmentation, one blends examples, or `count` is below 1.

    Examples:
        >>> from tltk.augment import flip
        >>> copies(flip(), 10).count
        10
    """
    records = as_augmentations(augmentations)
    problems = check.Problems()
    mixing = [augmentation.name for augmentation in records if augmentation.mixes]
    if not records:
        problems.add("`augmentations` must hold at least one augmentation. Received: ()")
    if mixing:
        problems.add(
            f"`augmentations` must not blend different examples, as an example has no copies of its own then. "
            f"Received: {check.listing(mixing)}"
        )
    if not check.is_whole(count) or count < 1:
        problems.add(f"`count` must be a whole number above 0. Received: {count!r}")
    problems.raise_if_any()
    return Copies(records, int(count))


def build_copies(spec: Copies, seed: int) -> CopyTransform:
    """Build the graph function that computes copies.

    Args:
        spec: Record from `copies`.
        seed: Equal seeds give equal copies.

    Returns:
        (images float32 [b, h, w, c], targets, example_ids int64 [b], copy int64 scalar) → (images, targets).
        Pass {} if there are no targets, or if no augmentation reads them and they are moved by `build_moves`. The
        result for an example does not depend on the other examples of the batch,
        and the random values do not depend on its pixels.
    """
    transform = chain(spec.augmentations, value_range=spec.value_range)

    def apply(
        images: tf.Tensor, targets: Targets, example_ids: tf.Tensor, copy: tf.Tensor
    ) -> tuple[tf.Tensor, Targets]:
        copy_seed = fold_in(tf.constant([seed, 1], tf.int64), copy)

        def copy_example(example: tuple[tuple[tf.Tensor, Targets], tf.Tensor]) -> tuple[tf.Tensor, Targets]:
            original, example_id = example
            image, target = tf.nest.map_structure(lambda value: value[None], original)
            changed = transform(image, target, fold_in(copy_seed, example_id))
            return tf.nest.map_structure(lambda value, like: tf.ensure_shape(value[0], like.shape), changed, original)

        batch = (images, targets)
        signature = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape[1:], value.dtype), batch)
        return tf.map_fn(copy_example, (batch, example_ids), fn_output_signature=signature)

    return apply


def build_moves(spec: Copies, seed: int, shape: tuple[int, ...]) -> MoveTransform:
    """Build the graph function that moves boxes and masks as `build_copies` moves the images of the same copies.

    For images whose features are stored: their pixels are not needed again, and are not computed.

    Args:
        spec: Record from `copies`.
        seed: That of the copies.
        shape: Height, width and channels of an image.

    Returns:
        (targets, example_ids int64 [b], copy int64 scalar) → targets.
    """
    transform = chain(spec.augmentations, value_range=spec.value_range)

    def apply(targets: Targets, example_ids: tf.Tensor, copy: tf.Tensor) -> Targets:
        copy_seed = fold_in(tf.constant([seed, 1], tf.int64), copy)

        def move_example(example: tuple[Targets, tf.Tensor]) -> Targets:
            original, example_id = example
            target = tf.nest.map_structure(lambda value: value[None], original)
            _, moved = transform(tf.zeros([1, *shape]), target, fold_in(copy_seed, example_id))
            return tf.nest.map_structure(lambda value, like: tf.ensure_shape(value[0], like.shape), moved, original)

        signature = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape[1:], value.dtype), targets)
        return tf.map_fn(move_example, (targets, example_ids), fn_output_signature=signature)

    return apply
