"""Outputs of tokens to entities and answers, in a graph."""

from collections.abc import Sequence

import tensorflow as tf

from tltk.modalities.context import Context
from tltk.modalities.text.context import in_second_text
from tltk.modalities.text.ragged import grouped
from tltk.modalities.text.windows import Windows
from tltk.modalities.text.words import words_of

_NEVER = -1e30  # below every score


def require_windows(context: Context, name: str) -> Windows:
    """Return the windows of a context.

    Args:
        context: of a batch.
        name: of the task, for the error.

    Raises:
        ValueError: if there are none, as for a `tf.data.Dataset`.
    """
    if context.windows is None:
        raise ValueError(f"{name} needs a source of texts: a tf.data.Dataset has no example ids.")
    return context.windows


def decode_entities(
    outputs: tf.Tensor, windows: Windows, context: Context, *, tags: Sequence[str], types: Sequence[str]
) -> dict[str, tf.Tensor]:
    """Read the most likely tags of words as entities.

    Args:
        outputs: probabilities, float32 [windows, tokens, tags].
        windows: of the texts.
        context: of the same batch.
        tags: "O", then each type's marks in turn, such as "B-city", "I-city".
        types: names of the types.

    Returns:
        "starts" and "ends" int32 (exclusive, in characters), "types" and "entities" (their text) string,
        "probabilities" float32, the mean over the words: [texts, most entities of a text], padded with -1, "" and 0.
    """
    words = words_of(windows, context.count)
    tokens = tf.boolean_mask(outputs, tf.sequence_mask(windows.ids.row_lengths(), tf.shape(outputs)[1]))
    scores = tf.gather(tokens, words.tokens)
    best, probability = tf.argmax(scores, -1, output_type=tf.int32), tf.reduce_max(scores, -1)
    is_first, entity, inside = _entity_of_word(best, words.text_ids, tags, len(types))
    count = tf.reduce_sum(tf.cast(is_first, tf.int32))
    entity = tf.boolean_mask(entity, inside)
    text_ids = tf.boolean_mask(words.text_ids, is_first)
    starts = tf.boolean_mask(words.starts, is_first)
    ends = tf.math.unsorted_segment_max(tf.boolean_mask(words.ends, inside), entity, count)
    marks = (len(tags) - 1) // len(types)
    columns = {
        "starts": (starts, -1),
        "ends": (ends, -1),
        "types": (tf.gather(tf.constant(types), (tf.boolean_mask(best, is_first) - 1) // marks), ""),
        "entities": (substrings(context.texts[0], text_ids, starts, ends), ""),
        "probabilities": (tf.math.unsorted_segment_mean(tf.boolean_mask(probability, inside), entity, count), 0.0),
    }
    return {
        name: grouped(values, text_ids, context.count).to_tensor(padding) for name, (values, padding) in columns.items()
    }


def _entity_of_word(
    best: tf.Tensor, text_ids: tf.Tensor, tags: Sequence[str], types: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Read runs of tags: which words begin an entity, which entity each belongs to, and whether it belongs to one.

    An entity goes on under a tag that says so and has its type; an inside without a beginning begins one.
    """
    marks = [tag[0] for tag in tags]
    goes_on = tf.gather(tf.constant([mark in "IL" for mark in marks]), best)
    ends = tf.gather(tf.constant([mark in "LUO" for mark in marks]), best)
    type_of = (best - 1) // ((len(tags) - 1) // types)
    open_before = ~ends[:-1] & (type_of[1:] == type_of[:-1]) & (text_ids[1:] == text_ids[:-1])
    continues = goes_on & tf.concat([tf.zeros_like(goes_on[:1]), open_before], 0)
    is_first = (best > 0) & ~continues
    return is_first, tf.cumsum(tf.cast(is_first, tf.int32)) - 1, best > 0


def substrings(texts: tf.Tensor, rows: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor) -> tf.Tensor:
    """Cut parts out of texts.

    Each text is split into characters once, however many parts it has.

    Args:
        texts: UTF-8 strings [texts].
        rows: int64 [parts], the text of each part.
        starts: int32 [parts], first character (code point).
        ends: int32 [parts], end offset (exclusive).

    Returns:
        Strings [parts].

    Example:
        >>> substrings(tf.constant(["a café"]), [0], tf.constant([2]), tf.constant([6])).numpy()[0].decode()
        'café'
    """
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    offsets = tf.gather(characters.row_starts(), rows)
    places = tf.ragged.range(offsets + tf.cast(starts, tf.int64), offsets + tf.cast(ends, tf.int64))
    return tf.strings.unicode_encode(
        places.with_flat_values(tf.gather(characters.flat_values, places.flat_values)), "UTF-8"
    )


def decode_answers(
    outputs: tf.Tensor, windows: Windows, context: Context, *, no_answer: bool, threshold: float, longest: int
) -> dict[str, tf.Tensor]:
    """Read the logits of beginnings and ends as answers: the best part of the best window, made of whole words.

    Args:
        outputs: logits, float32 [windows, tokens, 2].
        windows: of pairs of question and context.
        context: of the same batch.
        no_answer: whether a question may have no answer, which the first token stands for.
        threshold: by how much the score of no answer must be above that of the best part.
        longest: tokens of an answer at most.

    Returns:
        "answer" string, "start" and "end" int32 (exclusive, in characters of the context), "probability" float32
        against no answer: [questions]; "" and -1 where there is none.
    """
    best, place = _best_parts(outputs, windows, longest)
    by_text = grouped(best, windows.text_ids, context.count)
    score = tf.reduce_max(by_text, 1)
    nothing = tf.reduce_min(grouped(tf.reduce_sum(outputs[:, 0], -1), windows.text_ids, context.count), 1)
    window = by_text.row_starts() + tf.argmax(by_text.to_tensor(4 * _NEVER), 1)
    first = tf.gather(place, window) // longest
    last = first + tf.gather(place, window) % longest
    exists = (score > _NEVER / 2) & ((nothing <= score + threshold) if no_answer else True)
    offset = tf.gather(windows.ids.row_starts(), window)
    start = tf.gather(windows.char_starts.flat_values, offset + tf.cast(first, tf.int64))
    end = tf.gather(windows.char_ends.flat_values, offset + tf.cast(last, tf.int64))
    start, end = tf.where(exists, start, -1), tf.where(exists, end, -1)
    clean = tf.strings.unicode_transcode(context.texts[1], "UTF-8", "UTF-8", errors="replace")
    length = tf.where(exists, end - start, 0)
    answer = tf.strings.substr(clean, tf.maximum(start, 0), length, unit="UTF8_CHAR")
    return {"answer": answer, "start": start, "end": end, "probability": tf.sigmoid(score - nothing)}


def _best_parts(outputs: tf.Tensor, windows: Windows, longest: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Find the best part of each window: its score [windows], and first token · longest + further tokens, int32."""
    width = tf.shape(outputs)[1]
    covers = windows.char_ends.to_tensor(0) > windows.char_starts.to_tensor(0)
    candidates, begins_word = (
        tf.pad(mask, [[0, 0], [0, width - tf.shape(mask)[1]]])
        for mask in (in_second_text(windows) & covers, windows.is_word_start.to_tensor(False))
    )
    none = tf.zeros_like(candidates[:, :1])
    may_begin = candidates & (begins_word | ~tf.concat([none, candidates[:, :-1]], 1))
    may_end = candidates & tf.concat([begins_word[:, 1:] | ~candidates[:, 1:], ~none], 1)
    start = tf.where(may_begin, outputs[..., 0], _NEVER)
    end = tf.pad(tf.where(may_end, outputs[..., 1], _NEVER), [[0, 0], [0, longest]], constant_values=_NEVER)
    sums = start[..., None] + tf.stack([end[:, shift : shift + width] for shift in range(longest)], -1)
    sums = tf.reshape(sums, [tf.shape(sums)[0], -1])
    return tf.reduce_max(sums, 1), tf.argmax(sums, 1, output_type=tf.int32)
