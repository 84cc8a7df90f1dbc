"""Sources of questions and contexts: SQuAD 1.1 and 2.0 files, and lists in memory."""

import json
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.specs import InvalidExample, LabelSpec, Span

ANSWERS = LabelSpec(("answer",), "answers")


def from_squad(file: str | Path) -> Source:
    """Read the questions of a SQuAD 1.1 or 2.0 file (Rajpurkar et al. 2016, 2018).

    Args:
        file: JSON, UTF-8: {"data": [{"paragraphs": [{"context": …, "qas": [{"question", "id", "answers"}]}]}]}.

    Returns:
        A source of texts in memory; examples are pairs (question, context), object [n, 2]. Targets are the spans of all
        answers in the context, none if the question has no answer. Questions whose answers are not at their
        "answer_start" are in `invalid`.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If the file is not UTF-8, not JSON or not in the format of SQuAD, or has no usable question.
    """
    path = existing_file(file)
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error
    try:
        rows = list(_questions(content))
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f'{path} is not in the format of SQuAD, {{"data": [{{"paragraphs": [{{"context", "qas"}}]}}]}}: '
            f"{type(error).__name__} {error}"
        ) from error
    pairs, answers, ids, invalid = [], [], [], []
    for number, (context, question) in enumerate(rows):
        example_id = f"{path.name}, question {question.get('id', number)}"
        spans, reason = _answer_spans(context, question)
        if reason:
            invalid.append(InvalidExample(example_id, reason))
            continue
        pairs.append((question["question"], context))
        answers.append(spans)
        ids.append(example_id)
    if not pairs:
        reasons = check.listing((f"{example.example_id}: {example.reason}" for example in invalid), limit=3)
        raise InvalidInput(f"{path} has no usable question. {reasons or 'It is empty.'}")
    examples = np.array(pairs, object).reshape(-1, 2)
    targets = np.empty(len(answers), object)
    targets[:] = answers
    return Source("text", "arrays", examples, targets, ANSWERS, ids=np.array(ids, object), invalid=tuple(invalid))


def from_questions(questions: list[str], contexts: list[str], answers: list | None = None) -> Source:
    """Create a source from questions in memory.

    Args:
        questions: One question per example.
        contexts: Text that contains the answer, one per question.
        answers: For each question a list of (start, text) as in SQuAD, empty or None if it has no answer; None if the
            questions are unlabelled.

    Returns:
        A source of texts in memory; examples are pairs (question, context), object [n, 2].

    Raises:
        InvalidInput: If the lists differ in length, or answers are not in their context; all are listed.

    Examples:
        >>> from_questions(["Who?"], ["It was Ann."], [[(7, "Ann")]]).targets[0]
        (Span(start=7, end=10, label='', probability=None),)
    """
    problems = check.Problems()
    if len(contexts) != len(questions) or (answers is not None and len(answers) != len(questions)):
        raise InvalidInput(
            f"`questions`, `contexts` and `answers` must have equal lengths. Received: {len(questions)}, "
            f"{len(contexts)}, {None if answers is None else len(answers)}"
        )
    pairs = np.empty((len(questions), 2), object)
    pairs[:, 0], pairs[:, 1] = questions, contexts
    if answers is None:
        return Source("text", "arrays", pairs)
    targets = np.empty(len(questions), object)
    for row, (context, row_answers) in enumerate(zip(contexts, answers, strict=True)):
        is_list = row_answers is None or isinstance(row_answers, list | tuple)
        if not is_list or not all(isinstance(item, list | tuple) and len(item) == 2 for item in row_answers or ()):
            problems.add(f"question {row}: answers must be a list of (start, text). Received: {row_answers!r:.60}")
            continue
        squad_answers = [{"text": text, "answer_start": start} for start, text in row_answers or ()]
        targets[row], reason = _answer_spans(context, {"question": questions[row], "answers": squad_answers})
        if reason:
            problems.add(f"question {row}: {reason}")
    problems.raise_if_any()
    return Source("text", "arrays", pairs, targets, ANSWERS)


def _questions(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (context, question) for all questions of a SQuAD file."""
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                if not isinstance(question, dict):
                    raise InvalidType(f"a question must be an object. Received: {question!r:.40}")
                yield paragraph["context"], question


def _answer_spans(context: Any, question: dict[str, Any]) -> tuple[tuple[Span, ...], str]:
    """Return the spans of a question's answers, and the reason if the question is invalid, else ""."""
    text = question.get("question")
    if not isinstance(context, str) or not context.strip():
        return (), "empty context"
    if not isinstance(text, str) or not text.strip():
        return (), "empty question"
    answers = question.get("answers") or []
    if question.get("is_impossible") or not answers:
        return (), ""
    if not isinstance(answers, list) or not all(isinstance(answer, dict) for answer in answers):
        return (), 'answers must be a list of {"text", "answer_start"}'
    spans: dict[Span, None] = {}  # in order, without duplicates
    reason = ""
    for answer in answers:
        start, answer_text = answer.get("answer_start"), answer.get("text")
        span = _answer_span(context, start, answer_text)
        if span is None:
            reason = f"the answer {answer_text!r:.40} is not in its context at {start!r:.20}"
        else:
            spans[span] = None
    return tuple(spans), "" if spans else reason


def _answer_span(context: str, start: Any, answer: Any) -> Span | None:
    """Return the span of an answer without surrounding spaces; None if the context does not have it at `start`."""
    if not isinstance(start, Integral) or not isinstance(answer, str) or start < 0:
        return None
    if not answer.strip() or not context.startswith(answer, int(start)):
        return None
    first = int(start) + len(answer) - len(answer.lstrip())
    return Span(first, first + len(answer.strip()))


register_format("squad", from_squad, suffixes=(".json",))
