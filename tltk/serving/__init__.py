"""Serving: exports of trained models, and their verification outside of the training process.

The package imports nothing: on a serving machine `tltk.verify` must run with TensorFlow as the only other package.
"""

FORMATS = ("saved_model", "onnx", "openvino", "litert", "litert_float16", "litert_int8")  # of `tltk.export`
KERAS = "model.predict"  # the Keras model itself, where formats are compared
