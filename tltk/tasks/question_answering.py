"""Answering: the part of a text that answers a question, or that there is none."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tltk.data.formats.squad import ANSWERS
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.modalities.text.encoding import Tokens, joined
from tltk.specs import ImageSpec, LabelSpec, Span, TextSpec
from tltk.tasks.base import Prediction, of_pairs, windowed
from tltk.tasks.encodings import as_tokens

_FAR = 1e4  # below every logit, and small enough for float16


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


@dataclass(frozen=True)
class QuestionAnswering:
    """Where an answer begins and ends: a logit each for every token; the first token stands for no answer."""

    head: heads.Head
    no_answer: bool = True
    threshold: float = 0.0
    longest: int = 30
    labels: LabelSpec = ANSWERS
    name: str = "question_answering"
    monitor: tuple[str, str] = ("span_accuracy", "max")
    per_token: ClassVar[bool] = True

    @property
    def units(self) -> int:
        """Beginning and end."""
        return 2

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """A question and its context, in windows."""
        if self.no_answer and isinstance(spec, TextSpec) and spec.causal:
            raise ValueError(
                "the first token tells that there is no answer, and a model that reads forward alone, such as GPT-2, "
                "has seen nothing there. Pass no_answer=False, or take another backbone."
            )
        return windowed(of_pairs(spec), self.name)

    @property
    def encode(self) -> Callable[[Any], Any]:
        """Places as they are, int32 [batch, 2]."""
        return as_tokens

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Logits of beginning and end, float32 [batch, tokens, 2]; padding is far below all."""
        logits = heads.attach_tokens(self.head, features, units=2, mask=mask, seed=seed)
        if mask is None:
            return logits
        lowest = (1.0 - keras.ops.cast(keras.ops.expand_dims(mask, -1), "float32")) * _FAR
        return heads.named(logits - lowest, "head_logits")

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of both ends."""
        return SpanCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """Accuracy of both ends together; `evaluate` gives EM and F1."""
        return [SpanAccuracy()]

    def align(self, made: Source, source: Source) -> np.ndarray:
        """Give each window the tokens at which the first answer begins and ends, int32 [frames, 2]; else 0 and 0."""
        tokens: Tokens = made.items
        found = np.zeros((len(tokens), 2), np.int32)
        inside: dict[int, list[tuple[int, np.ndarray, np.ndarray]]] = {}
        for row, owner in enumerate(tokens.owners):
            spans = source.targets[owner] if source.targets is not None else ()
            first, last = context_of(tokens, row)
            place = slice(tokens.place(row).start + first, tokens.place(row).start + last)
            if spans:
                chosen = (tokens.begins[place] < spans[0].end) & (tokens.stops[place] > spans[0].start)
                at = np.flatnonzero(chosen)
                inside.setdefault(int(owner), []).append((row, first + at, tokens.numbers[place][at]))
        for windows in inside.values():
            # Whole is what has the answer's first and last token; its first and last character may have none.
            every = np.concatenate([numbers for _, _, numbers in windows])
            for row, at, numbers in windows:
                if len(at) and (numbers[0], numbers[-1]) == (every.min(), every.max()):
                    found[row] = at[0], at[-1]
        return found

    def find(self, outputs: np.ndarray, made: Source, source: Source) -> list[tuple[Span, ...]]:
        """Take the best part of the best window, or none if the score of no answer is above it by the threshold."""
        tokens: Tokens = made.items
        best: list[tuple[float, int, int] | None] = [None] * len(source)
        none = np.full(len(source), np.inf)
        for row, owner in enumerate(tokens.owners):
            place = tokens.place(row)
            none[owner] = min(none[owner], float(outputs[place][0].sum()))
            first, last = context_of(tokens, row)
            inside = slice(place.start + first, place.start + last)
            solid = tokens.stops[inside] > tokens.begins[inside]
            score, start, stop = best_part(outputs[inside], tokens.firsts[inside], solid, self.longest)
            held = best[owner]
            if score > -np.inf and (held is None or score > held[0]):
                where = place.start + first
                best[owner] = score, int(tokens.begins[where + start]), int(tokens.stops[where + stop])
        return [self._chosen(*pair) for pair in zip(best, none.tolist(), strict=True)]

    def _chosen(self, best: tuple[float, int, int] | None, none: float) -> tuple[Span, ...]:
        if best is None or (self.no_answer and none > best[0] + self.threshold):
            return ()
        return (Span(best[1], best[2], "", float(1 / (1 + np.exp(none - best[0])))),)

    def shown(self, spans: list[tuple[Span, ...]], source: Source) -> list[Prediction]:
        """Each question's answer; an empty text where there is none."""
        found = []
        for row, held in enumerate(spans):
            text = joined(source.items[row][1])
            label = text[held[0].start : held[0].end] if held else ""
            sure = held[0].probability if held else None
            found.append(Prediction(source.name_of(row), label, sure, {label: sure} if sure is not None else {}, held))
        return found

    def to_config(self) -> dict:
        """Plain JSON values that `tltk.tasks.from_config` takes back."""
        own = {"no_answer": self.no_answer, "threshold": self.threshold, "longest": self.longest}
        return {"name": self.name, "labels": asdict(self.labels), "head": asdict(self.head), **own}


def context_of(tokens: Tokens, row: int) -> tuple[int, int]:
    """Return where the tokens of the second text begin and stop in a window; equal numbers where it has none."""
    numbers = tokens.numbers[tokens.place(row)]
    special = np.flatnonzero(numbers < 0)
    # [CLS] question [SEP] context [SEP]: between the last two runs of special tokens.
    last = len(numbers) - 1 if numbers[-1] < 0 else len(numbers)
    before = special[special < last]
    return int(before[-1]) + 1 if len(before) else 0, last


def best_part(logits: np.ndarray, firsts: np.ndarray, solid: np.ndarray, longest: int) -> tuple[float, int, int]:
    """Find the part of a context whose ends have the highest sum of logits, made of whole words.

    Args:
        logits: float32 [tokens, 2], of beginning and end.
        firsts: bool [tokens], whether a word begins there.
        solid: bool [tokens], whether a token covers anything: a piece of a space does not, and ends no part.
        longest: tokens at most.

    Returns:
        Its score (-inf where there is none), its first and its last token.

    Example:
        >>> best_part(np.array([[0, 0], [3, 0], [0, 1]], "float32"), np.ones(3, bool), np.ones(3, bool), 30)
        (4.0, 1, 2)
    """
    count = len(logits)
    if not count:
        return -np.inf, 0, 0
    begins = solid & np.concatenate([[True], firsts[1:] | ~solid[:-1]])
    ends = solid & np.concatenate([firsts[1:] | ~solid[1:], [True]])
    start = np.where(begins, logits[:, 0], -np.inf)
    stop = np.concatenate([np.where(ends, logits[:, 1], -np.inf), np.full(longest, -np.inf)])
    sums = start[:, None] + stop[np.arange(count)[:, None] + np.arange(longest)]
    best = int(sums.argmax())
    return float(sums.flat[best]), best // longest, best // longest + best % longest


def question_answering(
    *, head: heads.Head | None = None, no_answer: bool = True, threshold: float = 0.0, longest: int = 30
) -> QuestionAnswering:
    """Make a task that finds the answer to a question in a text.

    Args:
        head: from `tltk.head`; the default is a linear probe's. Its pooling counts for nothing.
        no_answer: whether a question may have no answer, as in SQuAD 2.0; False always gives the best part.
        threshold: by how much the score of no answer must be above the best part's; tune it on validation.
        longest: tokens of an answer at most.

    Returns:
        A task for `assemble`.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> question_answering(no_answer=False).units
        2
    """
    check.counts(longest=longest)
    check.kind_of("no_answer", no_answer, bool)
    if not check.is_number(threshold):
        raise ValueError(f"`threshold` must be a number. Received: {threshold!r}")
    chosen = heads.head() if head is None else head
    return QuestionAnswering(chosen, no_answer, float(threshold), longest)
