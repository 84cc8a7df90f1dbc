"""Signatures take requests or tensors, handle empty batches, and return the predictions of `tltk.predict`."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tests.texts import FUZZED, fuzzed, marked, texts, tiny_preset
from tltk.serving.saved_model import _build_archive
from tltk.serving.signatures import build_signatures

pytestmark = pytest.mark.usefixtures("replay_here")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def assemble(backbone, task):
    return tltk.assemble(backbone, task, precision="float32")


def nonzero_head():
    return tltk.head(zero_init=False, normalization=None)


def test_each_task_names_its_inputs_and_outputs(backbone):
    labels = texts().labels
    for task, input_names, output_names in (
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
        signatures = build_signatures(assemble(backbone, task))
        assert set(signatures) == {"serving_default", "predict_tensor", "embed"}
        default, embed = signatures["serving_default"], signatures["embed"]
        assert default.input_names == embed.input_names == input_names
        assert signatures["predict_tensor"].input_names == ("token_ids",)
        inputs = [tf.constant(["good film", ""])] * len(input_names)
        assert set(default.run(*inputs)) == output_names | {"valid", "error"}
        assert set(embed.run(*inputs)) == {"features", "valid", "error"}


def test_multilabel_outputs_use_the_threshold_of_the_task(backbone):
    labels = tltk.specs.LabelSpec(("a", "b", "c"), type="multilabel")
    for threshold in (0.3, 0.7):
        model = assemble(backbone, tltk.classification(labels, head=nonzero_head(), threshold=threshold))
        outputs = build_signatures(model)["serving_default"].run(tf.constant(fuzzed(100)))
        probabilities, chosen = outputs["probabilities"].numpy(), outputs["chosen"].numpy()
        np.testing.assert_array_equal(chosen, probabilities > threshold)
        assert ((probabilities > threshold) != (probabilities > 0.5)).any()


def test_an_empty_batch_returns_empty_outputs(backbone, tmp_path):
    tasks = (
        tltk.classification(texts().labels),
        tltk.token_classification(marked(2).labels),
        tltk.question_answering(),
    )
    windows = replace(backbone, input_spec=replace(backbone.input_spec, overlap=4))
    models = [squares_model(), assemble(backbone, tasks[0]), *(assemble(windows, task) for task in tasks[1:])]
    for model in models:
        for signature in build_signatures(model).values():
            run = tf.function(signature.run, input_signature=signature.inputs)  # traced, as in the SavedModel
            empty, single = (
                run(
                    *(
                        tf.zeros([size, *(side or 3 for side in spec.shape[1:])], spec.dtype)
                        for spec in signature.inputs
                    )
                )
                for size in (0, 1)
            )
            assert {name: value.shape[0] for name, value in empty.items()} == dict.fromkeys(single, 0)
            assert {value.shape[0] for value in single.values()} == {1}


def test_fused_batch_norms_of_tensorflow_fail_on_an_empty_batch():
    run = tf.function(squares_model().keras, input_signature=[tf.TensorSpec([None, 16, 16, 3])])
    with pytest.raises(tf.errors.InvalidArgumentError):
        run(tf.zeros([0, 16, 16, 3]))


def test_many_exports_log_no_warning_about_retracing(caplog):
    pixels = keras.Input((8, 8, 3))
    body = keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels))
    model = tltk.assemble(tltk.backbone(body), tltk.classification(squares().labels))
    for _ in range(7):
        signatures = _build_archive(build_signatures(model))[1]
        signatures["serving_default"].run(tf.constant(["no image"]))
        signatures["embed"].run(tf.constant(["no image"]))
    assert "retracing" not in caplog.text


def test_an_export_returns_the_predictions_of_predict_for_fuzzed_texts(backbone, tmp_path):
    for overlap, examples in ((None, fuzzed(FUZZED)), (4, fuzzed(FUZZED // 4))):
        variant = replace(backbone, input_spec=replace(backbone.input_spec, overlap=overlap))
        model = assemble(variant, tltk.classification(texts().labels, head=nonzero_head()))
        exported = tltk.export(model, tmp_path / str(overlap), requests=[text.encode() for text in examples])
        assert max(exported.largest_differences.values()) <= 1e-5
        outputs = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(examples))
        valid = [row for row, text in enumerate(examples) if text.strip()]
        predictions = tltk.predict(model, examples)
        assert [outputs["label"][row].numpy().decode() for row in valid] == [item.label for item in predictions]
        probabilities = outputs["probability"].numpy()[valid]
        np.testing.assert_allclose(probabilities, [item.probability for item in predictions], atol=1e-5)


def test_an_export_returns_the_predictions_of_predict_for_fuzzed_pairs(backbone, tmp_path):
    examples = fuzzed(2 * FUZZED)
    pairs = zip(examples[::2], examples[1::2], strict=True)
    pairs = [(first, second) for first, second in pairs if first.strip() and second.strip()]
    model = assemble(backbone, tltk.classification(texts().labels, pairs=True, head=nonzero_head()))
    requests = [(first.encode(), second.encode()) for first, second in pairs]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest_differences.values()) <= 1e-5
    first, second = map(tf.constant, zip(*pairs, strict=True))
    outputs = tf.saved_model.load(str(exported.path)).signatures["serving_default"](texts=first, second_texts=second)
    predictions = tltk.predict(model, pairs)
    assert [label.decode() for label in outputs["label"].numpy()] == [item.label for item in predictions]
    with pytest.raises(ValueError, match=r"each request must contain texts and second_texts. Received: \(b'good',\)"):
        tltk.export(model, tmp_path, requests=[b"good"])
