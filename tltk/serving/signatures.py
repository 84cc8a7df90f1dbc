"""What a SavedModel computes: requests, tensors → named answers or features, each a graph over the same weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import tensorflow as tf

from tltk.inference.embed import extractor
from tltk.modalities.text.encoding import frames
from tltk.modalities.text.reader import padded
from tltk.modalities.text.tokenizers.tokenizer import tokenizer
from tltk.modalities.text.windows import Frames
from tltk.models.assemble import TransferModel
from tltk.serving import requests
from tltk.specs import TextSpec
from tltk.tasks.base import Task
from tltk.tasks.classification import MultilabelClassification
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.regression import Regression
from tltk.tasks.span_decoders import best_answers, entities_of
from tltk.tasks.token_classification import TokenClassification

REQUEST, TENSOR, FEATURES = "serving_default", "predict_tensor", "embed"


@dataclass(frozen=True)
class Served:
    """One signature.

    Args:
        run: tensors → named tensors, to be traced.
        inputs: what it takes, named.
        tables: that it looks things up in.
    """

    run: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[tf.TensorSpec, ...]
    tables: list

    @property
    def names(self) -> tuple[str, ...]:
        """Names of what it takes."""
        return tuple(spec.name for spec in self.inputs)


class Read(NamedTuple):
    """Requests as tensors.

    Args:
        tensor: what the model eats.
        valid: bool [batch].
        error: strings [batch].
        frames: of texts.
    """

    tensor: tf.Tensor
    valid: tf.Tensor
    error: tf.Tensor
    frames: Frames | None = None


@lru_cache(maxsize=4)
def reader(spec: Any) -> tuple[Callable[..., Read], list]:
    """Build what reads the requests of a model that eats `spec`.

    Args:
        spec: of pictures or texts.

    Returns:
        Strings [batch], of pairs two → what was read, as one graph that is traced and stored once, however many
        signatures read. And the tables that it looks things up in.
    """
    cut = tokenizer(spec.tokenizer) if isinstance(spec, TextSpec) else None
    columns = 1 + (isinstance(spec, TextSpec) and spec.pairs)

    def read(*given: tf.Tensor) -> Read:
        if cut is None:
            return Read(*requests.pictures(given[0], spec))
        found = frames(spec, cut, *given)
        return Read(padded(found.ids, spec), *requests.texts(*given), found)

    return _graph(read, [tf.TensorSpec([None], tf.string)] * columns), cut.tables if cut else []


def served(model: TransferModel) -> dict[str, Served]:
    """Build what a model serves.

    Args:
        model: run in inference mode.

    Returns:
        "serving_default" of requests: of pictures "image_bytes", of texts "texts", of pairs "texts" and "second_texts",
        of questions "questions" and "contexts" → "label", "probability", "probabilities", "labels" of one class;
        "probabilities", "labels", "chosen" of several; "values", "labels" of numbers; "starts", "ends", "types",
        "probabilities" [batch, most entities] of entities, padded with -1 and ""; "answer", "start", "end",
        "probability" of answers, "" and -1 where there is none. Starts and ends count characters (code points). And
        "valid", "error": a request that cannot be read is answered by "", 0, -1 and what is wrong with it.
        "embed" of the same requests → "features" [batch, channels], "valid", "error".
        "predict_tensor" of what the network eats, "pixels" [batch, height, width, 3] in [0, 255] or "token_ids" [batch,
        tokens] → the same names for whole examples; of tags "probabilities" [batch, tokens, tags] and "labels", of
        answers "logits" [batch, tokens, 2].
    """
    spec, task = model.input, model.task
    strings = tuple(tf.TensorSpec([None], tf.string, name=name) for name in _request_names(model))
    tensor = (tf.TensorSpec([None, *spec.shape], spec.dtype, name=spec.name),)
    read, tables = reader(spec)
    # Features are of a text, not of its windows.
    windows = isinstance(spec, TextSpec) and spec.stride is not None
    read_whole, more_tables = reader(replace(spec, stride=None)) if windows else (read, [])  # type: ignore[arg-type]
    network = _graph(partial(model.keras, training=False), tensor)
    features = extractor(model, "avg")

    def answer(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        held = read(*request)
        found = _answers(task, network(held.tensor), held, request, spec)
        return {**requests.blanked(found, held.valid), "valid": held.valid, "error": held.error}

    def embed(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        held = read_whole(*request)
        found = {"features": tf.cast(features(held.tensor, training=False), tf.float32)}
        return {**requests.blanked(found, held.valid), "valid": held.valid, "error": held.error}

    def predict(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return _of_tensors(task, network(tensor))

    return {
        REQUEST: Served(_of_none_too(answer), strings, [*tables, *more_tables]),
        TENSOR: Served(_of_none_too(predict), tensor, []),
        FEATURES: Served(_of_none_too(embed), strings, [*tables, *more_tables]),
    }


def _graph(run: Callable[..., Any], inputs: Sequence[tf.TensorSpec]) -> Callable[..., Any]:
    """Trace once, for whatever calls it; a tf.function would be traced again inside of another."""
    return tf.function(run, input_signature=inputs, autograph=False).get_concrete_function()


def _of_none_too(run: Callable[..., dict[str, tf.Tensor]]) -> Callable[..., dict[str, tf.Tensor]]:
    """Answer a batch of no element by one that is blank, and leave that out: fused batch norms fail on none."""

    def asked(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(given[0])[:1]
        filled = []
        for each in given:
            shape = tf.concat([tf.cast(count == 0, tf.int32), tf.shape(each)[1:]], 0)
            filled.append(tf.ensure_shape(tf.concat([each, tf.zeros(shape, each.dtype)], 0), each.shape))
        return {name: value[: count[0]] for name, value in run(*filled).items()}

    return asked


def _request_names(model: TransferModel) -> tuple[str, ...]:
    if not isinstance(model.input, TextSpec):
        return ("image_bytes",)
    if isinstance(model.task, QuestionAnswering):
        return ("questions", "contexts")
    return ("texts", "second_texts")[: 1 + model.input.pairs]


def _answers(
    task: Task, outputs: tf.Tensor, held: Read, request: Sequence[tf.Tensor], spec: Any
) -> dict[str, tf.Tensor]:
    found: Any = held.frames
    if isinstance(task, TokenClassification):
        return entities_of(task, outputs, found)
    if isinstance(task, QuestionAnswering):
        return best_answers(task, outputs, found, request[1], ends=len(spec.tokenizer.special_ids(pair=True)[2]))
    windows = found is not None and spec.stride is not None
    return _named(task, _averaged(outputs, found, tf.size(held.valid)) if windows else outputs)


def _of_tensors(task: Task, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    if isinstance(task, QuestionAnswering):
        return {"logits": outputs}
    if isinstance(task, TokenClassification):
        return {"probabilities": outputs, "labels": _each(task.tags, outputs)}
    return _named(task, outputs)


def _averaged(outputs: tf.Tensor, found: Frames, count: tf.Tensor) -> tf.Tensor:
    """Average over the windows of each text."""
    return tf.math.unsorted_segment_mean(outputs, found.owners, count)


def _each(names: tuple[str, ...], outputs: tf.Tensor) -> tf.Tensor:
    """Repeat names for every example: TensorFlow Serving takes a batch apart."""
    row: Any = tf.constant(names)
    return tf.tile(row[None], [tf.shape(outputs)[0], 1])


def _named(task: Task, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    every = _each(task.labels.names, outputs)
    if isinstance(task, Regression):
        return {"values": outputs, "labels": every}
    if isinstance(task, MultilabelClassification):
        return {"probabilities": outputs, "labels": every, "chosen": outputs > task.threshold}
    best = tf.argmax(outputs, -1)
    return {
        "label": tf.gather(tf.constant(task.labels.names), best),
        "probability": tf.reduce_max(outputs, -1),
        "probabilities": outputs,
        "labels": every,
    }
