"""Spans read from outputs in plain NumPy: the independent references of the decoders."""

import numpy as np

from tests.modalities.text.reference_words import words_of
from tltk.inference.forward import Decoder
from tltk.modalities.text.context import context_of
from tltk.modalities.text.encoding import as_strings, encoded
from tltk.specs import Span

MARKS = {"bio": "BI", "bilou": "BILU"}


def decoded(task, flat, source, spec):
    """Decode outputs [all tokens, …] of a source as `tltk.predict` does."""
    tokens = encoded(source, spec)
    outputs = np.zeros((len(tokens), int(tokens.lengths.max(initial=1)), *flat.shape[1:]), "float32")
    outputs[np.arange(outputs.shape[1]) < tokens.lengths[:, None]] = flat
    strings = as_strings(source.examples, pairs=spec.pairs)
    return Decoder(task)(outputs, context_of(tokens, strings))


def predicted_spans(task, flat, source, spec):
    """Return the spans that `tltk.predict` finds in each text."""
    predictions = task.predictions(decoded(task, flat, source, spec), [""] * len(source))
    return [prediction.spans for prediction in predictions]


def entities(tags, owners, *, marks):
    """Read runs of tags: the first word of each entity, and the end (exclusive)."""
    kind, mark = np.divmod(tags - 1, len(marks))
    goes_on = np.isin(mark, [marks.index(each) for each in "IL" if each in marks]) & (tags > 0)
    ends = np.isin(mark, [marks.index(each) for each in "LU" if each in marks]) | (tags == 0)
    before = np.zeros(len(tags), bool)
    before[1:] = ~ends[:-1] & (kind[1:] == kind[:-1]) & (owners[1:] == owners[:-1])
    continues = goes_on & before
    first = np.flatnonzero((tags > 0) & ~continues)
    borders = np.concatenate([np.flatnonzero(~continues), [len(tags)]])
    return first, borders[np.searchsorted(borders, first, side="right")]


def find_entities(task, flat, tokens, count):
    """Read the most likely tags as entities: whole words, with the mean probability of their tags."""
    words, marks = words_of(tokens), MARKS[task.scheme]
    scores = flat[words.tokens]
    best = scores.argmax(-1)
    probability = scores[np.arange(len(best)), best]
    spans = [[] for _ in range(count)]
    for first, last in zip(*entities(best, words.text_ids, marks=marks), strict=True):
        label = task.labels.names[(best[first] - 1) // len(marks)]
        start, stop = int(words.starts[first]), int(words.ends[last - 1])
        spans[words.text_ids[first]].append(Span(start, stop, label, float(probability[first:last].mean())))
    return [tuple(each) for each in spans]


def context_of_row(tokens, row):
    """Return where the tokens of the second text begin and end (exclusive) in a window."""
    numbers = tokens.positions[tokens.place(row)]
    special = np.flatnonzero(numbers < 0)
    # [CLS] question [SEP] context [SEP]: between the last two runs of special tokens.
    last = len(numbers) - 1 if numbers[-1] < 0 else len(numbers)
    before = special[special < last]
    return int(before[-1]) + 1 if len(before) else 0, last


def best_part(logits, firsts, solid, longest):
    """Find the part of a context with the highest sum of logits, made of whole words: score, first and last token."""
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


def find_answers(task, flat, tokens, count):
    """Take the best part of the best window, or none if the score of no answer is above it by the threshold."""
    best = [(-np.inf, 0, 0)] * count
    none = np.full(count, np.inf)
    for row, owner in enumerate(tokens.text_ids):
        place = tokens.place(row)
        none[owner] = min(none[owner], float(flat[place][0].sum()))
        first, last = context_of_row(tokens, row)
        inside = slice(place.start + first, place.start + last)
        solid = tokens.char_ends[inside] > tokens.char_starts[inside]
        score, start, stop = best_part(flat[inside], tokens.is_word_start[inside], solid, task.longest)
        if score > best[owner][0]:
            at = place.start + first
            best[owner] = score, int(tokens.char_starts[at + start]), int(tokens.char_ends[at + stop])
    spans = []
    for (score, start, stop), nothing in zip(best, none.tolist(), strict=True):
        found = score > -np.inf and not (task.no_answer and nothing > score + task.threshold)
        spans.append((Span(start, stop, "", float(1 / (1 + np.exp(nothing - score)))),) if found else ())
    return spans
