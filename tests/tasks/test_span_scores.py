"""Evaluators of spans, compared with the rules of SQuAD's script, a brute-force count and scikit-learn."""

import copy
import random
import re
import string

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from tltk.specs import Span
from tltk.tasks.span_scores import AnswerEvaluator, EntityEvaluator


def entity_scores(true, predicted, names):
    """Evaluate predicted spans, in batches of two texts."""
    evaluator = EntityEvaluator(names)
    for start in range(0, max(len(true), len(predicted)), 2):
        rows = predicted[start : start + 2]
        columns = {
            "starts": [[*(span.start for span in spans), -1] for spans in rows],
            "ends": [[*(span.end for span in spans), -1] for spans in rows],
            "types": [[*(span.label for span in spans), ""] for spans in rows],
        }
        evaluator.update(true[start : start + 2], columns, [""] * len(rows))
    parts = evaluator.result()
    return parts.metrics, parts.classes


def reference_texts(true, texts):
    """Return the texts of the reference answers of each question."""
    return [[text[span.start : span.end] for span in spans] for spans, text in zip(true, texts, strict=True)]


def predicted_texts(predicted, texts):
    """Return the text of each predicted answer, "" for none."""
    pairs = zip(predicted, texts, strict=True)
    return [text[spans[0].start : spans[0].end] if spans else "" for spans, text in pairs]


def answer_scores(true, predicted, texts):
    """Evaluate answers, given as spans of contexts, in batches of two questions."""
    evaluator = AnswerEvaluator()
    references, answers = reference_texts(true, texts), predicted_texts(predicted, texts)
    for start in range(0, len(texts), 2):
        rows = slice(start, start + 2)
        evaluator.update(references[rows], {"answer": answers[rows]}, [""] * len(answers[rows]))
    return evaluator.result().metrics


# SQuAD's rules, as evaluate-v2.0.py applies them (Rajpurkar et al. 2018).


def words_of(answer):
    """Lowercase, remove ASCII punctuation, remove articles, split into words."""
    letters = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return re.sub(r"\b(?:the|an|a)\b", " ", letters).split()


def word_f1(reference, prediction):
    if not reference or not prediction:
        return float(reference == prediction)
    unmatched, hits = list(reference), 0
    for word in prediction:
        if word in unmatched:
            unmatched.remove(word)
            hits += 1
    precision, recall = hits / len(prediction), hits / len(reference)
    return 2 * precision * recall / (precision + recall) if hits else 0.0


def scores_by_the_rules(references, predictions):
    """Return exact match and F1 of all questions, of those with an answer, and of those without."""
    exact, f1 = [], []
    for answers, prediction in zip(references, predictions, strict=True):
        # Answers without any word are dropped; if none is left, predicting no answer is correct.
        word_lists = [words for words in map(words_of, answers) if words] or [[]]
        exact.append(max(float(words == words_of(prediction)) for words in word_lists))
        f1.append(max(word_f1(words, words_of(prediction)) for words in word_lists))
    has_answer = np.array([bool(answers) for answers in references])
    exact, f1 = np.array(exact), np.array(f1)
    scores = {"exact_match": exact.mean(), "f1": f1.mean()}
    if not has_answer.all():
        scores["answered_exact_match"] = exact[has_answer].mean() if has_answer.any() else 0.0
        scores["answered_f1"] = f1[has_answer].mean() if has_answer.any() else 0.0
        scores["no_answer_accuracy"] = exact[~has_answer].mean()
    return scores


WORDS = (
    "The", "the", "a", "An", "an", "A.", "cat", "Cat", "cat's", "cats", "than", "theme", "—", "...", "U.S.", "U.S",
    "1,000", "1000", "«the»", "the-cat", "naïve", "İ", "ß", "SS", "  ", "\t", "\n", "\u00a0", "\u3000", "the\u200b",
    "`", "'", "’s", "$5", "a)", "😀", "המחיר", "ٱلْ", "the_", "_a_",
)  # fmt: skip


def random_text(generator, most):
    return generator.choice((" ", "", "\n")).join(generator.choice(WORDS) for _ in range(generator.randint(1, most)))


def random_span(generator, text):
    start = generator.randint(0, len(text) - 1)
    return Span(start, generator.randint(start + 1, len(text)))


@pytest.mark.parametrize("answerable", [True, False])
def test_answers_are_scored_by_the_rules_of_the_squad_script(answerable):
    generator = random.Random(answerable)
    for _ in range(400):
        count = generator.randint(1, 6)
        texts = [random_text(generator, 6) for _ in range(count)]
        true = [tuple(random_span(generator, text) for _ in range(generator.randint(answerable, 3))) for text in texts]
        predicted = [() if generator.random() < 0.2 else (random_span(generator, text),) for text in texts]
        for row, spans in enumerate(true):
            if spans and generator.random() < 0.4:
                predicted[row] = (generator.choice(spans),)
        expected = scores_by_the_rules(reference_texts(true, texts), predicted_texts(predicted, texts))
        assert answer_scores(true, predicted, texts) == pytest.approx(expected)


def test_a_reference_answer_that_is_only_an_article_is_ignored_beside_another():
    # As in the official script; otherwise predicting no answer would be correct.
    true = [[Span(0, 3), Span(4, 7)]]
    assert answer_scores(true, [()], ["the cat"]) == {"exact_match": 0.0, "f1": 0.0}
    assert answer_scores(true, [(Span(0, 7),)], ["the cat"]) == {"exact_match": 1.0, "f1": 1.0}
    assert answer_scores([[Span(0, 3)]], [()], ["the cat"]) == {"exact_match": 1.0, "f1": 1.0}


def test_the_best_reference_counts_and_no_answer_is_correct_only_without_references():
    text = "Ann met Bob and Cid"
    ann, bob, both = Span(0, 3), Span(8, 11), Span(8, 19)
    scores = answer_scores([[ann, both], [], [], [ann]], [[bob], [], [ann], []], [text] * 4)
    assert scores == pytest.approx(
        {
            "exact_match": 1 / 4,
            "f1": (0.5 + 1 + 0 + 0) / 4,
            "answered_exact_match": 0,
            "answered_f1": 0.25,
            "no_answer_accuracy": 0.5,
        }
    )


def test_scores_are_zero_without_questions():
    assert answer_scores([], [], []) == {"exact_match": 0.0, "f1": 0.0}
    assert answer_scores([()], [()], ["a"])["answered_f1"] == 0.0


def test_probabilities_have_no_effect_on_scores():
    true, predicted = [[Span(0, 2, "x")]], [[Span(0, 2, "x", 0.1)]]
    assert entity_scores(true, predicted, ["x"])[0]["f1"] == 1.0
    assert answer_scores([[Span(0, 2)]], [[Span(0, 2, "", 0.9)]], ["ab"])["f1"] == 1.0


NAMES = ("city", "name", "date", "rare")


def random_entities(generator, most):
    offsets = sorted(generator.sample(range(12), 2 * generator.randint(0, most)))
    return tuple(Span(*offsets[at : at + 2], generator.choice(NAMES[:3])) for at in range(0, len(offsets), 2))


def rates(hits, predicted, actual):
    precision = hits / predicted if predicted else 0.0
    recall = hits / actual if actual else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def test_entity_scores_equal_a_brute_force_count():
    generator = random.Random(0)
    for _ in range(60):
        assert_scores_equal_brute_force_count(generator)


def assert_scores_equal_brute_force_count(generator):
    true = [random_entities(generator, 4) for _ in range(generator.randint(0, 5))]
    predicted = [spans if generator.random() < 0.3 else random_entities(generator, 4) for spans in true]
    overall, rows = entity_scores(true, predicted, NAMES)
    counts = {}
    for name in (*NAMES, None):
        actual_entities, predicted_entities = (
            [(row, span.start, span.end, span.label) for row, spans in enumerate(texts) for span in spans
             if name in (None, span.label)]
            for texts in (true, predicted)
        )  # fmt: skip
        hits = sum(entity in predicted_entities for entity in actual_entities)
        counts[name] = (hits, len(predicted_entities), len(actual_entities))
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        expected = rates(*counts[row["name"]])
        expected = expected if row["support"] else dict.fromkeys(expected)  # not defined without entities
        assert {key: row[key] for key in expected} == pytest.approx(expected)
        assert row["support"] == counts[row["name"]][2]
    assert {key: overall[key] for key in rates(0, 0, 0)} == pytest.approx(rates(*counts[None]))
    occurring = [rates(*counts[name])["f1"] for name in NAMES if counts[name][2]]
    assert overall["macro_f1"] == pytest.approx(sum(occurring) / len(occurring) if occurring else 0.0)


def test_with_one_entity_per_text_the_scores_equal_those_of_classification():
    generator = random.Random(0)
    true, predicted = ([generator.choice(NAMES) for _ in range(300)] for _ in range(2))
    spans = [[[Span(n, n + 1, name)] for n, name in enumerate(names)] for names in (true, predicted)]
    overall, rows = entity_scores(*spans, NAMES)
    expected = precision_recall_fscore_support(true, predicted, labels=NAMES)
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[key] for row in rows] == pytest.approx(list(values))
    for key, average in (("f1", "micro"), ("macro_f1", "macro")):
        assert overall[key] == pytest.approx(precision_recall_fscore_support(true, predicted, average=average)[2])


def test_other_boundaries_or_types_are_wrong_and_a_repeated_entity_counts_once():
    true = [[Span(0, 4, "city")]]
    for span in (Span(0, 3, "city"), Span(1, 4, "city"), Span(0, 4, "name")):
        assert entity_scores(true, [[span]], NAMES)[0]["f1"] == 0.0
    overall, _ = entity_scores(true, [[Span(0, 4, "city")] * 2], NAMES)
    assert (overall["precision"], overall["recall"]) == (0.5, 1.0)


def test_different_numbers_of_targets_and_predictions_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        EntityEvaluator(NAMES).update([[]], {"starts": [], "ends": [], "types": []}, [])
    with pytest.raises(ValueError, match="shorter"):
        AnswerEvaluator().update([["a"], ["b"]], {"answer": ["a"]}, [""])


def test_whole_weights_equal_repeated_texts_and_questions():
    times = np.array([2, 1, 3])
    targets = np.empty(3, object)
    targets[:] = [(Span(0, 1, "a"), Span(3, 4, "b")), (Span(0, 1, "a"),), ()]
    starts, types = np.array([[0, -1], [0, 2], [5, -1]]), np.array([["a", ""], ["b", "a"], ["b", ""]])
    spans = {"starts": starts, "ends": starts + 1, "types": types}
    answers = {"answer": np.array(["the cat", "dog", "x y"], object)}
    references = np.empty(3, object)
    references[:] = [("cat",), (), ("x z", "q")]
    cases = ((EntityEvaluator(["a", "b"]), targets, spans), (AnswerEvaluator(), references, answers))
    for weighted, true, decoded in cases:
        repeated = copy.deepcopy(weighted)
        weighted.update(true, decoded, [""] * 3, sample_weight=times / 10)
        columns = {name: column.repeat(times, 0) for name, column in decoded.items()}
        repeated.update(true.repeat(times), columns, [""] * 6)
        assert weighted.result().metrics == pytest.approx(repeated.result().metrics, rel=1e-6)


def test_types_without_entities_are_named():
    evaluator = EntityEvaluator(("x", "y"))
    evaluator.update([(Span(0, 4, "x"),)], {"starts": [[0]], "ends": [[4]], "types": [["x"]]}, [""])
    parts = evaluator.result()
    assert parts.metrics["macro_f1"] == 1
    assert parts.notes == ("no example of 'y': macro_f1 is the mean of the other types",)
