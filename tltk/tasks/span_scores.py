"""Evaluators of spans: whole entities as CoNLL-2003 counts them, and answers as SQuAD's own script does."""

import re
import string
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tltk.specs import Span
from tltk.tasks.base import ReportParts

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class EntityEvaluator:
    """Counts entities found with the exact borders and type, as CoNLL-2003's script does.

    Args:
        names: types of entities.

    Example:
        >>> evaluator = EntityEvaluator(["city"])
        >>> found = {"starts": [[0]], "ends": [[2]], "types": [["city"]]}
        >>> evaluator.update([[Span(0, 2, "city"), Span(5, 6, "city")]], found, ["example 0"])
        >>> evaluator.result().metrics
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'macro_f1': 0.6666666666666666}
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.hits: Counter[str] = Counter()
        self.found: Counter[str] = Counter()
        self.there: Counter[str] = Counter()

    def update(self, targets: Iterable[Sequence[Span]], decoded: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count the entities of some texts.

        Args:
            targets: true spans of each text.
            decoded: "starts", "ends" and "types" [n, most entities]; a start of -1 is padding.
            ids: name of each text.
        """
        columns = (decoded[name] for name in ("starts", "ends", "types"))
        for spans, *row in zip(targets, *columns, strict=True):
            found = [(start, end, label) for start, end, label in zip(*row, strict=True) if start >= 0]
            true = {(span.start, span.end, span.label) for span in spans}
            self.there.update(span.label for span in spans)
            self.found.update(label for *_, label in found)
            self.hits.update(label for *_, label in true & set(found))

    def result(self) -> ReportParts:
        """Return precision, recall and F1 over all entities, the mean F1 of types that occur, and a row a type."""
        rows: tuple[dict[str, Any], ...] = tuple(
            {"name": name, **_rates(self.hits[name], self.found[name], self.there[name]), "support": self.there[name]}
            for name in self.names
        )
        occurring = [row["f1"] for row in rows if row["support"]]
        overall = _rates(self.hits.total(), self.found.total(), self.there.total())
        return ReportParts({**overall, "macro_f1": sum(occurring) / max(len(occurring), 1)}, rows, "Types")


class AnswerEvaluator:
    """Compares answers with all that were given, as the script of SQuAD 2.0 does (Rajpurkar et al. 2018).

    Example:
        >>> evaluator = AnswerEvaluator()
        >>> evaluator.update([["The cat's"]], {"answer": ["cat's"]}, ["example 0"])
        >>> evaluator.result().metrics
        {'exact_match': 1.0, 'f1': 1.0}
    """

    def __init__(self) -> None:
        # Number of questions, and the sums of exact matches and F1: of those with an answer, and of those without.
        self.answered, self.unanswered = np.zeros(3), np.zeros(3)

    def update(self, targets: Iterable[Sequence[str]], decoded: Mapping[str, Any], ids: Sequence[str]) -> None:
        """Count the answers to some questions.

        Args:
            targets: the right answers to each question; none where it has none.
            decoded: "answer" [n], "" for no answer.
            ids: name of each question.
        """
        for answers, answer in zip(targets, decoded["answer"], strict=True):
            right = [each for each in answers if _normal(each)] or [""]  # the script drops answers such as "the"
            exact = max(float(_normal(answer) == _normal(each)) for each in right)
            sums = self.answered if len(answers) else self.unanswered
            sums += [1, exact, max(_overlap(answer, each) for each in right)]

    def result(self) -> ReportParts:
        """Return exact match and F1 in [0, 1].

        Where questions without an answer occur, both also for those with one, and the accuracy for those without.
        """
        metrics = dict(zip(("exact_match", "f1"), _means(self.answered + self.unanswered), strict=True))
        if self.unanswered[0]:
            exact, f1 = _means(self.answered)
            no_answer, _ = _means(self.unanswered)
            metrics |= {"answered_exact_match": exact, "answered_f1": f1, "no_answer_accuracy": no_answer}
        return ReportParts(metrics)


def _means(sums: np.ndarray) -> tuple[float, float]:
    count, exact, f1 = sums.tolist()
    return exact / max(count, 1), f1 / max(count, 1)


def _rates(hits: int, found: int, there: int) -> dict[str, float]:
    precision, recall = hits / max(found, 1), hits / max(there, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * hits / max(found + there, 1)}


def _normal(answer: str) -> str:
    """Lower case, without punctuation, articles and double spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _overlap(answer: str, right: str) -> float:
    """F1 of words."""
    one, other = _normal(answer).split(), _normal(right).split()
    if not one or not other:
        return float(one == other)
    common = (Counter(one) & Counter(other)).total()
    return 2 * common / (len(one) + len(other))
