"""Where features and decoded examples are stored: the record that the user passes, and the choice of "auto"."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tltk.foundation import checks as check
from tltk.foundation import hardware
from tltk.foundation.errors import InvalidInput
from tltk.pipeline import store

log = logging.getLogger("tltk")

STORAGES = ("auto", "memory", "disk", "off")
DTYPES = (None, "float16", "bfloat16")
_MAX_MEMORY_BYTES = 64 * 2**20  # that "auto" stores in memory, so that memory does not grow with the data
_MAX_RECORD_BYTES = 2 * 2**20  # reading a larger record takes as long as computing it
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


def choose_storage(cache: Cache, layout: store.Layout, count: int, *, epochs: int, folder: Path) -> str:
    """Decide where "auto" stores features; any other choice is returned unchanged.

    Args:
        cache: Choice of the user.
        layout: Shapes and dtypes of one record.
        count: Number of records.
        epochs: How often each record will be read.
        folder: A folder on the disk whose free space is checked.

    Returns:
        "memory", "disk", "off", or a folder.
    """
    if cache.storage != "auto":
        return str(cache.storage)
    total_bytes = count * layout.record_bytes
    if epochs < 2 or layout.record_bytes > _MAX_RECORD_BYTES:
        return "off"
    if total_bytes <= min(_MAX_MEMORY_BYTES, hardware.free_memory() // 2):
        return "memory"
    free_bytes = shutil.disk_usage(folder).free
    if total_bytes <= free_bytes * _MAX_DISK_FRACTION:
        return "disk"
    log.info(
        "features are not cached: they need %.1f GB of disk space, and %.1f GB are free",
        total_bytes / 1e9,
        free_bytes / 1e9,
    )
    return "off"
