"""Augmentations as frozen records, the registry of their names, and random numbers for each example."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.foundation.registry import Registry

Targets: TypeAlias = tf.Tensor | dict[str, tf.Tensor]
Transform: TypeAlias = Callable[[tf.Tensor, Targets, tf.Tensor], tuple[tf.Tensor, Targets]]


@dataclass(frozen=True)
class AugmentationType:
    """Everything registered under the name of an augmentation.

    Args:
        constructor: Keyword values → `Augmentation`; checks the values.
        build: The same keyword values → graph function (examples, targets, seed) → (examples, targets).
        mixes: Whether it blends different examples of a batch, as mixup does.
        modality: Modality of the inputs that it changes; "any" for all.
        reads_targets: Whether what happens to the examples depends on the targets.
        state: The same keyword values → what else the results depend on; None if nothing.
    """

    constructor: Callable[..., "Augmentation"]
    build: Callable[..., Transform]
    mixes: bool = False
    modality: str = "image"
    reads_targets: bool = False
    state: Callable[..., Any] | None = None


AUGMENTATIONS: Registry[AugmentationType] = Registry(
    "augmentation",
    "tltk.register_augmentation(name, constructor, build=…)",
    builtins=("tltk.modalities.image.augment", "tltk.modalities.audio.augment", "tltk.modalities.audio.room"),
)


@dataclass(frozen=True)
class Augmentation:
    """One augmentation and its values; use a function such as `flip()` to create it.

    Args:
        name: Name of the registered augmentation, such as "flip".
        values: (parameter, value) pairs that JSON can hold; tuples are stored as lists.
    """

    name: str
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def mixes(self) -> bool:
        """Whether it blends different examples of a batch, so that one example has no augmented copy of its own."""
        return AUGMENTATIONS.get(self.name).mixes

    @property
    def modality(self) -> str:
        """Modality of the inputs that it changes; "any" for all."""
        return AUGMENTATIONS.get(self.name).modality

    @property
    def reads_targets(self) -> bool:
        """Whether what happens to the pixels depends on boxes or masks."""
        return AUGMENTATIONS.get(self.name).reads_targets

    def to_config(self) -> dict[str, Any]:
        """Return a dict of JSON values that `from_config` takes."""
        return {"name": self.name, **dict(self.values)}

    def state(self) -> Any:
        """Return what the results depend on beside the values, such as sizes and times of files; None if nothing.

        Raises:
            InvalidInput: If files cannot be used; they are listed.
        """
        state = AUGMENTATIONS.get(self.name).state
        return None if state is None else state(**dict(self.values))

    def build(self) -> Transform:
        """Build the graph function: (images float32 [b, h, w, c] in 0..255, targets, seed int64 [2]) → both."""
        return AUGMENTATIONS.get(self.name).build(**dict(self.values))


def register_augmentation(
    name: str,
    constructor: Callable[..., Augmentation],
    *,
    build: Callable[..., Transform],
    mixes: bool = False,
    modality: str = "image",
    reads_targets: bool = False,
    state: Callable[..., Any] | None = None,
) -> None:
    """Register an augmentation of your own, so that recipes can use it and saved configurations can be read.

    `build` returns a pure function of its three arguments, made of TensorFlow operations only: random numbers come from
    `tf.random.stateless_*` with the given seed. `docs/augment.md` says what images and targets look like.

    Args:
        name: Name in configurations, such as "blur".
        constructor: Function of keyword arguments that checks them and returns `Augmentation(name, values)`.
        build: Function of the same keyword arguments that returns the graph function
            (images float32 [b, h, w, c] in 0..255, targets, seed int64 [2]) → (images, targets).
        mixes: True if it blends different examples of a batch; such augmentations cannot be used for fixed copies.
        modality: Modality of the inputs that it changes, such as "audio": then, they are waveforms [b, samples].
        reads_targets: True if what happens to the pixels depends on boxes or masks, as in a crop that keeps objects.
        state: Function of the same keyword arguments that returns what else the results depend on, such as sizes and
            times of files, for the keys of cached features. It is also called before training, and raises if they
            cannot be used.

    Raises:
        InvalidInput: If another augmentation has this name, or the constructor has a parameter called "name".
        InvalidType: If `constructor` or `build` cannot be called.

    Examples:
        >>> def invert() -> Augmentation:
        ...     return Augmentation("invert")
        >>> register_augmentation("invert", invert, build=lambda: lambda images, targets, seed: (255 - images, targets))
        >>> from_config({"name": "invert"})
        Augmentation(name='invert', values=())
    """
    for parameter, function in (("constructor", constructor), ("build", build)):
        if not callable(function):
            raise InvalidType(f"`{parameter}` must be a function. Received: {function!r}")
    if "name" in inspect.signature(constructor).parameters:
        raise InvalidInput(f"the constructor of {name!r} must not have a parameter `name`: configurations use that key")
    registered = AugmentationType(constructor, build, mixes, modality, reads_targets, state)
    AUGMENTATIONS.register(name, registered, definition=constructor)


def from_config(config: dict[str, Any]) -> Augmentation:
    """Rebuild an augmentation from the result of its `to_config`.

    Args:
        config: {"name": …, parameter: value, …}.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If the name is not registered, or a parameter is unknown or out of range.

    Examples:
        >>> from_config({"name": "rotate", "degrees": 10})
        Augmentation(name='rotate', values=(('degrees', 10),))
    """
    name = config.get("name", "")
    constructor = AUGMENTATIONS.get(name).constructor
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key != "name"}
    check.known_keys(name, values, inspect.signature(constructor).parameters)
    return constructor(**values)


def check_augmentations(augmentations: Sequence[Any], modality: str) -> None:
    """Raise unless all are augmentations of the inputs of a modality.

    Raises:
        InvalidType: If one is no `Augmentation`.
        InvalidInput: If some are for other inputs; they are listed. Or if files of one cannot be used.
    """
    for augmentation in augmentations:
        hint = "Pass augmentations such as tltk.augment.flip()."
        check.instance_of("augment", augmentation, Augmentation, hint=hint)
    others = [augmentation.name for augmentation in augmentations if augmentation.modality not in (modality, "any")]
    if others:
        fitting = [name for name in AUGMENTATIONS if AUGMENTATIONS.get(name).modality in (modality, "any")]
        raise InvalidInput(
            f"`augment`: {check.listing(others)} cannot be applied to {check.plural(modality)}. Those that can: "
            f"{check.listing(fitting)}."
        )
    for augmentation in augmentations:
        augmentation.state()


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Derive an independent seed, int64 [2], from a seed and a number."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def uniform_per_example(examples: tf.Tensor, seed: tf.Tensor, *, draw: int, low: float, high: float) -> tf.Tensor:
    """Draw one uniform number for each example.

    Args:
        examples: Tensor [b, …]; only its length is used.
        seed: int64 [2].
        draw: Distinguishes several draws of one transform.
        low: Smallest value.
        high: Upper bound, exclusive.

    Returns:
        float32 [b].
    """
    return tf.random.stateless_uniform([tf.shape(examples)[0]], fold_in(seed, 100 + draw), low, high)
