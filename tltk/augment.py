"""Augmentations of images and sounds as data: `tltk.augment.flip()`, `crop_resize()`, `time_shift()` …"""

from tltk.modalities.audio.augment import gain, spec_augment, speed, time_shift
from tltk.modalities.audio.room import add_noise, reverberation
from tltk.modalities.image.augment import *  # noqa: F403
from tltk.modalities.image.augment import __all__ as _of_images

__all__ = ["add_noise", "gain", "reverberation", "spec_augment", "speed", "time_shift", *_of_images]  # noqa: PLE0604
