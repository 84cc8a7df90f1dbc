from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares_model
from tests.texts import fuzzed, marked, texts, tiny_preset
from tltk.serving.saved_model import _archive
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
        (tltk.classification(labels), ("texts",), {"label", "probability", "probabilities", "labels"}),
        (
            tltk.classification(labels, pairs=True),
            ("texts", "second_texts"),
            {"label", "probability", "probabilities", "labels"},
        ),
        (
            tltk.token_classification(marked(2).labels),
            ("texts",),
            {"starts", "ends", "types", "entities", "probabilities"},
        ),
        (tltk.question_answering(), ("questions", "contexts"), {"answer", "start", "end", "probability"}),
    ):
        graphs = served(model_of(backbone, task))
        assert set(graphs) == {"serving_default", "predict_tensor", "embed"}
        request, features = graphs["serving_default"], graphs["embed"]
        assert request.names == features.names == takes
        assert graphs["predict_tensor"].names == ("token_ids",)
        given = [tf.constant(["good film", ""])] * len(takes)
        assert set(request.run(*given)) == gives | {"valid", "error"}
        assert set(features.run(*given)) == {"features", "valid", "error"}


def test_several_labels_are_chosen_by_the_threshold_of_their_task(backbone):
    labels = tltk.specs.LabelSpec(("a", "b", "c"), type="multilabel")
    for threshold in (0.3, 0.7):
        model = model_of(backbone, tltk.classification(labels, head=seeded(), threshold=threshold))
        found = served(model)["serving_default"].run(tf.constant(fuzzed(100)))
        probabilities, chosen = found["probabilities"].numpy(), found["chosen"].numpy()
        np.testing.assert_array_equal(chosen, probabilities > threshold)
        assert ((probabilities > threshold) != (probabilities > 0.5)).any()


def test_a_batch_of_no_element_is_answered_by_no_row(backbone, tmp_path):
    tasks = (
        tltk.classification(texts().labels),
        tltk.token_classification(marked(2).labels),
        tltk.question_answering(),
    )
    windows = replace(backbone, input=replace(backbone.input, stride=4))
    models = [squares_model(), *(model_of(chosen, task) for task in tasks for chosen in (backbone, windows))]
    for model in models:
        for graph in served(model).values():
            run = tf.function(graph.run, input_signature=graph.inputs)  # as it is served, not as it runs eagerly
            none = [tf.zeros([0, *(side or 3 for side in spec.shape[1:])], spec.dtype) for spec in graph.inputs]
            one = [tf.zeros([1, *(side or 3 for side in spec.shape[1:])], spec.dtype) for spec in graph.inputs]
            found, expected = run(*none), run(*one)
            assert {name: value.shape[0] for name, value in found.items()} == dict.fromkeys(expected, 0)
            assert {value.shape[0] for value in expected.values()} == {1}


def test_the_fused_batch_norms_of_tensorflow_fail_on_no_picture():
    run = tf.function(squares_model().keras, input_signature=[tf.TensorSpec([None, 16, 16, 3])])
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.zeros([0, 16, 16, 3]))


def test_many_exports_raise_no_warning_of_traces(backbone, caplog):
    for _ in range(7):
        graphs = _archive(served(model_of(backbone, tltk.classification(texts().labels))))[1]
        graphs["serving_default"].run(tf.constant(["good film"]))
        graphs["embed"].run(tf.constant(["good film"]))
    assert "retracing" not in caplog.text


def test_2000_fuzzed_texts_are_classified_the_same_by_a_clean_process(backbone, tmp_path):
    said = fuzzed(2000)
    for stride in (None, 4):
        chosen = replace(backbone, input=replace(backbone.input, stride=stride))
        model = model_of(chosen, tltk.classification(texts().labels, head=seeded()))
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
    model = model_of(backbone, tltk.classification(texts().labels, pairs=True, head=seeded()))
    requests = [(one.encode(), other.encode()) for one, other in pairs]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest.values()) <= 1e-5
    one, other = map(tf.constant, zip(*pairs, strict=True))
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](texts=one, second_texts=other)
    found, _ = tltk.predict(model, pairs)
    assert [label.decode() for label in answer["label"].numpy()] == [each.label for each in found]
    with pytest.raises(ValueError, match=r"a request must hold texts and second_texts. Received: \(b'good',\)"):
        tltk.export(model, tmp_path, requests=[b"good"])
