"""Tagging: entities in texts, whole words, as BIO or BILOU tags of tokens."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.heads import builder as heads
from tltk.modalities.text.encoding import Tokens, joined
from tltk.modalities.text.words import words_of
from tltk.specs import ImageSpec, LabelSpec, Span, TextSpec
from tltk.tasks.base import Prediction, windowed
from tltk.tasks.encodings import as_tokens

SCHEMES = ("bio", "bilou")
UNLABELLED = -1
_MARKS = {"bio": "BI", "bilou": "BILU"}
_GOES_ON, _ENDS = "IL", "LU"
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


@dataclass(frozen=True)
class TokenClassification:
    """A tag for the first token of each word: softmax and cross-entropy."""

    labels: LabelSpec
    head: heads.Head
    scheme: str = "bio"
    name: str = "token_classification"
    monitor: tuple[str, str] = ("token_f1", "max")
    per_token: ClassVar[bool] = True

    @property
    def tags(self) -> tuple[str, ...]:
        """Names of the outputs: "O", then each type's beginning, inside …"""
        return ("O", *(f"{mark}-{name}" for name in self.labels.names for mark in _MARKS[self.scheme]))

    @property
    def units(self) -> int:
        """One output a tag."""
        return len(self.tags)

    def reads(self, spec: ImageSpec | TextSpec) -> ImageSpec | TextSpec:
        """One text an example; longer ones in windows, so that every word gets a tag."""
        return windowed(spec, self.name)

    @property
    def encode(self) -> Callable[[Any], Any]:
        """Numbers of tags as they are, int32 [batch, longest]."""
        return as_tokens

    def outputs(
        self, features: keras.KerasTensor, *, mask: keras.KerasTensor | None = None, seed: int = 0
    ) -> keras.KerasTensor:
        """Probabilities, float32 [batch, tokens, tags]."""
        logits = heads.attach_tokens(self.head, features, units=self.units, mask=mask, seed=seed)
        return keras.layers.Activation("softmax", dtype="float32", name="head_probabilities")(logits)

    def loss(self) -> keras.losses.Loss:
        """Cross-entropy of the tokens that begin a word."""
        return TokenCrossEntropy()

    def metrics(self) -> list[keras.metrics.Metric]:
        """F1 of tokens; `evaluate` counts whole entities."""
        return [TokenF1()]

    def align(self, made: Source, source: Source) -> np.ndarray:
        """Give the first token of each word the tag of that word: int32 [frames, longest], -1 for all other tokens."""
        tokens: Tokens = made.items
        words = words_of(tokens)
        tags = np.zeros(len(words.owners), np.int32)
        cut = 0
        for text, spans in enumerate(source.targets if source.targets is not None else ()):
            first, last = np.searchsorted(words.owners, [text, text + 1])
            for span in spans:
                begins, stops = words.begins[first:last], words.stops[first:last]
                inside = first + np.flatnonzero((begins < span.end) & (stops > span.start))
                if len(inside):
                    tags[inside] = self._numbers(span.label, len(inside))
                    cut += words.begins[inside[0]] != span.start or words.stops[inside[-1]] != span.end
        if cut:
            log.warning("%d entities begin or end inside of a word; the whole word counts as theirs.", cut)
        flat = np.where(words.of_token >= 0, tags[words.of_token] if len(tags) else 0, UNLABELLED)
        found = np.full((len(tokens), int(tokens.lengths.max(initial=1))), UNLABELLED, np.int32)
        found[np.arange(found.shape[1]) < tokens.lengths[:, None]] = flat
        return found

    def _numbers(self, label: str, words: int) -> list[int]:
        """Tags of an entity of so many words."""
        marks = _MARKS[self.scheme]
        base = 1 + self.labels.names.index(label) * len(marks)
        if words == 1 and "U" in marks:
            return [base + marks.index("U")]
        last = "L" if "L" in marks else "I"
        chosen = "B" + "I" * (words - 2) + last if words > 1 else "B"
        return [base + marks.index(mark) for mark in chosen]

    def find(self, outputs: np.ndarray, made: Source, source: Source) -> list[tuple[Span, ...]]:
        """Read the most likely tags as entities: whole words, with the mean probability of their tags."""
        words = words_of(made.items)
        scores = outputs[words.tokens]
        best = scores.argmax(-1)
        sure = scores[np.arange(len(best)), best]
        found: list[list[Span]] = [[] for _ in range(len(source))]
        for first, last in zip(*entities(best, words.owners, marks=_MARKS[self.scheme]), strict=True):
            label = self.labels.names[(best[first] - 1) // len(_MARKS[self.scheme])]
            start, stop = int(words.begins[first]), int(words.stops[last - 1])
            found[words.owners[first]].append(Span(start, stop, label, float(sure[first:last].mean())))
        return [tuple(spans) for spans in found]

    def shown(self, spans: list[tuple[Span, ...]], source: Source) -> list[Prediction]:
        """Each text's entities, in its order."""
        found = []
        for row, held in enumerate(spans):
            text = joined(source.items[row])
            label = ", ".join(f"{text[span.start : span.end]} ({span.label})" for span in held)
            found.append(Prediction(source.name_of(row), label, None, {}, held))
        return found

    def to_config(self) -> dict:
        """Plain JSON values that `tltk.tasks.from_config` takes back."""
        return {"name": self.name, "labels": asdict(self.labels), "head": asdict(self.head), "scheme": self.scheme}


def entities(tags: np.ndarray, owners: np.ndarray, *, marks: str) -> tuple[np.ndarray, np.ndarray]:
    """Read runs of tags as entities.

    An entity goes on under a tag that says so and has its type; an inside without a beginning begins one.

    Args:
        tags: int [words]: 0 for none, then each type's marks in turn.
        owners: int [words], the text of each.
        marks: "BI" or "BILU".

    Returns:
        The first word of each entity, and the one behind its last.

    Example:
        >>> first, stop = entities(np.array([0, 1, 2, 1, 4]), np.zeros(5, int), marks="BI")
        >>> list(zip(first.tolist(), stop.tolist()))
        [(1, 3), (3, 4), (4, 5)]
    """
    kind, mark = np.divmod(tags - 1, len(marks))
    goes_on = np.isin(mark, [marks.index(each) for each in _GOES_ON if each in marks]) & (tags > 0)
    ends = np.isin(mark, [marks.index(each) for each in _ENDS if each in marks]) | (tags == 0)
    before = np.zeros(len(tags), bool)
    before[1:] = ~ends[:-1] & (kind[1:] == kind[:-1]) & (owners[1:] == owners[:-1])
    continues = goes_on & before
    first = np.flatnonzero((tags > 0) & ~continues)
    borders = np.concatenate([np.flatnonzero(~continues), [len(tags)]])
    return first, borders[np.searchsorted(borders, first, side="right")]


def token_classification(
    labels: LabelSpec, *, head: heads.Head | None = None, scheme: str = "bio"
) -> TokenClassification:
    """Make a task that finds entities in texts.

    A tag is learned and read for the first token of each word, so that no entity ever cuts a word in two.

    Args:
        labels: `source.labels` of type "entities": the types of entities.
        head: from `tltk.head`; the default is a linear probe's with dropout 0.1. Its pooling counts for nothing.
        scheme: "bio", or "bilou", which also learns where an entity ends.

    Returns:
        A task for `assemble`.

    Raises:
        TypeError: if `labels` is no Labels record.
        ValueError: if the labels are no types of entities.

    Example:
        >>> token_classification(LabelSpec(("city",), "entities")).tags
        ('O', 'B-city', 'I-city')
    """
    check.kind_of("labels", labels, LabelSpec, hint="Pass `source.labels`.")
    if labels.type != "entities":
        raise ValueError(
            f"`labels` are of type {labels.type!r}, not types of entities. Read them with tltk.from_conll(…), or with "
            "from_jsonl(…, text=True, label_type='entities')."
        )
    check.one_of("scheme", scheme, SCHEMES)
    return TokenClassification(labels, heads.head(dropout=0.1) if head is None else head, scheme)
