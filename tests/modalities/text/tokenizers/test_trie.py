import random

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.text.tokenizers.trie import Trie, covered, reached


def decode(texts):
    return tf.strings.unicode_decode(tf.constant(texts, tf.string), "UTF-8")


def found_by_hand(texts, keys):
    start, found = 0, set()
    for text in texts:
        found |= {
            (start + at, len(key), number)
            for key, number in keys.items()
            for at in range(len(text))
            if text.startswith(key, at)
        }
        start += len(text)
    return found


def test_every_key_is_found_at_every_character_and_none_beyond_the_end_of_a_text():
    generator = random.Random(0)
    letters = "abé☃\U0001f600"
    keys = {"".join(generator.choices(letters, k=generator.randint(1, 5))): number for number in range(60)}
    texts = ["".join(generator.choices(letters, k=generator.randint(0, 30))) for _ in range(50)]
    where, length, number = Trie(keys).matches(decode(texts))
    matches = list(zip(where.numpy().tolist(), length.numpy().tolist(), number.numpy().tolist(), strict=True))
    assert len(matches) == len(set(matches)) > 500
    assert set(matches) == found_by_hand(texts, keys)


def test_a_key_that_others_begin_with_keeps_its_number_whatever_came_first():
    for keys in ({"ab": 0, "a": 1, "abc": 2}, {"abc": 2, "a": 1, "ab": 0}):
        where, length, number = Trie(keys).matches(decode(["abc"]))
        assert (where.numpy().tolist(), length.numpy().tolist(), number.numpy().tolist()) == (
            [0, 0, 0],
            [1, 2, 3],
            [1, 0, 2],
        )


@pytest.mark.parametrize("texts", [[], [""], ["", "x", ""]])
def test_nothing_is_found_where_there_is_nothing(texts):
    assert [column.numpy().size for column in Trie({"a": 0}).matches(decode(texts))] == [0, 0, 0]


def test_a_number_and_a_node_do_not_mix():
    where, _, number = Trie({"a" * 300: 2**31 - 2, "\U0010ffff": 0}).matches(decode(["a" * 300 + "\U0010ffff"]))
    assert where.numpy().tolist() == [300, 0]
    assert number.numpy().tolist() == [0, 2**31 - 2]


def test_what_is_within_a_match_is_told_from_its_beginning():
    #    0 1 2 3 4 5
    #    [a b c] .       one of three, one of one, and one of two that reaches the end
    #          [d]  [e f]
    inside = covered(tf.constant([0, 3, 4]), tf.constant([3, 1, 2]), tf.constant(6))
    assert inside.numpy().tolist() == [False, True, True, False, False, True]
    assert covered(tf.zeros(0, tf.int32), tf.zeros(0, tf.int32), tf.constant(0)).numpy().tolist() == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 1000])
def test_jumps_are_followed_to_the_end(count):
    generator = np.random.default_rng(count)
    jump = np.minimum(np.arange(count) + generator.integers(1, 6, count), count).astype(np.int32)
    seeds = generator.random(count) < 0.05
    wanted = seeds.copy()
    for at in range(count):
        if wanted[at] and jump[at] < count:
            wanted[jump[at]] = True
    assert np.array_equal(reached(tf.constant(jump, tf.int32), tf.constant(seeds, tf.bool)), wanted)


def test_jumps_may_lead_backwards():
    jump = np.array([6, 0, 1, 2, 2, 4], np.int32)
    passed = reached(tf.constant(jump), tf.constant([False] * 5 + [True]))
    assert passed.numpy().tolist() == [True, True, True, False, True, True]
