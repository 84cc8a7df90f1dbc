"""Evaluators of spans: entities as in CoNLL-2003's script, answers as in SQuAD's script."""

import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tltk.specs import Span
from tltk.tasks.class_scores import absent, rates, weights_or_ones
from tltk.tasks.records import ReportParts

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_RATES = ("precision", "recall", "f1")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class EntityEvaluator:
    """Computes precision, recall and F1 of entities with exact boundaries and type, as CoNLL-2003's script does.

    Args:
        names: Types of entities.

    Examples:
        >>> evaluator = EntityEvaluator(["city"])
        >>> decoded = {"starts": [[0]], "ends": [[2]], "types": [["city"]]}
        >>> evaluator.update([[Span(0, 2, "city"), Span(5, 6, "city")]], decoded, ["example 0"])
        >>> evaluator.result().metrics
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'macro_f1': 0.6666666666666666}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.hits, self.predicted, self.actual = (defaultdict[str, float](float) for _ in range(3))
        self.support: Counter[str] = Counter()

    def update(
        self,
        targets: Iterable[Sequence[Span]],
        decoded: Mapping[str, Any],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of texts.

        Args:
            targets: True spans of each text.
            decoded: "starts", "ends" and "types" [n, most entities]; a start of -1 is padding.
            ids: Id of each text.
            sample_weight: Weight of each text, which its entities have, float32 [n]; None if all count the same.
        """
        columns = (decoded[name] for name in ("starts", "ends", "types"))
        weights = weights_or_ones(sample_weight, len(ids)).tolist()
        for spans, *row, weight in zip(targets, *columns, weights, strict=True):
            predicted = [(start, end, label) for start, end, label in zip(*row, strict=True) if start >= 0]
            actual = {(span.start, span.end, span.label) for span in spans}
            self.support.update(span.label for span in spans)
            for sums, entities in (
                (self.actual, [(span.start, span.end, span.label) for span in spans]),
                (self.predicted, predicted),
                (self.hits, actual & set(predicted)),
            ):
                for *_, label in entities:
                    sums[label] += weight

    def result(self) -> ReportParts:
        """Return precision, recall and F1 of all entities, the mean F1 of types that occur, and one row per type."""
        rows: tuple[dict[str, Any], ...] = tuple(
            {
                "name": name,
                **dict.fromkeys(_RATES),  # not defined for a type that does not occur
                **(self._rates_of(name) if self.support[name] else {}),
                "support": self.support[name],
            }
            for name in self.names
        )
        occurring = [row["f1"] for row in rows if row["support"]]
        overall = _named_rates(*(sum(sums.values()) for sums in (self.hits, self.predicted, self.actual)))
        support = np.array([self.support[name] for name in self.names])
        notes = absent(self.names, support, "macro_f1 is the mean of the other types")
        metrics = {**overall, "macro_f1": sum(occurring) / max(len(occurring), 1)}
        return ReportParts(metrics, rows, "Types", notes=notes)

    def _rates_of(self, name: str) -> dict[str, float]:
        return _named_rates(self.hits[name], self.predicted[name], self.actual[name])


class AnswerEvaluator:
    """Computes exact match and F1 of answers, as the script of SQuAD 2.0 does (Rajpurkar et al. 2018).

    A question with several reference answers counts with the best match.

    Examples:
        >>> evaluator = AnswerEvaluator()
        >>> evaluator.update([["The cat's"]], {"answer": ["cat's"]}, ["example 0"])
        >>> evaluator.result().metrics
        {'exact_match': 1.0, 'f1': 1.0}
    """

    def __init__(self) -> None:
        # Sums of [weights, exact matches, F1], for questions with and without an answer.
        self.answered, self.unanswered = np.zeros(3), np.zeros(3)

    def update(
        self,
        targets: Iterable[Sequence[str]],
        decoded: Mapping[str, Any],
        ids: Sequence[str],
        sample_weight: np.ndarray | None = None,
    ) -> None:
        """Add a batch of questions.

        Args:
            targets: Reference answers of each question; empty for a question without an answer.
            decoded: "answer" [n], "" for no answer.
            ids: Id of each question.
            sample_weight: Weight of each question, float32 [n]; None if all count the same.
        """
        weights = weights_or_ones(sample_weight, len(ids))
        for answers, prediction, weight in zip(targets, decoded["answer"], weights, strict=True):
            # SQuAD's script drops answers that are empty once normalized, such as "the".
            references = [answer for answer in answers if _normalized(answer)] or [""]
            exact = max(float(_normalized(prediction) == _normalized(reference)) for reference in references)
            sums = self.answered if len(answers) else self.unanswered
            sums += weight * np.array([1, exact, max(_word_f1(prediction, reference) for reference in references)])

    def result(self) -> ReportParts:
        """Return exact match and F1 in [0, 1].

        If some questions have no answer, also both metrics for questions with an answer, and the accuracy for questions
        without.
        """
        metrics = dict(zip(("exact_match", "f1"), _means(self.answered + self.unanswered), strict=True))
        if self.unanswered[0]:
            exact, f1 = _means(self.answered)
            no_answer, _ = _means(self.unanswered)
            metrics |= {"answered_exact_match": exact, "answered_f1": f1, "no_answer_accuracy": no_answer}
        return ReportParts(metrics)


def _means(sums: np.ndarray) -> tuple[float, float]:
    total, exact, f1 = sums.tolist()
    return exact / (total or 1), f1 / (total or 1)


def _named_rates(hits: float, predicted: float, actual: float) -> dict[str, float]:
    return {name: float(rate) for name, rate in zip(_RATES, rates(hits, predicted, actual), strict=True)}


def _normalized(answer: str) -> str:
    """Lowercase an answer; remove punctuation, articles and extra spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _word_f1(prediction: str, reference: str) -> float:
    """Compute the F1 of the words that two answers share."""
    predicted, actual = _normalized(prediction).split(), _normalized(reference).split()
    if not predicted or not actual:
        return float(predicted == actual)
    common = (Counter(predicted) & Counter(actual)).total()
    return 2 * common / (len(predicted) + len(actual))
