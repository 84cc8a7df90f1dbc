"""Reads PyTorch weight files (.pth, legacy format) without PyTorch and without executing code of the file."""

import math
import os
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tltk.foundation.errors import InvalidInput, NotFound

# torch/serialization.py, `_legacy_save`: three pickled headers, the pickled state, the storages' keys, then each
# storage as a count (int64) and its raw little-endian values.
_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MAX_MEMO = 1_000_000  # largest place in a pickle's memo: unpicklers allocate the memo up to the place that is named
_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


# Raised for a file that is not a pickle, or another one; a MemoryError for sizes that no file has.
_ERRORS = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Restricted(pickle.Unpickler):
    """Unpickler that allows the names a weight file needs and no others: a pickle can call anything it can name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not allowed in weight files")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or view is not None or dtype not in _DTYPES.values():
            raise pickle.UnpicklingError(f"unknown storage {kind!r}")
        return _Storage(str(key), dtype, int(count))


def _rebuild(storage: Any, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("it contains a tensor without a storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def read(path: Path, *, member: str | None = None) -> dict[str, np.ndarray]:
    """Read the tensors of a `state_dict` saved by PyTorch before 1.6.

    Args:
        path: Path of the file.
        member: Key of the `state_dict` in a checkpoint that holds more, such as the state of an optimizer; None if the
            file holds nothing else.

    Returns:
        Name → array.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If it is truncated, has another format, or contains anything but tensors.
    """
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            raise InvalidInput(
                f"{path} was written by PyTorch 1.6 or later, in a format that tltk does not read. Save it with "
                "torch.save(..., _use_new_zipfile_serialization=False)."
            )
        file.seek(0)
        try:
            return _read(file, member)
        except _ERRORS as error:
            raise InvalidInput(f"{path} is not a .pth weight file, or is damaged: {error}") from error


def _load(file: BinaryIO) -> Any:
    """Load the next pickle of a file, after a look at its operations, which executes nothing."""
    start = file.tell()
    for operation, argument, _ in pickletools.genops(file):
        if operation.name.endswith("PUT") and int(argument or 0) > _MAX_MEMO:
            raise pickle.UnpicklingError(f"its memo has the place {argument}")
    file.seek(start)
    return _Restricted(file).load()


def _read(file: BinaryIO, member: str | None) -> dict[str, np.ndarray]:
    if _load(file) != _MAGIC or _load(file) != _PROTOCOL:
        raise InvalidInput("its header is wrong")
    if not _load(file).get("little_endian", False):
        raise InvalidInput("its byte order is big-endian")
    content = _load(file)
    state = content if member is None or not isinstance(content, dict) else content.get(member)
    if not isinstance(state, dict) or not all(isinstance(value, _Tensor) for value in state.values()):
        raise InvalidInput("it contains something other than a state_dict of tensors")
    declared = {tensor.storage.key: tensor.storage for tensor in _tensors(content)}
    storages = {key: _values(file, declared[key]) for key in _load(file)}
    return {name: _view(storages[tensor.storage.key], tensor) for name, tensor in state.items()}


def _tensors(value: Any) -> Iterator[_Tensor]:
    """Yield the tensors of nested dicts and lists; the values of all of them are in the file."""
    if isinstance(value, _Tensor):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _tensors(part)


def _values(file: BinaryIO, storage: _Storage) -> np.ndarray:
    count = int.from_bytes(file.read(8), "little", signed=True)
    if count != storage.count:
        raise InvalidInput(f"storage {storage.key} has {count} values, not {storage.count} as declared")
    size = count * np.dtype(storage.dtype).itemsize
    content = file.read(min(size, os.fstat(file.fileno()).st_size))  # not more than there is: `read` allocates first
    if len(content) != size:
        raise InvalidInput(f"it is truncated: storage {storage.key} has {len(content):,} of {size:,} bytes")
    return np.frombuffer(content, storage.dtype)


def _view(values: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """Return a tensor of a storage; in files converted from TensorFlow the strides differ from C order."""
    pairs = list(zip(tensor.shape, tensor.strides, strict=True))
    last = tensor.offset + sum((length - 1) * stride for length, stride in pairs)
    inside = min((tensor.offset, *tensor.shape, *tensor.strides), default=0) >= 0 and last < values.size
    if math.prod(tensor.shape) and not inside:
        raise InvalidInput(f"a tensor of shape {tensor.shape} reaches beyond its storage of {values.size} values")
    reach = 0  # of the axes so far: the next one must step over it, or values would be used twice
    for stride, length in sorted((stride, length) for length, stride in pairs if length > 1):
        if stride <= reach:
            raise InvalidInput(f"a tensor of shape {tensor.shape} has overlapping strides {tensor.strides}")
        reach += (length - 1) * stride
    strides = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, strides, writeable=False).copy()
