"""`tltk.embed`: features of examples as arrays, for retrieval, clustering or scikit-learn."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.source import Source
from tltk.feature_cache.compute import compute, seconds_per_element
from tltk.feature_cache.storage import Cache
from tltk.feature_cache.user_dataset import feature_pieces
from tltk.foundation import checks as check
from tltk.foundation import display, familiar
from tltk.foundation.errors import InvalidInput
from tltk.foundation.paths import cache_folder
from tltk.inference.forward import extractor_of
from tltk.inference.predict import Inputs
from tltk.modalities.batches import read_dataset
from tltk.modalities.modality import drop_invalid, modality_of
from tltk.models.features import backbone_extractor
from tltk.models.transfer_model import TransferModel
from tltk.pipeline.readers import Reader
from tltk.specs import InvalidExample
from tltk.training.run import Run, model_of

_POOLINGS = ("avg", "max", "concat", "first", "last")


@dataclass(frozen=True)
class Features:
    """Features of the examples that can be read: row i of every field belongs to `ids[i]`.

    Rows are in the order of the inputs. An example that cannot be read has no row and is listed in `invalid` instead.

    Args:
        features: float32 [n, channels]; without pooling, [n, height, width, channels] or [n, tokens, channels].
        targets: Targets of these examples; None if the source has no labels.
        ids: Id of each example: a path, or "example 3" for the fourth one.
        invalid: Examples that could not be read; they have no row.
    """

    features: np.ndarray
    targets: np.ndarray | None
    ids: tuple[str, ...]
    invalid: tuple[InvalidExample, ...]

    __repr__ = display.short_repr


@familiar.arguments
def embed(
    model: TransferModel | Run | Backbone | str | Path,
    inputs: Inputs,
    *,
    pooling: str | None = "avg",
    unit_length: bool = False,
    batch_size: int = 32,
    precision: str = "auto",
    cache: str | Path | Cache = "memory",
    max_invalid_fraction: float = 0.1,
) -> Features:
    """Compute the features of examples, which are the inputs of a head.

    Args:
        model: A backbone, whose weights are read now; or a run, the folder of a run or a TransferModel, whose head is
            not used.
        inputs: A source, or a `tf.data.Dataset`. For images also a path, a folder, a list of paths, or pixels
            [n, height, width, 3] in [0, 255]; for texts also a text or a list of texts.
        pooling: "avg" or "max" over positions, "concat" for both, "first" or "last" for that token of a text, or None
            for all positions; texts are then padded to the longest.
        batch_size: Examples per batch.
        precision: Precision of a backbone, see `assemble`; ignored for a TransferModel.
        cache: "memory", "auto" and "off" store nothing permanently; "disk" or a folder stores the features for later
            calls. A `tltk.Cache` also chooses the dtype.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].

    Returns:
        The features, with the targets and names of their rows.

    Raises:
        InvalidType: If `model` is something else, such as a plain Keras model.
        InvalidInput: If an option is out of range, or more than `max_invalid_fraction` of the examples are unreadable.
        NotFound: If no pretrained weights are found, or a path does not exist.

    Examples:
        >>> import tltk
        >>> images = np.zeros((3, 32, 32, 3), "uint8")
        >>> tltk.embed(tltk.backbone("mobilenet_v2", weights="random", image_size=32), images).features.shape
        (3, 1280)
    """
    model = model if isinstance(model, Backbone) else model_of(model)
    if pooling not in (*_POOLINGS, None):
        suggestion = check.did_you_mean(pooling, _POOLINGS)
        allowed = ", ".join(map(repr, _POOLINGS))
        raise InvalidInput(f"`pooling` must be one of {allowed}, None. Received: {pooling!r}.{suggestion}")
    cache = cache if isinstance(cache, Cache) else Cache(cache)
    if isinstance(inputs, tf.data.Dataset):
        embedded = _embed_dataset(model, inputs, _network(model, pooling, precision), batch_size, cache)
        return replace(embedded, features=scaled_to_unit_length(embedded.features)) if unit_length else embedded
    modality = modality_of(model.input_spec)
    source = inputs if isinstance(inputs, Source) else modality.source(inputs, model.input_spec)
    source, invalid = drop_invalid(source, max_invalid_fraction=max_invalid_fraction)
    network = _network(model, pooling, precision)
    features, rows, undecodable = embed_source(network, model.input_spec, source, batch_size=batch_size, cache=cache)
    return Features(
        scaled_to_unit_length(features) if unit_length else features,
        None if source.targets is None else source.targets[rows],
        tuple(source.id_of(int(row)) for row in rows),
        (*invalid, *undecodable),
    )


def embed_source(
    network: keras.Model, input_spec: Any, source: Source, *, batch_size: int, cache: Cache
) -> tuple[np.ndarray, np.ndarray, tuple[InvalidExample, ...]]:
    """Compute the features of the examples of a source by a network that is already built.

    Args:
        network: Input → features.
        input_spec: Input format of the backbone.
        source: Source without its invalid examples, see `drop_invalid`.
        batch_size: Examples per batch.
        cache: Where features are stored.

    Returns:
        Features float32 [k, …], the rows of the source that they belong to, int64 [k], and the examples that could not
        be decoded.
    """
    reader, is_stored = _reader(input_spec, source), cache.storage not in ("auto", "memory", "off")
    folder = cache_folder() / "prefix" if cache.storage == "disk" else Path(cache.storage)
    records = compute(
        network,
        reader,
        source,
        folder=folder if is_stored else None,
        batch_size=batch_size if is_stored else _step_size(batch_size, reader),
        dtype=cache.dtype,
    )
    rows = np.array([row for row in range(len(source)) if row not in records.invalid], np.int64)
    undecodable = tuple(InvalidExample(source.id_of(row), reason) for row, reason in sorted(records.invalid.items()))
    return np.asarray(records.read(rows)[0], np.float32), rows, undecodable


def seconds_per_example(
    network: keras.Model, input_spec: Any, source: Source, *, batch_size: int, cache: Cache
) -> float:
    """Measure how long an example takes in `embed_source`, reading included, once the network is traced."""
    reader, is_stored = _reader(input_spec, source), cache.storage not in ("auto", "memory", "off")
    step_size = batch_size if is_stored else _step_size(batch_size, reader)
    return seconds_per_element(network, reader, batch_size=step_size, dtype=cache.dtype)


def _reader(input_spec: Any, source: Source) -> Reader:
    """Return a reader of one element for each example, all of one shape."""
    modality = modality_of(input_spec)
    reader = modality.reader(source, modality.without_windows(input_spec, source))
    return reader if reader.lengths is None else reader.padded(int(reader.lengths.max(initial=1)))


def _step_size(batch_size: int, reader: Reader) -> int:
    """Return the size of a step: it is padded to the whole batch, which one example does not need."""
    return min(batch_size, 2 ** math.ceil(math.log2(max(reader.count, 1))))


def scaled_to_unit_length(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors [..., channels] to length 1; zeros stay zeros."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo(np.float32).tiny)


def _embed_dataset(
    model: TransferModel | Backbone, data: tf.data.Dataset, network: keras.Model, batch_size: int, cache: Cache
) -> Features:
    """Compute the features of a user's own dataset; its targets are returned as they are."""
    if cache.storage not in ("auto", "memory", "off"):
        raise InvalidInput(
            "`cache` must be 'auto', 'memory' or 'off' for a tf.data.Dataset: what its files hold is not known, so "
            f"that stored features could be outdated in a later run. Received: {str(cache.storage)!r}"
        )
    if None in network.output_shape[1:]:
        raise InvalidInput("`pooling` must not be None for a tf.data.Dataset of texts, which differ in length.")
    user = read_dataset(data, model.input_spec, batch_size=batch_size, argument="inputs")
    partial_batches = list(feature_pieces(network, user, ("float32",), title="computing features"))
    features = np.concatenate([features for (features,), *_ in partial_batches])
    targets = [rest[0] for _, *rest in partial_batches if rest]
    ids = tuple(f"example {number}" for number in range(len(features)))
    return Features(features, np.concatenate(targets) if targets else None, ids, ())


def _network(model: TransferModel | Backbone, pooling: str | None, precision: str) -> keras.Model:
    if isinstance(model, Backbone):
        return backbone_extractor(model, pooling, precision=precision)
    return extractor_of(model, pooling)
