"""Token classification: find entities in texts, by BIO or BILOU tags of words."""

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
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.modalities.text.context import as_windows
from tltk.modalities.text.reader import TextReader
from tltk.modalities.text.words import words_and_first_tokens
from tltk.pipeline.readers import Reader
from tltk.specs import LabelSpec, Span
from tltk.tasks.adopted_outputs import probabilities
from tltk.tasks.base import EXACT, Task, last_features, repeated
from tltk.tasks.encodings import as_tokens
from tltk.tasks.label_spec import Labels, label_spec
from tltk.tasks.loss_terms import LossTerms, class_losses
from tltk.tasks.objective import NO_OBJECTIVE, ExampleBatch, Objective
from tltk.tasks.objective_check import with_objective
from tltk.tasks.records import Monitor, Prediction
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.span_decoders import decode_entities, require_windows
from tltk.tasks.span_scores import EntityEvaluator
from tltk.tasks.uneven import LOSSES, WEIGHTS, describe_decision

SCHEMES = ("bio", "bilou")
UNLABELLED = -1  # target of tokens that do not start a word
_AFTERWARDS = ("logit_adjustment", "crt", "tau_normalization", "auto")
_MARKS = {"bio": "BI", "bilou": "BILU"}
log = logging.getLogger("tltk")


@keras.saving.register_keras_serializable(package="tltk")
class TokenCrossEntropy(keras.losses.Loss):
    """Cross-entropy averaged over the labelled tokens of a batch: each token has the same weight, in any text.

    Args:
        name: Name of the loss.
        terms: What changes the loss for uneven tags; None for nothing. Not part of the config.
    """

    def __init__(self, name: str = "token_cross_entropy", *, terms: LossTerms | None = None) -> None:
        super().__init__(name=name)
        self.terms = terms

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each text.

        Args:
            y_true: int32 [batch, longest], tag of each token; -1 for tokens without a label.
            y_pred: float [batch, tokens, tags], probabilities.

        Returns:
            float32 [batch].
        """
        ops = keras.ops
        true, weights = _aligned_targets(y_true, y_pred)
        if self.terms is None:
            losses = keras.losses.sparse_categorical_crossentropy(ops.maximum(true, 0), y_pred) * weights
        else:
            one_hot = ops.one_hot(ops.maximum(true, 0), y_pred.shape[-1], dtype="float32")
            losses = class_losses(one_hot, y_pred, self.terms) * weights
        count = ops.maximum(ops.sum(weights), 1.0)
        # Keras averages over the batch: scale so that the result is the mean over labelled tokens.
        return ops.sum(losses, axis=1) * ops.cast(ops.shape(y_pred)[0], "float32") / count


@keras.saving.register_keras_serializable(package="tltk")
class TokenF1(keras.metrics.Metric):
    """Micro F1 over the first tokens of words; "O" is the negative class."""

    def __init__(self, name: str = "token_f1") -> None:
        super().__init__(name=name)
        self.hits = self.add_weight(name="hits", initializer="zeros")
        self.predicted = self.add_weight(name="predicted", initializer="zeros")
        self.actual = self.add_weight(name="actual", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; shapes as in `TokenCrossEntropy`, `sample_weight` [batch] weighs the tokens of each text."""
        ops = keras.ops
        true, weights = _aligned_targets(y_true, y_pred)
        if sample_weight is not None:
            weights *= ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))
        predicted = ops.cast(ops.argmax(y_pred, axis=-1), "int32")
        for count, mask in (
            (self.hits, ops.logical_and(predicted == true, true > 0)),
            (self.predicted, predicted > 0),
            (self.actual, true > 0),
        ):
            count.assign_add(ops.sum(ops.cast(mask, "float32") * weights))

    def result(self) -> Any:
        """Return 2 · hits / (predicted + actual)."""
        total = self.predicted + self.actual
        return 2 * self.hits / keras.ops.where(total > 0, total, 1.0)


def _aligned_targets(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Pad or cut targets to the padded length of the batch, which depends on the batch.

    Returns:
        Targets int32 [batch, tokens], and float32 [batch, tokens]: 1 for labelled tokens, else 0.
    """
    ops = keras.ops
    length = ops.shape(y_pred)[1]
    true = ops.cast(y_true, "int32")
    padding = ops.zeros((ops.shape(true)[0], length), "int32") + UNLABELLED
    true = ops.concatenate([true, padding], axis=1)[:, :length]
    return true, ops.cast(true != UNLABELLED, "float32")


@keras.saving.register_keras_serializable(package="tltk")
def align_tags(y_true: Any, y_pred: Any) -> tuple[Any, Any, Any]:
    """Bring tags and outputs into one shape, for a loss or metric of the user's own.

    Args:
        y_true: int32 [batch, longest], tag of each token; -1 for tokens without a label.
        y_pred: float [batch, tokens, tags], probabilities.

    Returns:
        Tags int32 [batch, tokens], probabilities, and a mask float32 [batch, tokens]: 1 for labelled tokens, else 0.
        Tokens without a label have the tag 0.
    """
    true, mask = _aligned_targets(y_true, y_pred)
    return keras.ops.maximum(true, 0), keras.ops.convert_to_tensor(y_pred), mask


@register_task
@dataclass(frozen=True)
class TokenClassification(Task):
    """A tag for the first token of each word: softmax and cross-entropy.

    Args:
        labels: Types of entities, type "entities".
        head: Head from `tltk.head`; its pooling has no effect.
        scheme: "bio" or "bilou".
        objective: Loss and metrics of the user's own.
        prior: Frequencies of tags that the outputs assume, from `fit(balance=)`; () for those of training.
    """

    name: ClassVar[str] = "token_classification"
    monitor: ClassVar[Monitor] = Monitor("token_f1", "max")
    score_name: ClassVar[str] = "f1"
    uses_pooling: ClassVar[bool] = False
    balance_methods: ClassVar[tuple[str, ...]] = (*WEIGHTS, *LOSSES, *_AFTERWARDS)
    why_unbalanced: ClassVar[str] = "a text has several tags"
    align: ClassVar[Any] = staticmethod(align_tags)

    labels: LabelSpec
    head: heads.Head = field(default_factory=lambda: heads.head(dropout=0.1))
    scheme: str = "bio"
    objective: Objective = NO_OBJECTIVE
    prior: tuple[float, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the tags."""
        return self.tags

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the outputs: "O", then the tags of each type, such as "B-city", "I-city"."""
        return ("O", *(f"{mark}-{name}" for name in self.labels.names for mark in _MARKS[self.scheme]))

    def input_spec(self, spec: Any) -> Any:
        """Expect one text per example; overlong ones in windows, so that every word gets a tag."""
        return modality_of(spec).with_windows(spec, self.name)

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head, which outputs probabilities, float32 [batch, tokens, tags]."""
        logits = heads.attach_tokens(self.head, last_features(features), units=len(self.tags), mask=mask, seed=seed)
        return keras.layers.Activation("softmax", dtype="float32", name="head_probabilities")(logits)

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the tag of each word at its first token.

        Args:
            targets: Tuples of `Span`, one tuple per text.
            reader: Reader of texts.

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
        unaligned = 0
        for text, spans in enumerate(targets):
            first, last = np.searchsorted(text_ids, [text, text + 1])
            for span in spans:
                covered = first + np.flatnonzero((starts[first:last] < span.end) & (ends[first:last] > span.start))
                if len(covered):
                    tags[covered] = self._tag_ids(span.label, len(covered))
                    unaligned += starts[covered[0]] != span.start or ends[covered[-1]] != span.end
        if unaligned:
            log.warning("%d entities begin or end inside a word: each is extended to whole words.", unaligned)
        word = word_of_token.numpy()
        token_tags = np.where(word >= 0, tags[word] if len(tags) else 0, UNLABELLED)
        rows = np.full((len(elements), int(elements.lengths.max(initial=1))), UNLABELLED, np.int32)
        rows[np.arange(rows.shape[1]) < elements.lengths[:, None]] = token_tags
        return Targets(rows)

    def _tag_ids(self, label: str, words: int) -> list[int]:
        """Return the tag of each word of an entity."""
        marks = _MARKS[self.scheme]
        first_tag = 1 + self.labels.names.index(label) * len(marks)
        if words == 1 and "U" in marks:
            return [first_tag + marks.index("U")]
        last = "L" if "L" in marks else "I"
        entity_marks = "B" + "I" * (words - 2) + last if words > 1 else "B"
        return [first_tag + marks.index(mark) for mark in entity_marks]

    def class_rows(self, targets: Targets) -> np.ndarray:
        """Return one-hot rows of the tags of all labelled tokens."""
        tags = np.asarray(targets)
        return np.eye(len(self.tags), dtype=np.float32)[tags[tags != UNLABELLED]]

    def balanced_loss(self, terms: LossTerms) -> keras.losses.Loss:
        """Return the cross-entropy of tokens with other terms."""
        return TokenCrossEntropy(terms=terms)

    def describe_decoding(self) -> dict[str, Any]:
        """Return the prior by tag, if there is one."""
        return describe_decision(self.tags, {"prior": self.prior})

    def encode(self, targets: Any) -> Any:
        """Cast tags to int32 [batch, longest]."""
        return as_tokens(targets)

    def loss(self) -> keras.losses.Loss:
        """Return the cross-entropy of the first tokens of words."""
        return TokenCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return the F1 of tokens; `evaluate` measures whole entities."""
        return [TokenF1()]

    def adopt_outputs(self, outputs: Any, *, from_logits: bool | None = None) -> Any:
        """Turn logits of tags into probabilities; the order of the tags is that of `tags`."""
        return probabilities(outputs, self.tags, activation="softmax", from_logits=from_logits, rank=3)

    def example_batch(self) -> ExampleBatch:
        """Return two texts of three tokens, the last of them without a label."""
        count = len(self.tags)
        targets = np.array([[0, count - 1, UNLABELLED], [1, 0, UNLABELLED]], "int32")
        outputs = np.full((2, 3, count), 0.1, "float32") + 0.4 * np.eye(count, dtype="float32")[np.maximum(targets, 0)]
        return ExampleBatch(targets, outputs / outputs.sum(-1, keepdims=True), "probabilities", class_numbers=True)

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the probabilities after the tags."""
        return {"probabilities": self.tags}

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "starts", "ends", "types", "entities" and "probabilities"; see `decode_entities`."""
        windows = require_windows(context, self.name)
        return decode_entities(outputs, windows, context, tags=self.tags, types=self.labels.names)

    def decode_elements(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "probabilities" [batch, tokens, tags] and the tags, "labels" [batch, tags]."""
        return {"probabilities": outputs, "labels": repeated(self.tags, outputs)}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the entities of each text, in their order."""
        columns = [decoded[name] for name in ("starts", "ends", "types", "probabilities", "entities")]
        predictions = []
        for example_id, *row in zip(ids, *columns, strict=True):
            rows = [values for values in zip(*row, strict=True) if values[0] >= 0]
            spans = tuple(
                Span(int(start), int(end), str(label), float(probability)) for start, end, label, probability, _ in rows
            )
            summary = ", ".join(f"{text} ({label})" for *_, label, _, text in rows)
            predictions.append(Prediction(example_id, summary, None, {}, spans))
        return predictions

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return "spans", the entities of each text."""
        ids = [""] * len(decoded["starts"])
        return {"spans": tuple(prediction.spans for prediction in self.predictions(decoded, ids))}

    def evaluator(self) -> EntityEvaluator:
        """Return the evaluator: precision, recall and F1 of whole entities."""
        return EntityEvaluator(self.labels.names)

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare entities and their probabilities; not in 16 bits, where tags change with the batch."""
        if tolerance > EXACT:
            return ""
        return super().agrees(_without_padding(answer), _without_padding(other), tolerance)

    def check_labels(self, labels: LabelSpec, name: str) -> None:
        """Raise unless the model knows every type of entity in `labels`; some of its types may be absent there."""
        if labels.type != self.labels.type or not set(labels.names) <= set(self.labels.names):
            super().check_labels(labels, name)


def _without_padding(answer: Mapping[str, Any]) -> dict[str, np.ndarray]:
    is_entity = np.asarray(answer["starts"]) >= 0
    names = ("starts", "ends", "types", "entities", "probabilities")
    return {name: np.asarray(answer[name])[is_entity] for name in names}


@familiar.arguments
def token_classification(
    labels: Labels,
    *,
    head: heads.Head | None = None,
    scheme: str = "bio",
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> TokenClassification:
    """Build a task that finds entities in texts.

    Only the first token of each word is tagged, so that an entity always consists of whole words.

    Args:
        labels: `source.labels` of type "entities", or a list of the types of entities.
        head: Head from `tltk.head`; default: `tltk.head(dropout=0.1)`. Its pooling has no effect.
        scheme: "bio", or "bilou", which has tags for the last word of an entity too.
        loss: A Keras loss, its name, or a function of (targets, outputs), instead of the cross-entropy. It gets the
            numbers of the tags, int32 [n], and probabilities [n, tags] of all n tokens of a batch; only the first
            tokens of words count.
        metrics: Keras metrics, names or functions of the same targets and outputs, which `fit` and `evaluate` report in
            addition.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `labels` has no names.
        InvalidInput: If the labels are not types of entities, `scheme` is unknown, or a loss or metric does not fit.

    Examples:
        >>> token_classification(["city"]).tags
        ('O', 'B-city', 'I-city')
    """
    spec = label_spec(labels, "entities")
    if spec.type != "entities":
        raise InvalidInput(
            f"`labels` must be types of entities. Received: type {spec.type!r}. Read them with tltk.from_conll(…), or "
            "with from_jsonl(…, modality='text', label_type='entities')."
        )
    check.one_of("scheme", scheme, SCHEMES)
    task = TokenClassification(spec, heads.head(dropout=0.1) if head is None else head, scheme)
    return with_objective(task, loss, metrics)


def _for_source(source: Source) -> Task:
    labels: Any = source.labels
    return token_classification(labels)


register_default("entities", _for_source)
