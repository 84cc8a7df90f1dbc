from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.tasks.reference_spans import best_span, predicted_spans
from tests.texts import VOCABULARY, asked, tiny_preset
from tltk.data.formats.squad import from_questions
from tltk.modalities.modality import modality_of
from tltk.modalities.text.encoding import encoded
from tltk.specs import Span
from tltk.tasks import from_config
from tltk.tasks.question_answering import SpanAccuracy, SpanCrossEntropy


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return tltk.backbone(str(tiny_preset(tmp_path_factory.mktemp("presets") / "tiny")))


def pairs(backbone, overlap=4):
    return replace(backbone.input_spec, pairs=True, overlap=overlap)


def targets_of(task, source, spec):
    """Return the encoded texts, and the targets of each window."""
    tokens = encoded(source, spec)
    return tokens, np.asarray(task.element_targets(source.targets, modality_of(spec).reader(source, spec)))


def perfect_logits(tokens, targets):
    """Return the logits of a model that is right about every window."""
    logits = np.zeros((len(tokens.ids), 2), "float32")
    for row, (first, last) in enumerate(targets):
        start = tokens.place(row).start
        # Windows without the answer predict no answer, with a lower score than the window that holds it.
        logits[start + first, 0] = logits[start + last, 1] = 10 if last else 3
    return logits


def test_the_loss_is_the_mean_cross_entropy_of_both_ends():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 5, 2)).astype("float32")
    true = np.array([[0, 0], [1, 3], [4, 4]])
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.mean([np.log(probabilities[row, true[row, end], end]) for row in range(3) for end in range(2)])
    np.testing.assert_allclose(SpanCrossEntropy()(true, logits), expected, rtol=1e-5)
    metric = SpanAccuracy()
    metric.update_state(logits.argmax(1), logits)
    metric.update_state(true, np.eye(5)[true].transpose(0, 2, 1)[:, ::-1].copy())
    assert 0.5 <= float(metric.result()) < 1
    weighted = SpanAccuracy()
    weighted.update_state([[1, 2], [0, 0]], np.eye(5)[[[1, 2], [3, 3]]].transpose(0, 2, 1), np.array([3.0, 1.0]))
    assert float(weighted.result()) == 0.75


def test_targets_of_windows_decode_to_the_spans_of_the_answers(backbone):
    source, task = asked(60), tltk.question_answering()
    tokens, targets = targets_of(task, source, pairs(backbone))
    assert len(tokens) > len(source), "some texts need several windows"
    assert 0 < (targets[:, 1] > 0).sum() < len(tokens), "not every window holds the answer"
    assert predicted_spans(task, perfect_logits(tokens, targets), source, pairs(backbone)) == list(source.targets)


def test_the_reference_finds_the_same_best_span_as_an_exhaustive_search():
    generator = np.random.default_rng(1)
    for _ in range(50):
        count = int(generator.integers(1, 12))
        logits, is_start = generator.normal(size=(count, 2)), generator.random(count) < 0.6
        covers = generator.random(count) < 0.8
        best = best_span(logits, is_start, covers, 4)
        starts = [n for n in range(count) if covers[n] and (n == 0 or is_start[n] or not covers[n - 1])]
        ends = [n for n in range(count) if covers[n] and (n == count - 1 or is_start[n + 1] or not covers[n + 1])]
        candidates = [(logits[a, 0] + logits[b, 1], a, b) for a in starts for b in ends if a <= b < a + 4]
        if candidates:
            assert best == pytest.approx(max(candidates))
        else:
            assert best[0] == -np.inf


def test_no_answer_is_predicted_only_if_its_score_is_higher_by_the_threshold(backbone):
    source = from_questions(["good film!"], ["the book"], [[(4, "book")]])
    logits = np.zeros((len(encoded(source, pairs(backbone)).ids), 2), "float32")
    logits[0] = 1.0  # [CLS]: the score of no answer is 2
    logits[6] = 0.5  # [CLS] good film ! [SEP] the book [SEP]: the score of "book" is 1

    def spans(**options):
        (predicted,) = predicted_spans(tltk.question_answering(**options), logits, source, pairs(backbone))
        return predicted

    assert spans() == ()
    assert spans(threshold=1.5) == (Span(4, 8),)
    assert spans(threshold=1.5)[0].probability == pytest.approx(1 / (1 + np.e))
    assert spans(no_answer=False) == (Span(4, 8),)


def test_a_model_learns_to_answer_and_survives_saving(backbone, tmp_path):
    source = asked(80)
    model = tltk.assemble(backbone, tltk.question_answering(), precision="float32")
    recipe = tltk.bert(epochs=20, learning_rate=5e-3)
    run = tltk.fit(model, source, asked(40, seed=1), recipe=recipe, batch_size=8, out=tmp_path / "run")
    test = asked(40, seed=2)
    report = tltk.evaluate(run.model, test)
    assert report.metrics["exact_match"] > 0.9
    assert report.metrics["no_answer_accuracy"] > 0.8
    loaded = tltk.load_run(tmp_path / "run").model
    assert tltk.evaluate(loaded, test).metrics == report.metrics
    (first, second) = tltk.predict(loaded, [("bad book", "very  fine film."), ("bad book", "not the very")])
    assert (first.label, first.spans) == ("film", (Span(11, 15),))
    assert (second.label, second.spans, second.probability) == ("", (), None)


def test_the_config_restores_the_task_and_unsuitable_inputs_are_refused(backbone):
    task = tltk.question_answering(no_answer=False, threshold=0.5, max_answer_tokens=7, head=tltk.head(hidden=(4,)))
    assert from_config(task.to_config()) == task
    with pytest.raises(ValueError, match="`max_answer_tokens` must be"):
        tltk.question_answering(max_answer_tokens=0)
    model = tltk.assemble(backbone, tltk.question_answering())
    with pytest.raises(ValueError, match="holds single texts, but the model expects pairs"):
        tltk.predict(model, ["one text"])
    with pytest.raises(ValueError, match="`train` has labels of type 'categorical', the model's task has 'answers'"):
        tltk.fit(model, tltk.from_arrays([("a", "b"), ("c", "d")], ["x", "y"]))


def test_an_answer_whose_last_character_belongs_to_no_token_gets_targets(backbone):
    text = "the \u200bfilm\u0301 ."
    source = from_questions(["good film!"], [text], [[(4, "\u200bfilm\u0301")]])
    tokens, ((first, last),) = targets_of(tltk.question_answering(), source, pairs(backbone))
    assert tokens.ids[[first, last]].tolist() == [VOCABULARY.index("film")] * 2


def test_a_window_with_only_a_part_of_the_answer_has_no_answer_as_target(backbone):
    answer = " ".join(["film", "book"] * 3)
    for before in range(10, 40):
        text = " ".join(["good"] * before + [answer] + ["bad"] * 20)
        source = from_questions(["good?"], [text], [[(5 * before, answer)]])
        tokens, targets = targets_of(tltk.question_answering(), source, pairs(backbone))
        partial_windows = 0
        for row, (first, last) in enumerate(targets):
            place = tokens.place(row)
            starts, ends = tokens.char_starts[place], tokens.char_ends[place]
            if last:
                assert text[starts[first] : ends[last]] == answer
            else:
                partial_windows += any(text[start:end] == "film" for start, end in zip(starts, ends, strict=True))
        if partial_windows:
            return
    pytest.fail("no window cuts the answer")


def test_the_references_are_the_texts_of_the_answers():
    source = from_questions(["q"], ["the book"], [[(4, "book"), (0, "the")]])
    assert tltk.question_answering().references(source.targets, source.examples) == [["book", "the"]]


def test_answers_must_agree_and_probabilities_only_if_there_is_an_answer():
    task = tltk.question_answering()
    answer = {"answer": "book", "start": 4, "end": 8, "probability": 0.5}
    assert task.agrees(answer, {**answer, "probability": 0.500001}, 1e-5) == ""
    assert "`answer`: 'book' is not 'the'" in task.agrees(answer, {**answer, "answer": "the"}, 1e-5)
    assert task.agrees(answer, {**answer, "answer": "the"}, 0.05) == ""
    none = {"answer": "", "start": -1, "end": -1, "probability": 0.2}
    assert task.agrees(none, {**none, "probability": 0.0}, 1e-5) == ""
