"""TensorFlow Datasets as a source: read as a stream, pictures kept encoded."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tltk import _check as check
from tltk.data.sources import Source
from tltk.specs import Labels


def from_tfds(
    builder: Any, *, split: str = "train", image: str = "image", label: str | None = "label", data_dir: str | Path | None = None
) -> Source:
    """Read a data set of TensorFlow Datasets.

    Its pictures are read as a stream, in a fixed order and encoded as they are stored, so that memory does not grow with
    their number; only the labels are read at once.

    Args:
        builder: a name ("cifar10"), a builder, or the folder of a prepared data set.
        split: one of its splits, or a slice such as "train[:10%]".
        image: name of the picture feature.
        label: name of the class or number feature; None for an unlabelled source.
        data_dir: where data sets are kept; the default is TensorFlow Datasets' own. A named data set that is not there
            is downloaded and prepared.

    Returns:
        A source; `tltk.split` and the pipeline take it like any other.

    Raises:
        ValueError: if it has no such split or feature, with those that it has.

    Example:
        >>> from_tfds("no/such/folder")
        Traceback (most recent call last):
        ...
        ValueError: there is no data set 'no/such/folder' ...
    """
    made = _builder(builder, data_dir)
    features = made.info.features
    for name in (image, label):
        if name is not None and name not in features:
            raise ValueError(
                f"{made.info.name} has no feature {name!r}. Features: {check.listing(features)}."
                + check.did_you_mean(name, list(features))
            )
    stream = _stream(made, split, image)
    targets, labels, count = _targets(made, split, label)
    where = np.array([f"{made.info.name}/{split}, example {index}" for index in range(count)], object)
    return Source("tfds", None, np.arange(count), targets, labels, names=where, stream=stream)


def _builder(given: Any, data_dir: str | Path | None) -> Any:
    import tensorflow_datasets as datasets

    if not isinstance(given, str | Path):
        return given
    try:
        if Path(given).is_dir():
            return datasets.builder_from_directory(str(given))
        made = datasets.builder(str(given), data_dir=None if data_dir is None else str(data_dir))
    except (datasets.core.DatasetNotFoundError, FileNotFoundError) as error:
        raise ValueError(f"there is no data set {str(given)!r} by that name or in that folder: {error}") from error
    made.download_and_prepare()
    return made


def _read(builder: Any, split: str, **options: Any) -> tf.data.Dataset:
    import tensorflow_datasets as datasets

    in_order = datasets.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    try:
        return builder.as_dataset(split=split, shuffle_files=False, read_config=in_order, **options)
    except (ValueError, KeyError) as error:
        known = check.listing(builder.info.splits)
        raise ValueError(f"{builder.info.name} has no split {split!r}. Splits: {known}. ({error})") from error


def _stream(builder: Any, split: str, image: str) -> Any:
    import tensorflow_datasets as datasets

    keep = datasets.decode.PartialDecoding({image: True}, decoders={image: datasets.decode.SkipDecoding()})
    return lambda: _read(builder, split, decoders=keep).map(lambda example: example[image])


def _targets(builder: Any, split: str, label: str | None) -> tuple[np.ndarray | None, Labels | None, int]:
    import tensorflow_datasets as datasets

    if label is None:
        return None, None, int(builder.info.splits[split].num_examples)
    keep = datasets.decode.PartialDecoding({label: True})
    values = np.array([example[label].numpy() for example in _read(builder, split, decoders=keep)])
    feature = builder.info.features[label]
    if isinstance(feature, datasets.features.ClassLabel):
        return values.astype("int32"), Labels(tuple(feature.names)), len(values)
    from tltk.data.tables import targets

    found, labels = targets(values, labels=(label,) if values.ndim == 1 else None, kind="number", count=len(values))
    return found, labels, len(values)
