"""Test doubles of TensorFlow Serving: gRPC with the official stubs, and REST as in its documentation."""

import base64
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import tensorflow as tf


class Models:
    """The SavedModels in a folder, loaded on first use."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.loaded = {}

    def signature(self, model, name):
        if model not in self.loaded:
            versions = [path for path in (self.folder / model).iterdir() if path.name.isdigit()]
            self.loaded[model] = tf.saved_model.load(str(max(versions, key=lambda path: int(path.name))))
        return self.loaded[model].signatures[name or "serving_default"]


@contextlib.contextmanager
def grpc_server(folder):
    """Serve Predict on a free local port; yield the address."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    models = Models(folder)

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            signature = models.signature(request.model_spec.name, request.model_spec.signature_name)
            inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
            if set(inputs) != set(signature.structured_input_signature[1]):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"inputs {sorted(inputs)}")
            outputs = {name: tf.make_tensor_proto(value.numpy()) for name, value in signature(**inputs).items()}
            return predict_pb2.PredictResponse(outputs=outputs)

    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def _decoded(value):
    """Decode {"b64": …} to bytes, at any depth."""
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value.encode() if isinstance(value, str) else value


def _to_json(name, value):
    if isinstance(value, list):
        return [_to_json(name, item) for item in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    return value


def predict(models, model, body):
    """Return the response to a :predict request in the row format."""
    signature = models.signature(model, body.get("signature_name"))
    specs = signature.structured_input_signature[1]
    rows = body["instances"]
    named = [row if isinstance(row, dict) and set(row) != {"b64"} else {next(iter(specs)): row} for row in rows]
    columns = {name: [_decoded(row[name]) for row in named] for name in specs}
    outputs = signature(**{name: tf.constant(column, specs[name].dtype) for name, column in columns.items()})
    predictions = {name: _to_json(name, value.numpy().tolist()) for name, value in outputs.items()}
    if any(len(value) != len(rows) for value in predictions.values()):
        raise ValueError("every output must have a row for each instance")
    return {"predictions": [{name: value[row] for name, value in predictions.items()} for row in range(len(rows))]}


@contextlib.contextmanager
def rest_server(folder):
    """Serve /v1/models/NAME:predict on a free local port; yield the address."""
    models = Models(folder)

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            model, verb = self.path.removeprefix("/v1/models/").split(":")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, response = (200, predict(models, model, body)) if verb == "predict" else (404, {"error": verb})
            except Exception as error:  # noqa: BLE001 - like the real server, send the error to the client
                status, response = 400, {"error": str(error)}
            data = json.dumps(response, allow_nan=False).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
