"""Evaluators of spans, against the rules of SQuAD, a count one by one, and scikit-learn."""

import random
import re
import string

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from tltk.specs import Span
from tltk.tasks.span_scores import AnswerEvaluator, EntityEvaluator


def entity_scores(true, found, names):
    """Measure spans found in texts, two texts at a time."""
    evaluator = EntityEvaluator(names)
    for start in range(0, max(len(true), len(found)), 2):
        rows = found[start : start + 2]
        columns = {
            "starts": [[*(span.start for span in spans), -1] for spans in rows],
            "ends": [[*(span.end for span in spans), -1] for spans in rows],
            "types": [[*(span.label for span in spans), ""] for spans in rows],
        }
        evaluator.update(true[start : start + 2], columns, [""] * len(rows))
    parts = evaluator.result()
    return parts.metrics, parts.classes


def answer_scores(true, found, texts):
    """Measure answers, as spans of contexts, two questions at a time."""
    evaluator = AnswerEvaluator()
    for start in range(0, len(texts), 2):
        part = slice(start, start + 2)
        right = [[text[s.start : s.end] for s in spans] for spans, text in zip(true[part], texts[part], strict=True)]
        said = [text[s[0].start : s[0].end] if s else "" for s, text in zip(found[part], texts[part], strict=True)]
        evaluator.update(right, {"answer": said}, [""] * len(said))
    return evaluator.result().metrics


# SQuAD's rules, as evaluate-v2.0.py applies them (Rajpurkar et al. 2018).


def words_of(answer):
    """Small letters, then no ASCII punctuation, then no articles, then words."""
    plain = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return re.sub(r"\b(?:the|an|a)\b", " ", plain).split()


def f1_of(wanted, said):
    if not wanted or not said:
        return float(wanted == said)
    left, right = list(wanted), 0
    for word in said:
        if word in left:
            left.remove(word)
            right += 1
    precision, recall = right / len(said), right / len(wanted)
    return 2 * precision * recall / (precision + recall) if right else 0.0


def by_the_rules(answers, guesses):
    """EM and F1 of all questions, of those with an answer, and of those without."""
    exact, f1 = [], []
    for given, guess in zip(answers, guesses, strict=True):
        # An answer of which nothing is left does not count; where none counts, to say nothing is right.
        wanted = [words for words in map(words_of, given) if words] or [[]]
        exact.append(max(float(words == words_of(guess)) for words in wanted))
        f1.append(max(f1_of(words, words_of(guess)) for words in wanted))
    has = np.array([bool(given) for given in answers])
    exact, f1 = np.array(exact), np.array(f1)
    found = {"exact_match": exact.mean(), "f1": f1.mean()}
    if not has.all():
        found["answered_exact_match"] = exact[has].mean() if has.any() else 0.0
        found["answered_f1"] = f1[has].mean() if has.any() else 0.0
        found["no_answer_accuracy"] = exact[~has].mean()
    return found


WORDS = (
    "The", "the", "a", "An", "an", "A.", "cat", "Cat", "cat's", "cats", "than", "theme", "—", "...", "U.S.", "U.S",
    "1,000", "1000", "«the»", "the-cat", "naïve", "İ", "ß", "SS", "  ", "\t", "\n", "\u00a0", "\u3000", "the\u200b",
    "`", "'", "’s", "$5", "a)", "😀", "המחיר", "ٱلْ", "the_", "_a_",
)  # fmt: skip


def passage(generator, most):
    return generator.choice((" ", "", "\n")).join(generator.choice(WORDS) for _ in range(generator.randint(1, most)))


def part(generator, text):
    start = generator.randint(0, len(text) - 1)
    return Span(start, generator.randint(start + 1, len(text)))


@pytest.mark.parametrize("answerable", [True, False])
def test_answers_are_scored_by_the_rules_of_squads_own_script(answerable):
    generator = random.Random(answerable)
    for _ in range(400):
        count = generator.randint(1, 6)
        texts = [passage(generator, 6) for _ in range(count)]
        true = [tuple(part(generator, text) for _ in range(generator.randint(answerable, 3))) for text in texts]
        found = [() if generator.random() < 0.2 else (part(generator, text),) for text in texts]
        for row, spans in enumerate(true):
            if spans and generator.random() < 0.4:
                found[row] = (generator.choice(spans),)
        said = [[text[span.start : span.end] for span in spans] for spans, text in zip(true, texts, strict=True)]
        guessed = [text[s[0].start : s[0].end] if s else "" for s, text in zip(found, texts, strict=True)]
        assert answer_scores(true, found, texts) == pytest.approx(by_the_rules(said, guessed))


def test_an_answer_that_is_an_article_alone_counts_for_nothing_beside_a_better_one():
    # As in the official script, which drops such an answer; else to say nothing would be right.
    true = [[Span(0, 3), Span(4, 7)]]
    assert answer_scores(true, [()], ["the cat"]) == {"exact_match": 0.0, "f1": 0.0}
    assert answer_scores(true, [(Span(0, 7),)], ["the cat"]) == {"exact_match": 1.0, "f1": 1.0}
    assert answer_scores([[Span(0, 3)]], [()], ["the cat"]) == {"exact_match": 1.0, "f1": 1.0}


def test_the_best_of_several_answers_counts_and_no_answer_is_right_only_where_there_is_none():
    text = "Ann met Bob and Cid"
    ann, bob, both = Span(0, 3), Span(8, 11), Span(8, 19)
    found = answer_scores([[ann, both], [], [], [ann]], [[bob], [], [ann], []], [text] * 4)
    assert found == pytest.approx(
        {
            "exact_match": 1 / 4,
            "f1": (0.5 + 1 + 0 + 0) / 4,
            "answered_exact_match": 0,
            "answered_f1": 0.25,
            "no_answer_accuracy": 0.5,
        }
    )


def test_no_questions_score_nothing():
    assert answer_scores([], [], []) == {"exact_match": 0.0, "f1": 0.0}
    assert answer_scores([()], [()], ["a"])["answered_f1"] == 0.0


def test_probabilities_play_no_part():
    true, found = [[Span(0, 2, "x")]], [[Span(0, 2, "x", 0.1)]]
    assert entity_scores(true, found, ["x"])[0]["f1"] == 1.0
    assert answer_scores([[Span(0, 2)]], [[Span(0, 2, "", 0.9)]], ["ab"])["f1"] == 1.0


NAMES = ("city", "name", "date", "rare")


def entities(generator, most):
    places = sorted(generator.sample(range(12), 2 * generator.randint(0, most)))
    return tuple(Span(*places[at : at + 2], generator.choice(NAMES[:3])) for at in range(0, len(places), 2))


def rates(right, guessed, there):
    precision = right / guessed if guessed else 0.0
    recall = right / there if there else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def test_entities_are_counted_one_by_one():
    generator = random.Random(0)
    for _ in range(60):
        check_entities(generator)


def check_entities(generator):
    true = [entities(generator, 4) for _ in range(generator.randint(0, 5))]
    found = [one if generator.random() < 0.3 else entities(generator, 4) for one in true]
    every, rows = entity_scores(true, found, NAMES)
    counts = {}
    for name in (*NAMES, None):
        held, said = (
            [(row, span.start, span.end, span.label) for row, spans in enumerate(each) for span in spans
             if name in (None, span.label)]
            for each in (true, found)
        )  # fmt: skip
        right = sum(1 for one in held for other in said if one == other)
        counts[name] = (right, len(said), len(held))
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        expected = rates(*counts[row["name"]])
        assert {key: row[key] for key in expected} == pytest.approx(expected)
        assert row["support"] == counts[row["name"]][2]
    assert {key: every[key] for key in rates(0, 0, 0)} == pytest.approx(rates(*counts[None]))
    occurring = [rates(*counts[name])["f1"] for name in NAMES if counts[name][2]]
    assert every["macro_f1"] == pytest.approx(sum(occurring) / len(occurring) if occurring else 0.0)


def test_where_every_entity_has_its_place_the_scores_are_those_of_a_classification():
    generator = random.Random(0)
    true, guess = ([generator.choice(NAMES) for _ in range(300)] for _ in range(2))
    spans = [[[Span(n, n + 1, name)] for n, name in enumerate(each)] for each in (true, guess)]
    every, rows = entity_scores(*spans, NAMES)
    expected = precision_recall_fscore_support(true, guess, labels=NAMES)
    for key, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [row[key] for row in rows] == pytest.approx(list(values))
    for key, average in (("f1", "micro"), ("macro_f1", "macro")):
        assert every[key] == pytest.approx(precision_recall_fscore_support(true, guess, average=average)[2])


def test_another_border_or_type_is_wrong_and_twice_the_same_is_right_once():
    held = [[Span(0, 4, "city")]]
    for other in (Span(0, 3, "city"), Span(1, 4, "city"), Span(0, 4, "name")):
        assert entity_scores(held, [[other]], NAMES)[0]["f1"] == 0.0
    every, _ = entity_scores(held, [[Span(0, 4, "city")] * 2], NAMES)
    assert (every["precision"], every["recall"]) == (0.5, 1.0)


def test_targets_and_answers_that_differ_in_number_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        EntityEvaluator(NAMES).update([[]], {"starts": [], "ends": [], "types": []}, [])
    with pytest.raises(ValueError, match="shorter"):
        AnswerEvaluator().update([["a"], ["b"]], {"answer": ["a"]}, [""])
