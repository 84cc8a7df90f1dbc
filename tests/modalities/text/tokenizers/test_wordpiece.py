import json

import pytest
import tensorflow as tf
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from tests.texts import FUZZED, fuzzed, minilm_folder
from tltk.modalities.text.tokenizers.wordpiece import WordPiece
from tltk.specs import TokenizerSpec


def vocabulary():
    return tuple((minilm_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines())


def tokenize(texts, spec):
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(WordPiece(spec).__call__, input_signature=signature)(tf.constant(texts, tf.string))


def ids_of(texts, spec):
    return tokenize(texts, spec).ids.to_list()


@pytest.mark.parametrize("lowercase", [True, False])
def test_it_agrees_with_hugging_face_on_fuzzed_strings_in_many_scripts(lowercase):
    known = vocabulary()
    settings = json.loads((minilm_folder() / "tokenizer.json").read_text(encoding="utf-8"))
    settings["normalizer"]["lowercase"] = lowercase
    settings["padding"] = settings["truncation"] = None
    reference = Tokenizer.from_str(json.dumps(settings))
    texts = fuzzed(FUZZED, [piece.strip("#") for piece in known if not piece.startswith("[")])
    expected = reference.encode_batch(texts, add_special_tokens=False)
    assert sum(len(each.ids) for each in expected) > 10 * FUZZED
    found = tokenize(texts, TokenizerSpec("wordpiece", known, lowercase=lowercase, strip_accents=lowercase))
    assert found.ids.to_list() == [each.ids for each in expected]
    places = [
        list(zip(*pair, strict=True))
        for pair in zip(found.char_starts.to_list(), found.char_ends.to_list(), strict=True)
    ]
    assert places == [each.offsets for each in expected]
    assert found.is_word_start.to_list() == [
        [number == 0 or word != each.word_ids[number - 1] for number, word in enumerate(each.word_ids)]
        for each in expected
    ]


@pytest.mark.slow
def test_every_character_of_unicode_is_cut_as_hugging_face_does():
    normal, cut = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = tf.function(WordPiece(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))).words)
    texts = [f"a{chr(point)}b" for point in range(1, 0x110000) if not 0xD800 <= point <= 0xDFFF]
    other = []
    for start in range(0, len(texts), 100_000):
        some = texts[start : start + 100_000]
        found = words(tf.constant(some)).to_list()
        expected = [[word for word, _ in cut.pre_tokenize_str(normal.normalize_str(text))] for text in some]
        other += [text for text, a, b in zip(some, found, expected, strict=True) if [w.decode() for w in a] != b]
    # Small letters of capitals that Unicode got after Python's tables did.
    assert len(other) < 100
    assert all(ord(text[1]) in {*range(0x1C89, 0x1C8B), *range(0xA7C0, 0xA7E0), *range(0x10D50, 0x10D66), 0x11938,
                                *range(0x16EA0, 0x16EB9)} for text in other)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n ", []),
        ("Café déjà", ["cafe", "deja"]),
        ("a\u200bb\u0000c\x07d", ["abcd"]),
        ("don't stop!", ["don", "'", "t", "stop", "!"]),
        ("我爱TF", ["我", "爱", "tf"]),
        ("İstanbul", ["istanbul"]),
        ("😀😀 ok", ["😀😀", "ok"]),
        ("שלום, עולם", ["שלום", ",", "עולם"]),
    ],
)
def test_words_are_cut_at_spaces_punctuation_and_ideographs(text, words):
    found = WordPiece(TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))).words(tf.constant([text]))
    assert [word.decode() for word in found.to_list()[0]] == words


def test_the_longest_piece_is_taken_and_an_unknown_rest_makes_the_word_unknown():
    spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "unb", "##aff", "##able", "a", "##a"))
    found = ids_of(["unaffable unbx a", "", "aaa", "[SEP]"], spec)
    assert found == [[4, 6, 7, 1, 8], [], [8, 9, 9], [1, 1, 1]]


def test_a_word_of_over_100_characters_is_unknown():
    spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##a"))
    assert ids_of(["a" * 100, "a" * 101], spec) == [[4] + [5] * 99, [1]]


def test_bytes_that_are_no_text_count_as_nothing():
    spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"))
    assert ids_of([b"a\xff\xfeb"], spec) == [[4, 5]]


def test_a_megabyte_of_text_is_no_problem():
    spec = TokenizerSpec("wordpiece", ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##b"))
    assert ids_of(["ab " * 350_000], spec) == [[4, 5] * 350_000]
