from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tests.texts import asked, marked, text_model, texts, tiny_preset
from tltk.inference import answers as module
from tltk.inference.answers import _whole_examples, answers
from tltk.modalities.text.encoding import encoded


def collected(model, data, **options):
    invalid = []
    how = {"batch_size": 3, "max_invalid_fraction": 1.0, "title": "asking", **options}
    parts = list(answers(model, data, invalid=invalid, **how))
    return [example_id for part in parts for example_id in part.ids], parts, invalid


def test_images_are_answered_batch_by_batch_in_their_order():
    model, source = squares_model(head=tltk.head(zero_init=False)), squares(8)
    ids, parts, invalid = collected(model, source)
    assert ids == [source.id_of(row) for row in range(8)] and invalid == []
    assert [len(part.ids) for part in parts] == [3, 3, 2]
    assert np.concatenate([part.targets for part in parts]).tolist() == source.targets.tolist()


def test_texts_of_any_length_come_back_in_the_order_of_the_source(tmp_path):
    model = text_model(tiny_preset(tmp_path / "tiny"), head=tltk.head(zero_init=False))
    source = texts(5)
    ids, parts, _ = collected(model, source)
    assert ids == [source.id_of(row) for row in range(len(source))]
    each_alone = [tltk.predict(model, [text])[0][0].probability for text in source.examples]
    together = np.concatenate([part.decoded["probability"] for part in parts])
    np.testing.assert_allclose(together, each_alone, atol=1e-6)


def test_whole_examples_are_decoded_together_and_gaps_part_them():
    owners = np.array([0, 0, 1, 3, 3, 4])
    found = [(part.tolist(), rows.tolist()) for part, rows in _whole_examples(owners, np.array([0, 1, 3, 4]))]
    assert found == [([0, 1], [0, 1, 2]), ([3, 4], [3, 4, 5])]
    long = np.repeat([0, 1, 2], [300, 200, 100])
    assert [part.tolist() for part, _ in _whole_examples(long, np.arange(3))] == [[0], [1], [2]]


def test_an_image_that_cannot_be_decoded_takes_its_target_with_it(tmp_path):
    for row, pixels in enumerate(coloured_squares(5)[0]):
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[:60] + bytes(8) + data[68:])
    (tmp_path / "table.csv").write_text("path,label\n" + "".join(f"{row}.png,{'ab'[row % 2]}\n" for row in range(5)))
    _, parts, invalid = collected(squares_model(classes=2), tltk.from_csv(tmp_path / "table.csv"))
    assert np.concatenate([part.targets for part in parts]).tolist() == [0, 0, 1, 0]
    assert len(invalid) == 1


def test_a_dataset_keeps_its_raw_targets():
    x, y = coloured_squares(5)
    ids, parts, _ = collected(squares_model(), tf.data.Dataset.from_tensor_slices((x, y)).batch(3))
    assert ids == [f"example {row}" for row in range(5)]
    assert [part.targets.tolist() for part in parts] == [[0, 1, 2], [0, 1]]
    _, parts, _ = collected(squares_model(), tf.data.Dataset.from_tensor_slices(x).batch(3))
    assert [part.targets for part in parts] == [None, None]


@pytest.mark.parametrize("kind", ["entities", "answers"])
def test_answers_do_not_depend_on_what_is_decoded_together(tmp_path, monkeypatch, kind):
    head = tltk.head(zero_init=False, normalization=None)
    task = {"entities": tltk.token_classification(["x", "y"], head=head), "answers": tltk.question_answering(head=head)}
    source = {"entities": marked(30, longest=60), "answers": asked(30)}[kind]
    backbone = tltk.backbone(str(tiny_preset(tmp_path / "tiny")))
    model = tltk.assemble(backbone, task[kind], precision="float32")

    def spans():
        ids, parts, _ = collected(model, source)
        assert ids == [source.id_of(row) for row in range(30)]
        found = [each for part in parts for each in model.task.predictions(part.decoded, part.ids)]
        return len(parts), [each.label for each in found], [each.spans for each in found]

    count, labels, expected = spans()
    monkeypatch.setattr(module, "_DECODED", 7)
    monkeypatch.setattr(module, "_TOGETHER", 11)
    parts, again, found = spans()
    assert count < 5 < parts
    assert again == labels and found == expected and any(labels)


def test_windows_of_a_text_are_averaged(tmp_path):
    backbone = tltk.backbone(str(tiny_preset(tmp_path / "tiny")))
    backbone = replace(backbone, input=replace(backbone.input, sequence_length=12, stride=2))
    head = tltk.head(zero_init=False, normalization=None)
    model = tltk.assemble(backbone, tltk.classification(["bad", "good"], head=head), precision="float32")
    source = tltk.from_arrays([" ".join(["good film", "bad book"] * 8), "good"])
    windows = encoded(source, model.input)
    outputs = [
        model.keras(windows.padded(np.array([row]), 12, model.input.padding_id)).numpy()[0]
        for row in np.flatnonzero(windows.text_ids == 0)
    ]
    assert len(outputs) > 1
    _, (part,), _ = collected(model, source)
    np.testing.assert_allclose(part.decoded["probabilities"][0], np.mean(outputs, 0), rtol=1e-5)


def test_another_network_may_take_the_place_of_the_model_s_own():
    _, parts, _ = collected(squares_model(), squares(4), network=lambda inputs: np.eye(3)[[1] * len(inputs)])
    assert {label for part in parts for label in part.decoded["label"]} == {"green"}
