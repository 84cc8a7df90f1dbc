"""Judges an exported file by its answers: labels, spans and values, beside those of the model."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tltk.data.source import Source
from tltk.evaluation.evaluate import evaluate_network
from tltk.foundation.errors import ServingError
from tltk.inference.decoded_batches import DecodedBatch, decoded_batches
from tltk.inference.forward import Network
from tltk.modalities.modality import modality_of
from tltk.models.transfer_model import TransferModel
from tltk.serving.certificate import Answers
from tltk.tasks.records import Prediction
from tltk.tasks.sources import require_labels, with_labels_of

# Format → largest accepted share of changed answers; 0 for formats that compute in float32.
MAX_CHANGED = {"onnx": 0.0, "openvino": 0.0, "litert": 0.0, "litert_float16": 0.01, "litert_int8": 0.05}
MAX_SCORE_LOSS = 0.01  # one point of accuracy or F1
_JUDGED_EXAMPLES = 500
_GENERATED_REQUESTS = 24


def compare_answers(
    model: TransferModel, original: Network, exported: Network, examples: Source | None, max_changed: float
) -> Answers:
    """Compare the answers of an exported network with those of the original one.

    Args:
        model: Its input format and task are used to read the examples and decode the outputs.
        original: Network in float32.
        exported: The exported file as a function.
        examples: Up to 500 of them are used, spread evenly; None for 24 generated requests. If they have labels, the
            score of the task is computed too.
        max_changed: Largest accepted share of changed answers, stored in the result.

    Returns:
        The comparison.

    Raises:
        InvalidInput: If the labels of the examples are not those of the model.
    """
    with _judged(model, examples) as source:
        expected, model_score = _predictions(model, source, original)
        predictions, score = _predictions(model, source, exported)
    changed = float(np.mean(model.task.changed_answers(expected, predictions)))
    metric = "" if score is None else model.task.score_name
    return Answers(len(expected), changed, max_changed, metric, model_score, score)


def require_same_answers(answers: Answers, model: TransferModel, file_format: str, *, check_score: bool) -> None:
    """Refuse an export that answers differently.

    One example is always accepted for formats that round weights: a share of a few examples means nothing.

    Args:
        answers: Result of `compare_answers`.
        model: Its task tells whether a larger score is better.
        file_format: Format of the export.
        check_score: Whether the score may not fall by more than a point; scores that are better if they are smaller,
            such as errors of regression, are judged by their changed answers only.

    Raises:
        ServingError: If too many answers changed, or the score fell too far.
    """
    one_example = 1 / answers.examples
    accepted_share = max(answers.max_changed, one_example if answers.max_changed else 0.0)
    score_loss = 0.0
    if answers.score is not None and answers.model_score is not None and model.task.monitor.mode == "max":
        score_loss = answers.model_score - answers.score
    is_worse = check_score and not score_loss <= max(MAX_SCORE_LOSS, one_example) + 1e-9  # also true for NaN
    if answers.changed <= accepted_share and not is_worse:
        return
    limits = f"at most {answers.max_changed:.1%} may change"
    if check_score and answers.metric:
        limits += f", and {answers.metric} may fall by {MAX_SCORE_LOSS}"
    raise ServingError(
        f"the {file_format} export answers differently from the model: {answers.describe()}; {limits}. "
        'Use format="litert_float16" or "litert", or accept it by max_changed=. Too few or unusual `calibration` '
        "examples, and models that are hardly trained, can be the reason."
    )


@contextmanager
def _judged(model: TransferModel, examples: Source | None) -> Iterator[Source]:
    """Yield the examples to compare on: some of the given ones, or generated requests in a temporary folder."""
    if examples is not None:
        rows = np.unique(np.linspace(0, len(examples) - 1, _JUDGED_EXAMPLES).astype(int))
        yield examples.subset(rows)
        return
    modality, spec = modality_of(model.input_spec), model.input_spec
    if not modality.request_names(spec):
        yield modality.source(modality.sample_inputs(spec, count=_GENERATED_REQUESTS, seed=0), spec)
        return
    with tempfile.TemporaryDirectory() as folder:
        requests = modality.sample_requests(spec, count=_GENERATED_REQUESTS, seed=0)
        yield modality.from_requests(requests, spec, Path(folder))


def _predictions(model: TransferModel, source: Source, network: Network) -> tuple[list[Prediction], float | None]:
    """Return the prediction for each readable example, and the score if the source has labels."""
    predictions: list[Prediction] = []

    def add(batch: DecodedBatch) -> None:
        predictions.extend(model.task.predictions(batch.decoded, batch.ids))

    if source.targets is not None:
        source = with_labels_of(model.task, source)
        require_labels(model.task, source, "calibration")
        report = evaluate_network(model, source, network=network, max_invalid_fraction=1.0, on_batch=add)
        return predictions, report.metrics[model.task.score_name]
    for batch in decoded_batches(
        model, source, batch_size=32, max_invalid_fraction=1.0, invalid=[], title="checking", network=network
    ):
        add(batch)
    return predictions, None
