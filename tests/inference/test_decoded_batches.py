from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tests.texts import asked, marked, text_model, texts, tiny_preset
from tltk.inference import decoded_batches as module
from tltk.inference.decoded_batches import _group_by_example, decoded_batches
from tltk.modalities.text.encoding import encoded


def decode_all(model, data, **options):
    """Return the ids of all examples, the batches, and the invalid examples."""
    invalid = []
    options = {"batch_size": 3, "max_invalid_fraction": 1.0, "title": "decoding", "with_targets": True, **options}
    batches = list(decoded_batches(model, data, invalid=invalid, **options))
    return [example_id for batch in batches for example_id in batch.ids], batches, invalid


def test_images_are_decoded_batch_by_batch_in_the_order_of_the_source():
    model, source = squares_model(head=tltk.head(zero_init=False)), squares(8)
    ids, batches, invalid = decode_all(model, source)
    assert ids == [source.id_of(row) for row in range(8)] and invalid == []
    assert [len(batch.ids) for batch in batches] == [3, 3, 2]
    assert np.concatenate([batch.targets for batch in batches]).tolist() == source.targets.tolist()


def test_texts_of_different_lengths_are_decoded_in_the_order_of_the_source(tmp_path):
    model = text_model(tiny_preset(tmp_path / "tiny"), head=tltk.head(zero_init=False))
    source = texts(5)
    ids, batches, _ = decode_all(model, source)
    assert ids == [source.id_of(row) for row in range(len(source))]
    expected = [tltk.predict(model, [text])[0].probability for text in source.examples]
    probabilities = np.concatenate([batch.decoded["probability"] for batch in batches])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_groups_have_whole_consecutive_examples():
    example_of = np.array([0, 0, 1, 3, 3, 4])
    groups = _group_by_example(example_of, np.array([0, 1, 3, 4]))
    assert [(examples.tolist(), elements.tolist()) for examples, elements in groups] == [
        ([0, 1], [0, 1, 2]),
        ([3, 4], [3, 4, 5]),
    ]
    long_examples = np.repeat([0, 1, 2], [300, 200, 100])
    assert [examples.tolist() for examples, _ in _group_by_example(long_examples, np.arange(3))] == [[0], [1], [2]]


def test_an_unreadable_image_is_left_out_with_its_target(tmp_path):
    for row, pixels in enumerate(coloured_squares(5)[0]):
        Image.fromarray(pixels).save(tmp_path / f"{row}.png")
    data = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(data[:60] + bytes(8) + data[68:])
    (tmp_path / "table.csv").write_text("path,label\n" + "".join(f"{row}.png,{'ab'[row % 2]}\n" for row in range(5)))
    _, batches, invalid = decode_all(squares_model(classes=2), tltk.from_csv(tmp_path / "table.csv"))
    assert np.concatenate([batch.targets for batch in batches]).tolist() == [0, 0, 1, 0]
    assert len(invalid) == 1


def test_batches_of_a_tf_dataset_have_its_raw_targets():
    x, y = coloured_squares(5)
    ids, batches, _ = decode_all(squares_model(), tf.data.Dataset.from_tensor_slices((x, y)).batch(3))
    assert ids == [f"example {row}" for row in range(5)]
    assert [batch.targets.tolist() for batch in batches] == [[0, 1, 2], [0, 1]]
    _, batches, _ = decode_all(squares_model(), tf.data.Dataset.from_tensor_slices(x).batch(3), with_targets=False)
    assert [batch.targets for batch in batches] == [None, None]


@pytest.mark.parametrize("spans_of", ["entities", "answers"])
def test_predictions_do_not_depend_on_which_examples_are_decoded_together(tmp_path, monkeypatch, spans_of):
    head = tltk.head(zero_init=False, normalization=None)
    tasks = {
        "entities": tltk.token_classification(["x", "y"], head=head),
        "answers": tltk.question_answering(head=head),
    }
    source = {"entities": marked(30, longest=60), "answers": asked(30)}[spans_of]
    backbone = tltk.backbone(str(tiny_preset(tmp_path / "tiny")))
    model = tltk.assemble(backbone, tasks[spans_of], precision="float32")

    def predicted():
        ids, batches, _ = decode_all(model, source)
        assert ids == [source.id_of(row) for row in range(30)]
        predictions = [item for batch in batches for item in model.task.predictions(batch.decoded, batch.ids)]
        return len(batches), [item.label for item in predictions], [item.spans for item in predictions]

    large_batches, expected_labels, expected_spans = predicted()
    monkeypatch.setattr(module, "_DECODED_ELEMENTS", 7)
    monkeypatch.setattr(module, "_SORTED_EXAMPLES", 11)
    small_batches, labels, spans = predicted()
    assert large_batches < 5 < small_batches
    assert labels == expected_labels and spans == expected_spans and any(expected_labels)


def test_windows_of_a_text_are_averaged(tmp_path):
    backbone = tltk.backbone(str(tiny_preset(tmp_path / "tiny")))
    backbone = replace(backbone, input_spec=replace(backbone.input_spec, sequence_length=12, overlap=2))
    head = tltk.head(zero_init=False, normalization=None)
    model = tltk.assemble(backbone, tltk.classification(["bad", "good"], head=head), precision="float32")
    source = tltk.from_arrays([" ".join(["good film", "bad book"] * 8), "good"])
    windows = encoded(source, model.input_spec)
    outputs = [
        model.keras(windows.padded(np.array([row]), 12, model.input_spec.padding_id)).numpy()[0]
        for row in np.flatnonzero(windows.text_ids == 0)
    ]
    assert len(outputs) > 1
    _, (batch,), _ = decode_all(model, source)
    np.testing.assert_allclose(batch.decoded["probabilities"][0], np.mean(outputs, 0), rtol=1e-5)


def test_another_network_can_be_run_instead_of_the_model():
    _, batches, _ = decode_all(squares_model(), squares(4), network=lambda inputs: np.eye(3)[[1] * len(inputs)])
    assert {label for batch in batches for label in batch.decoded["label"]} == {"green"}
