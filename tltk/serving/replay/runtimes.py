"""Loads ONNX, LiteRT and OpenVINO files with their runtimes.

Only NumPy and the runtime itself are imported, because the replay runs this module in a process without tltk.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

FILES = {"model.onnx": "onnxruntime", "model.tflite": "ai_edge_litert", "model.xml": "openvino"}


Run: TypeAlias = Callable[[np.ndarray], dict[str, np.ndarray]]


def load(file: str) -> Run:
    """Load a network on the CPU.

    Args:
        file: Path that ends in .onnx (ONNX Runtime), .tflite (LiteRT) or .xml (OpenVINO).

    Returns:
        A function: input tensor [batch, …] → name of an output in the file → float32 [batch, …].
    """
    return {".onnx": _load_onnx, ".tflite": _load_litert, ".xml": _load_openvino}[Path(file).suffix](file)


def _load_onnx(file: str) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name, outputs = session.get_inputs()[0].name, [output.name for output in session.get_outputs()]
    return lambda tensor: dict(zip(outputs, map(np.asarray, session.run(outputs, {name: tensor})), strict=True))


def _load_litert(file: str) -> Run:
    import os

    from ai_edge_litert.interpreter import Interpreter

    run: Any = Interpreter(file, num_threads=os.cpu_count()).get_signature_runner()
    (name,) = run.get_input_details()
    return lambda tensor: {output: np.array(values) for output, values in run(**{name: tensor}).items()}


def _load_openvino(file: str) -> Run:
    import openvino

    # By default OpenVINO computes in bfloat16 on processors with bfloat16 instructions.
    compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    places = {name: place for place, output in enumerate(compiled.outputs) for name in output.get_names()}

    def run(tensor: np.ndarray) -> dict[str, np.ndarray]:
        results = compiled(tensor)
        return {name: np.array(results[place]) for name, place in places.items()}

    return run
