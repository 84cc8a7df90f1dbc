"""Decode outputs per token into entities and answers, in a graph."""

from collections.abc import Sequence

import tensorflow as tf

from tltk.foundation.errors import InvalidInput
from tltk.modalities.context import Context
from tltk.modalities.text.context import in_second_text
from tltk.modalities.text.ragged import grouped
from tltk.modalities.text.windows import Windows
from tltk.modalities.text.words import words_of

_IMPOSSIBLE = -1e30  # below every score


def require_windows(context: Context, name: str) -> Windows:
    """Return the windows of a context.

    Args:
        context: Context of a batch.
        name: Name of the task, for the error message.

    Raises:
        InvalidInput: If the context has no windows, as for a `tf.data.Dataset`.
    """
    if context.windows is None:
        raise InvalidInput(f"{name} needs a source of texts: a tf.data.Dataset has no example ids.")
    return context.windows


def decode_entities(
    outputs: tf.Tensor, windows: Windows, context: Context, *, tags: Sequence[str], types: Sequence[str]
) -> dict[str, tf.Tensor]:
    """Decode the most likely tag of each word into entities.

    Args:
        outputs: float32 [windows, tokens, tags], probabilities.
        windows: Windows of the texts.
        context: Context of the same batch.
        tags: "O", then the tags of each type, such as "B-city", "I-city".
        types: Names of the types.

    Returns:
        Columns [texts, most entities of a text]: "starts" and "ends" int32 (exclusive, in characters), "types" and
        "entities" (their text) string, "probabilities" float32, averaged over words; padded with -1, "" and 0.
    """
    words = words_of(windows, context.count)
    tokens = tf.boolean_mask(outputs, tf.sequence_mask(windows.ids.row_lengths(), tf.shape(outputs)[1]))
    scores = tf.gather(tokens, words.tokens)
    tag_ids, probability = tf.argmax(scores, -1, output_type=tf.int32), tf.reduce_max(scores, -1)
    is_first, entity, inside = _entity_of_word(tag_ids, words.text_ids, tags, len(types))
    count = tf.reduce_sum(tf.cast(is_first, tf.int32))
    entity = tf.boolean_mask(entity, inside)
    text_ids = tf.boolean_mask(words.text_ids, is_first)
    starts = tf.boolean_mask(words.starts, is_first)
    ends = tf.math.unsorted_segment_max(tf.boolean_mask(words.ends, inside), entity, count)
    tags_per_type = (len(tags) - 1) // len(types)
    columns = {
        "starts": (starts, -1),
        "ends": (ends, -1),
        "types": (tf.gather(tf.constant(types), (tf.boolean_mask(tag_ids, is_first) - 1) // tags_per_type), ""),
        "entities": (substrings(context.texts[0], text_ids, starts, ends), ""),
        "probabilities": (tf.math.unsorted_segment_mean(tf.boolean_mask(probability, inside), entity, count), 0.0),
    }
    return {
        name: grouped(values, text_ids, context.count).to_tensor(padding) for name, (values, padding) in columns.items()
    }


def _entity_of_word(
    tag_ids: tf.Tensor, text_ids: tf.Tensor, tags: Sequence[str], types: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Group consecutive tags into entities.

    A word with an I or L tag continues the entity of the previous word if that is open and has the same type;
    otherwise it starts a new entity.

    Args:
        tag_ids: int32 [words].
        text_ids: int64 [words], the text of each word.
        tags: Names of the tags.
        types: Number of types.

    Returns:
        For each word: whether it is the first of an entity, the index of its entity, whether it is part of one.
    """
    marks = [tag[0] for tag in tags]
    may_continue = tf.gather(tf.constant([mark in "IL" for mark in marks]), tag_ids)
    ends = tf.gather(tf.constant([mark in "LUO" for mark in marks]), tag_ids)
    type_ids = (tag_ids - 1) // ((len(tags) - 1) // types)
    open_before = ~ends[:-1] & (type_ids[1:] == type_ids[:-1]) & (text_ids[1:] == text_ids[:-1])
    continues = may_continue & tf.concat([tf.zeros_like(may_continue[:1]), open_before], 0)
    inside = tag_ids > 0
    is_first = inside & ~continues
    return is_first, tf.cumsum(tf.cast(is_first, tf.int32)) - 1, inside


def substrings(texts: tf.Tensor, rows: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Extract substrings by character offsets.

    Each text is decoded once, whatever the number of its substrings.

    Args:
        texts: string [texts], UTF-8.
        rows: int64 [substrings], the text of each substring.
        starts: int32 [substrings], start offset in characters (code points).
        ends: int32 [substrings], end offset (exclusive).

    Returns:
        string [substrings].

    Examples:
        >>> substrings(tf.constant(["a café"]), [0], tf.constant([2]), tf.constant([6])).numpy()[0].decode()
        'café'
    """
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    offsets = tf.gather(characters.row_starts(), rows)
    indices = tf.ragged.range(offsets + tf.cast(starts, tf.int64), offsets + tf.cast(ends, tf.int64))
    return tf.strings.unicode_encode(
        indices.with_flat_values(tf.gather(characters.flat_values, indices.flat_values)), "UTF-8"
    )


def decode_answers(
    outputs: tf.Tensor, windows: Windows, context: Context, *, no_answer: bool, threshold: float, max_answer_tokens: int
) -> dict[str, tf.Tensor]:
    """Decode start and end logits into answers: the best span of whole words over all windows of a question.

    Args:
        outputs: float32 [windows, tokens, 2], logits.
        windows: Windows of pairs of question and context.
        context: Context of the same batch.
        no_answer: Whether a question may have no answer, scored by the logits of the first token.
        threshold: Margin by which the score of no answer must exceed that of the best span.
        max_answer_tokens: Maximum number of tokens of an answer.

    Returns:
        Columns [questions]: "answer" string, "start" and "end" int32 (exclusive, in characters of the context) and
        "probability" float32 (of the span against no answer); "" and -1 if there is no answer.
    """
    window_scores, window_spans = _best_spans(outputs, windows, max_answer_tokens)
    by_text = grouped(window_scores, windows.text_ids, context.count)
    score = tf.reduce_max(by_text, 1)
    no_answer_logits = tf.reduce_sum(outputs[:, 0], -1)
    no_answer_score = tf.reduce_min(grouped(no_answer_logits, windows.text_ids, context.count), 1)
    window = by_text.row_starts() + tf.argmax(by_text.to_tensor(4 * _IMPOSSIBLE), 1)
    first = tf.gather(window_spans, window) // max_answer_tokens
    last = first + tf.gather(window_spans, window) % max_answer_tokens
    exists = (score > _IMPOSSIBLE / 2) & ((no_answer_score <= score + threshold) if no_answer else True)
    offset = tf.gather(windows.ids.row_starts(), window)
    start = tf.gather(windows.char_starts.flat_values, offset + tf.cast(first, tf.int64))
    end = tf.gather(windows.char_ends.flat_values, offset + tf.cast(last, tf.int64))
    start, end = tf.where(exists, start, -1), tf.where(exists, end, -1)
    clean = tf.strings.unicode_transcode(context.texts[1], "UTF-8", "UTF-8", errors="replace")
    length = tf.where(exists, end - start, 0)
    answer = tf.strings.substr(clean, tf.maximum(start, 0), length, unit="UTF8_CHAR")
    return {"answer": answer, "start": start, "end": end, "probability": tf.sigmoid(score - no_answer_score)}


def _best_spans(outputs: tf.Tensor, windows: Windows, max_answer_tokens: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the best span of each window, starting and ending with a whole word of the context.

    Returns:
        Its score, float32 [windows], and its first token · max_answer_tokens + (number of tokens - 1), int32 [windows].
    """
    width = tf.shape(outputs)[1]
    covers = windows.char_ends.to_tensor(0) > windows.char_starts.to_tensor(0)
    candidates, is_word_start = (
        tf.pad(mask, [[0, 0], [0, width - tf.shape(mask)[1]]])
        for mask in (in_second_text(windows) & covers, windows.is_word_start.to_tensor(False))
    )
    false = tf.zeros_like(candidates[:, :1])
    may_start = candidates & (is_word_start | ~tf.concat([false, candidates[:, :-1]], 1))
    may_end = candidates & tf.concat([is_word_start[:, 1:] | ~candidates[:, 1:], ~false], 1)
    start = tf.where(may_start, outputs[..., 0], _IMPOSSIBLE)
    end = tf.where(may_end, outputs[..., 1], _IMPOSSIBLE)
    end = tf.pad(end, [[0, 0], [0, max_answer_tokens]], constant_values=_IMPOSSIBLE)
    sums = start[..., None] + tf.stack([end[:, shift : shift + width] for shift in range(max_answer_tokens)], -1)
    sums = tf.reshape(sums, [tf.shape(sums)[0], -1])
    return tf.reduce_max(sums, 1), tf.argmax(sums, 1, output_type=tf.int32)
