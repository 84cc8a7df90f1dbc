"""Precision, compilation and memory settings that suit this machine."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tltk.foundation import checks as check

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
# Limit, use, and the statistic of cached pages of files, of control groups of version 2 and 1.
_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def precision(wanted: str = "auto", *, fast_bfloat16: bool = False) -> str:
    """Choose the dtype policy of a model's layers.

    "auto" selects bfloat16 on GPUs of compute capability 8.0 and above, float16 with loss scaling on 7.x
    (Keras' mixed-precision guide), and float32 elsewhere; on a CPU with bfloat16 instructions it selects bfloat16
    only for backbones for which `examples/benchmarks/precision.py` measured it to be faster.

    Args:
        wanted: "auto" or a Keras dtype policy.
        fast_bfloat16: Whether the backbone was measured to be faster in bfloat16 on a CPU.

    Returns:
        "float32", "mixed_bfloat16" or "mixed_float16".

    Raises:
        InvalidInput: If `wanted` is not one of `PRECISIONS`.
    """
    check.one_of("precision", wanted, PRECISIONS)
    if wanted != "auto":
        return wanted
    capability = gpu_capability()
    if capability is None:
        return "mixed_bfloat16" if fast_bfloat16 and has_bfloat16_instructions() else "float32"
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"


def gpu_capability() -> tuple[int, int] | None:
    """Return the lowest compute capability among the visible GPUs, or None without a GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    capabilities = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    return min(capabilities, default=None)


def has_bfloat16_instructions(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Tell whether the CPU has bfloat16 instructions; False if unknown, as outside of Linux."""
    path = Path(cpuinfo)
    if not path.exists():
        return False
    flags = next((line for line in path.read_text().splitlines() if line.startswith("flags")), "")
    return any(flag in flags.split() for flag in _BFLOAT16_FLAGS)


def jit_compile() -> bool | str:
    """Return the `jit_compile` argument of `Model.compile`: "auto" on a GPU, False on a CPU.

    On a CPU, compiling a small network with XLA takes longer than a whole fine-tuning run, and its convolutions are
    slower (`examples/benchmarks/precision.py` measures both).
    """
    return False if gpu_capability() is None else "auto"


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Set Keras' global dtype policy within the context, and restore it afterwards.

    The functions of Keras Applications have no `dtype` argument, so only the global policy can set it.
    """
    import keras

    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(previous)


def free_memory(cgroup: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> int:
    """Return the number of bytes that this process can still allocate without swapping.

    The memory limits of a container and of the control groups around the process count too, since the system's figure
    does not include them. Cached pages of files are free: the kernel drops them when memory is needed.

    Args:
        cgroup: Folder where the control groups of version 2 are mounted, those of version 1 in `memory` below it.
        membership: File that names the groups of the process, lines such as "0::/container".
    """
    available = int(psutil.virtual_memory().available)
    return max(min([available, *(_free_in(folder) for folder in _groups(Path(cgroup), Path(membership)))]), 0)


def _groups(cgroup: Path, membership: Path) -> list[Path]:
    """Return the folders of all control groups that may limit the memory of this process."""
    roots = [cgroup, cgroup / "memory"]
    lines = membership.read_text().splitlines() if membership.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = cgroup / "memory" if controllers else cgroup
            inner = root / path.lstrip("/")
            roots += [folder for folder in (inner, *inner.parents) if folder.is_relative_to(root)]
    return roots


def _free_in(group: Path) -> int:
    """Return the bytes that are free below the limit of a control group; a huge number without a limit."""
    for limit_name, used_name, cached_name in _MEMORY_FILES:
        limit, used = _read_int(group / limit_name), _read_int(group / used_name)
        if limit is not None and used is not None:
            return limit - used + _statistic(group / "memory.stat", cached_name)
    return sys.maxsize


def _statistic(path: Path, name: str) -> int:
    """Return a number of a file with a name and a number in each line; 0 if it is missing."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name} ")), 0)


def _read_int(path: Path) -> int | None:
    """Return the whole number in a file; None if the file is missing or holds something else ("max": no limit)."""
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning it to the system.

    On a CPU, TensorFlow allocates the activations of every step anew. Memory that was returned costs a page fault per
    4 KB, a quarter of the time of training a small network. Call this before TensorFlow's first operation: called
    later, the demo's first epoch of fine-tuning had 1.4 million page faults instead of 0.5 million.

    It does nothing without glibc. It changes the whole process, so only the command line calls it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    for option, value in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20)):
        mallopt(option, value)
