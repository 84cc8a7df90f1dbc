"""The augmentations that fine-tuning uses by default."""

from tltk.modalities.augmentation import Augmentation
from tltk.modalities.image.augment.color import color_jitter
from tltk.modalities.image.augment.geometric import crop_resize, flip
from tltk.modalities.image.augment.rescale import scale_jitter


def standard() -> tuple[Augmentation, ...]:
    """Return the default augmentations of fine-tuning: flip, mild crops and mild color changes.

    Returns:
        The augmentations, in the order they are applied.

    Examples:
        >>> [augmentation.name for augmentation in standard()]
        ['flip', 'crop_resize', 'color_jitter']
    """
    return (flip(), crop_resize(scale=(0.6, 1.0)), _colors())


def dense() -> tuple[Augmentation, ...]:
    """Return the default augmentations for boxes and masks: flip, scale jitter and mild color changes.

    Objects keep their shape, which `standard` changes, and appear at other sizes.

    Returns:
        The augmentations, in the order they are applied.

    Examples:
        >>> [augmentation.name for augmentation in dense()]
        ['flip', 'scale_jitter', 'color_jitter']
    """
    return (flip(), scale_jitter(scale_range=(0.5, 2.0)), _colors())


def _colors() -> Augmentation:
    return color_jitter(brightness=0.1, contrast=0.2, saturation=0.2)
