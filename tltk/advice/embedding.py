"""Features of the backbones that are compared, and how long an example takes, measured before all are computed."""

from dataclasses import dataclass

import keras
import numpy as np

from tltk.backbones.base import Backbone
from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.inference.embed import embed_source, seconds_per_example
from tltk.modalities.modality import modality_of
from tltk.models.features import backbone_extractor


@dataclass(frozen=True)
class Settings:
    """How features are computed.

    Args:
        batch_size: Examples per batch.
        precision: Precision of the backbones, see `assemble`.
        cache: Where features are stored.
    """

    batch_size: int
    precision: str
    cache: Cache


@dataclass(frozen=True, eq=False)
class Embedder:
    """A backbone with its weights, built once.

    Args:
        backbone: The backbone.
        network: Input → features.
        settings: How features are computed.
    """

    backbone: Backbone
    network: keras.Model
    settings: Settings

    def seconds_per_example(self, source: Source) -> float:
        """Measure how long an example takes in full batches, reading included."""
        spec, settings = self.backbone.input_spec, self.settings
        return seconds_per_example(self.network, spec, source, batch_size=settings.batch_size, cache=settings.cache)

    def features(self, source: Source) -> tuple[np.ndarray, dict[int, str]]:
        """Return features, float32 [n, channels], and row → why it cannot be decoded; these have zeros."""
        spec, settings = self.backbone.input_spec, self.settings
        values, rows, invalid = embed_source(
            self.network, spec, source, batch_size=settings.batch_size, cache=settings.cache
        )
        features = np.zeros((len(source), values.shape[1]), np.float32)
        features[rows] = values
        others = np.setdiff1d(np.arange(len(source)), rows)
        return features, {int(row): example.reason for row, example in zip(others, invalid, strict=True)}


def embedder(backbone: Backbone, settings: Settings) -> Embedder:
    """Build a backbone with its weights.

    Raises:
        NotFound: If no pretrained weights are found.
    """
    pooling = modality_of(backbone.input_spec).default_pooling(backbone.input_spec)
    return Embedder(backbone, backbone_extractor(backbone, pooling, precision=settings.precision), settings)
