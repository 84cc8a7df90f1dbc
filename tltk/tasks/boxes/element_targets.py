"""The boxes of a source in the pixels of a network's input."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tltk.data.boxes import BoxTargets
from tltk.data.targets import Targets
from tltk.modalities.image.letterbox import boxes_to_input
from tltk.specs import ImageSpec


@dataclass(frozen=True, eq=False)
class LetterboxedBoxes(Targets):
    """Boxes that are moved to the input of a network when a batch of them is read.

    Args:
        values: Boxes in pixels of the original images.
        spec: Input format of the network, with resize="pad".
    """

    values: BoxTargets
    spec: ImageSpec

    def take(self, indices: np.ndarray | Sequence[int]) -> "LetterboxedBoxes":
        """Return the targets at these indices, in that order."""
        return LetterboxedBoxes(self.values.take(indices), self.spec)

    @property
    def element_spec(self) -> Any:
        """Specs of the tensors that `batch` returns: those of the boxes in the original images."""
        return self.values.element_spec

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Return the boxes of a batch in pixels of the input, in the form that augmentations take.

        Args:
            rows: Indices of its examples, int64 [b].

        Returns:
            "boxes" float32 [b, k, 4], and all other entries of `BoxTargets.batch`.
        """
        batch = self.values.batch(rows)
        moved = boxes_to_input(batch["boxes"], self.values.sizes[rows], self.spec).numpy()
        is_object = (batch["labels"] >= 0)[..., None]
        return {**batch, "boxes": np.where(is_object, moved, 0).astype(np.float32)}
