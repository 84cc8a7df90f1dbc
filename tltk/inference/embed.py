"""Embed: what a backbone makes of examples, as plain arrays for retrieval, clustering or scikit-learn."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tltk.backbones.base import Backbone
from tltk.data.source import Source
from tltk.feature_cache.compute import compute
from tltk.feature_cache.policy import Cache
from tltk.foundation import checks as check
from tltk.foundation.paths import cache_folder
from tltk.inference.predict import Inputs
from tltk.modalities.modality import drop_invalid, modality_of
from tltk.models.features import backbone_extractor, extractor
from tltk.models.transfer_model import TransferModel
from tltk.specs import InvalidExample


@dataclass(frozen=True)
class Features:
    """What `embed` found, one row an example that could be read.

    Args:
        values: float32 [n, channels]; without pooling, [n, height, width, channels] or [n, tokens, channels].
        targets: the source's targets of these examples, or None where it has no labels.
        example_ids: a name for each example.
        invalid: examples that could not be read; they have no row.
    """

    values: np.ndarray
    targets: np.ndarray | None
    example_ids: tuple[str, ...]
    invalid: tuple[InvalidExample, ...]


def embed(
    model: TransferModel | Backbone,
    inputs: Inputs,
    *,
    pooling: str | None = "avg",
    batch_size: int = 32,
    precision: str = "auto",
    cache: str | Path | Cache = "memory",
    max_invalid_fraction: float = 0.1,
) -> Features:
    """Compute the features that a head would see, each example once.

    Args:
        model: a backbone, whose weights are read now, or a trained model, without its head.
        inputs: a source; of pictures, a path, a folder, a list of paths, or pixels [n, height, width, 3] in [0, 255]; a
            list of texts.
        pooling: "avg" or "max" over positions, "concat" of both, "first" or "last" token (of texts), or None for the
            whole map; of texts, as wide as the longest, padding included.
        batch_size: examples a step.
        precision: of a backbone, see `assemble`; a model has its own.
        cache: "memory" (or "auto", "off") keeps nothing afterwards; "disk" or a folder keeps the features for the next
            call; a `tltk.Cache` also says in which dtype.
        max_invalid_fraction: share of unreadable examples above which it is refused.

    Returns:
        The features, with the targets and names of their rows.

    Raises:
        TypeError: if `model` is neither a backbone nor a TransferModel, or `inputs` is a `tf.data.Dataset`.
        ValueError: if an option is out of range, or more than `max_invalid_fraction` of the examples are unreadable.
        FileNotFoundError: if the weights are out of reach, or a path does not exist.

    Example:
        >>> import tltk
        >>> pictures = np.zeros((3, 32, 32, 3), "uint8")
        >>> tltk.embed(tltk.backbone("mobilenet_v2", weights="random", image_size=32), pictures).values.shape
        (3, 1280)
    """
    check.kind_of(
        "model", model, (TransferModel, Backbone), hint="Pass tltk.backbone(…) or what tltk.assemble returned."
    )
    allowed = ("avg", "max", "concat", "first", "last", None)
    if pooling not in allowed:
        near = check.did_you_mean(pooling, [each for each in allowed if each])
        raise ValueError(
            f"`pooling` must be one of 'avg', 'max', 'concat', 'first', 'last', None. Received: {pooling!r}.{near}"
        )
    if isinstance(inputs, tf.data.Dataset):  # whose examples have no ids
        check.kind_of("inputs", inputs, Source, hint="Pass a Source, paths, texts or pixels.")
    modality = modality_of(model.input)
    source = inputs if isinstance(inputs, Source) else modality.source(inputs, model.input)
    source, invalid = drop_invalid(source, max_invalid_fraction=max_invalid_fraction)
    network = _network(model, pooling, precision)
    spec = modality.whole_examples(model.input, source)
    reader = modality.reader(source, spec)
    if reader.lengths is not None:
        reader = reader.padded(int(reader.lengths.max(initial=1)))
    kept = cache if isinstance(cache, Cache) else Cache(cache)
    folder = cache_folder() / "prefix" if kept.where == "disk" else Path(kept.where)
    records = compute(
        network,
        reader,
        source,
        input_dtype=spec.dtype,
        folder=None if kept.where in ("auto", "memory", "off") else folder,
        batch_size=batch_size,
        dtype=kept.dtype,
    )
    rows = np.array([row for row in range(len(source)) if row not in records.invalid], np.int64)
    undecodable = tuple(InvalidExample(source.id_of(row), reason) for row, reason in sorted(records.invalid.items()))
    return Features(
        np.asarray(records.read(rows)[0], np.float32),
        None if source.targets is None else source.targets[rows],
        tuple(source.id_of(int(row)) for row in rows),
        (*invalid, *undecodable),
    )


def _network(model: TransferModel | Backbone, pooling: str | None, precision: str) -> keras.Model:
    if isinstance(model, Backbone):
        return backbone_extractor(model, pooling, precision=precision)
    return extractor(model, pooling)
