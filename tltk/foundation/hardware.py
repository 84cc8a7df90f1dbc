"""What this machine can do: number formats, and whether compiling pays."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tltk.foundation import checks as check

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")
_BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def precision(wanted: str = "auto", *, fast_bfloat16: bool = False) -> str:
    """Choose the number format of a model's layers.

    "auto" takes bfloat16 on GPUs of compute capability 8.0 and above, float16 with loss scaling on 7.x
    (Keras' mixed-precision guide), and float32 elsewhere; on a processor with bfloat16 instructions it takes bfloat16
    only for backbones on which `examples/benchmarks/precision.py` measured it to be faster.

    Args:
        wanted: "auto" or one Keras dtype policy.
        fast_bfloat16: whether the backbone is one of those.

    Returns:
        "float32", "mixed_bfloat16" or "mixed_float16".

    Raises:
        ValueError: for another name.
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
    found = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    return min(found) if found else None


def has_bfloat16_instructions(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Tell whether the processor multiplies bfloat16 itself; False where the system does not say (not Linux)."""
    path = Path(cpuinfo)
    if not path.exists():
        return False
    flags = next((line for line in path.read_text().splitlines() if line.startswith("flags")), "")
    return any(flag in flags.split() for flag in _BFLOAT16_FLAGS)


def jit_compile() -> bool | str:
    """Return the `jit_compile` of `compile`: Keras' own choice on a GPU, off on a processor.

    XLA compiles a small network for longer on a processor than a whole fine-tuning run takes, and its
    convolutions are slower there (`examples/benchmarks/precision.py` measures both).
    """
    return False if gpu_capability() is None else "auto"


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Set Keras' global dtype policy inside, and put the old one back.

    Keras Applications builders take no `dtype`, so the global policy is the only way in.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def free_memory(cgroup: str = "/sys/fs/cgroup") -> int:
    """Return the bytes that this process can still allocate without swapping.

    In a container that is what its memory limit leaves, which the system's own figure does not know.

    Args:
        cgroup: where the limits of control groups are mounted (version 2: memory.max and memory.current).
    """
    available = int(psutil.virtual_memory().available)
    limit, used = (_number(Path(cgroup) / name) for name in ("memory.max", "memory.current"))
    return available if limit is None or used is None else max(min(available, limit - used), 0)


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is no such file, or no number in it ("max": no limit)."""
    text = path.read_text().strip() if path.is_file() else ""
    return int(text) if text.isdecimal() else None


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next step instead of giving it back to the system and asking again.

    On a processor TensorFlow allocates each step's activations anew: giving them back costs a page fault for every
    4 KB, a quarter of the time of training a small network. It has to come before TensorFlow's first operation: after
    it, the demo's first epoch of fine-tuning ended with 1.4 million page faults, not 0.5. Without glibc nothing
    is done. The setting is the whole process's, so that only the command line, whose process it is, makes it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return  # not glibc
    for option, value in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 * 2**20)):
        mallopt(option, value)
