"""Embed: what a backbone makes of examples, as plain arrays for retrieval, clustering or scikit-learn."""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np

from tltk.backbones.base import Backbone
from tltk.backbones.packages import cache_folder
from tltk.data.formats.folder import Source
from tltk.feature_cache import compute as prefix_cache
from tltk.feature_cache.policy import Cache
from tltk.foundation import checks as check
from tltk.foundation import hardware as machine
from tltk.foundation import keras_private as private
from tltk.heads import builder as heads
from tltk.inference.predict import Inputs, as_data
from tltk.modalities.image.validate import drop_invalid
from tltk.modalities.text import reader as texts
from tltk.modalities.text.encoding import tokenized
from tltk.models.assemble import TransferModel
from tltk.specs import ImageSpec, InvalidExample, TextSpec


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
        >>> tltk.embed(tltk.backbone("mobilenet_v2", weights="random", input_size=32), pictures).values.shape
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
    data = as_data(inputs, model)
    check.kind_of("inputs", data, Source, hint="Pass a source, paths or pixels.")
    data, invalid = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    if isinstance(model, Backbone):
        network, spec = _of_backbone(model, pooling, precision)
    else:
        network, spec = extractor(model, pooling), model.input
    if isinstance(spec, TextSpec):
        spec = replace(spec, pairs=data.kind == "pairs", stride=None)
        data = tokenized(data, spec)
        spec = texts.padded_to(spec, data)
    kept = cache if isinstance(cache, Cache) else Cache(cache)
    folder = cache_folder() / "prefix" if kept.where == "disk" else Path(kept.where)
    records = prefix_cache.compute(
        network,
        data,
        spec,
        folder=None if kept.where in ("auto", "memory", "off") else folder,
        batch_size=batch_size,
        dtype=kept.dtype,
    )
    good = np.array([row for row in range(len(data)) if row not in records.invalid], np.int64)
    undecodable = tuple(InvalidExample(data.name_of(row), reason) for row, reason in sorted(records.invalid.items()))
    return Features(
        np.asarray(records.read(good)[0], np.float32),
        None if data.targets is None else data.targets[good],
        tuple(data.name_of(int(row)) for row in good),
        (*invalid, *undecodable),
    )


def extractor(model: TransferModel, pooling: str | None) -> keras.Model:
    """Build what `embed` runs: what the model eats → features, over the model's own weights.

    Args:
        model: trained or not; its head is left out.
        pooling: see `embed`.

    Returns:
        A functional model.
    """
    pooled = _pooled(model.features(), pooling, model.mask())
    _name_what_is_new(pooled, model.keras)
    return keras.Model(model.keras.inputs, pooled)


def _name_what_is_new(tensor: keras.KerasTensor, model: keras.Model) -> None:
    """Name the operations that lead to a tensor and are not the model's: Keras counts on, and may give a name twice."""
    passed = {id(operation) for operation in model.operations}
    waiting, count = [tensor], 0
    while waiting:
        node = private.producing_node(waiting.pop())
        if id(node.operation) not in passed:
            passed.add(id(node.operation))
            count += 1
            node.operation.name = f"embed_{count}"
            waiting += node.input_tensors


def _of_backbone(backbone: Backbone, pooling: str | None, precision: str) -> tuple[keras.Model, ImageSpec | TextSpec]:
    with machine.dtype_policy(machine.precision(precision, fast_bfloat16=backbone.fast_bfloat16)):
        body, _ = backbone.build()
        inputs = keras.Input(backbone.input.shape, dtype=backbone.input.dtype, name=backbone.input.name)
        features = body.call(backbone.preprocess(inputs))
        return keras.Model(inputs, _pooled(features, pooling, backbone.mask(inputs))), backbone.input


def _pooled(features: keras.KerasTensor, pooling: str | None, mask: keras.KerasTensor | None) -> keras.KerasTensor:
    return features if pooling is None else heads.pool(features, pooling, mask=mask)
