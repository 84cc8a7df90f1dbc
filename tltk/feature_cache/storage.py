"""Where features and decoded examples are stored: the record that the user passes, and the choice of "auto"."""

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras

from tltk.foundation import checks as check
from tltk.foundation import hardware, keras_graph
from tltk.foundation.errors import InvalidInput
from tltk.pipeline import store

STORAGES = ("auto", "memory", "disk", "off")
DTYPES = (None, "float16", "bfloat16")
_MAX_MEMORY_BYTES = 64 * 2**20  # that "auto" stores in memory, so that memory does not grow with the data
_SMALL_RECORD_BYTES = 2 * 2**20  # smaller ones are always worth reading
# Multiply-adds per byte from which reading a record takes less time than computing it: 25e9 of them per second on two
# cores, and 0.5 GB per second from a disk. A GPU computes faster.
_WORTHWHILE, _WORTHWHILE_ON_GPU = 50, 1000
_MAX_DISK_FRACTION = 0.8  # of the free space, that "auto" fills


@dataclass(frozen=True)
class Cache:
    """Where features and decoded examples are stored, and in which precision.

    Args:
        storage: "auto", "memory", "disk" (the cache folder of tltk, where later runs find them), "off", or a folder.
        dtype: "float16" or "bfloat16" takes half the space of float32; None keeps the dtype of the features.
    """

    storage: str | Path = "auto"
    dtype: str | None = None

    def __post_init__(self) -> None:
        check.instance_of("cache", self.storage, (str, Path), hint='Pass "auto", "memory", "disk", "off" or a folder.')
        if self.dtype not in DTYPES:
            suggestion = check.did_you_mean(self.dtype, ("float16", "bfloat16"))
            raise InvalidInput(f"`dtype` must be None, 'float16' or 'bfloat16'. Received: {self.dtype!r}.{suggestion}")
        text = str(self.storage)
        # A string that does not look like a path is more likely a misspelt word than a new folder.
        is_folder = isinstance(self.storage, Path) or "/" in text or os.sep in text or (text and Path(text).is_dir())
        if text not in STORAGES and not is_folder:
            raise InvalidInput(
                f"`cache` must be one of {', '.join(map(repr, STORAGES))}, or a folder (a Path, or text with a slash). "
                f"Received: {text!r}.{check.did_you_mean(text, STORAGES)}"
            )


class Choice(NamedTuple):
    """Where features are stored.

    Args:
        storage: "memory", "disk", "off", or a folder.
        reason: Why they are not stored although every epoch needs them; "" otherwise.
    """

    storage: str
    reason: str = ""


def choose_storage(
    cache: Cache, layout: store.Layout, count: int, *, epochs: int, folder: Path, multiply_adds: float = math.inf
) -> Choice:
    """Decide where "auto" stores features; any other choice is returned unchanged.

    Args:
        cache: Choice of the user.
        layout: Shapes and dtypes of one record.
        count: Number of records.
        epochs: How often each record will be read.
        folder: A folder on the disk whose free space is checked.
        multiply_adds: How many of them the features of one element take.

    Returns:
        The choice.
    """
    if cache.storage != "auto":
        return Choice(str(cache.storage))
    total_bytes = count * layout.record_bytes
    if epochs < 2:
        return Choice("off")
    worthwhile = _WORTHWHILE if hardware.gpu_capability() is None else _WORTHWHILE_ON_GPU
    if layout.record_bytes > _SMALL_RECORD_BYTES and multiply_adds < worthwhile * layout.record_bytes:
        return Choice(
            "off",
            f"reading the {size_text(layout.record_bytes)} of an example ({layout.describe()}) would take about as "
            "long as computing them. Freeze more layers, or store them anyway with cache='disk'",
        )
    if total_bytes <= min(_MAX_MEMORY_BYTES, hardware.free_memory() // 2):
        return Choice("memory")
    free_bytes = shutil.disk_usage(folder).free
    if total_bytes <= free_bytes * _MAX_DISK_FRACTION:
        return Choice("disk")
    half = "" if cache.dtype else ", tltk.Cache(dtype='bfloat16'), which takes half,"
    return Choice(
        "off",
        f"they would need {size_text(total_bytes)}, and {size_text(free_bytes)} are free on the disk of {folder}. Pass "
        f"a folder on a larger disk{half} or fewer augmentations_per_example",
    )


def size_text(count: float) -> str:
    """Return a number of bytes as a text.

    Examples:
        >>> size_text(2_500_000), size_text(28e9)
        ('2.5 MB', '28.0 GB')
    """
    factor, unit = next((pair for pair in ((1e9, "GB"), (1e6, "MB")) if count >= pair[0] / 10), (1e3, "kB"))
    return f"{count / factor:.1f} {unit}"


def multiply_adds(prefix: keras.Model, length: int | None = None) -> float:
    """Estimate how many multiply-adds the outputs of a model take for one element, from its weights.

    Args:
        prefix: A functional model.
        length: Size of axes that the model leaves open; None counts them as 1.
    """
    total = 0
    for node in keras_graph.nodes(prefix):
        weights = getattr(node.operation, "weights", ())
        # A recurrent layer reads all positions, also if it returns the last one only.
        tensors = node.input_tensors if hasattr(node.operation, "return_sequences") else node.outputs
        positions = math.prod(size or length or 1 for size in tensors[0].shape[1:-1])
        total += positions * sum(math.prod(weight.shape) for weight in weights if len(weight.shape) > 1)
    return float(total)
