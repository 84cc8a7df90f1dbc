"""Doubles of TensorFlow Serving: gRPC on the official stubs, REST as its page describes it, both over SavedModels."""

import base64
import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import tensorflow as tf


class Models:
    """The SavedModels under a folder, each loaded when it is first asked for."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.loaded = {}

    def signature(self, model, name):
        if model not in self.loaded:
            version = max(
                (each for each in (self.folder / model).iterdir() if each.name.isdigit()), key=lambda e: int(e.name)
            )
            self.loaded[model] = tf.saved_model.load(str(version))
        return self.loaded[model].signatures[name or "serving_default"]


@contextlib.contextmanager
def grpc_server(folder):
    """Serve Predict on a free port of loopback; yields its address."""
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    models = Models(folder)

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            signature = models.signature(request.model_spec.name, request.model_spec.signature_name)
            given = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
            if set(given) != set(signature.structured_input_signature[1]):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"inputs {sorted(given)}")
            found = signature(**given)
            outputs = {name: tf.make_tensor_proto(value.numpy()) for name, value in found.items()}
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
    """{"b64": …} is bytes, wherever it stands."""
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return value.encode() if isinstance(value, str) else value


def _shown(name, value):
    if isinstance(value, list):
        return [_shown(name, each) for each in value]
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if name.endswith("_bytes") else value.decode()
    return value


def predict(models, model, body):
    """Answer a :predict body in the row format."""
    signature = models.signature(model, body.get("signature_name"))
    specs = signature.structured_input_signature[1]
    rows = body["instances"]
    named = [row if isinstance(row, dict) and set(row) != {"b64"} else {next(iter(specs)): row} for row in rows]
    columns = {name: [_decoded(row[name]) for row in named] for name in specs}
    found = signature(**{name: tf.constant(column, specs[name].dtype) for name, column in columns.items()})
    plain = {name: _shown(name, value.numpy().tolist()) for name, value in found.items()}
    if any(len(value) != len(rows) for value in plain.values()):
        raise ValueError("every output must have a row for each instance")
    return {"predictions": [{name: value[row] for name, value in plain.items()} for row in range(len(rows))]}


@contextlib.contextmanager
def rest_server(folder):
    """Serve /v1/models/NAME:predict on a free port of loopback; yields its address."""
    models = Models(folder)

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            model, verb = self.path.removeprefix("/v1/models/").split(":")
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            try:
                status, answer = (200, predict(models, model, body)) if verb == "predict" else (404, {"error": verb})
            except Exception as error:  # noqa: BLE001 - the client is told, as the server does
                status, answer = 400, {"error": str(error)}
            data = json.dumps(answer, allow_nan=False).encode()
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
