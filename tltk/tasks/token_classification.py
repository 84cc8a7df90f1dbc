"""Token classification: entities in texts, whole words, as BIO or BILOU tags of tokens."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.modalities.text.context import as_windows
from tltk.modalities.text.reader import TextReader
from tltk.modalities.text.words import words_and_first_tokens
from tltk.pipeline.readers import Reader
from tltk.specs import LabelSpec, Span
from tltk.tasks.base import EXACT, Monitor, Prediction, Task, label_spec, last_features, repeated
from tltk.tasks.encodings import as_tokens
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.span_decoders import decode_entities, require_windows
from tltk.tasks.span_scores import EntityEvaluator

SCHEMES = ("bio", "bilou")
UNLABELLED = -1
_MARKS = {"bio": "BI", "bilou": "BILU"}
log = logging.getLogger("tltk")


@keras.saving.register_keras_serializable(package="tltk")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the tokens that have a label, each counting the same whatever the length of its text."""

    def __init__(self, name: str = "token_cross_entropy") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare int32 [batch, longest] (-1: no label) with probabilities [batch, tokens, tags]: float32 [batch]."""
        ops = keras.ops
        true, known = _known(y_true, y_pred)
        losses = keras.losses.sparse_categorical_crossentropy(ops.maximum(true, 0), y_pred) * known
        count = ops.maximum(ops.sum(known), 1.0)
        # The mean over the batch that Keras takes of this is the mean over its labelled tokens.
        return ops.sum(losses, axis=1) * ops.cast(ops.shape(y_pred)[0], "float32") / count


@keras.saving.register_keras_serializable(package="tltk")
class TokenF1(keras.metrics.Metric):
    """Micro F1 over tokens that begin a word, "O" counting as nothing found."""

    def __init__(self, name: str = "token_f1") -> None:
        super().__init__(name=name)
        self.right = self.add_weight(name="right", initializer="zeros")
        self.found = self.add_weight(name="found", initializer="zeros")
        self.there = self.add_weight(name="there", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch; shapes as in `TokenCrossEntropy`."""
        ops = keras.ops
        true, known = _known(y_true, y_pred)
        guess = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        for weight, chosen in (
            (self.right, ops.logical_and(guess == true, true > 0)),
            (self.found, guess > 0),
            (self.there, true > 0),
        ):
            weight.assign_add(ops.sum(ops.cast(chosen, "float32") * known))

    def result(self) -> Any:
        """2 · right / (found + there)."""
        return 2 * self.right / keras.ops.maximum(self.found + self.there, 1.0)


def _known(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Bring targets to the width of the batch, which may be above or below it; and tell which tokens have one."""
    ops = keras.ops
    width = ops.shape(y_pred)[1]
    true = ops.cast(y_true, "int32")
    nothing = ops.zeros((ops.shape(true)[0], width), "int32") + UNLABELLED
    true = ops.concatenate([true, nothing], axis=1)[:, :width]
    return true, ops.cast(true != UNLABELLED, "float32")


@register_task
@dataclass(frozen=True)
class TokenClassification(Task):
    """A tag for the first token of each word: softmax and cross-entropy.

    Args:
        labels: of type "entities", the types of entities.
        head: from `tltk.head`; its pooling has no effect.
        scheme: "bio" or "bilou".
    """

    name: ClassVar[str] = "token_classification"
    monitor: ClassVar[Monitor] = Monitor("token_f1", "max")
    score_name: ClassVar[str] = "f1"
    pools: ClassVar[bool] = False

    labels: LabelSpec
    head: heads.Head = field(default_factory=lambda: heads.head(dropout=0.1))
    scheme: str = "bio"

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the outputs: "O", then each type's beginning, inside …"""
        return ("O", *(f"{mark}-{name}" for name in self.labels.names for mark in _MARKS[self.scheme]))

    def input_spec(self, spec: Any) -> Any:
        """One text an example; longer ones in windows, so that every word gets a tag."""
        return modality_of(spec).windowed(spec, self.name)

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head: probabilities, float32 [batch, tokens, tags]."""
        logits = heads.attach_tokens(self.head, last_features(features), units=len(self.tags), mask=mask, seed=seed)
        return keras.layers.Activation("softmax", dtype="float32", name="head_probabilities")(logits)

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Give the first token of each word the tag of that word.

        Args:
            targets: tuples of `Span`, one tuple a text.
            reader: of texts.

        Returns:
            int32 [windows, longest], -1 for all other tokens.
        """
        if targets is None:
            return None
        elements = cast(TextReader, reader).texts
        count = tf.constant(len(targets), tf.int64)
        words, word_of_token = words_and_first_tokens(as_windows(elements), count)
        text_ids, starts, ends = (column.numpy() for column in (words.text_ids, words.starts, words.ends))
        tags = np.zeros(len(starts), np.int32)
        inside_words = 0
        for text, spans in enumerate(targets):
            first, last = np.searchsorted(text_ids, [text, text + 1])
            for span in spans:
                covered = first + np.flatnonzero((starts[first:last] < span.end) & (ends[first:last] > span.start))
                if len(covered):
                    tags[covered] = self._tag_ids(span.label, len(covered))
                    inside_words += starts[covered[0]] != span.start or ends[covered[-1]] != span.end
        if inside_words:
            log.warning("%d entities begin or end inside a word; they are taken to include it.", inside_words)
        word = word_of_token.numpy()
        of_tokens = np.where(word >= 0, tags[word] if len(tags) else 0, UNLABELLED)
        rows = np.full((len(elements), int(elements.lengths.max(initial=1))), UNLABELLED, np.int32)
        rows[np.arange(rows.shape[1]) < elements.lengths[:, None]] = of_tokens
        return Targets(rows)

    def _tag_ids(self, label: str, words: int) -> list[int]:
        """Return the tags of an entity of so many words."""
        marks = _MARKS[self.scheme]
        base = 1 + self.labels.names.index(label) * len(marks)
        if words == 1 and "U" in marks:
            return [base + marks.index("U")]
        last = "L" if "L" in marks else "I"
        chosen = "B" + "I" * (words - 2) + last if words > 1 else "B"
        return [base + marks.index(mark) for mark in chosen]

    def encode(self, targets: Any) -> Any:
        """Numbers of tags to int32 [batch, longest]."""
        return as_tokens(targets)

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of the tokens that begin a word."""
        return TokenCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """F1 of tokens; `evaluate` counts whole entities."""
        return [TokenF1()]

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """One probability a tag."""
        return {"probabilities": self.tags}

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "starts", "ends", "types", "entities" and "probabilities", see `decode_entities`."""
        windows = require_windows(context, self.name)
        return decode_entities(outputs, windows, context, tags=self.tags, types=self.labels.names)

    def decode_elements(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "probabilities" [batch, tokens, tags] and the tags, "labels" [batch, tags]."""
        return {"probabilities": outputs, "labels": repeated(self.tags, outputs)}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Each text's entities, in its order."""
        columns = [decoded[name] for name in ("starts", "ends", "types", "probabilities", "entities")]
        predictions = []
        for example_id, *row in zip(ids, *columns, strict=True):
            rows = [values for values in zip(*row, strict=True) if values[0] >= 0]
            spans = tuple(
                Span(int(start), int(end), str(label), float(probability)) for start, end, label, probability, _ in rows
            )
            shown = ", ".join(f"{text} ({label})" for *_, label, _, text in rows)
            predictions.append(Prediction(example_id, shown, None, {}, spans))
        return predictions

    def evaluator(self) -> EntityEvaluator:
        """Precision, recall and F1 of whole entities."""
        return EntityEvaluator(self.labels.names)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare entities and their probabilities; in 16 bits nothing, since tags change with the batch."""
        if tolerance > EXACT:
            return ""
        return super().agrees(_without_padding(answer), _without_padding(other), tolerance)

    def check_labels(self, labels: LabelSpec, name: str) -> None:
        """Raise unless labels are types of entities that the model knows; a file need not have every type."""
        if labels.type != self.labels.type or not set(labels.names) <= set(self.labels.names):
            super().check_labels(labels, name)


def _without_padding(answer: Mapping[str, Any]) -> dict[str, np.ndarray]:
    there = np.asarray(answer["starts"]) >= 0
    names = ("starts", "ends", "types", "entities", "probabilities")
    return {name: np.asarray(answer[name])[there] for name in names}


def token_classification(
    labels: LabelSpec | Sequence[str], *, head: heads.Head | None = None, scheme: str = "bio"
) -> TokenClassification:
    """Build a task that finds entities in texts.

    A tag is learned and read for the first token of each word, so that no entity ever cuts a word in two.

    Args:
        labels: `source.labels` of type "entities", or a list of the types of entities.
        head: from `tltk.head`; the default is that of a linear probe with dropout 0.1. Its pooling has no effect.
        scheme: "bio", or "bilou", which also learns where an entity ends.

    Returns:
        A task for `assemble`.

    Raises:
        TypeError: if `labels` is not a LabelSpec or a list of names.
        ValueError: if the labels are not types of entities.

    Example:
        >>> token_classification(["city"]).tags
        ('O', 'B-city', 'I-city')
    """
    labels = label_spec(labels, "entities")
    if labels.type != "entities":
        raise ValueError(
            f"`labels` are of type {labels.type!r}, not types of entities. Read them with tltk.from_conll(…), or with "
            "from_jsonl(…, text=True, label_type='entities')."
        )
    check.one_of("scheme", scheme, SCHEMES)
    return TokenClassification(labels, heads.head(dropout=0.1) if head is None else head, scheme)


def _for_source(source: Source) -> Task:
    labels: Any = source.labels
    return token_classification(labels)


register_default("entities", _for_source)
