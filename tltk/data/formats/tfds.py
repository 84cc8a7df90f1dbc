"""Sources from TensorFlow Datasets builders, read as a stream of still encoded pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.specs import LabelSpec

_READ_AT_ONCE = 64  # examples


@dataclass(frozen=True, eq=False)
class StoredExamples:
    """Examples of one split of a builder, by number; memory does not grow with their size.

    Args:
        builder: a prepared `tfds.core.DatasetBuilder`.
        split: as TFDS writes it, such as "train" or "train[:80%]".
        input: name of the picture's feature.
        indices: int64 [n], the examples' numbers in the split.
    """

    builder: Any
    split: str
    input: str
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: np.ndarray) -> StoredExamples:
        return replace(self, indices=self.indices[indices])

    def read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read once through the split, in the order in which it is stored.

        Yields:
            positions in this object (int64 [k]) and the encoded pictures (object array [k] of bytes).
        """
        position = {int(number): place for place, number in enumerate(self.indices)}
        number = 0
        for batch in _stored(self.builder, self.split, self.input).batch(_READ_AT_ONCE).as_numpy_iterator():
            held = [(position[n], data) for n, data in enumerate(batch, number) if n in position]
            number += len(batch)
            if held:
                pictures = np.empty(len(held), object)
                pictures[:] = [data for _, data in held]
                yield np.array([place for place, _ in held]), pictures


def from_tfds(
    name_or_builder: Any,
    *,
    split: str = "train",
    input: str | None = None,  # noqa: A002 - the feature's role, in the field's own word
    label: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
) -> Source:
    """Take the examples of a TensorFlow Datasets builder.

    Pictures stay encoded and on disk: the split is streamed in its stored order each epoch, and shuffled through a
    buffer. The labels are read once, here.

    Args:
        name_or_builder: a registered name such as "cats_vs_dogs", the folder of a prepared dataset, or a builder.
        split: in TFDS notation, such as "train", "train[:80%]" or "train+test".
        input: the feature to learn from; None means the builder's supervised key, or its only picture or text.
        label: the feature to predict: a ClassLabel, a sequence of them, or a number; None means the supervised key.
        data_dir: where TFDS keeps prepared datasets; None means its own default.
        download: download and prepare the dataset if it is not there.

    Returns:
        A source of images that are read as a stream, or of texts in memory.

    Raises:
        ValueError: for unknown features or splits, or a dataset that is not prepared.
        TypeError: for features of another kind.
    """
    builder = _builder(name_or_builder, data_dir)
    if download:
        builder.download_and_prepare()
    if not builder.info.splits:
        raise ValueError(f"{builder.info.full_name} is not prepared. Pass download=True, or prepare it with TFDS.")
    keys = builder.info.supervised_keys or (None, None)
    input = input or keys[0] or _only_input(builder)  # noqa: A001
    label = label or keys[1]
    _check_features(builder, input, label)
    targets, labels = _labels(builder, split, label) if label else (None, None)
    prefix = f"{builder.info.name}/{split}"
    if _feature_kind(builder.info.features[input]) == "Text":
        texts = [text.decode() for text in _stored(builder, split, input).as_numpy_iterator()]
        return Source("text", "arrays", np.array(texts, object), targets, labels, ids=_names(prefix, len(texts)))
    count = builder.info.splits[split].num_examples
    items = StoredExamples(builder, split, input, np.arange(count, dtype=np.int64))
    return Source("image", "stream", items, targets, labels, ids=_names(prefix, count))


def _builder(given: Any, data_dir: str | Path | None) -> Any:
    import tensorflow_datasets as tfds

    if isinstance(given, tfds.core.DatasetBuilder):
        return given
    check.kind_of("name_or_builder", given, (str, Path), hint="Pass a name, a folder, or a TFDS builder.")
    if Path(given).is_dir():
        return tfds.builder_from_directory(str(given))
    try:
        return tfds.builder(str(given), data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        near = check.did_you_mean(given, tfds.list_builders(with_community_datasets=False))
        raise ValueError(
            f"`name_or_builder` is no folder and no registered dataset. Received: {given!r}.{near}"
        ) from error


def _names(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}, example {number}" for number in range(count)], object)


def _feature_kind(feature: Any) -> str:
    return type(feature).__name__


def _only_input(builder: Any) -> str:
    found = [name for name, feature in builder.info.features.items() if _feature_kind(feature) in ("Image", "Text")]
    if len(found) != 1:
        raise ValueError(f"`input` must name a feature of {builder.info.name}: {check.listing(builder.info.features)}.")
    return found[0]


def _check_features(builder: Any, input_name: str, label: str | None) -> None:
    features = builder.info.features
    problems = check.Problems()
    for role, name in (("input", input_name), ("label", label)):
        if name is not None and name not in features:
            known = check.listing(features)
            problems.add(
                f"`{role}` must be a feature: {known}. Received: {name!r}.{check.did_you_mean(name, features)}"
            )
    problems.raise_if_any()
    kind = _feature_kind(features[input_name])
    if kind not in ("Image", "Text"):
        raise TypeError(
            f"`input` must be an Image or Text feature. Received: {input_name!r}, a feature of type {kind}."
        )


def _stored(builder: Any, split: str, feature: str) -> Any:
    """Read one feature in the stored order, pictures still encoded."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    is_image = _feature_kind(features[feature]) == "Image"
    decoders = {feature: tfds.decode.SkipDecoding()} if is_image else {}
    partial = tfds.decode.PartialDecoding({feature: features[feature]}, decoders=decoders)
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=config, decoders=partial)
    from tensorflow import autograph

    return dataset.map(autograph.experimental.do_not_convert(lambda example: example[feature]))


def _labels(builder: Any, split: str, label: str) -> tuple[np.ndarray, LabelSpec]:
    feature = builder.info.features[label]
    kind = _feature_kind(feature)
    values = list(_stored(builder, split, label).as_numpy_iterator())
    if kind == "ClassLabel":
        return np.array(values, np.int32), LabelSpec(tuple(feature.names), "categorical")
    if kind == "Sequence" and _feature_kind(feature.feature) == "ClassLabel":
        targets = np.zeros((len(values), feature.feature.num_classes), np.float32)
        for row, held in enumerate(values):
            targets[row, np.asarray(held, int)] = 1.0
        return targets, LabelSpec(tuple(feature.feature.names), "multilabel")
    if kind in ("Scalar", "Tensor") and len(feature.shape) <= 1:
        from tltk.data import targets as raw

        columns = np.reshape(np.array(values, np.float64), [len(values), -1])
        names = [label] if columns.shape[1] == 1 else [f"{label} {number}" for number in range(columns.shape[1])]
        return raw.numbers(columns.tolist(), names=names, place=lambda row: f"{builder.info.name}, example {row}")
    raise TypeError(f"`label` must be a ClassLabel, a sequence of them or a number. Received: {label!r}, a {kind}.")
