import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.texts import fuzzed, marked, texts, tiny_preset
from tltk.serving.signatures import served


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def model_of(backbone, task):
    return tltk.assemble(backbone, task, precision="float32")


def seeded():
    return tltk.head(zero_init=False, normalization=None)


def test_each_task_names_what_it_takes_and_gives(backbone):
    labels = texts().labels
    for task, takes, gives in (
        (tltk.classify(labels), ("texts",), {"label", "probability", "probabilities", "labels"}),
        (
            tltk.classify(labels, pairs=True),
            ("texts", "second_texts"),
            {"label", "probability", "probabilities", "labels"},
        ),
        (tltk.tag(marked(2).labels), ("texts",), {"starts", "stops", "types", "probabilities"}),
        (tltk.answer(), ("questions", "contexts"), {"answer", "start", "stop", "probability"}),
    ):
        graphs = served(model_of(backbone, task))
        assert set(graphs) == {"serving_default", "predict_tensor", "embed"}
        request, features = graphs["serving_default"], graphs["embed"]
        assert request.names == features.names == takes
        assert graphs["predict_tensor"].names == ("token_ids",)
        given = [tf.constant(["good film", ""])] * len(takes)
        assert set(request.run(*given)) == gives | {"valid", "error"}
        assert set(features.run(*given)) == {"features", "valid", "error"}


def test_2000_fuzzed_texts_are_classified_the_same_by_a_clean_process(backbone, tmp_path):
    said = fuzzed(2000)
    for stride in (None, 4):
        from dataclasses import replace

        chosen = replace(backbone, input=replace(backbone.input, stride=stride))
        model = model_of(chosen, tltk.classify(texts().labels, head=seeded()))
        exported = tltk.export(model, tmp_path / str(stride), requests=[text.encode() for text in said])
        assert max(exported.largest.values()) <= 1e-5
        answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(said))
        used = [row for row, text in enumerate(said) if text.strip()]
        found, _ = tltk.predict(model, said)
        assert [answer["label"][row].numpy().decode() for row in used] == [each.label for each in found]
        np.testing.assert_allclose(answer["probability"].numpy()[used], [each.probability for each in found], atol=1e-5)


def test_2000_fuzzed_pairs_are_classified_the_same_by_a_clean_process(backbone, tmp_path):
    said = fuzzed(4000)
    pairs = [(one, other) for one, other in zip(said[::2], said[1::2], strict=True) if one.strip() and other.strip()]
    model = model_of(backbone, tltk.classify(texts().labels, pairs=True, head=seeded()))
    requests = [(one.encode(), other.encode()) for one, other in pairs]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest.values()) <= 1e-5
    one, other = map(tf.constant, zip(*pairs, strict=True))
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](texts=one, second_texts=other)
    found, _ = tltk.predict(model, pairs)
    assert [label.decode() for label in answer["label"].numpy()] == [each.label for each in found]
    with pytest.raises(ValueError, match=r"a request must hold texts and second_texts. Received: \(b'good',\)"):
        tltk.export(model, tmp_path, requests=[b"good"])
