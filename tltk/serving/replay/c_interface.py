"""TensorFlow's C interface (tensorflow/c/c_api.h) by ctypes: load a SavedModel and call it, as TensorFlow Serving does.

Of the replay, and as little as it: NumPy alone is imported. The shared library is in every wheel of TensorFlow.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_STRING, _STRING_BYTES = 7, 24  # TF_STRING, sizeof(TF_TString)
_TYPES = {1: np.float32, 3: np.int32, 9: np.int64, 10: np.bool_}  # TF_DataType, tensorflow/c/tf_datatype.h


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def load(
    library: str, saved_model: str, tensors: dict[str, dict[str, dict[str, str]]]
) -> Callable[[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Load a SavedModel.

    Args:
        library: path of libtensorflow_cc.
        saved_model: its folder.
        tensors: signature → "ask" and "answer" → name → the tensor's name in the graph, such as "Identity:0".

    Returns:
        Signature, named columns → named answers.

    Raises:
        RuntimeError: with TensorFlow's own words, if it cannot be loaded or, later, called.
    """
    c = _library(library)
    status = c.TF_NewStatus()

    def checked(value: Any) -> Any:
        if c.TF_GetCode(status):
            raise RuntimeError(c.TF_Message(status).decode(errors="replace"))
        return value

    graph = c.TF_NewGraph()
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = checked(
        c.TF_LoadSessionFromSavedModel(
            c.TF_NewSessionOptions(), None, saved_model.encode(), tags, 1, graph, None, status
        )
    )

    def places(names: list[str]) -> Any:
        parts = [name.rsplit(":", 1) for name in names]
        found = [_Output(c.TF_GraphOperationByName(graph, name.encode()), int(index)) for name, index in parts]
        missing = [name for (name, _), output in zip(parts, found, strict=True) if not output.operation]
        if missing:
            raise RuntimeError(f"no operation {missing[0]!r} in the graph")
        return (_Output * len(names))(*found)

    def call(name: str, columns: dict[str, Any]) -> dict[str, np.ndarray]:
        ask, answer = tensors[name]["ask"], tensors[name]["answer"]
        given = (ctypes.c_void_p * len(columns))(
            *(_to_c(c, np.asarray(columns[key], _dtype(columns[key]))) for key in ask)
        )
        found = (ctypes.c_void_p * len(answer))()
        sides = (places([*ask.values()]), given, len(ask)), (places([*answer.values()]), found, len(answer))
        c.TF_SessionRun(session, None, *sides[0], *sides[1], None, 0, None, status)
        for held in given:
            c.TF_DeleteTensor(held)
        checked(None)
        return {key: _from_c(c, held) for key, held in zip(answer, found, strict=True)}

    return call


def _library(path: str) -> Any:
    """Load the library, and say what its functions return: all are pointers, numbers or nothing."""
    for framework in Path(path).parent.glob("*tensorflow_framework*"):
        ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
    c = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    known = {
        "TF_NewStatus": (pointer, []),
        "TF_GetCode": (ctypes.c_int, [pointer]),
        "TF_Message": (text, [pointer]),
        "TF_NewGraph": (pointer, []),
        "TF_NewSessionOptions": (pointer, []),
        "TF_LoadSessionFromSavedModel": (
            pointer,
            [pointer, pointer, text, pointer, ctypes.c_int, pointer, pointer, pointer],
        ),
        "TF_GraphOperationByName": (pointer, [pointer, text]),
        "TF_SessionRun": (
            None,
            [pointer, pointer, *[pointer, pointer, ctypes.c_int] * 2, pointer, ctypes.c_int, pointer, pointer],
        ),
        "TF_AllocateTensor": (pointer, [ctypes.c_int, pointer, ctypes.c_int, ctypes.c_size_t]),
        "TF_DeleteTensor": (None, [pointer]),
        "TF_TensorType": (ctypes.c_int, [pointer]),
        "TF_NumDims": (ctypes.c_int, [pointer]),
        "TF_Dim": (number, [pointer, ctypes.c_int]),
        "TF_TensorData": (pointer, [pointer]),
        "TF_TensorByteSize": (ctypes.c_size_t, [pointer]),
        "TF_StringInit": (None, [pointer]),
        "TF_StringCopy": (None, [pointer, text, ctypes.c_size_t]),
        "TF_StringGetDataPointer": (pointer, [pointer]),
        "TF_StringGetSize": (ctypes.c_size_t, [pointer]),
    }
    for name, (result, arguments) in known.items():
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c


def _dtype(column: Any) -> Any:
    return column.dtype if isinstance(column, np.ndarray) else object


def _to_c(c: Any, array: np.ndarray) -> int:
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    if array.dtype == object:
        held = c.TF_AllocateTensor(_STRING, shape, array.ndim, _STRING_BYTES * array.size)
        for place, value in enumerate(array.ravel()):
            at = c.TF_TensorData(held) + _STRING_BYTES * place
            c.TF_StringInit(at)
            c.TF_StringCopy(at, value, len(value))
        return int(held)
    kind = next(number for number, dtype in _TYPES.items() if dtype == array.dtype)
    held = c.TF_AllocateTensor(kind, shape, array.ndim, array.nbytes)
    ctypes.memmove(c.TF_TensorData(held), np.ascontiguousarray(array).ctypes.data, array.nbytes)
    return int(held)


def _from_c(c: Any, held: int) -> np.ndarray:
    shape = [c.TF_Dim(held, axis) for axis in range(c.TF_NumDims(held))]
    data, size = c.TF_TensorData(held), int(np.prod(shape))
    if c.TF_TensorType(held) == _STRING:
        ats = [data + _STRING_BYTES * place for place in range(size)]
        values = [ctypes.string_at(c.TF_StringGetDataPointer(at), c.TF_StringGetSize(at)) for at in ats]
        found = np.array([*values, None], object)[:-1].reshape(shape)
    else:
        raw = ctypes.string_at(data, c.TF_TensorByteSize(held)) if size else b""
        found = np.frombuffer(raw, _TYPES[c.TF_TensorType(held)]).reshape(shape)
    c.TF_DeleteTensor(held)
    return found
