"""Sources from TensorFlow Datasets builders, read as a stream of encoded images or of sounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats import tfds_targets
from tltk.data.invalid import Invalid
from tltk.data.source import Source
from tltk.data.targets import as_objects, regression
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.specs import LabelSpec
from tltk.specs.audio import MAX_RATE, MIN_RATE

_READ_AT_ONCE = 64  # examples per read
_ENCODED = ("Image", "LabeledImage")  # features that are not decoded
_INPUTS = ("Image", "Text", "Audio")


@dataclass(frozen=True, eq=False)
class StoredExamples:
    """Some examples of a split of a builder, by index; they stay on disk.

    Args:
        builder: Prepared `tfds.core.DatasetBuilder`.
        split: Split in the notation of TFDS, such as "train" or "train[:80%]".
        input: Name of the image or audio feature.
        indices: Indices of the examples in the split, int64 [n].
        sample_rate: Samples per second of sounds.
    """

    builder: Any
    split: str
    input: str
    indices: np.ndarray
    sample_rate: int | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, indices: np.ndarray) -> StoredExamples:
        return replace(self, indices=self.indices[indices])

    def read(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read the whole split once, in its stored order.

        Yields:
            Positions in `indices`, int64 [k], and the encoded images, object array [k] of bytes; or the samples of
            sounds, arrays [samples] or [samples, channels] of the dtype of the feature.
        """
        positions = {int(index): position for position, index in enumerate(self.indices)}
        start = 0
        for batch in self._batches():
            selected = [(positions[index], data) for index, data in enumerate(batch, start) if index in positions]
            start += len(batch)
            if selected:
                yield np.array([position for position, _ in selected]), as_objects([data for _, data in selected])

    def _batches(self) -> Iterator[Any]:
        dataset = _feature_dataset(self.builder, self.split, self.input)
        if self.sample_rate is None:
            return dataset.batch(_READ_AT_ONCE).as_numpy_iterator()
        return ([samples] for samples in dataset.as_numpy_iterator())  # which differ in length


@familiar.arguments
def from_tfds(
    name_or_builder: Any,
    *,
    split: str = "train",
    input: str | None = None,  # noqa: A002 - the feature's role, in the field's own word
    label: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    sample_rate: int | None = None,
    exclude: Exclude = None,
) -> Source:
    """Create a source from a TensorFlow Datasets builder.

    Images and sounds stay on disk: every epoch streams the split in its stored order and shuffles it through a buffer.
    Labels and texts are read at once.

    Args:
        name_or_builder: Registered name such as "cats_vs_dogs", folder of a prepared dataset, or a builder.
        split: Split in the notation of TFDS, such as "train", "train[:80%]" or "train+test".
        input: Input feature; None means the builder's supervised key, or its only Image, Text or Audio feature.
        label: Target feature: a ClassLabel, a sequence of ClassLabel, or a number; a sequence of "bbox" and "label",
            such as "objects" of COCO and VOC; or an image whose values are classes, such as "segmentation_mask". None
            means the supervised key.
        data_dir: Folder of prepared datasets; None means the default of TFDS.
        download: Whether to download and prepare the dataset if necessary.
        sample_rate: Samples per second of an Audio feature; None means the rate that the feature states. Whole numbers
            are read as samples of 16 bits, floats as samples in [-1, 1].
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of streamed images or sounds, or of texts in memory.

    Raises:
        InvalidInput: If a name, feature or split is unknown, or the dataset is not prepared.
        InvalidType: If the type of a feature is not supported.
    """
    builder = _builder(name_or_builder, data_dir)
    if download:
        builder.download_and_prepare()
    if not builder.info.splits:
        raise InvalidInput(f"{builder.info.full_name} is not prepared. Pass download=True, or prepare it with TFDS.")
    keys = builder.info.supervised_keys or (None, None)
    input = input or keys[0] or _only_input(builder)  # noqa: A001
    label = label or keys[1]
    _check_features(builder, input, label)
    prefix = f"{builder.info.name}/{split}"
    invalid = Invalid()
    targets, labels = _labels(builder, split, label, input, prefix, invalid) if label else (None, None)
    if _feature_type(builder.info.features[input]) == "Text":
        texts = [text.decode() for text in _feature_dataset(builder, split, input).as_numpy_iterator()]
        ids = _example_ids(prefix, len(texts))
        return Source("text", "arrays", np.array(texts, object), targets, labels, ids=ids).without(exclude)
    count = builder.info.splits[split].num_examples
    rate = _sample_rate(builder.info.features[input], input, sample_rate)
    examples = StoredExamples(builder, split, input, np.arange(count, dtype=np.int64), rate)
    ids = _example_ids(prefix, count)
    source = Source(
        "image" if rate is None else "audio", "stream", examples, targets, labels, ids=ids, invalid=tuple(invalid)
    )
    return source.without(exclude)


def _builder(name_or_builder: Any, data_dir: str | Path | None) -> Any:
    import tensorflow_datasets as tfds

    if isinstance(name_or_builder, tfds.core.DatasetBuilder):
        return name_or_builder
    check.instance_of("name_or_builder", name_or_builder, (str, Path), hint="Pass a name, a folder, or a TFDS builder.")
    if Path(name_or_builder).is_dir():
        return tfds.builder_from_directory(str(name_or_builder))
    try:
        return tfds.builder(str(name_or_builder), data_dir=data_dir, try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        hint = check.did_you_mean(name_or_builder, tfds.list_builders(with_community_datasets=False))
        raise InvalidInput(
            f"`name_or_builder` must be a folder or a registered dataset. Received: {name_or_builder!r}.{hint}"
        ) from error


def _example_ids(prefix: str, count: int) -> np.ndarray:
    return np.array([f"{prefix}, example {number}" for number in range(count)], object)


def _feature_type(feature: Any) -> str:
    return type(feature).__name__


def _sample_rate(feature: Any, name: str, sample_rate: int | None) -> int | None:
    """Return the rate of an audio feature; None for other features."""
    if _feature_type(feature) != "Audio":
        if sample_rate is not None:
            raise InvalidInput(f"`sample_rate` is for sounds; {name!r} is a feature of type {_feature_type(feature)}.")
        return None
    rate = feature.sample_rate if sample_rate is None else sample_rate
    if rate is None:
        raise InvalidInput(f"`sample_rate` is missing: the feature {name!r} does not state it. Pass it in Hz.")
    check.counts(sample_rate=rate)
    check.within("sample_rate", rate, low=MIN_RATE, high=MAX_RATE)
    return int(rate)


def _only_input(builder: Any) -> str:
    features = builder.info.features
    candidates = [name for name, feature in features.items() if _feature_type(feature) in _INPUTS]
    if len(candidates) != 1:
        raise InvalidInput(
            f"`input` must name an Image, Text or Audio feature of {builder.info.name}. Its features: "
            f"{check.listing(features)}. Received: None"
        )
    return candidates[0]


def _check_features(builder: Any, input_name: str, label: str | None) -> None:
    features = builder.info.features
    problems = check.Problems()
    for role, name in (("input", input_name), ("label", label)):
        if name is not None and name not in features:
            names = check.listing(features)
            problems.add(
                f"`{role}` must be a feature: {names}. Received: {name!r}.{check.did_you_mean(name, features)}"
            )
    problems.raise_if_any()
    feature_type = _feature_type(features[input_name])
    if feature_type not in _INPUTS:
        raise InvalidType(
            f"`input` must be an Image, Text or Audio feature. Received: {input_name!r}, a feature of type "
            f"{feature_type}."
        )


def _feature_dataset(builder: Any, split: str, feature: str) -> Any:
    """Return a `tf.data.Dataset` of one feature in the stored order, with images still encoded."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    is_image = _feature_type(features[feature]) in _ENCODED
    decoders = {feature: tfds.decode.SkipDecoding()} if is_image else {}
    partial = tfds.decode.PartialDecoding({feature: features[feature]}, decoders=decoders)
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, skip_prefetch=True)
    dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=config, decoders=partial)
    from tensorflow import autograph

    return dataset.map(autograph.experimental.do_not_convert(lambda example: example[feature]))


def _labels(builder: Any, split: str, label: str, image: str, prefix: str, invalid: Invalid) -> tuple[Any, LabelSpec]:
    feature = builder.info.features[label]
    feature_type = _feature_type(feature)
    is_image = _feature_type(builder.info.features[image]) == "Image"
    if is_image and (tfds_targets.has_boxes(feature) or feature_type in _ENCODED):
        images, items = (_feature_dataset(builder, split, name).as_numpy_iterator() for name in (image, label))
        if feature_type in _ENCODED:
            return tfds_targets.mask_targets(items, images, label)
        ids = _example_ids(prefix, builder.info.splits[split].num_examples)
        return tfds_targets.box_targets(items, images, feature, ids, invalid)
    values = list(_feature_dataset(builder, split, label).as_numpy_iterator())
    if feature_type == "ClassLabel":
        classes = np.array(values, np.int32)
        if (classes < 0).any():
            raise InvalidInput(
                f"{(classes < 0).sum()} examples of {builder.info.name}, split {split!r}, have no label (-1). Take "
                "another split."
            )
        return classes, LabelSpec(tuple(feature.names), "categorical")
    if feature_type == "Sequence" and _feature_type(feature.feature) == "ClassLabel":
        targets = np.zeros((len(values), feature.feature.num_classes), np.float32)
        for row, class_indices in enumerate(values):
            targets[row, np.asarray(class_indices, int)] = 1.0
        return targets, LabelSpec(tuple(feature.feature.names), "multilabel")
    if feature_type in ("Scalar", "Tensor") and len(feature.shape) <= 1:
        columns = np.reshape(np.array(values, np.float64), [len(values), -1])
        names = [label] if columns.shape[1] == 1 else [f"{label} {number}" for number in range(columns.shape[1])]
        return regression(columns.tolist(), names=names, row_id=lambda row: f"{builder.info.name}, example {row}")
    raise InvalidType(
        f"`label` must be a ClassLabel, a sequence of ClassLabel, a number, boxes or a mask. Received: {label!r}, a "
        f"{feature_type}."
    )
