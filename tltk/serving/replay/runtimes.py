"""Loads ONNX, LiteRT and OpenVINO files with their runtimes.

Only NumPy and the runtime itself are imported, because the replay runs this module in a process without tltk.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILES = {"model.onnx": "onnxruntime", "model.tflite": "ai_edge_litert", "model.xml": "openvino"}


def load(file: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a network on the CPU.

    Args:
        file: Path that ends in .onnx (ONNX Runtime), .tflite (LiteRT) or .xml (OpenVINO).

    Returns:
        A function: input tensor [batch, …] → float32 [batch, …].
    """
    return {".onnx": _load_onnx, ".tflite": _load_litert, ".xml": _load_openvino}[Path(file).suffix](file)


def _load_onnx(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: np.asarray(session.run(None, {name: tensor})[0])


def _load_litert(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import os

    from ai_edge_litert.interpreter import Interpreter

    run: Any = Interpreter(file, num_threads=os.cpu_count()).get_signature_runner()
    (name,) = run.get_input_details()
    return lambda tensor: np.array(next(iter(run(**{name: tensor}).values())))


def _load_openvino(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    # By default OpenVINO computes in bfloat16 on processors with bfloat16 instructions.
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda tensor: np.array(compiled(tensor)[0])
