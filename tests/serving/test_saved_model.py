"""What a SavedModel is written of: its graphs' tensors by name, and requests that hold good and bad elements."""

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares_model
from tests.texts import text_model, texts, tiny_preset
from tltk.foundation import checks as check
from tltk.serving import saved_model
from tltk.serving.signatures import served


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    preset = tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")
    pairs = tltk.classification(texts().labels, pairs=True)
    return (
        squares_model(head=tltk.head(zero_init=False)),
        text_model(preset),
        tltk.assemble(tltk.backbone(str(preset)), pairs, precision="float32"),
    )


def test_two_dozen_requests_are_good_and_two_are_not(models):
    for model in models:
        graph = served(model)["serving_default"]
        rows = saved_model._rows(saved_model.sample_requests(model), graph.names)
        columns = [tf.constant(column) for column in zip(*rows, strict=True)]
        valid = graph.run(*columns)["valid"].numpy()
        assert valid.tolist() == [True] * 24 + [False] * 2


def test_tensors_are_asked_with_the_first_requests_and_features_with_all(models):
    model = models[0]
    graphs = served(model)
    rows = saved_model._rows(saved_model.sample_requests(model), graphs["serving_default"].names)
    found = saved_model.answered(model, graphs, rows)
    assert set(found) == {"serving_default", "predict_tensor", "embed"}
    first = found["serving_default"]["answer"]["probabilities"][:2]
    np.testing.assert_allclose(found["predict_tensor"]["answer"]["probabilities"], first, atol=1e-6)
    expected = tltk.embed(model, found["predict_tensor"]["ask"]["pixels"]).values
    np.testing.assert_allclose(found["embed"]["answer"]["features"][:2], expected, rtol=1e-5, atol=1e-5)


def test_the_names_of_tensors_are_those_of_the_graph(models, tmp_path):
    saved_model.write(models[1], tmp_path / "one", None)
    names = saved_model._tensors(tmp_path / "one")
    assert set(names) == {"serving_default", "predict_tensor", "embed"}
    assert names["serving_default"]["ask"] == {"texts": "serving_default_texts:0"}
    assert set(names["embed"]["answer"]) == {"features", "valid", "error"}


def test_what_is_not_what_predict_says_is_never_written(models, tmp_path, monkeypatch):
    monkeypatch.setattr(saved_model, "disagreements", lambda *_: [f"request {number}: differs" for number in range(12)])
    with pytest.raises(
        check.ServingError, match=r"is not what tltk says itself \(12\):\nrequest 0: differs\n"
    ) as caught:
        saved_model.write(models[0], tmp_path / "one", None)
    assert str(caught.value).count("\n") == 10
    assert not list(tmp_path.iterdir())
