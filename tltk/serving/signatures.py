"""What a SavedModel computes: requests, tensors → named answers or features, each a graph over the same weights."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf

from tltk.data.framing import Frames
from tltk.data.texts import padded
from tltk.data.tokenizer import Tokenizer, tokenizer
from tltk.data.tokens import frames
from tltk.embedding import extractor
from tltk.model import TransferModel
from tltk.serving import requests
from tltk.serving.spans import best_answers, entities_of
from tltk.specs import InputSpec, TextSpec
from tltk.tasks.answering import Answer
from tltk.tasks.base import Task
from tltk.tasks.classification import MultiLabel
from tltk.tasks.regression import Regress
from tltk.tasks.tagging import Tag

REQUEST, TENSOR, FEATURES = "serving_default", "predict_tensor", "embed"


@dataclass(frozen=True)
class Served:
    """One signature.

    Args:
        run: tensors → named tensors.
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


@dataclass(frozen=True)
class Read:
    """Requests as tensors.

    Args:
        tensor: what the model eats.
        valid: bool [batch].
        error: strings [batch].
        texts: the strings of a request, for answers.
        frames: of texts.
    """

    tensor: tf.Tensor
    valid: tf.Tensor
    error: tf.Tensor
    texts: tuple[tf.Tensor, ...]
    frames: Frames | None = None


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads requests, in a graph: strings [batch], one or two.

    Args:
        spec: what the model eats.
        cut: the tokenizer, of texts.
    """

    spec: Any
    cut: Tokenizer | None

    @property
    def tables(self) -> list:
        """What it looks things up in."""
        return [] if self.cut is None else self.cut.tables

    def __call__(self, *given: tf.Tensor) -> Read:
        """Read."""
        if self.cut is None:
            return Read(*requests.pictures(given[0], self.spec), given)
        found = frames(self.spec, self.cut, *given)
        return Read(padded(found.ids, self.spec), *requests.texts(*given), given, found)


def reader(spec: InputSpec | TextSpec) -> Reader:
    """Build what reads the requests of a model that eats `spec`."""
    return Reader(spec, tokenizer(spec) if isinstance(spec, TextSpec) else None)


def served(model: TransferModel) -> dict[str, Served]:
    """Build what a model serves.

    Args:
        model: run in inference mode.

    Returns:
        "serving_default" of requests: of pictures "image_bytes", of texts "texts", of pairs "texts" and "second_texts",
        of questions "questions" and "contexts" → "label", "probability", "probabilities", "labels" of one class;
        "probabilities", "labels", "chosen" of several; "values", "labels" of numbers; "starts", "stops", "types",
        "probabilities" [batch, most entities] of entities, padded with -1 and ""; "answer", "start", "stop",
        "probability" of answers, "" and -1 where there is none. Starts and stops count characters (code points). And
        "valid", "error": a request that cannot be read is answered by "", 0, -1 and what is wrong with it.
        "embed" of the same requests → "features" [batch, channels], "valid", "error".
        "predict_tensor" of what the network eats, "pixels" [batch, height, width, 3] in [0, 255] or "token_ids" [batch,
        tokens] → the same names for whole examples; of tags "probabilities" [batch, tokens, tags] and "labels", of
        answers "logits" [batch, tokens, 2].
    """
    spec, task = model.input, model.task
    strings = tuple(tf.TensorSpec([None], tf.string, name=name) for name in _request_names(model))
    tensor = (tf.TensorSpec([None, *spec.shape], spec.dtype, name=spec.name),)
    read = reader(spec)
    # Features are of a text, not of its windows.
    read_whole = Reader(replace(spec, stride=None), read.cut) if isinstance(spec, TextSpec) else read
    network = extractor(model, "avg")

    def answer(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        held = read(*request)
        found = _answers(task, model.keras(held.tensor, training=False), held, spec)
        return {**requests.blanked(found, held.valid), "valid": held.valid, "error": held.error}

    def embed(*request: tf.Tensor) -> dict[str, tf.Tensor]:
        held = read_whole(*request)
        found = {"features": tf.cast(network(held.tensor, training=False), tf.float32)}
        return {**requests.blanked(found, held.valid), "valid": held.valid, "error": held.error}

    def predict(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return _of_tensors(task, model.keras(tensor, training=False))

    graphs = {
        REQUEST: Served(answer, strings, read.tables),
        TENSOR: Served(predict, tensor, []),
        FEATURES: Served(embed, strings, read.tables),
    }
    return {
        name: replace(graph, run=tf.function(graph.run, input_signature=graph.inputs, autograph=False))
        for name, graph in graphs.items()
    }


def _request_names(model: TransferModel) -> tuple[str, ...]:
    if not isinstance(model.input, TextSpec):
        return ("image_bytes",)
    if isinstance(model.task, Answer):
        return ("questions", "contexts")
    return ("texts", "second_texts")[: 1 + model.input.pairs]


def _answers(task: Task, outputs: tf.Tensor, held: Read, spec: Any) -> dict[str, tf.Tensor]:
    found: Any = held.frames
    if isinstance(task, Tag):
        return entities_of(task, outputs, found)
    if isinstance(task, Answer):
        return best_answers(task, outputs, found, held.texts[1], ends=len(spec.special(pair=True)[2]))
    windows = found is not None and spec.stride is not None
    return _named(task, _averaged(outputs, found, tf.size(held.valid)) if windows else outputs)


def _of_tensors(task: Task, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    if isinstance(task, Answer):
        return {"logits": outputs}
    if isinstance(task, Tag):
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
    if isinstance(task, Regress):
        return {"values": outputs, "labels": every}
    if isinstance(task, MultiLabel):
        return {"probabilities": outputs, "labels": every, "chosen": outputs > task.threshold}
    best = tf.argmax(outputs, -1)
    return {
        "label": tf.gather(tf.constant(task.labels.names), best),
        "probability": tf.reduce_max(outputs, -1),
        "probabilities": outputs,
        "labels": every,
    }
