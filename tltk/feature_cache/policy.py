"""Where what was computed once is kept: what the user asks for, and what "auto" chooses."""

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tltk.foundation import checks as check
from tltk.foundation import hardware as machine
from tltk.pipeline import store

log = logging.getLogger("tltk")

PLACES = ("auto", "memory", "disk", "off")
DTYPES = (None, "float16", "bfloat16")
_IN_MEMORY = 64 * 2**20  # bytes that "auto" keeps in memory: however many pictures there are, it is no more
_LARGE_RECORD = 2 * 2**20  # bytes of one example above which reading it costs as much as computing it
_DISK_SHARE = 0.8  # of what is free, that "auto" takes


@dataclass(frozen=True)
class Cache:
    """Where what was computed once is kept.

    Args:
        where: "auto", "memory", "disk" (in tltk's own cache folder, for later runs too), "off", or a folder.
        dtype: "float16" or "bfloat16" halves the room that float32 takes; None keeps the numbers as they are.
    """

    where: str | Path = "auto"
    dtype: str | None = None

    def __post_init__(self) -> None:
        check.kind_of("cache", self.where, (str, Path), hint='Pass "auto", "memory", "disk", "off" or a folder.')
        if self.dtype not in DTYPES:
            near = check.did_you_mean(self.dtype, ("float16", "bfloat16"))
            raise ValueError(f"`dtype` must be None, 'float16' or 'bfloat16'. Received: {self.dtype!r}.{near}")
        text = str(self.where)
        # A string that is neither a place nor looks like a path is a typing error more often than a folder.
        folder = isinstance(self.where, Path) or "/" in text or os.sep in text or (text and Path(text).is_dir())
        if text not in PLACES and not folder:
            raise ValueError(
                f"`cache` must be one of {', '.join(map(repr, PLACES))}, or a folder, as a Path or with a slash in it. "
                f"Received: {text!r}.{check.did_you_mean(text, PLACES)}"
            )


def choose(cache: Cache, layout: store.Layout, count: int, *, epochs: int, folder: Path) -> str:
    """Decide where "auto" keeps what crosses; any other choice is returned as it is.

    Args:
        cache: what the user asked for.
        layout: of one record.
        count: of records.
        epochs: passes that will be made over them.
        folder: on whose disk there is to be room.

    Returns:
        "memory", "disk", "off", or the folder as text.
    """
    if cache.where != "auto":
        return str(cache.where)
    total = count * layout.record_bytes
    if epochs < 2 or layout.record_bytes > _LARGE_RECORD:
        return "off"
    if total <= min(_IN_MEMORY, machine.free_memory() // 2):
        return "memory"
    free = shutil.disk_usage(folder).free
    if total <= free * _DISK_SHARE:
        return "disk"
    log.info("no prefix cache: it would take %.1f GB, and %.1f GB are free", total / 1e9, free / 1e9)
    return "off"
