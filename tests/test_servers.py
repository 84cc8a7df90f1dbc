"""The request bodies in docs/serving.md are accepted by the test doubles of TensorFlow Serving."""

import base64
import json
import urllib.error
import urllib.request

import pytest
import tensorflow as tf

import tltk
from tests.conftest import replaying_here, squares_model
from tests.servers import grpc_server, rest_server
from tests.texts import text_model, texts, tiny_preset


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    head = tltk.head(zero_init=False, normalization=None)
    preset = tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")
    backbone = tltk.backbone(str(preset))
    pairs = tltk.assemble(backbone, tltk.classification(texts().labels, pairs=True, head=head), precision="float32")
    questions = tltk.assemble(backbone, tltk.question_answering(no_answer=False, head=head), precision="float32")
    models = {"texts": text_model(preset, head=head), "pairs": pairs, "questions": questions}
    models["squares"] = squares_model(head=tltk.head(zero_init=False))
    with replaying_here():
        for name, model in models.items():
            tltk.export(model, folder / name)
    return folder, models


def post(address, model, body):
    request = urllib.request.Request(f"{address}/v1/models/{model}:predict", json.dumps(body).encode())
    with urllib.request.urlopen(request) as response:
        return json.load(response)["predictions"]


def test_texts_pairs_and_questions_are_sent_as_rows(serving):
    folder, models = serving
    with rest_server(folder) as address:
        served = post(address, "texts", {"instances": ["good film!", "bad"]})
        assert served == post(address, "texts", {"instances": [{"texts": "good film!"}, {"texts": "bad"}]})
        expected = tltk.predict(models["texts"], ["good film!", "bad"])
        assert [row["label"] for row in served] == [prediction.label for prediction in expected]
        rows = [{"texts": "good", "second_texts": "bad film"}, {"texts": "good", "second_texts": " "}]
        valid, invalid = post(address, "pairs", {"instances": rows})
        assert valid["label"] == tltk.predict(models["pairs"], [("good", "bad film")])[0].label
        assert (invalid["valid"], invalid["error"], invalid["label"]) == (False, "empty text", "")
        (answer,) = post(address, "questions", {"instances": [{"questions": "good?", "contexts": "the film."}]})
        assert answer["answer"] == tltk.predict(models["questions"], [("good?", "the film.")])[0].label
        features = post(address, "texts", {"signature_name": "embed", "instances": ["good film!"]})[0]["features"]
        assert len(features) == 16
        with pytest.raises(urllib.error.HTTPError, match="400"):
            post(address, "texts", {"instances": [{"text": "a wrong name"}]})


def test_images_are_sent_as_base64_over_rest_and_as_bytes_over_grpc(serving):
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    folder, _models = serving
    images = [tf.io.encode_png(tf.fill([9, 7, 3], tf.constant(value, tf.uint8))).numpy() for value in (10, 200)]
    with rest_server(folder) as address, grpc_server(folder) as target:
        rows = [{"b64": base64.b64encode(data).decode()} for data in [*images, b"none"]]
        over_rest = post(address, "squares", {"instances": rows})
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "squares"
        request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([*images, b"none"]))
        with grpc.insecure_channel(target) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            outputs = stub.Predict(request, timeout=60).outputs
            request.inputs["other"].CopyFrom(tf.make_tensor_proto([b""]))
            with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
                stub.Predict(request, timeout=60)
        over_grpc = [label.decode() for label in tf.make_ndarray(outputs["label"])]
        assert over_grpc == [row["label"] for row in over_rest]
        assert tf.make_ndarray(outputs["valid"]).tolist() == [row["valid"] for row in over_rest] == [True, True, False]
