"""Questions whose answers stand in a text: SQuAD 1.1 and 2.0."""

import json
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.specs import InvalidExample, LabelSpec, Span

ANSWERS = LabelSpec(("answer",), "answers")


def from_squad(file: str | Path) -> Source:
    """Take the questions of a file in the format of SQuAD 1.1 or 2.0 (Rajpurkar et al. 2016, 2018).

    Args:
        file: JSON, UTF-8: {"data": [{"paragraphs": [{"context": …, "qas": [{"question", "id", "answers"}]}]}]}.

    Returns:
        A source of kind "pairs" of (question, context), whose targets are the places of all answers that were given;
        none where the question has no answer. Questions whose answers are not where the file says are in `invalid`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: for wrong encoding, no JSON, another structure, or if no question can be used.
    """
    path = existing(file)
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    try:
        rows = list(_questions(found))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is not in the format of SQuAD, {{"data": [{{"paragraphs": [{{"context", "qas"}}]}}]}}: '
            f"{type(error).__name__} {error}"
        ) from error
    items, targets, ids, invalid = [], [], [], []
    for number, (context, question) in enumerate(rows):
        name = f"{path.name}, question {question.get('id', number)}"
        spans, reason = _answers(context, question)
        if reason:
            invalid.append(InvalidExample(name, reason))
            continue
        items.append((question["question"], context))
        targets.append(spans)
        ids.append(name)
    if not items:
        shown = check.listing((f"{each.example_id}: {each.reason}" for each in invalid), limit=3)
        raise ValueError(f"{path} holds no question that can be used. {shown or 'It is empty.'}")
    pairs = np.array(items, object).reshape(-1, 2)
    held = np.empty(len(targets), object)
    held[:] = targets
    return Source("text", "arrays", pairs, held, ANSWERS, ids=np.array(ids, object), invalid=tuple(invalid))


def from_questions(questions: list[str], contexts: list[str], answers: list | None = None) -> Source:
    """Take questions that are in memory already.

    Args:
        questions: one an example.
        contexts: the text in which each is to be answered.
        answers: for each, a list of (start, text) as in SQuAD, empty or None where there is no answer; None for
            unlabelled questions.

    Returns:
        A source of kind "pairs".

    Raises:
        ValueError: if the lists differ in length, or an answer is not in its context, all listed.

    Example:
        >>> from_questions(["Who?"], ["It was Ann."], [[(7, "Ann")]]).targets[0]
        (Span(start=7, end=10, label='', probability=None),)
    """
    problems = check.Problems()
    if len(contexts) != len(questions) or (answers is not None and len(answers) != len(questions)):
        raise ValueError(
            f"`questions`, `contexts` and `answers` must be of equal length. Received: {len(questions)}, "
            f"{len(contexts)}, {None if answers is None else len(answers)}"
        )
    pairs = np.empty((len(questions), 2), object)
    pairs[:, 0], pairs[:, 1] = questions, contexts
    if answers is None:
        return Source("text", "arrays", pairs)
    targets = np.empty(len(questions), object)
    for row, (context, held) in enumerate(zip(contexts, answers, strict=True)):
        listed = held is None or isinstance(held, list | tuple)
        if not listed or not all(isinstance(each, list | tuple) and len(each) == 2 for each in held or ()):
            problems.add(f"question {row}: answers must be a list of (start, text). Received: {held!r:.60}")
            continue
        given = [{"text": text, "answer_start": start} for start, text in held or ()]
        targets[row], reason = _answers(context, {"question": questions[row], "answers": given})
        if reason:
            problems.add(f"question {row}: {reason}")
    problems.raise_if_any()
    return Source("text", "arrays", pairs, targets, ANSWERS)


def _questions(found: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for article in found["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                if not isinstance(question, dict):
                    raise TypeError(f"a question must be an object. Received: {question!r:.40}")
                yield paragraph["context"], question


def _answers(context: Any, question: dict[str, Any]) -> tuple[tuple[Span, ...], str]:
    """Return the places of a question's answers, or why it cannot be used."""
    text = question.get("question")
    if not isinstance(context, str) or not context.strip():
        return (), "empty context"
    if not isinstance(text, str) or not text.strip():
        return (), "empty question"
    given = question.get("answers") or []
    if question.get("is_impossible") or not given:
        return (), ""
    if not isinstance(given, list) or not all(isinstance(answer, dict) for answer in given):
        return (), 'answers must be a list of {"text", "answer_start"}'
    spans: dict[Span, None] = {}
    wrong = ""
    for answer in given:
        start, held = answer.get("answer_start"), answer.get("text")
        span = _place(context, start, held)
        if span is None:
            wrong = f"the answer {held!r:.40} is not in its context at {start!r:.20}"
        else:
            spans[span] = None
    return tuple(spans), "" if spans else wrong


def _place(context: str, start: Any, held: Any) -> Span | None:
    """Find an answer, without the spaces around it; None if it is not there."""
    if not isinstance(start, Integral) or not isinstance(held, str) or start < 0 or not context.startswith(held, start):
        return None
    first = int(start) + len(held) - len(held.lstrip())
    return Span(first, first + len(held.strip())) if held.strip() else None


register_format("squad", from_squad, suffixes=(".json",))
