"""Exports are compared with `tltk.predict` and `tltk.embed`, and each difference is reported."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares_model
from tests.texts import marked, text_model, tiny_preset
from tltk.serving.agreement import feature_differences, prediction_differences
from tltk.serving.saved_model import sample_requests
from tltk.serving.signatures import build_signatures

pytestmark = pytest.mark.usefixtures("replay_here")


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


def nonzero_head():
    return tltk.head(zero_init=False, normalization=None)


def multilabel_model():
    x, y = coloured_squares(6)
    source = tltk.from_arrays(x, np.eye(3, dtype="float32")[y], labels=("a", "b", "c"), label_type="multilabel")
    return tltk.assemble(
        tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels, head=nonzero_head())
    )


def regression_model():
    x, y = coloured_squares(6)
    source = tltk.from_arrays(x, y.astype("float32"), label_type="regression")
    return tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(source.labels, head=nonzero_head()))


def models(preset):
    """Yield a model of each task, and the output columns that are changed to provoke a difference."""
    backbone = tltk.backbone(str(preset))
    yield squares_model(head=tltk.head(zero_init=False)), ("label", "probabilities")
    yield multilabel_model(), ("probabilities", "chosen")
    yield regression_model(), ("values",)
    yield text_model(preset, head=nonzero_head()), ("label", "probabilities")
    yield (
        tltk.assemble(backbone, tltk.token_classification(marked(2).labels, head=nonzero_head()), precision="float32"),
        ("starts", "types", "probabilities"),
    )
    yield (
        tltk.assemble(backbone, tltk.question_answering(no_answer=False, head=nonzero_head()), precision="float32"),
        ("end", "probability", "answer"),
    )


def run_signature(model, name, requests):
    columns = [tf.constant(column) for column in zip(*requests, strict=True)]
    outputs = build_signatures(model)[name].run(*columns)
    return {key: value.numpy() for key, value in outputs.items()}


def run_samples(model):
    requests = sample_requests(model)
    return requests, run_signature(model, "serving_default", requests)


def change(values):
    """Change every value that is not a placeholder of an invalid request ("" or -1)."""
    if values.dtype == object:
        return np.array([b"other" if value else value for value in values.ravel()], object).reshape(values.shape)
    if values.dtype == bool:
        return ~values
    return values + np.asarray(values >= 0, values.dtype) * np.asarray(2, values.dtype)


def test_every_task_agrees_with_predict_and_any_changed_output_is_reported(preset):
    for model, names in models(preset):
        requests, outputs = run_samples(model)
        assert prediction_differences(model, requests, outputs) == []
        assert not outputs["valid"].all() and outputs["valid"].sum() >= 24
        for name in names:
            if name == "label":
                next_label = np.roll(outputs["labels"][0], 1)
                best = outputs["probabilities"].argmax(-1)
                wrong = {**outputs, "label": next_label[best]}
            else:
                wrong = {**outputs, name: change(outputs[name])}
            assert prediction_differences(model, requests, wrong), (model.task.name, name)


def test_features_agree_with_embed_and_changed_features_are_reported(preset):
    *_, (question_answerer, _) = models(preset)
    for model in (squares_model(), text_model(preset), question_answerer):
        requests = sample_requests(model)
        requests = [requests[-1], *requests]  # the first request is invalid and must be skipped
        outputs = run_signature(model, "embed", requests)
        assert feature_differences(model, requests, outputs) == []
        (line,) = feature_differences(model, requests, {**outputs, "features": outputs["features"] + 1e-3})
        assert "features differ from tltk.embed by 1.0e-03" in line or "e-04" in line


def test_a_request_that_only_one_side_can_read_is_reported(preset):
    model = text_model(preset, head=nonzero_head())
    requests, outputs = run_samples(model)
    lines = prediction_differences(model, requests, {**outputs, "valid": ~outputs["valid"]})
    assert "request 0 can only be read by tltk.predict ()" in lines
    assert f"request {len(requests) - 1} can only be read by the export (no UTF-8)" in lines


def test_half_precision_has_a_larger_tolerance():
    model = squares_model(head=tltk.head(zero_init=False), precision="mixed_bfloat16")
    requests, outputs = run_samples(model)
    shifted = {**outputs, "probabilities": outputs["probabilities"] + 0.02}
    assert prediction_differences(model, requests, shifted) == []
    assert prediction_differences(model, requests, {**outputs, "probabilities": outputs["probabilities"] + 0.2})


def damage(data, generator):
    """Truncate an encoded image, change a few of its bytes, or replace it by random or no bytes."""
    method = generator.integers(4)
    if method == 0:
        return data[: int(generator.integers(0, len(data)))]
    if method == 1:
        changed = bytearray(data)
        for index in generator.integers(0, len(changed), 3):
            changed[index] = int(generator.integers(256))
        return bytes(changed)
    return (generator.bytes(50), b"")[method - 2]


def encoded_images(count, seed=0):
    """Seeded images of every format and mode; a quarter of them is damaged."""
    generator = np.random.default_rng(seed)
    encoded = []
    for index in range(count):
        size = tuple(generator.integers(1, 70, 2))
        image = Image.fromarray(generator.integers(0, 255, (*size, 3)).astype("uint8"))
        file_format = ("JPEG", "PNG", "GIF", "BMP", "WEBP")[index % 5]
        modes = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "L", "P", "RGBA", "1")}.get(file_format, ("RGB",))
        data = io.BytesIO()
        image.convert(modes[int(generator.integers(len(modes)))]).save(data, file_format)
        encoded.append(data.getvalue() if generator.random() < 0.75 else damage(data.getvalue(), generator))
    return encoded


def is_damaged_gif(data):
    if not data.startswith(b"GIF8"):
        return False
    try:
        Image.open(io.BytesIO(data), formats=("GIF",)).load()
    except (OSError, ValueError, SyntaxError):
        return True
    return False


@pytest.mark.slow
def test_images_of_which_a_quarter_is_damaged_get_the_predictions_of_predict(tmp_path, count=400):
    model = squares_model(head=tltk.head(zero_init=False))
    requests = encoded_images(count)
    exported = tltk.export(model, tmp_path / "squares")
    serve = tf.saved_model.load(str(exported.path)).signatures["serving_default"]
    batches = [serve(tf.constant(requests[start : start + 50])) for start in range(0, count, 50)]
    outputs = {name: np.concatenate([batch[name].numpy() for batch in batches]) for name in batches[0]}
    assert 0.75 * count < outputs["valid"].sum() < 0.95 * count
    # Validation decodes GIFs with Pillow; the graph cannot tell that the data of a frame are damaged.
    damaged = [row for row, request in enumerate(requests) if is_damaged_gif(request) and outputs["valid"][row]]
    lines = prediction_differences(model, [(request,) for request in requests], outputs)
    assert lines == [f"request {row} can only be read by the export ()" for row in damaged]
    assert len(damaged) < 10
    valid = np.flatnonzero(outputs["valid"])[:64]  # outputs do not depend on damaged images in the same batch
    valid_only = serve(tf.constant([requests[row] for row in valid]))
    np.testing.assert_allclose(valid_only["probabilities"], outputs["probabilities"][valid], atol=1e-5)
