"""Question answering: the part of a text that answers a question, or that there is none."""

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
from tltk.heads import builder as heads
from tltk.modalities.context import Context
from tltk.modalities.modality import modality_of
from tltk.modalities.text.context import as_windows, in_second_text
from tltk.modalities.text.encoding import EncodedTexts, joined
from tltk.modalities.text.reader import TextReader
from tltk.pipeline.readers import Reader
from tltk.specs import LabelSpec, Span
from tltk.tasks.base import EXACT, Monitor, Prediction, Task, last_features
from tltk.tasks.encodings import as_tokens
from tltk.tasks.registry import register_default, register_task
from tltk.tasks.span_decoders import decode_answers, require_windows
from tltk.tasks.span_scores import AnswerEvaluator

_FAR = 1e4  # below every logit, and small enough for float16
_AT_ONCE = 4096  # windows whose tokens are looked at together


@keras.saving.register_keras_serializable(package="tltk")
class SpanCrossEntropy(keras.losses.Loss):
    """Cross-entropy of the tokens at which an answer begins and ends, averaged over both (Devlin et al. 2019, 4.2)."""

    def __init__(self, name: str = "span_cross_entropy") -> None:
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Compare int32 [batch, 2] with logits [batch, tokens, 2]: float32 [batch]."""
        logits = keras.ops.transpose(y_pred, (0, 2, 1))
        losses = keras.losses.sparse_categorical_crossentropy(y_true, logits, from_logits=True)
        return keras.ops.mean(losses, axis=-1)


@keras.saving.register_keras_serializable(package="tltk")
class SpanAccuracy(keras.metrics.Mean):
    """Share of windows of which both ends are found; of those without the answer, that there is none."""

    def __init__(self, name: str = "span_accuracy") -> None:
        super().__init__(name=name)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count a batch; shapes as in `SpanCrossEntropy`."""
        guess = keras.ops.cast(keras.ops.argmax(y_pred, axis=1), "int32")
        right = keras.ops.all(guess == keras.ops.cast(y_true, "int32"), axis=-1)
        super().update_state(keras.ops.cast(right, "float32"))

    def get_config(self) -> dict:
        return {"name": self.name}


@register_task
@dataclass(frozen=True)
class QuestionAnswering(Task):
    """Where an answer begins and ends: two logits a token; the first token stands for no answer.

    Args:
        head: from `tltk.head`; its pooling has no effect.
        no_answer: whether a question may have no answer.
        threshold: by how much the score of no answer must be above that of the best part.
        longest: tokens of an answer at most.
        labels: always `ANSWERS`.
    """

    name: ClassVar[str] = "question_answering"
    monitor: ClassVar[Monitor] = Monitor("span_accuracy", "max")
    score_name: ClassVar[str] = "exact_match"
    pools: ClassVar[bool] = False

    head: heads.Head = field(default_factory=heads.head)
    no_answer: bool = True
    threshold: float = 0.0
    longest: int = 30
    labels: LabelSpec = ANSWERS

    def input_spec(self, spec: Any) -> Any:
        """A question and its context, in windows."""
        if self.no_answer and getattr(spec, "causal", False):
            raise ValueError(
                "`no_answer=True` reads from the first token that there is no answer, and a model in which each token "
                "sees only those before it, such as GPT-2, knows nothing there. Pass no_answer=False, or take another "
                "backbone."
            )
        return modality_of(spec).windowed(modality_of(spec).paired(spec), self.name)

    def outputs(
        self, features: dict[str, keras.KerasTensor], *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Build the head: logits of beginning and end, float32 [batch, tokens, 2]; padding is far below all."""
        logits = heads.attach_tokens(self.head, last_features(features), units=2, mask=mask, seed=seed)
        if mask is None:
            return logits
        lowest = (1.0 - keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32")) * _FAR
        return heads.named(logits - lowest, "head_logits")

    def element_targets(self, targets: Targets | None, reader: Reader) -> Targets | None:
        """Give each window the tokens at which the first answer begins and ends.

        Args:
            targets: tuples of `Span` of the context, one tuple a question.
            reader: of pairs of texts.

        Returns:
            int32 [windows, 2]; 0 and 0 for a window that does not show the whole answer.
        """
        if targets is None:
            return None
        elements = cast(TextReader, reader).texts
        rows = np.zeros((len(elements), 2), np.int32)
        windows_with_answer: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for row, (text, in_context) in enumerate(zip(elements.text_ids, _in_context(elements), strict=True)):
            spans = targets[text]
            if spans:
                place = elements.place(row)
                overlap = (elements.char_starts[place] < spans[0].end) & (elements.char_ends[place] > spans[0].start)
                tokens = np.flatnonzero(overlap & in_context[: len(overlap)])
                windows_with_answer.setdefault(int(text), []).append((row, tokens, elements.positions[place][tokens]))
        for windows in windows_with_answer.values():
            # An answer is whole where its first and last token are; its first and last character may have none.
            positions = np.concatenate([positions for *_, positions in windows])
            for row, tokens, own in windows:
                if len(tokens) and (own[0], own[-1]) == (positions.min(), positions.max()):
                    rows[row] = tokens[0], tokens[-1]
        return Targets(rows)

    def encode(self, targets: Any) -> Any:
        """Numbers of tokens to int32 [batch, 2]."""
        return as_tokens(targets)

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of both ends."""
        return SpanCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy of both ends together; `evaluate` gives exact match and F1."""
        return [SpanAccuracy()]

    def describe_outputs(self) -> dict[str, tuple[str, ...]]:
        """A logit of beginning and one of end."""
        return {"logits": ("start", "end")}

    def request_names(self, default: tuple[str, ...]) -> tuple[str, ...]:
        """What the two texts of a pair are."""
        return ("questions", "contexts")

    def decode(self, outputs: tf.Tensor, context: Context) -> dict[str, tf.Tensor]:
        """Return "answer", "start", "end" and "probability", see `decode_answers`."""
        return decode_answers(
            outputs,
            require_windows(context, self.name),
            context,
            no_answer=self.no_answer,
            threshold=self.threshold,
            longest=self.longest,
        )

    def decode_elements(self, outputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return "logits" [batch, tokens, 2]: without the texts there are no answers."""
        return {"logits": outputs}

    def predictions(self, decoded: Mapping[str, np.ndarray], ids: Sequence[str]) -> list[Prediction]:
        """Each question's answer; an empty text where there is none."""
        columns = (decoded[name] for name in ("answer", "start", "end", "probability"))
        predictions = []
        for example_id, answer, start, end, probability in zip(ids, *columns, strict=True):
            if start < 0:
                predictions.append(Prediction(example_id, "", None, {}))
                continue
            score = float(probability)
            span = Span(int(start), int(end), "", score)
            predictions.append(Prediction(example_id, str(answer), score, {str(answer): score}, (span,)))
        return predictions

    def references(self, targets: Any, examples: Any) -> list[list[str]]:
        """Return the text of every right answer."""
        contexts = [joined(context) for _, context in examples]
        return [
            [context[span.start : span.end] for span in spans] for spans, context in zip(targets, contexts, strict=True)
        ]

    def evaluator(self) -> AnswerEvaluator:
        """Exact match and F1 as SQuAD counts them."""
        return AnswerEvaluator()

    def agrees(self, answer: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> str:
        """Compare answers and their probabilities; in 16 bits nothing, since answers change with the batch."""
        if tolerance > EXACT:
            return ""
        names = ("answer", "start", "end", *(("probability",) if answer["start"] >= 0 else ()))
        return super().agrees({name: answer[name] for name in names}, other, tolerance)


def _in_context(elements: EncodedTexts) -> Iterator[np.ndarray]:
    """Yield which tokens of each window belong to the context, bool [tokens or more]."""
    for start in range(0, len(elements), _AT_ONCE):
        part = elements[np.arange(start, min(start + _AT_ONCE, len(elements)))]
        yield from in_second_text(as_windows(part)).numpy()


def question_answering(
    *, head: heads.Head | None = None, no_answer: bool = True, threshold: float = 0.0, longest: int = 30
) -> QuestionAnswering:
    """Build a task that finds the answer to a question in a text.

    Args:
        head: from `tltk.head`; the default is that of a linear probe. Its pooling has no effect.
        no_answer: whether a question may have no answer, as in SQuAD 2.0; False always gives the best part.
        threshold: by how much the score of no answer must be above that of the best part; tune it on validation.
        longest: tokens of an answer at most.

    Returns:
        A task for `assemble`.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> question_answering(no_answer=False).describe_outputs()
        {'logits': ('start', 'end')}
    """
    check.counts(longest=longest)
    check.kind_of("no_answer", no_answer, bool)
    if not check.is_number(threshold):
        raise ValueError(f"`threshold` must be a number. Received: {threshold!r}")
    return QuestionAnswering(heads.head() if head is None else head, no_answer, float(threshold), longest)


def _for_source(source: Source) -> Task:
    targets: Any = source.targets
    return question_answering(no_answer=any(not spans for spans in targets))


register_default("answers", _for_source)
