import pickle

import numpy as np
import pytest

import tltk
from tltk.inference.predictions import DecodedRows, Predictions, predictions_of
from tltk.specs import InvalidExample, LabelSpec, Span

PETS = tltk.classification(["cat", "dog", "owl"])
INVALID = (InvalidExample("example 1", "0 bytes"),)


def decoded_classes(probabilities, *ids):
    probabilities = np.array(probabilities, "float32")
    labels = np.array([PETS.labels.names[row] for row in probabilities.argmax(-1)], object)
    columns = {"label": labels, "probability": probabilities.max(-1), "probabilities": probabilities}
    return DecodedRows(ids, columns)


@pytest.fixture
def pets():
    batches = [
        decoded_classes([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], "a.png", "c.png"),
        decoded_classes([[0.2, 0.2, 0.6]], "d.png"),
    ]
    return predictions_of(PETS, batches, INVALID)


def entities(*texts):
    """Decode texts with the given spans, padded to the largest number of spans."""
    most = max(map(len, texts))
    starts, ends = (np.full((len(texts), most), -1, np.int32) for _ in range(2))
    types, names = (np.full((len(texts), most), "", object) for _ in range(2))
    for row, spans in enumerate(texts):
        for column, span in enumerate(spans):
            starts[row, column], ends[row, column], types[row, column] = span.start, span.end, span.label
    columns = {"starts": starts, "ends": ends, "types": types, "entities": names}
    return {**columns, "probabilities": np.ones(starts.shape, "float32")}


def test_arrays_and_labels_have_one_row_per_readable_input_in_order(pets):
    assert pets.probabilities.dtype == np.float32
    np.testing.assert_array_equal(pets.probabilities, np.float32([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]))
    assert pets.labels == ("cat", "dog", "owl") and pets.names == ("cat", "dog", "owl")
    assert pets.ids == ("a.png", "c.png", "d.png") and pets.invalid == INVALID
    assert pets.values is None and pets.spans is None


def test_it_is_a_sequence_of_single_predictions(pets):
    assert len(pets) == 3 and [item.example_id for item in pets] == list(pets.ids)
    assert pets[-1] == pets[2] == pets[np.int64(2)]
    assert pets[1].label == "dog" and list(pets[1].scores) == ["dog", "cat", "owl"]
    assert pets.index(pets[1]) == 1 and pets[2] in pets
    for wrong in (3, -4):
        with pytest.raises(IndexError, match=rf"no prediction {wrong}"):
            pets[wrong]


@pytest.mark.parametrize("rows", [slice(1, None), slice(None, None, -1), slice(0, 3, 2), slice(5, 9)])
def test_a_slice_is_a_record_of_the_rows_without_invalid_inputs(rows):
    texts = [[Span(0, 3, "x")], [], [Span(1, 2, "y"), Span(4, 5, "x")]]
    task = tltk.token_classification(["x", "y"])
    batches = [DecodedRows(("0", "1"), entities(*texts[:2])), DecodedRows(("2",), entities(texts[2]))]
    predictions = predictions_of(task, batches, INVALID)
    assert len(predictions.batches) == 2  # of different width
    part = predictions[rows]
    assert isinstance(part, Predictions) and part.invalid == ()
    assert list(part) == list(predictions)[rows] and part.ids == predictions.ids[rows]
    assert [list(spans) for spans in part.spans] == texts[rows]


def test_each_task_says_which_fields_there_are():
    regression = tltk.regression(LabelSpec(("age",), "regression"))
    ages = predictions_of(regression, [DecodedRows(("a",), {"values": np.float32([[41.0]])})], ())
    assert ages.values.tolist() == [[41.0]] and ages.probabilities is None and ages.labels is None
    several = tltk.classification(LabelSpec(("cat", "dog"), "multilabel"))
    columns = {
        "probabilities": np.float32([[0.9, 0.8], [0.1, 0.2]]),
        "chosen": np.array([[True, True], [False, False]]),
    }
    assert predictions_of(several, [DecodedRows(("a", "b"), columns)], ()).labels == (("cat", "dog"), ())
    answers = {"answer": ["Rome", ""], "start": [3, -1], "end": [7, -1], "probability": [0.5, 0.0]}
    columns = {name: np.array(values, object) for name, values in answers.items()}
    found = predictions_of(tltk.question_answering(), [DecodedRows(("a", "b"), columns)], ())
    assert found.labels == ("Rome", "") and found.spans == ((Span(3, 7),), ()) and found.probabilities is None


def test_without_a_readable_input_the_arrays_have_no_rows():
    nothing = predictions_of(PETS, [], INVALID)
    assert len(nothing) == 0 and list(nothing) == [] and nothing.labels == ()
    assert nothing.probabilities.shape == (0, 3)
    assert predictions_of(tltk.token_classification(["x"]), [], ()).probabilities is None


def test_records_of_the_same_predictions_are_equal_and_can_be_pickled(pets):
    assert pickle.loads(pickle.dumps(pets)) == pets
    assert pets[:2] != pets and pets != list(pets)
    with pytest.raises(TypeError, match="unhashable"):
        hash(pets)


def test_the_repr_counts_the_labels(pets):
    assert repr(pets) == "<3 predictions, classification: cat 1, dog 1, owl 1; 1 invalid inputs>"
    assert repr(pets[:1]) == "<1 prediction, classification: cat 1>"
