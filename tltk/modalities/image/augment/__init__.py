"""Augmentations of images and their targets, as records that can be stored; public as `tltk.augment`."""

from tltk.modalities.augmentation import Augmentation, from_config, register_augmentation
from tltk.modalities.image.augment.boxes_and_masks import move_targets
from tltk.modalities.image.augment.chain import chain, mixes
from tltk.modalities.image.augment.color import color_jitter
from tltk.modalities.image.augment.fixed_copies import Copies, build_copies, copies
from tltk.modalities.image.augment.from_keras import as_augmentations
from tltk.modalities.image.augment.geometric import crop_resize, flip, rotate, warp
from tltk.modalities.image.augment.mix import cutmix, mixup
from tltk.modalities.image.augment.mosaic import mosaic
from tltk.modalities.image.augment.rand_augment import rand_augment
from tltk.modalities.image.augment.rescale import scale_jitter
from tltk.modalities.image.augment.safe_crop import safe_crop
from tltk.modalities.image.augment.standard import dense, standard

__all__ = [
    "Augmentation",
    "Copies",
    "as_augmentations",
    "build_copies",
    "chain",
    "color_jitter",
    "copies",
    "crop_resize",
    "cutmix",
    "dense",
    "flip",
    "from_config",
    "mixes",
    "mixup",
    "mosaic",
    "move_targets",
    "rand_augment",
    "register_augmentation",
    "rotate",
    "safe_crop",
    "scale_jitter",
    "standard",
    "warp",
]
