"""Scores of spans: whole entities, and answers as SQuAD's own script counts them."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tltk.specs import Span

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def entity_scores(
    true: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], names: Sequence[str]
) -> tuple[dict[str, float], tuple[dict[str, Any], ...]]:
    """Count entities found with the very borders and type, as CoNLL-2003's script does.

    Args:
        true: of each text.
        found: of each text.
        names: types of entities.

    Returns:
        "precision", "recall", "f1" over all entities and "macro_f1" over the types that occur; and a row a type.

    Example:
        >>> entity_scores([[Span(0, 2, "x"), Span(5, 6, "x")]], [[Span(0, 2, "x")]], ["x"])[0]
        {'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'macro_f1': 0.6666666666666666}
    """
    there: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for one, other in zip(true, found, strict=True):
        there.update(span.label for span in one)
        guessed.update(span.label for span in other)
        right.update(span.label for span in set(one) & set(other))
    rows = tuple(
        {"name": name, **_rates(right[name], guessed[name], there[name]), "support": there[name]} for name in names
    )
    occurring = [_rates(right[name], guessed[name], there[name])["f1"] for name in names if there[name]]
    every = _rates(right.total(), guessed.total(), there.total())
    return {**every, "macro_f1": sum(occurring) / max(len(occurring), 1)}, rows


def answer_scores(
    true: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], texts: Sequence[str]
) -> dict[str, float]:
    """Compare answers with all that were given, as the script of SQuAD 2.0 does (Rajpurkar et al. 2018).

    Args:
        true: the answers of each question; none where it has none.
        found: one answer or none a question.
        texts: the contexts.

    Returns:
        "exact_match" and "f1" in [0, 1]; and, where questions without an answer occur, both for those with and the
        accuracy for those without.

    Example:
        >>> answer_scores([[Span(0, 9)]], [[Span(4, 9)]], ["The cat's mat"])
        {'exact_match': 1.0, 'f1': 1.0}
    """
    rows = []
    for spans, guess, text in zip(true, found, texts, strict=True):
        given = [text[span.start : span.end] for span in spans]
        wanted = [each for each in given if _normal(each)] or [""]  # the script drops answers such as "the"
        said = text[guess[0].start : guess[0].end] if guess else ""
        exact = max(float(_normal(said) == _normal(each)) for each in wanted)
        rows.append((bool(spans), exact, max(_overlap(said, each) for each in wanted)))
    scores = {"exact_match": _mean(exact for _, exact, _ in rows), "f1": _mean(f1 for _, _, f1 in rows)}
    answerable = [row for row in rows if row[0]]
    if len(answerable) < len(rows):
        scores["answered_exact_match"] = _mean(exact for _, exact, _ in answerable)
        scores["answered_f1"] = _mean(f1 for _, _, f1 in answerable)
        scores["no_answer_accuracy"] = _mean(exact for has, exact, _ in rows if not has)
    return scores


def _rates(right: int, guessed: int, there: int) -> dict[str, float]:
    precision, recall = right / max(guessed, 1), right / max(there, 1)
    return {"precision": precision, "recall": recall, "f1": 2 * right / max(guessed + there, 1)}


def _normal(answer: str) -> str:
    """Lower case, without punctuation, articles and double spaces."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _overlap(said: str, wanted: str) -> float:
    """F1 of words."""
    one, other = _normal(said).split(), _normal(wanted).split()
    if not one or not other:
        return float(one == other)
    common = (Counter(one) & Counter(other)).total()
    return 2 * common / (len(one) + len(other))


def _mean(values: Any) -> float:
    held = list(values)
    return sum(held) / len(held) if held else 0.0
