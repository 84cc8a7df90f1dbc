"""The runtimes of other formats: load a file and call it. NumPy and the runtime itself are all that is imported.

Of the replay too, which runs in a process without tltk.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FILES = {"model.onnx": "onnxruntime", "model.tflite": "ai_edge_litert", "model.xml": "openvino"}


def load(file: str) -> Callable[[np.ndarray], np.ndarray]:
    """Load a network: .onnx (ONNX Runtime), .tflite (LiteRT) or .xml (OpenVINO), on the processor.

    Args:
        file: its path.

    Returns:
        Tensor [batch, …] → float32 [batch, …].
    """
    return {".onnx": _onnx, ".tflite": _litert, ".xml": _openvino}[Path(file).suffix](file)


def _onnx(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda tensor: np.asarray(session.run(None, {name: tensor})[0])


def _litert(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import os

    from ai_edge_litert.interpreter import Interpreter

    run: Any = Interpreter(file, num_threads=os.cpu_count()).get_signature_runner()
    (name,) = run.get_input_details()
    return lambda tensor: np.array(next(iter(run(**{name: tensor}).values())))


def _openvino(file: str) -> Callable[[np.ndarray], np.ndarray]:
    import openvino

    # As it comes it computes in bfloat16 where the processor does.
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda tensor: np.array(compiled(tensor)[0])
