"""Sources of questions and contexts: SQuAD 1.1 and 2.0 files, and lists in memory."""

import json
import logging
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from tltk.data.exclude import Exclude
from tltk.data.formats.registry import register_format
from tltk.data.formats.text_files import existing_file, read_text
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput
from tltk.specs import InvalidExample, LabelSpec, Span

log = logging.getLogger("tltk")
ANSWERS = LabelSpec(("answer",), "answers")


def from_squad(file: str | Path, *, exclude: Exclude = None) -> Source:
    """Read the questions of a SQuAD 1.1 or 2.0 file (Rajpurkar et al. 2016, 2018), nested or flat.

    Args:
        file: JSON, UTF-8: {"data": [{"paragraphs": [{"context": …, "qas": [{"question", "id", "answers"}]}]}]}, or a
            list of {"question", "context", "answers"}, also one per line in a .jsonl file. Answers are a list of
            {"text", "answer_start"}, or as in datasets of Hugging Face {"text": [...], "answer_start": [...]}.
        exclude: Examples to leave out, see `Source.without`.

    Returns:
        A source of texts in memory; examples are pairs (question, context), object [n, 2]. Targets are the spans of all
        answers in the context, () if the question has no answer or an empty one. A start of -1 is unknown: the answer
        is looked up. Questions whose answers are not at their "answer_start" are in `invalid`, and so are paragraphs
        and questions of another form.

    Raises:
        NotFound: If the file does not exist.
        InvalidInput: If the file is not UTF-8, not JSON or not in the format of SQuAD, or has no usable question.
    """
    path = existing_file(file)
    text = read_text(path)
    content = _parsed(path, text)
    rows: list[tuple[Any, dict[str, Any]]] = []
    invalid: list[InvalidExample] = []
    for row in _questions(path, content):
        if isinstance(row, InvalidExample):
            invalid.append(row)
        else:
            rows.append(row)
    if invalid and not rows:
        raise _not_squad(
            path, check.listing((f"{example.example_id}: {example.reason}" for example in invalid), limit=3)
        )
    pairs, answers, ids = [], [], []
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
    source = Source("text", "arrays", examples, targets, ANSWERS, ids=np.array(ids, object), invalid=tuple(invalid))
    return source.without(exclude)


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


def _parsed(path: Path, text: str) -> Any:
    """Parse a JSON file, or one JSON object per line."""
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error


def _not_squad(path: Path, reason: str) -> InvalidInput:
    return InvalidInput(
        f'{path} is not in the format of SQuAD, {{"data": [{{"paragraphs": [{{"context", "qas"}}]}}]}}, nor a list '
        f'of {{"question", "context", "answers"}}. {reason}'
    )


def _questions(path: Path, content: Any) -> Iterator[tuple[Any, dict[str, Any]] | InvalidExample]:
    """Yield (context, question) for all questions: of articles with paragraphs, or flat, each with its context.

    Items of another form are yielded as invalid examples with their place as id, such as data[0].paragraphs[3].
    """
    articles = content.get("data") if isinstance(content, dict) else content
    if not isinstance(articles, list) or (not articles and articles is content):
        raise _not_squad(path, f"Received: {content!r:.40}")
    for index, article in enumerate(articles):
        place = f"{path.name}, {'data' if isinstance(content, dict) else ''}[{index}]"
        is_object = isinstance(article, dict)
        if is_object and "question" in article and "context" in article:
            yield article["context"], article
        elif not is_object or not isinstance(article.get("paragraphs"), list):
            reason = 'must be an object with a list "paragraphs", or with "question" and "context"'
            yield InvalidExample(place, f"{reason}. Received: {article!r:.40}")
        else:
            for number, paragraph in enumerate(article["paragraphs"]):
                yield from _questions_of(f"{place}.paragraphs[{number}]", paragraph)


def _questions_of(place: str, paragraph: Any) -> Iterator[tuple[Any, dict[str, Any]] | InvalidExample]:
    """Yield (context, question) for the questions of a paragraph."""
    is_complete = isinstance(paragraph, dict) and "context" in paragraph and isinstance(paragraph.get("qas"), list)
    if not is_complete:
        reason = f'a paragraph must have "context" and a list "qas". Received: {paragraph!r:.40}'
        yield InvalidExample(place, reason)
        return
    for index, question in enumerate(paragraph["qas"]):
        if isinstance(question, dict):
            yield paragraph["context"], question
        else:
            reason = f"a question must be an object. Received: {question!r:.40}"
            yield InvalidExample(f"{place}.qas[{index}]", reason)


def _answer_spans(context: Any, question: dict[str, Any]) -> tuple[tuple[Span, ...], str]:
    """Return the spans of a question's answers, and the reason if the question is invalid, else ""."""
    text = question.get("question")
    if not isinstance(context, str) or not context.strip():
        return (), "empty context"
    if not isinstance(text, str) or not text.strip():
        return (), "empty question"
    answers = _listed(question.get("answers") or [])
    if answers is None:
        return (), 'answers must be a list of {"text", "answer_start"}'
    answers = [answer for answer in answers if answer.get("text") != ""]  # an empty answer: there is none
    if question.get("is_impossible") or not answers:
        return (), ""
    spans: dict[Span, None] = {}  # in order, without duplicates
    reasons = []
    for answer in answers:
        span, reason = _answer_span(context, answer.get("answer_start"), answer.get("text"))
        if span is None:
            reasons.append(reason)
        else:
            spans[span] = None
    if spans and reasons:
        log.warning("question %r: %s; its other answers are used.", text[:60], reasons[0])
    return tuple(spans), "" if spans else reasons[0]


def _listed(answers: Any) -> list[dict[str, Any]] | None:
    """Return answers as a list of {"text", "answer_start"}; None if they have another form.

    Datasets of Hugging Face have one dict of two lists instead.
    """
    if isinstance(answers, dict):
        texts, starts = answers.get("text"), answers.get("answer_start")
        if not isinstance(texts, list) and not isinstance(starts, list):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return None
        answers = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    is_list = isinstance(answers, list) and all(isinstance(answer, dict) for answer in answers)
    return answers if is_list and all(isinstance(answer.get("text"), str) for answer in answers) else None


def _answer_span(context: str, start: Any, answer: Any) -> tuple[Span | None, str]:
    """Return the span of an answer without surrounding spaces, or the reason why the context does not contain it.

    A start of -1 means that it is unknown; it is found if the answer occurs once.
    """
    reason = f"the answer {answer!r:.40} is not in its context at {start!r:.20}"
    if not isinstance(start, Integral) or not isinstance(answer, str) or not answer.strip():
        return None, reason
    count = context.count(answer)
    if start == -1 and count > 1:
        return None, f"the answer {answer!r:.40} occurs {count} times in its context, and its start is -1"
    position = context.find(answer) if start == -1 else int(start)
    if position < 0 or not context.startswith(answer, position):
        return None, reason
    first = position + len(answer) - len(answer.lstrip())
    return Span(first, first + len(answer.strip())), ""


register_format("squad", from_squad, suffixes=(".json",))
