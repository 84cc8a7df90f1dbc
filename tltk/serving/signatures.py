"""What a SavedModel computes of a request: image bytes, texts or pairs of texts → named answers, in one graph."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tltk.data.decode import decode_image
from tltk.data.framing import Frames
from tltk.data.texts import padded
from tltk.data.tokenizer import tokenizer
from tltk.data.tokens import frames
from tltk.model import TransferModel
from tltk.serving.spans import best_answers, entities_of
from tltk.specs import TextSpec
from tltk.tasks.answering import Answer
from tltk.tasks.base import Task
from tltk.tasks.classification import MultiLabel
from tltk.tasks.regression import Regress
from tltk.tasks.tagging import Tag


@dataclass(frozen=True)
class Served:
    """A function to be served.

    Args:
        run: strings [batch] for each of `inputs` → named answers.
        inputs: names of what a request holds.
        tables: that it looks things up in.
    """

    run: Callable[..., dict[str, tf.Tensor]]
    inputs: tuple[str, ...]
    tables: list

    @property
    def signature(self) -> list[tf.TensorSpec]:
        """What it takes."""
        return [tf.TensorSpec([None], tf.string, name=name) for name in self.inputs]


def served(model: TransferModel) -> Served:
    """Build what a model serves.

    Args:
        model: run in inference mode.

    Returns:
        Of pictures "image_bytes", of texts "texts", of pairs "texts" and "second_texts", of questions "questions" and
        "contexts" → "label", "probability", "probabilities", "labels" of one class; "probabilities", "labels", "chosen"
        of several; "values", "labels" of numbers; "starts", "stops", "types", "probabilities" [batch, most entities]
        of entities, padded with -1 and ""; "answer", "start", "stop", "probability" of answers, "" and -1 where there
        is none. Starts and stops count characters (code points).
    """
    if isinstance(model.input, TextSpec):
        return _of_texts(model, model.input)
    spec, shape = model.input, tf.TensorSpec(model.input.shape, tf.float32)

    def run(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = tf.map_fn(lambda each: decode_image(each, spec), image_bytes, fn_output_signature=shape)
        return _named(model.task, model.keras(pixels, training=False))

    return Served(tf.function(run, autograph=False), ("image_bytes",), [])


def _of_texts(model: TransferModel, spec: TextSpec) -> Served:
    cut, task = tokenizer(spec), model.task
    inputs = ("texts", "second_texts")[: 1 + spec.pairs]

    def run(*texts: tf.Tensor) -> dict[str, tf.Tensor]:
        found = frames(spec, cut, *texts)
        outputs = model.keras(padded(found.ids, spec), training=False)
        if isinstance(task, Tag):
            return entities_of(task, outputs, found)
        if isinstance(task, Answer):
            return best_answers(task, outputs, found, texts[1], ends=len(spec.special(pair=True)[2]))
        return _named(task, _averaged(outputs, found, tf.size(texts[0])) if spec.stride is not None else outputs)

    names = ("questions", "contexts") if isinstance(task, Answer) else inputs
    return Served(tf.function(run, autograph=False), names, cut.tables)


def _averaged(outputs: tf.Tensor, found: Frames, count: tf.Tensor) -> tf.Tensor:
    """Average over the windows of each text."""
    return tf.math.unsorted_segment_mean(outputs, found.owners, count)


def _named(task: Task, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
    names: Any = tf.constant(task.labels.names)
    every = tf.tile(names[None], [tf.shape(outputs)[0], 1])
    if isinstance(task, Regress):
        return {"values": outputs, "labels": every}
    if isinstance(task, MultiLabel):
        return {"probabilities": outputs, "labels": every, "chosen": outputs > task.threshold}
    best = tf.argmax(outputs, -1)
    return {
        "label": tf.gather(names, best),
        "probability": tf.reduce_max(outputs, -1),
        "probabilities": outputs,
        "labels": every,
    }
