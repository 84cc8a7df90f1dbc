"""A SavedModel is written with its tensor names and with the outputs of valid and invalid requests."""

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares_model
from tests.texts import text_model, texts, tiny_preset
from tltk.errors import ServingError
from tltk.serving import saved_model
from tltk.serving.signatures import build_signatures, request_reader


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    preset = tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")
    pairs = tltk.classification(texts().labels, pairs=True)
    return (
        squares_model(head=tltk.head(zero_init=False)),
        text_model(preset),
        tltk.assemble(tltk.backbone(str(preset)), pairs, precision="float32"),
    )


def test_24_generated_requests_are_valid_and_2_are_not(models):
    for model in models:
        columns = [tf.constant(column) for column in zip(*saved_model.sample_requests(model), strict=True)]
        read, _ = request_reader(model.input_spec)
        assert read(*columns).valid.numpy().tolist() == [True] * 24 + [False] * 2


def test_predict_tensor_gets_the_first_requests_and_embed_gets_all(models):
    model = models[0]
    signatures = build_signatures(model)
    names = signatures["serving_default"].input_names
    requests = saved_model._as_tuples(saved_model.sample_requests(model), names)
    stored = saved_model.run_requests(model, signatures, requests)
    assert set(stored) == {"serving_default", "predict_tensor", "embed"}
    first = stored["serving_default"]["outputs"]["probabilities"][:2]
    np.testing.assert_allclose(stored["predict_tensor"]["outputs"]["probabilities"], first, atol=1e-6)
    expected = tltk.embed(model, stored["predict_tensor"]["inputs"]["pixels"]).features
    np.testing.assert_allclose(stored["embed"]["outputs"]["features"][:2], expected, rtol=1e-5, atol=1e-5)


def test_tensor_names_are_those_of_the_graph(models, tmp_path):
    saved_model.write(models[0], tmp_path / "saved", None)
    names = saved_model._tensor_names(tmp_path / "saved")
    assert set(names) == {"serving_default", "predict_tensor", "embed"}
    assert names["serving_default"]["inputs"] == {"image_bytes": "serving_default_image_bytes:0"}
    assert set(names["embed"]["outputs"]) == {"features", "valid", "error"}


def test_a_model_that_disagrees_with_predict_is_not_written(models, tmp_path, monkeypatch):
    differences = [f"request {row}: differs" for row in range(12)]
    monkeypatch.setattr(saved_model, "prediction_differences", lambda *_: differences)
    with pytest.raises(
        ServingError,
        match=r"would not return what tltk\.predict and tltk\.embed return \(12\):\nrequest 0: differs\n",
    ) as caught:
        saved_model.write(models[0], tmp_path / "saved", None)
    assert str(caught.value).count("\n") == 10
    assert not list(tmp_path.iterdir())
