from dataclasses import replace

import numpy as np
import pytest

import tltk
from tests.tasks.reference_spans import best_part, predicted_spans
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


def pairs(backbone, stride=4):
    return replace(backbone.input, pairs=True, stride=stride)


def targets_of(task, source, spec):
    """The tokens of each window and its targets."""
    tokens = encoded(source, spec)
    return tokens, np.asarray(task.element_targets(source.targets, modality_of(spec).reader(source, spec)))


def perfect(tokens, targets):
    """Logits of a model that is right about every window."""
    flat = np.zeros((len(tokens.ids), 2), "float32")
    for row, (first, last) in enumerate(targets):
        start = tokens.place(row).start
        flat[start + first, 0] = flat[start + last, 1] = 10 if last else 3  # surer of an answer than of none
    return flat


def test_the_loss_is_the_mean_cross_entropy_of_both_ends():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(3, 5, 2)).astype("float32")
    true = np.array([[0, 0], [1, 3], [4, 4]])
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.mean([np.log(share[row, true[row, end], end]) for row in range(3) for end in range(2)])
    np.testing.assert_allclose(SpanCrossEntropy()(true, logits), expected, rtol=1e-5)
    metric = SpanAccuracy()
    metric.update_state(logits.argmax(1), logits)
    metric.update_state(true, np.eye(5)[true].transpose(0, 2, 1)[:, ::-1].copy())
    assert 0.5 <= float(metric.result()) < 1


def test_tokens_of_answers_lead_back_to_the_very_spans_in_windows(backbone):
    source, task = asked(60), tltk.question_answering()
    tokens, targets = targets_of(task, source, pairs(backbone))
    assert len(tokens) > len(source), "some are in windows"
    assert 0 < (targets[:, 1] > 0).sum() < len(tokens), "not every window shows the answer"
    assert predicted_spans(task, perfect(tokens, targets), source, pairs(backbone)) == list(source.targets)


def test_the_best_part_is_that_of_a_search_through_all():
    generator = np.random.default_rng(1)
    for _ in range(50):
        count = int(generator.integers(1, 12))
        logits, firsts = generator.normal(size=(count, 2)), generator.random(count) < 0.6
        solid = generator.random(count) < 0.8
        found = best_part(logits, firsts, solid, 4)
        begins = [n for n in range(count) if solid[n] and (n == 0 or firsts[n] or not solid[n - 1])]
        ends = [n for n in range(count) if solid[n] and (n == count - 1 or firsts[n + 1] or not solid[n + 1])]
        every = [(logits[a, 0] + logits[b, 1], a, b) for a in begins for b in ends if a <= b < a + 4]
        if every:
            assert found == pytest.approx(max(every))
        else:
            assert found[0] == -np.inf


def test_no_answer_wins_only_by_more_than_the_threshold(backbone):
    source = from_questions(["good film!"], ["the book"], [[(4, "book")]])
    logits = np.zeros((9, 2), "float32")  # [CLS] good film ! [SEP] the book [SEP], and a second [SEP] in none
    tokens = encoded(source, pairs(backbone))
    logits = logits[: len(tokens.ids)]
    logits[0] = 1.0  # no answer: 2
    logits[6] = 0.5  # "book": 1

    def found(**options):
        (spans,) = predicted_spans(tltk.question_answering(**options), logits, source, pairs(backbone))
        return spans

    assert found() == ()
    assert found(threshold=1.5) == (Span(4, 8),)
    assert found(threshold=1.5)[0].probability == pytest.approx(1 / (1 + np.e))
    assert found(no_answer=False) == (Span(4, 8),)


def test_a_reader_learns_saves_and_answers(backbone, tmp_path):
    source = asked(80)
    model = tltk.assemble(backbone, tltk.question_answering(), precision="float32")
    recipe = tltk.bert(epochs=20, learning_rate=5e-3)
    run = tltk.fit(model, source, asked(40, seed=1), recipe=recipe, batch_size=8, out=tmp_path / "run")
    test = asked(40, seed=2)
    report = tltk.evaluate(run.model, test)
    assert report.metrics["exact_match"] > 0.9
    assert report.metrics["no_answer_accuracy"] > 0.8
    again = tltk.load_run(tmp_path / "run").model
    assert tltk.evaluate(again, test).metrics == report.metrics
    found, _ = tltk.predict(again, [("bad book", "very  fine film."), ("bad book", "not the very")])
    assert (found[0].label, found[0].spans) == ("film", (Span(11, 15),))
    assert (found[1].label, found[1].spans, found[1].probability) == ("", (), None)


def test_its_config_brings_it_back_and_wrong_input_is_told(backbone):
    task = tltk.question_answering(no_answer=False, threshold=0.5, longest=7, head=tltk.head(hidden=(4,)))
    assert from_config(task.to_config()) == task
    with pytest.raises(ValueError, match="`longest` must be"):
        tltk.question_answering(longest=0)
    model = tltk.assemble(backbone, tltk.question_answering())
    with pytest.raises(ValueError, match="holds single texts, and the model reads pairs"):
        tltk.predict(model, ["one text"])
    with pytest.raises(ValueError, match="`train` has labels of type 'categorical', the model's task has 'answers'"):
        tltk.fit(model, tltk.from_arrays([("a", "b"), ("c", "d")], ["x", "y"]))


def test_an_answer_whose_last_character_has_no_token_is_learned(backbone):
    text = "the \u200bfilm\u0301 ."
    source = from_questions(["good film!"], [text], [[(4, "\u200bfilm\u0301")]])
    tokens, ((first, last),) = targets_of(tltk.question_answering(), source, pairs(backbone))
    assert tokens.ids[[first, last]].tolist() == [VOCABULARY.index("film")] * 2


def test_a_window_that_shows_a_part_of_the_answer_learns_that_it_has_none(backbone):
    answer = " ".join(["film", "book"] * 3)
    for before in range(10, 40):
        text = " ".join(["good"] * before + [answer] + ["bad"] * 20)
        source = from_questions(["good?"], [text], [[(5 * before, answer)]])
        tokens, targets = targets_of(tltk.question_answering(), source, pairs(backbone))
        partly = 0
        for row, (first, last) in enumerate(targets):
            place = tokens.place(row)
            begins, stops = tokens.char_starts[place], tokens.char_ends[place]
            if last:
                assert text[begins[first] : stops[last]] == answer
            else:
                partly += any(text[begin:stop] == "film" for begin, stop in zip(begins, stops, strict=True))
        if partly:
            return
    pytest.fail("no window cuts the answer")


def test_the_references_are_the_texts_of_the_answers():
    source = from_questions(["q"], ["the book"], [[(4, "book"), (0, "the")]])
    assert tltk.question_answering().references(source.targets, source.examples) == [["book", "the"]]


def test_answers_agree_and_probabilities_only_where_there_is_one():
    task = tltk.question_answering()
    answer = {"answer": "book", "start": 4, "end": 8, "probability": 0.5}
    assert task.agrees(answer, {**answer, "probability": 0.500001}, 1e-5) == ""
    assert "`answer`: 'book' is not 'the'" in task.agrees(answer, {**answer, "answer": "the"}, 1e-5)
    assert task.agrees(answer, {**answer, "answer": "the"}, 0.05) == ""
    none = {"answer": "", "start": -1, "end": -1, "probability": 0.2}
    assert task.agrees(none, {**none, "probability": 0.0}, 1e-5) == ""
