"""Whether what is served says the same as `tltk.predict`, which reads its examples another way."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from tltk.inference.embed import embed
from tltk.inference.predict import predict
from tltk.models.assemble import TransferModel
from tltk.specs import ImageSpec, Span, TextSpec
from tltk.tasks.base import Prediction
from tltk.tasks.classification import MultilabelClassification
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.token_classification import TokenClassification

_TOLERANCE = {"float32": 1e-5}
_COARSE = 0.05  # of 16 bits: another batch is another rounding
_FEATURES = 1e-4  # which are not squashed into probabilities, and of another batch


def disagreements(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], answers: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare answers of `serving_default` with those of `tltk.predict`.

    Args:
        model: the one that is served.
        requests: pictures, texts or pairs of texts as bytes, a tuple each.
        answers: name → [requests, …].

    Returns:
        What differs, a line each: a request that only one of them can read, a label, a number by more than 1e-5, a
        span. Of a model in 16 bits numbers are compared, and coarsely: its labels and spans change with the batch.
    """
    found = _predicted(model, requests)
    tolerance = _TOLERANCE.get(model.precision, _COARSE)
    lines = []
    for row, prediction in enumerate(found):
        if (prediction is not None) != bool(answers["valid"][row]):
            who = "tltk.predict" if prediction is not None else "the export"
            lines.append(f"request {row} is read by {who} alone ({answers['error'][row].decode()})")
        elif prediction is not None:
            own = {name: column[row] for name, column in answers.items()}
            difference = _difference(model, prediction, own, tolerance)
            lines += [f"request {row}: {difference}"] if difference else []
    return lines


def features_apart(
    model: TransferModel, requests: Sequence[tuple[bytes, ...]], answers: Mapping[str, np.ndarray]
) -> list[str]:
    """Compare answers of `embed` with those of `tltk.embed`, of the first two requests that can be read.

    Args:
        model: the one that is served.
        requests: pictures, texts or pairs of texts as bytes, a tuple each.
        answers: name → [requests, …].

    Returns:
        What differs: nothing or a line. Of a model in 16 bits nothing is compared, another batch is another rounding.
    """
    rows = np.flatnonzero(answers["valid"])[:2]
    if model.precision not in _TOLERANCE or not rows.size:
        return []
    with _readable(model, [requests[row] for row in rows]) as (inputs, _):
        expected = embed(model, inputs).values
    apart = float((np.abs(answers["features"][rows] - expected) / np.maximum(1.0, np.abs(expected))).max())
    return [] if apart <= _FEATURES else [f"features are not those of tltk.embed: they differ by {apart:.1e}"]


def _predicted(model: TransferModel, requests: Sequence[tuple[bytes, ...]]) -> list[Prediction | None]:
    """Ask `predict`; None for what it cannot read."""
    with _readable(model, requests) as (inputs, rows):
        found = predict(model, inputs)[0] if inputs else []
    if isinstance(model.input, ImageSpec):
        rows = [int(Path(prediction.example_id).name) for prediction in found]
    by_row = dict(zip(rows, found, strict=True))
    return [by_row.get(row) for row in range(len(requests))]


@contextmanager
def _readable(model: TransferModel, requests: Sequence[tuple[bytes, ...]]) -> Iterator[tuple[Any, list[int]]]:
    """Turn requests into what `predict` takes, and the number of each text that it will not leave out."""
    if isinstance(model.input, TextSpec):
        held = {row: texts for row, request in enumerate(requests) if (texts := _decoded(request)) is not None}
        inputs: Any = [texts if model.input.pairs else texts[0] for texts in held.values()]
        yield inputs, [row for row, texts in held.items() if all(text.strip() for text in texts)]
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, str(row)) for row in range(len(requests))]
        for path, (data,) in zip(paths, requests, strict=True):
            path.write_bytes(data)
        yield paths, []


def _decoded(request: tuple[bytes, ...]) -> tuple[str, ...] | None:
    try:
        return tuple(text.decode() for text in request)
    except UnicodeDecodeError:
        return None


def _difference(model: TransferModel, said: Prediction, own: Mapping[str, Any], tolerance: float) -> str:
    if isinstance(model.task, TokenClassification | QuestionAnswering):
        return "" if tolerance == _COARSE else _difference_of_spans(said, own, tolerance)
    numbers = own["values"] if "values" in own else own["probabilities"]
    names = [name.decode() for name in own["labels"]]
    expected = np.array([said.scores[name] for name in names])
    apart = float((np.abs(numbers - expected) / np.maximum(1.0, np.abs(expected))).max())
    if not apart <= tolerance:
        return f"numbers differ by {apart:.1e}"
    if isinstance(model.task, MultilabelClassification):
        threshold, chosen = model.task.threshold, dict(zip(names, own["chosen"].tolist(), strict=True))
        clear = [name for name, score in said.scores.items() if abs(score - threshold) > tolerance]
        other = [name for name in clear if chosen[name] != (said.scores[name] > threshold)]
        return f"{other} are chosen by one alone" if other else ""
    if "label" not in own:
        return ""
    best, label = max(said.scores.values()), own["label"].decode()
    return "" if said.scores[label] >= best - tolerance else f"{label!r} is not {said.label!r}"


def _difference_of_spans(said: Prediction, own: Mapping[str, Any], tolerance: float) -> str:
    text = own["answer"].decode() if "answer" in own else said.label
    spans = _answer(own) if "answer" in own else _entities(own)
    if text != said.label:
        return f"{text!r} is not {said.label!r}"
    return "" if _same(spans, said.spans, tolerance) else f"{spans} is not {said.spans}"


def _entities(own: Mapping[str, Any]) -> tuple[Span, ...]:
    columns = zip(own["starts"], own["ends"], own["types"], own["probabilities"], strict=True)
    return tuple(
        Span(int(start), int(end), kind.decode(), float(sure)) for start, end, kind, sure in columns if start >= 0
    )


def _answer(own: Mapping[str, Any]) -> tuple[Span, ...]:
    if own["start"] < 0:
        return ()
    return (Span(int(own["start"]), int(own["end"]), "", float(own["probability"])),)


def _same(spans: tuple[Span, ...], others: tuple[Span, ...], tolerance: float) -> bool:
    """Tell whether spans are equal, their probabilities but for rounding."""
    sure = zip(spans, others, strict=False)
    return spans == others and all(abs(one.probability - other.probability) <= tolerance for one, other in sure)  # type: ignore[operator]
