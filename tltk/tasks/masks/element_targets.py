"""The masks of a source in the pixels of a network's input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.data.masks import IGNORE, MaskTargets
from tltk.data.targets import Targets
from tltk.modalities.image.letterbox import mask_to_input
from tltk.specs import ImageSpec


@dataclass(frozen=True, eq=False)
class LetterboxedMasks(Targets):
    """Masks that are resized to the input of a network when a batch of them is read.

    Args:
        values: Masks in the sizes of the original images.
        spec: Input format of the network, with resize="pad".
    """

    values: MaskTargets
    spec: ImageSpec

    def take(self, indices: np.ndarray | Sequence[int]) -> "LetterboxedMasks":
        """Return the targets at these indices, in that order; nothing is read."""
        return LetterboxedMasks(self.values.take(indices), self.spec)

    @property
    def element_spec(self) -> Any:
        """Spec of the tensor that `read` returns."""
        import tensorflow as tf

        return {"masks": tf.TensorSpec([None, self.spec.height, self.spec.width], tf.uint8)}

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the masks of a batch, all of which can be read."""
        return self.read(rows)[0]

    def read(self, rows: np.ndarray) -> tuple[dict[str, np.ndarray], dict[int, str]]:
        """Return the masks of a batch that can be read, in the form that augmentations take.

        Args:
            rows: Indices of its examples, int64 [b].

        Returns:
            "masks" uint8 [b, height, width] of the input, 255 in its bars; and index → reason for the others.
        """
        masks, unreadable = self.values.read_masks(rows)
        padded = [mask_to_input(mask, self.spec, fill=IGNORE) for mask in masks]
        shape = (len(masks), self.spec.height, self.spec.width)
        return {"masks": np.array(padded, np.uint8).reshape(shape)}, unreadable
