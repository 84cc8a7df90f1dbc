from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.tasks.reference_spans import entities, find_answers, find_entities, predicted_spans
from tests.texts import asked, fuzzed, marked, tiny_preset
from tltk.modalities.context import Context
from tltk.modalities.text.encoding import encoded
from tltk.tasks.span_decoders import require_windows, substrings


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def head():
    return tltk.head(zero_init=False, normalization=None)


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
def test_2000_fuzzed_texts_get_the_same_entities_from_a_clean_process(backbone, tmp_path, scheme):
    model = tltk.assemble(
        backbone, tltk.token_classification(marked(2).labels, scheme=scheme, head=head()), precision="float32"
    )
    said = [*fuzzed(1980), *(" ".join(words) for words in marked(20, longest=60).examples)]
    exported = tltk.export(model, tmp_path, requests=[text.encode() for text in said])
    assert max(exported.largest.values()) <= 1e-5
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](tf.constant(said))
    found, _ = tltk.predict(model, said)
    used = [row for row, text in enumerate(said) if text.strip()]
    assert sum(len(each.spans) for each in found) > 2000
    for row, each in zip(used, found, strict=True):
        columns = (answer[name][row].numpy() for name in ("starts", "ends", "types", "probabilities"))
        served = [(int(a), int(b), kind.decode(), p) for a, b, kind, p in zip(*columns, strict=True) if a >= 0]
        assert [given[:3] for given in served] == [(span.start, span.end, span.label) for span in each.spans]
        np.testing.assert_allclose([p for *_, p in served], [span.probability for span in each.spans], atol=1e-5)
    empty = [row for row, text in enumerate(said) if not text.strip()]
    assert (answer["starts"].numpy()[empty] == -1).all()


@pytest.mark.parametrize("no_answer", [True, False])
def test_2000_fuzzed_questions_get_the_same_answers_from_a_clean_process(backbone, tmp_path, no_answer):
    model = tltk.assemble(backbone, tltk.question_answering(head=head(), no_answer=no_answer), precision="float32")
    said = fuzzed(3960)
    pairs = [*zip(said[::2], said[1::2], strict=True), *map(tuple, asked(20).examples)]
    pairs = [(one, other) for one, other in pairs if one.strip() and other.strip()]
    edges = [("", ""), ("good", ""), ("", "film"), ("good " * 100, "film " * 100)]
    requests = [(one.encode(), other.encode()) for one, other in [*pairs, *edges]]
    exported = tltk.export(model, tmp_path, requests=requests)
    assert max(exported.largest.values()) <= 1e-5
    questions, contexts = map(tf.constant, zip(*pairs, strict=True))
    answer = tf.saved_model.load(str(exported.path)).signatures["serving_default"](
        questions=questions, contexts=contexts
    )
    found, _ = tltk.predict(model, pairs)
    for row, each in enumerate(found):
        assert answer["answer"][row].numpy().decode() == each.label
        place = (int(answer["start"][row]), int(answer["end"][row]))
        assert place == ((each.spans[0].start, each.spans[0].end) if each.spans else (-1, -1))
        if each.spans:
            np.testing.assert_allclose(answer["probability"][row], each.probability, atol=1e-5)
            assert pairs[row][1][place[0] : place[1]] == each.label


def test_the_reference_reads_tags_as_a_plain_loop_does():
    generator = np.random.default_rng(2)
    for marks in ("BI", "BILU"):
        tags = generator.integers(0, 1 + 2 * len(marks), 400)
        owners = np.sort(generator.integers(0, 30, 400))
        first, stop = entities(tags, owners, marks=marks)
        expected, running = [], None
        for at, tag in enumerate(tags):
            kind, mark = divmod(int(tag) - 1, len(marks))
            mark = marks[mark] if tag else "O"
            goes_on = running and mark in "IL" and running[1] == kind and owners[at] == owners[at - 1]
            if goes_on:
                expected[-1][1] = at + 1
            elif mark != "O":
                expected.append([at, at + 1])
            running = None if mark in "LUO" else (at, kind)
        assert [list(pair) for pair in zip(first.tolist(), stop.tolist(), strict=True)] == expected


def probabilities(spans):
    return [span.probability for each in spans for span in each]


@pytest.mark.parametrize("scheme", ["bio", "bilou"])
@pytest.mark.parametrize("length", [12, 32])
def test_entities_of_random_outputs_are_those_of_the_reference(backbone, scheme, length):
    source = tltk.from_arrays([*fuzzed(200), "\x00", " . "])
    task = tltk.token_classification(["x", "y"], scheme=scheme)
    spec = replace(backbone.input, sequence_length=length, stride=length // 4)
    tokens = encoded(source, spec)
    outputs = np.random.default_rng(0).dirichlet(np.ones(len(task.tags)), len(tokens.ids)).astype("float32")
    found, expected = predicted_spans(task, outputs, source, spec), find_entities(task, outputs, tokens, len(source))
    assert found == expected and sum(map(len, found)) > 500
    np.testing.assert_allclose(probabilities(found), probabilities(expected), rtol=1e-6)


@pytest.mark.parametrize("no_answer", [True, False])
@pytest.mark.parametrize("length", [12, 32])
def test_answers_of_random_outputs_are_those_of_the_reference(backbone, no_answer, length):
    texts = fuzzed(400)
    source = tltk.from_arrays([*zip(texts[::2], texts[1::2], strict=True), ("good", "\x00")])
    task = tltk.question_answering(no_answer=no_answer, longest=5)
    spec = replace(backbone.input, sequence_length=length, stride=length // 4, pairs=True)
    tokens = encoded(source, spec)
    outputs = np.random.default_rng(0).normal(size=(len(tokens.ids), 2)).astype("float32")
    found, expected = predicted_spans(task, outputs, source, spec), find_answers(task, outputs, tokens, len(source))
    assert found == expected and sum(map(len, found)) > 100
    np.testing.assert_allclose(probabilities(found), probabilities(expected), rtol=1e-5)


def test_parts_of_texts_are_cut_by_characters():
    texts = ["a café 😀!", "", "naïve"]
    rows, starts, stops = [0, 0, 2, 1], [2, 7, 2, 0], [6, 9, 3, 0]
    found = substrings(tf.constant(texts), tf.constant(rows, tf.int64), tf.constant(starts), tf.constant(stops))
    assert [text.decode() for text in found.numpy()] == ["café", "😀!", "ï", ""]


def test_without_windows_the_error_says_what_to_pass():
    with pytest.raises(ValueError, match="tagging needs a source of texts"):
        require_windows(Context(tf.constant(1, tf.int64)), "tagging")
