"""Augmentations of images and their targets as data: `tltk.augment.flip()`, `crop_resize()`, `color_jitter()` …"""

from tltk.modalities.image.augment import *  # noqa: F403
from tltk.modalities.image.augment import __all__  # noqa: F401
