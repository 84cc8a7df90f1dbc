"""What is served is compared with `tltk.predict`, and what differs is named."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares_model
from tests.texts import asked, marked, text_model, tiny_preset
from tltk.serving.agreement import disagreements, features_apart
from tltk.serving.saved_model import sample_requests
from tltk.serving.signatures import served


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    return tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")


def seeded():
    return tltk.head(zero_init=False, normalization=None)


def several_model():
    x, y = coloured_squares(6)
    source = tltk.from_arrays(x, np.eye(3, dtype="float32")[y], labels=("a", "b", "c"), label_type="multilabel")
    return tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels, head=seeded()))


def number_model():
    x, y = coloured_squares(6)
    source = tltk.from_arrays(x, y.astype("float32"), label_type="regression")
    return tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(source.labels, head=seeded()))


def models(preset):
    backbone = tltk.backbone(str(preset))
    yield squares_model(head=tltk.head(zero_init=False)), ("label", "probabilities")
    yield several_model(), ("probabilities", "chosen")
    yield number_model(), ("values",)
    yield text_model(preset, head=seeded()), ("label", "probabilities")
    yield (
        tltk.assemble(backbone, tltk.token_classification(marked(2).labels, head=seeded()), precision="float32"),
        ("starts", "types", "probabilities"),
    )
    yield (
        tltk.assemble(backbone, tltk.question_answering(no_answer=False, head=seeded()), precision="float32"),
        ("end", "probability", "answer"),
    )


def answered(model):
    held = sample_requests(model)
    rows = [each if isinstance(each, tuple) else (each,) for each in held]
    columns = [tf.constant(column) for column in zip(*rows, strict=True)]
    found = served(model)["serving_default"].run(*columns)
    return rows, {name: value.numpy() for name, value in found.items()}


def changed(value):
    if value.dtype == object:
        return np.array([b"other" if each else each for each in value.ravel()], object).reshape(value.shape)
    return ~value if value.dtype == bool else value + np.asarray(value >= 0, value.dtype) * np.asarray(2, value.dtype)


def test_every_task_says_the_same_and_any_other_answer_is_found_out(preset):
    assert len(asked(2)) == 2
    for model, names in models(preset):
        rows, answers = answered(model)
        assert disagreements(model, rows, answers) == []
        assert not answers["valid"].all() and answers["valid"].sum() >= 24
        for name in names:
            if name == "label":
                other = np.roll(answers["labels"][0], 1)
                best = answers["probabilities"].argmax(-1)
                wrong = {**answers, "label": other[best]}
            else:
                wrong = {**answers, name: changed(answers[name])}
            assert disagreements(model, rows, wrong), (model.task.name, name)


def test_features_are_those_of_embed_and_any_others_are_found_out(preset):
    for model in (squares_model(), text_model(preset), *(chosen for chosen, _ in list(models(preset))[-2:])):
        rows, _ = answered(model)
        rows = [rows[-1], *rows]  # what cannot be read is passed over
        columns = [tf.constant(column) for column in zip(*rows, strict=True)]
        found = {name: value.numpy() for name, value in served(model)["embed"].run(*columns).items()}
        assert features_apart(model, rows, found) == []
        (line,) = features_apart(model, rows, {**found, "features": found["features"] + 1e-3})
        assert "features are not those of tltk.embed: they differ by 1.0e-03" in line or "e-04" in line


def test_a_request_that_one_alone_can_read_is_named(preset):
    model = text_model(preset, head=seeded())
    rows, answers = answered(model)
    lines = disagreements(model, rows, {**answers, "valid": ~answers["valid"]})
    assert "request 0 is read by tltk.predict only ()" in lines
    assert f"request {len(rows) - 1} is read by the export only (no UTF-8)" in lines


def test_sixteen_bits_are_compared_coarsely():
    model = squares_model(head=tltk.head(zero_init=False), precision="mixed_bfloat16")
    rows, answers = answered(model)
    shifted = {**answers, "probabilities": answers["probabilities"] + 0.02}
    assert disagreements(model, rows, shifted) == []
    assert disagreements(model, rows, {**answers, "probabilities": answers["probabilities"] + 0.2})


def damaged(data, generator):
    """Cut a picture off, change a few of its bytes, or put something else in its place."""
    way = generator.integers(4)
    if way == 0:
        return data[: int(generator.integers(0, len(data)))]
    if way == 1:
        held = bytearray(data)
        for place in generator.integers(0, len(held), 3):
            held[place] = int(generator.integers(256))
        return bytes(held)
    return (generator.bytes(50), b"")[way - 2]


def pictures(count, seed=0):
    """Seeded pictures of every format, mode and way to be damaged; a quarter of them are."""
    generator = np.random.default_rng(seed)
    found = []
    for number in range(count):
        size = tuple(generator.integers(1, 70, 2))
        picture = Image.fromarray(generator.integers(0, 255, (*size, 3)).astype("uint8"))
        kind = ("JPEG", "PNG", "GIF", "BMP", "WEBP")[number % 5]
        mode = {"JPEG": ("RGB", "L"), "PNG": ("RGB", "L", "P", "RGBA", "1"), "BMP": ("RGB",)}.get(kind, ("RGB",))
        data = io.BytesIO()
        picture.convert(mode[int(generator.integers(len(mode)))]).save(data, kind)
        found.append(data.getvalue() if generator.random() < 0.75 else damaged(data.getvalue(), generator))
    return found


@pytest.mark.slow
def test_2000_pictures_a_quarter_of_them_damaged_are_answered_the_same(tmp_path):
    model = squares_model(head=tltk.head(zero_init=False))
    held = pictures(2000)
    done = tltk.export(model, tmp_path / "squares")
    serve = tf.saved_model.load(str(done.path)).signatures["serving_default"]
    parts = [serve(tf.constant(held[start : start + 50])) for start in range(0, 2000, 50)]
    answers = {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]}
    assert 1500 < answers["valid"].sum() < 1900
    assert disagreements(model, [(each,) for each in held], answers) == []
    good = np.flatnonzero(answers["valid"])[:64]  # and what stood beside them made no difference
    alone = serve(tf.constant([held[row] for row in good]))
    np.testing.assert_allclose(alone["probabilities"], answers["probabilities"][good], atol=1e-5)
