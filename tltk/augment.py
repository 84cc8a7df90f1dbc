"""Augmentations of images as data: `tltk.augment.flip()`, `crop_resize()`, `colour()` …"""

from tltk.modalities.image.augment import *  # noqa: F403
from tltk.modalities.image.augment import __all__  # noqa: F401
