from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.tasks.reference_spans import entities, find_answers, find_entities, predicted_spans
from tests.texts import FUZZED, asked, fuzzed, marked, tiny_preset
from tltk.modalities.context import Context
from tltk.modalities.text.encoding import encoded
from tltk.tasks.span_decoders import require_windows, substrings

pytestmark = pytest.mark.usefixtures("replay_here")


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def head():
    return tltk.head(zero_init=False, normalization=None)


# The decoder of an export is the graph that `predict` runs; the other scheme, and answers without `no_answer`, are
# compared with the references below.
def test_an_export_finds_the_same_entities_in_fuzzed_texts(backbone, tmp_path, count=FUZZED):
    model = tltk.assemble(backbone, tltk.token_classification(marked(2).labels, head=head()), precision="float32")
    texts = [*fuzzed(count - 20), *(" ".join(words) for words in marked(20, longest=60).examples)]
    exported = tltk.export(model, tmp_path, requests=[text.encode() for text in texts])
    assert max(exported.largest_differences.values()) <= 1e-5
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(texts))
    predictions = tltk.predict(model, texts)
    not_blank = [row for row, text in enumerate(texts) if text.strip()]
    assert sum(len(prediction.spans) for prediction in predictions) > count
    for row, prediction in zip(not_blank, predictions, strict=True):
        columns = (served[name][row].numpy() for name in ("starts", "ends", "types", "probabilities"))
        served_entities = [values for values in zip(*columns, strict=True) if values[0] >= 0]  # without padding
        spans = [(span.start, span.end, span.label) for span in prediction.spans]
        assert [(start, end, label.decode()) for start, end, label, _ in served_entities] == spans
        expected = [span.probability for span in prediction.spans]
        np.testing.assert_allclose([values[-1] for values in served_entities], expected, atol=1e-5)
    blank = [row for row, text in enumerate(texts) if not text.strip()]
    assert (served["starts"].numpy()[blank] == -1).all()


def test_an_export_gives_the_same_answers_to_fuzzed_questions(backbone, tmp_path, count=FUZZED):
    model = tltk.assemble(backbone, tltk.question_answering(head=head()), precision="float32")
    texts = fuzzed(2 * count - 40)
    pairs = [*zip(texts[::2], texts[1::2], strict=True), *map(tuple, asked(20).examples)]
    pairs = [(question, context) for question, context in pairs if question.strip() and context.strip()]
    edge_cases = [("", ""), ("good", ""), ("", "film"), ("good " * 100, "film " * 100)]
    requests = [(question.encode(), context.encode()) for question, context in [*pairs, *edge_cases]]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest_differences.values()) <= 1e-5
    questions, contexts = map(tf.constant, zip(*pairs, strict=True))
    served = tf.saved_model.load(str(exported.path)).signatures["serving_default"](
        questions=questions, contexts=contexts
    )
    predictions = tltk.predict(model, pairs)
    for row, prediction in enumerate(predictions):
        assert served["answer"][row].numpy().decode() == prediction.label
        start, end = int(served["start"][row]), int(served["end"][row])
        spans = [(span.start, span.end) for span in prediction.spans]
        assert [(start, end)] == (spans or [(-1, -1)])
        if spans:
            np.testing.assert_allclose(served["probability"][row], prediction.probability, atol=1e-5)
            assert pairs[row][1][start:end] == prediction.label


def test_the_reference_groups_tags_as_a_simple_loop_does():
    generator = np.random.default_rng(2)
    for marks in ("BI", "BILU"):
        tags = generator.integers(0, 1 + 2 * len(marks), 400)
        text_ids = np.sort(generator.integers(0, 30, 400))
        first, end = entities(tags, text_ids, marks=marks)
        expected, open_type = [], None
        for word, tag in enumerate(tags):
            type_id, mark_id = divmod(int(tag) - 1, len(marks))
            mark = marks[mark_id] if tag else "O"
            if mark in "IL" and open_type == type_id and text_ids[word] == text_ids[word - 1]:
                expected[-1][1] = word + 1
            elif mark != "O":
                expected.append([word, word + 1])
            open_type = None if mark in "LUO" else type_id
        assert [list(pair) for pair in zip(first.tolist(), end.tolist(), strict=True)] == expected


def probabilities(spans_of_texts):
    return [span.probability for spans in spans_of_texts for span in spans]


@pytest.mark.parametrize(("scheme", "length"), [("bio", 12), ("bilou", 32)])
def test_entities_of_random_outputs_are_those_of_the_reference(backbone, scheme, length):
    source = tltk.from_arrays([*fuzzed(200), "\x00", " . "])
    task = tltk.token_classification(["x", "y"], scheme=scheme)
    spec = replace(backbone.input_spec, sequence_length=length, overlap=length // 4)
    tokens = encoded(source, spec)
    outputs = np.random.default_rng(0).dirichlet(np.ones(len(task.tags)), len(tokens.ids)).astype("float32")
    spans, expected = predicted_spans(task, outputs, source, spec), find_entities(task, outputs, tokens, len(source))
    assert spans == expected and sum(map(len, spans)) > 500
    np.testing.assert_allclose(probabilities(spans), probabilities(expected), rtol=1e-6)


@pytest.mark.parametrize(("no_answer", "length"), [(True, 12), (False, 32)])
def test_answers_of_random_outputs_are_those_of_the_reference(backbone, no_answer, length):
    texts = fuzzed(400)
    source = tltk.from_arrays([*zip(texts[::2], texts[1::2], strict=True), ("good", "\x00")])
    task = tltk.question_answering(no_answer=no_answer, max_answer_tokens=5)
    spec = replace(backbone.input_spec, sequence_length=length, overlap=length // 4, pairs=True)
    tokens = encoded(source, spec)
    outputs = np.random.default_rng(0).normal(size=(len(tokens.ids), 2)).astype("float32")
    spans, expected = predicted_spans(task, outputs, source, spec), find_answers(task, outputs, tokens, len(source))
    assert spans == expected and sum(map(len, spans)) > 100
    np.testing.assert_allclose(probabilities(spans), probabilities(expected), rtol=1e-5)


def test_substrings_are_extracted_by_characters():
    texts = ["a café 😀!", "", "naïve"]
    rows, starts, ends = [0, 0, 2, 1], [2, 7, 2, 0], [6, 9, 3, 0]
    extracted = substrings(tf.constant(texts), tf.constant(rows, tf.int64), tf.constant(starts), tf.constant(ends))
    assert [text.decode() for text in extracted.numpy()] == ["café", "😀!", "ï", ""]


def test_the_error_for_a_context_without_windows_says_what_to_pass():
    with pytest.raises(ValueError, match="tagging needs a source of texts"):
        require_windows(Context(tf.constant(1, tf.int64)), "tagging")
