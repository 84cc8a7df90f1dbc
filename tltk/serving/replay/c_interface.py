"""Loads and calls a SavedModel through TensorFlow's C interface (tensorflow/c/c_api.h), as TensorFlow Serving does.

Only NumPy and ctypes are imported, because the replay runs this module in a process without tltk. Every wheel of
TensorFlow contains the shared library.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_STRING = 7  # TF_STRING
_STRING_BYTES = 24  # sizeof(TF_TString)
_TYPES = {1: np.float32, 3: np.int32, 9: np.int64, 10: np.bool_}  # TF_DataType, tensorflow/c/tf_datatype.h


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def load(
    library: str, saved_model: str, tensors: dict[str, dict[str, dict[str, str]]]
) -> Callable[[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Load a SavedModel.

    Args:
        library: Path of libtensorflow_cc.
        saved_model: Folder of the SavedModel.
        tensors: Signature → "inputs" and "outputs" → name → name of the tensor in the graph, such as
            "Identity:0".

    Returns:
        A function: signature, inputs by name → outputs by name.

    Raises:
        RuntimeError: With TensorFlow's message, if the SavedModel cannot be loaded or, later, called.
    """
    c = _load_library(library)
    status = c.TF_NewStatus()

    def check_status() -> None:
        if c.TF_GetCode(status):
            raise RuntimeError(c.TF_Message(status).decode(errors="replace"))

    graph = c.TF_NewGraph()
    tags = (ctypes.c_char_p * 1)(b"serve")
    session = c.TF_LoadSessionFromSavedModel(
        c.TF_NewSessionOptions(), None, saved_model.encode(), tags, 1, graph, None, status
    )
    check_status()

    def find_tensors(names: list[str]) -> Any:
        """Return a C array of TF_Output for tensor names such as "Identity:0"."""
        parts = [name.rsplit(":", 1) for name in names]
        outputs = [_Output(c.TF_GraphOperationByName(graph, name.encode()), int(index)) for name, index in parts]
        missing = [name for (name, _), output in zip(parts, outputs, strict=True) if not output.operation]
        if missing:
            raise RuntimeError(f"the graph has no operation {missing[0]!r}")
        return (_Output * len(names))(*outputs)

    def call(name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        input_names, output_names = tensors[name]["inputs"], tensors[name]["outputs"]
        input_tensors = (ctypes.c_void_p * len(inputs))(
            *(_to_tensor(c, np.asarray(inputs[key], _dtype(inputs[key]))) for key in input_names)
        )
        output_tensors = (ctypes.c_void_p * len(output_names))()
        feeds = find_tensors([*input_names.values()]), input_tensors, len(input_names)
        fetches = find_tensors([*output_names.values()]), output_tensors, len(output_names)
        c.TF_SessionRun(session, None, *feeds, *fetches, None, 0, None, status)
        for tensor in input_tensors:
            c.TF_DeleteTensor(tensor)
        check_status()
        return {key: _to_array(c, tensor) for key, tensor in zip(output_names, output_tensors, strict=True)}

    return call


def _load_library(path: str) -> Any:
    """Load the library and declare the argument and result types of its functions."""
    for framework in Path(path).parent.glob("*tensorflow_framework*"):
        ctypes.CDLL(str(framework), mode=ctypes.RTLD_GLOBAL)
    c = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    pointer, text, int64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64
    signatures = {
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
        "TF_Dim": (int64, [pointer, ctypes.c_int]),
        "TF_TensorData": (pointer, [pointer]),
        "TF_TensorByteSize": (ctypes.c_size_t, [pointer]),
        "TF_StringInit": (None, [pointer]),
        "TF_StringCopy": (None, [pointer, text, ctypes.c_size_t]),
        "TF_StringGetDataPointer": (pointer, [pointer]),
        "TF_StringGetSize": (ctypes.c_size_t, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c


def _dtype(column: Any) -> Any:
    return column.dtype if isinstance(column, np.ndarray) else object


def _to_tensor(c: Any, array: np.ndarray) -> int:
    """Copy an array into a new TF_Tensor and return its address."""
    shape = (ctypes.c_int64 * array.ndim)(*array.shape)
    if array.dtype == object:
        tensor = c.TF_AllocateTensor(_STRING, shape, array.ndim, _STRING_BYTES * array.size)
        for index, string in enumerate(array.ravel()):
            address = c.TF_TensorData(tensor) + _STRING_BYTES * index
            c.TF_StringInit(address)
            c.TF_StringCopy(address, string, len(string))
        return int(tensor)
    dtype = next(code for code, numpy_dtype in _TYPES.items() if numpy_dtype == array.dtype)
    tensor = c.TF_AllocateTensor(dtype, shape, array.ndim, array.nbytes)
    ctypes.memmove(c.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes)
    return int(tensor)


def _to_array(c: Any, tensor: int) -> np.ndarray:
    """Copy a TF_Tensor into an array and delete the tensor."""
    shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
    data, size = c.TF_TensorData(tensor), int(np.prod(shape))
    if c.TF_TensorType(tensor) == _STRING:
        addresses = [data + _STRING_BYTES * index for index in range(size)]
        strings = [ctypes.string_at(c.TF_StringGetDataPointer(a), c.TF_StringGetSize(a)) for a in addresses]
        array = np.array([*strings, None], object)[:-1].reshape(shape)  # None keeps NumPy from choosing dtype "S"
    else:
        data_bytes = ctypes.string_at(data, c.TF_TensorByteSize(tensor)) if size else b""
        array = np.frombuffer(data_bytes, _TYPES[c.TF_TensorType(tensor)]).reshape(shape)
    c.TF_DeleteTensor(tensor)
    return array
