"""Augmentations as data, also known as `tltk.augment`."""

from tltk.modalities.image.augment.fixed_copies import copies
from tltk.modalities.image.augment.transforms import (
    Augmentation,
    chain,
    colour,
    crop_resize,
    cutmix,
    flip,
    from_config,
    mixup,
    rand_augment,
    rotate,
    standard,
)

__all__ = [
    "Augmentation",
    "chain",
    "colour",
    "copies",
    "crop_resize",
    "cutmix",
    "flip",
    "from_config",
    "mixup",
    "rand_augment",
    "rotate",
    "standard",
]
