"""Extractive question answering: find the span of a context that answers a question, if there is one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import keras
import numpy as np
import tensorflow as tf

from tltk.data.formats.squad import ANSWERS
from tltk.data.source import Source
from tltk.data.targets import Targets
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation.errors import InvalidInput
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.modalities.text.context import as_windows, in_second_text
from tltk.modalities.text.encoding import EncodedTexts, joined
from tltk.modalities.text.reader import TextReader
from tltk.pipeline.readers import Reader
from tltk.specs import LabelSpec, Span
from tltk.tasks.base import EXACT, Task, last_features
from tltk.tasks.encodings import as_tokens
from tltk.tasks.objective import NO_OBJECTIVE, ExampleBatch, Objective
from tltk.tasks.objective_check import with_objective
from tltk.tasks.records import Monitor, Prediction
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.span_decoders import decode_answers, require_windows
from tltk.tasks.span_scores import AnswerEvaluator

_FAR = 1e4  # below every logit, and small enough for float16
_WINDOWS_PER_CALL = 4096  # bounds the memory of padded token masks


@keras.saving.register_keras_serializable(package="tltk")
class SpanCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the first and the last token of an answer, averaged over both (Devlin et al. 2019, 4.2)."""

    def __init__(self, name: str = "span_cross_entropy") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compute the loss of each window.

        Args:
            y_true: int32 [batch, 2], first and last token.
            y_pred: float [batch, tokens, 2], logits.

        Returns:
            float32 [batch].
        """
        logits = keras.ops.transpose(y_pred, (0, 2, 1))
        losses = keras.losses.sparse_categorical_crossentropy(y_true, logits, from_logits=True)
        return keras.ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="tltk")
class SpanAccuracy(keras.metrics.Mean):
    """Fraction of windows with both tokens correct; token 0 twice stands for a window without the answer."""

    def __init__(self, name: str = "span_accuracy") -> None:
        super().__init__(name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch; shapes as in `SpanCrossEntropy`."""
        predicted = keras.ops.cast(keras.ops.argmax(y_pred, axis=1), "int32")
        correct = keras.ops.all(predicted == keras.ops.cast(y_true, "int32"), axis=-1)
        super().update_state(keras.ops.cast(correct, "float32"), sample_weight)

    def get_config(self) -> dict:
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="tltk")
def align_ends(y_true: Any, y_pred: Any) -> tuple[Any, Any, None]:
    """Return first and last token int32 [batch, 2] and logits [batch, 2, tokens], for a loss or metric of a user.

    Args:
        y_true: int32 [batch, 2], first and last token.
        y_pred: float [batch, tokens, 2], logits.
    """
    return keras.ops.cast(y_true, "int32"), keras.ops.transpose(y_pred, (0, 2, 1)), None


@register_task
@dataclass(frozen=True)
class QuestionAnswering(Task):
    """Extractive question answering: a start and an end logit per token; the first token stands for no answer.

    Args:
        head: Head from `tltk.head`; its pooling has no effect.
        no_answer: Whether a question may have no answer.
        threshold: Margin by which the score of no answer must exceed that of the best span.
        max_answer_tokens: Maximum number of tokens of an answer.
        labels: Always `ANSWERS`.
        objective: Loss and metrics of the user's own.
    """

    name: ClassVar[str] = "question_answering"
    monitor: ClassVar[Monitor] = Monitor("span_accuracy", "max")
    score_name: ClassVar[str] = "exact_match"
    uses_pooling: ClassVar[bool] = False
    align: ClassVar[Any] = staticmethod(align_ends)

    head: heads.Head = field(default_factory=heads.head)
    no_answer: bool = True
    threshold: float = 0.0
    max_answer_tokens: int = 30
    labels: LabelSpec = ANSWERS
    objective: Objective = NO_OBJECTIVE

    def input_spec(self, spec: Any) -> Any:
        """Expect a question and a context, overlong ones in windows.

        Raises:
            InvalidInput: If `no_answer` is set and the backbone is causal.
        """
        if self.no_answer and getattr(spec, "causal", False):
            raise InvalidInput(
                "`no_answer=True` needs a bidirectional backbone: the first token stands for no answer, and "
                "in a causal model such as GPT-2 it does not see the rest of the text. Pass no_answer=False, or use "
                "another backbone."
            )
        return modality_of(spec).with_windows(modality_of(spec).with_pairs(spec), self.name)

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head, which outputs start and end logits, float32 [batch, tokens, 2]; very low for padding."""
        logits = heads.attach_tokens(self.head, last_features(features), units=2, mask=mask, seed=seed)
        if mask is None:
            return logits
        penalty = (1.0 - keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32")) * _FAR
        return heads.named(logits - penalty, "head_logits")

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Return the first and last token of the first answer in each window.

        Args:
            targets: Tuples of `Span` of the context, one tuple per question.
            reader: Reader of pairs of texts.

        Returns:
            int32 [windows, 2]; 0 and 0 for a window that does not hold the whole answer.
        """
        if targets is None:
            return None
        elements = cast(TextReader, reader).texts
        answer_tokens = np.zeros((len(elements), 2), np.int32)
        windows_with_answer: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for row, (text, in_context) in enumerate(zip(elements.text_ids, _in_context(elements), strict=True)):
            spans = targets[text]
            if spans:
                place = elements.place(row)
                overlap = (elements.char_starts[place] < spans[0].end) & (elements.char_ends[place] > spans[0].start)
                tokens = np.flatnonzero(overlap & in_context[: len(overlap)])
                windows_with_answer.setdefault(int(text), []).append((row, tokens, elements.positions[place][tokens]))
        for windows in windows_with_answer.values():
            # Compare tokens, not characters: the first or last character of an answer may belong to no token.
            all_positions = np.concatenate([positions for *_, positions in windows])
            for row, tokens, positions in windows:
                if len(tokens) and (positions[0], positions[-1]) == (all_positions.min(), all_positions.max()):
                    answer_tokens[row] = tokens[0], tokens[-1]
        return Targets(answer_tokens)

    def encode(self, targets: Any) -> Any:
        """Cast token indices to int32 [batch, 2]."""
        return as_tokens(targets)

    def loss(self) -> keras.losses.Loss:
        """Return the cross-entropy of the first and last token."""
        return SpanCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Return the accuracy of both tokens together; `evaluate` reports exact match and F1."""
        return [SpanAccuracy()]

    def example_batch(self) -> ExampleBatch:
        """Return two windows of five tokens."""
        outputs = np.linspace(-1, 1, 20, dtype="float32").reshape(2, 5, 2)
        return ExampleBatch(np.array([[1, 3], [0, 0]], "int32"), outputs, "logits", class_numbers=True)

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """Name the two logits."""
        return {"logits": ("start", "end")}

    def request_names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """Name the two texts of a pair."""
        return ("questions", "contexts")

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "answer", "start", "end" and "probability"; see `decode_answers`."""
        return decode_answers(
            outputs,
            require_windows(context, self.name),
            context,
            no_answer=self.no_answer,
            threshold=self.threshold,
            max_answer_tokens=self.max_answer_tokens,
        )

    def decode_elements(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "logits" [batch, tokens, 2]: answers cannot be read without the texts."""
        return {"logits": outputs}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Return the answer of each question; an empty string if there is none."""
        columns = (decoded[name] for name in ("answer", "start", "end", "probability"))
        predictions = []
        for example_id, answer, start, end, probability in zip(ids, *columns, strict=True):
            if start < 0:
                predictions.append(Prediction(example_id, "", None, {}))
                continue
            score, text = float(probability), str(answer)
            span = Span(int(start), int(end), "", score)
            predictions.append(Prediction(example_id, text, score, {text: score}, (span,)))
        return predictions

    def fields(self, decoded: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Return "labels", the answers, and "spans", a tuple with the span of each answer, empty without one."""
        predictions = self.predictions(decoded, [""] * len(decoded["answer"]))
        labels, spans = (tuple(getattr(item, name) for item in predictions) for name in ("label", "spans"))
        return {"labels": labels, "spans": spans}

    def references(self, targets: Any, examples: Any) -> list[list[str]]:
        """Return the texts of all reference answers."""
        contexts = [joined(context) for _, context in examples]
        return [
            [context[span.start : span.end] for span in spans] for spans, context in zip(targets, contexts, strict=True)
        ]

    def evaluator(self) -> AnswerEvaluator:
        """Return the evaluator: exact match and F1 as in SQuAD."""
        return AnswerEvaluator()

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare answers and their probabilities; not in 16 bits, where answers change with the batch."""
        if tolerance > EXACT:
            return ""
        names = ("answer", "start", "end", *(("probability",) if answer["start"] >= 0 else ()))
        return super().agrees({name: answer[name] for name in names}, other, tolerance)


def _in_context(elements: EncodedTexts) -> Iterator[np.ndarray]:
    """Yield which tokens of each window belong to the context, bool [tokens or more]."""
    for start in range(0, len(elements), _WINDOWS_PER_CALL):
        windows = elements[np.arange(start, min(start + _WINDOWS_PER_CALL, len(elements)))]
        yield from in_second_text(as_windows(windows)).numpy()


@familiar.arguments
def question_answering(
    *,
    head: heads.Head | None = None,
    no_answer: bool = True,
    threshold: float = 0.0,
    max_answer_tokens: int = 30,
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> QuestionAnswering:
    """Build a task that finds the answer to a question in a text.

    Args:
        head: Head from `tltk.head`; default: `tltk.head()`. Its pooling has no effect.
        no_answer: Whether a question may have no answer, as in SQuAD 2.0; False always predicts the best span.
        threshold: Margin by which the score of no answer must exceed that of the best span; tune it on validation data.
        max_answer_tokens: Maximum number of tokens of an answer.
        loss: A Keras loss, its name, or a function of (targets, outputs), instead of the cross-entropy. It gets the
            first and last token of each window in a row, int32 [n], and logits [n, tokens].
        metrics: Keras metrics, names or functions of the same targets and outputs, which `fit` and `evaluate` report in
            addition.

    Returns:
        A task for `assemble`.

    Raises:
        InvalidType: If `no_answer` is not a bool.
        InvalidInput: If `threshold` or `max_answer_tokens` is out of range, or a loss or metric does not fit.

    Examples:
        >>> question_answering(no_answer=False).describe_outputs()
        {'logits': ('start', 'end')}
    """
    check.counts(max_answer_tokens=max_answer_tokens)
    check.instance_of("no_answer", no_answer, bool)
    if not check.is_number(threshold):
        raise InvalidInput(f"`threshold` must be a number. Received: {threshold!r}")
    head = heads.head() if head is None else head
    return with_objective(QuestionAnswering(head, no_answer, float(threshold), max_answer_tokens), loss, metrics)


def _for_source(source: Source) -> Task:
    targets: Any = source.targets
    return question_answering(no_answer=any(not spans for spans in targets))


register_default("answers", _for_source)
