"""Independent references of the span decoders, in plain NumPy."""

import numpy as np

from tests.modalities.text.reference_words import words_of
from tltk.inference.forward import Decoder
from tltk.modalities.text.context import context_of
from tltk.modalities.text.encoding import as_strings, encoded
from tltk.specs import Span

MARKS = {"bio": "BI", "bilou": "BILU"}


def decoded(task, token_outputs, source, spec):
    """Decode outputs [all tokens, …] for a source as `tltk.predict` does."""
    tokens = encoded(source, spec)
    outputs = np.zeros((len(tokens), int(tokens.lengths.max(initial=1)), *token_outputs.shape[1:]), "float32")
    outputs[np.arange(outputs.shape[1]) < tokens.lengths[:, None]] = token_outputs
    strings = as_strings(source.examples, pairs=spec.pairs)
    return Decoder(task)(outputs, context_of(tokens, strings))


def predicted_spans(task, token_outputs, source, spec):
    """Return the spans that `tltk.predict` finds in each text."""
    predictions = task.predictions(decoded(task, token_outputs, source, spec), [""] * len(source))
    return [prediction.spans for prediction in predictions]


def entities(tags, text_ids, *, marks):
    """Group consecutive tags into entities: the first word of each entity, and the end (exclusive)."""
    types, mark_ids = np.divmod(tags - 1, len(marks))
    may_continue = np.isin(mark_ids, [marks.index(mark) for mark in "IL" if mark in marks]) & (tags > 0)
    ends = np.isin(mark_ids, [marks.index(mark) for mark in "LU" if mark in marks]) | (tags == 0)
    open_before = np.zeros(len(tags), bool)
    open_before[1:] = ~ends[:-1] & (types[1:] == types[:-1]) & (text_ids[1:] == text_ids[:-1])
    continues = may_continue & open_before
    first = np.flatnonzero((tags > 0) & ~continues)
    borders = np.concatenate([np.flatnonzero(~continues), [len(tags)]])
    return first, borders[np.searchsorted(borders, first, side="right")]


def find_entities(task, token_outputs, tokens, count):
    """Read the most likely tags as entities: whole words, with the mean probability of their tags."""
    words, marks = words_of(tokens), MARKS[task.scheme]
    scores = token_outputs[words.tokens]
    tags = scores.argmax(-1)
    probability = scores[np.arange(len(tags)), tags]
    spans_of_texts = [[] for _ in range(count)]
    for first, end in zip(*entities(tags, words.text_ids, marks=marks), strict=True):
        label = task.labels.names[(tags[first] - 1) // len(marks)]
        span = Span(int(words.starts[first]), int(words.ends[end - 1]), label, float(probability[first:end].mean()))
        spans_of_texts[words.text_ids[first]].append(span)
    return [tuple(spans) for spans in spans_of_texts]


def context_of_row(tokens, row):
    """Return where the tokens of the second text begin and end (exclusive) in a window."""
    positions = tokens.positions[tokens.place(row)]
    special = np.flatnonzero(positions < 0)
    # [CLS] question [SEP] context [SEP]: the context is between the last two runs of special tokens.
    end = len(positions) - 1 if positions[-1] < 0 else len(positions)
    special_before = special[special < end]
    return int(special_before[-1]) + 1 if len(special_before) else 0, end


def best_span(logits, is_word_start, covers, longest):
    """Find the span of whole words with the highest sum of logits: its score, first and last token."""
    count = len(logits)
    if not count:
        return -np.inf, 0, 0
    may_start = covers & np.concatenate([[True], is_word_start[1:] | ~covers[:-1]])
    may_end = covers & np.concatenate([is_word_start[1:] | ~covers[1:], [True]])
    start = np.where(may_start, logits[:, 0], -np.inf)
    end = np.concatenate([np.where(may_end, logits[:, 1], -np.inf), np.full(longest, -np.inf)])
    sums = start[:, None] + end[np.arange(count)[:, None] + np.arange(longest)]
    best = int(sums.argmax())
    return float(sums.flat[best]), best // longest, best // longest + best % longest


def find_answers(task, token_outputs, tokens, count):
    """Take the best span of the best window, or none if the score of no answer exceeds it by the threshold."""
    best = [(-np.inf, 0, 0)] * count
    no_answer_scores = np.full(count, np.inf)
    for row, text in enumerate(tokens.text_ids):
        place = tokens.place(row)
        no_answer_scores[text] = min(no_answer_scores[text], float(token_outputs[place][0].sum()))
        begin, end = context_of_row(tokens, row)
        context = slice(place.start + begin, place.start + end)
        covers = tokens.char_ends[context] > tokens.char_starts[context]
        score, first, last = best_span(
            token_outputs[context], tokens.is_word_start[context], covers, task.max_answer_tokens
        )
        if score > best[text][0]:
            starts, ends = tokens.char_starts[context], tokens.char_ends[context]
            best[text] = score, int(starts[first]), int(ends[last])
    spans = []
    for (score, start, end), no_answer_score in zip(best, no_answer_scores.tolist(), strict=True):
        exists = score > -np.inf and not (task.no_answer and no_answer_score > score + task.threshold)
        spans.append((Span(start, end, "", float(1 / (1 + np.exp(no_answer_score - score)))),) if exists else ())
    return spans
