"""Which answers of two models count as different."""

import numpy as np

from tltk.specs import Span
from tltk.tasks.answers import changed_answers, moved_scores
from tltk.tasks.records import Prediction


def classified(label, **scores):
    return Prediction("1", label, scores[label], scores)


def test_labels_are_compared_and_probabilities_are_not():
    before = [classified("cat", cat=0.9, dog=0.1), classified("cat", cat=0.5001, dog=0.4999)]
    after = [classified("cat", cat=0.6, dog=0.4), classified("dog", cat=0.4999, dog=0.5001)]
    assert changed_answers(before, after).tolist() == [False, True]


def test_equally_likely_labels_are_the_same_answer():
    assert not changed_answers([classified("cat", cat=0.5, dog=0.5)], [classified("dog", cat=0.5, dog=0.5)]).any()


def test_nan_is_a_changed_answer():
    assert changed_answers([classified("cat", cat=0.9, dog=0.1)], [classified("cat", cat=np.nan, dog=np.nan)]).all()


def test_spans_are_compared_without_their_probabilities():
    before = Prediction("1", "Paris", None, {}, (Span(3, 8, "city", 0.9),))
    moved = Prediction("1", "Paris", None, {}, (Span(4, 9, "city", 0.9),))
    doubtful = Prediction("1", "Paris", None, {}, (Span(3, 8, "city", 0.4),))
    assert changed_answers([before] * 2, [moved, doubtful]).tolist() == [True, False]


def test_scores_move_relative_to_their_spread_between_examples():
    before = [Prediction(str(row), "", None, {"age": float(row)}) for row in range(3)]
    after = [Prediction(str(row), "", None, {"age": row + shift}) for row, shift in enumerate((0.05, 0.09, np.nan))]
    assert moved_scores(before, after).tolist() == changed_answers(before, after).tolist() == [False, True, True]
