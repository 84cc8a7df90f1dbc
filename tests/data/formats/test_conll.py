"""Entities from tags and character spans, in CoNLL files and in memory."""

import random
from itertools import pairwise

import numpy as np
import pytest

from tltk.data.formats.conll import from_conll, from_words, labels_of, read_spans, spans_of
from tltk.specs import LabelSpec, Span


def conll(folder, text, name="train.conll", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def word_ranges(tags, words=None):
    """(first word, end word (exclusive), type) of each entity; every word is one letter."""
    words = ["x"] * len(tags.split()) if words is None else words
    return [(span.start // 2, (span.end + 1) // 2, span.label) for span in spans_of(words, tags.split())]


TAGS = [
    ("", []),
    ("O O O", []),
    # IOB1: "I" starts an entity; "B" separates two adjacent entities of one type.
    ("I-x I-x O I-x", [(0, 2, "x"), (3, 4, "x")]),
    ("I-x B-x I-x", [(0, 1, "x"), (1, 3, "x")]),
    ("I-x I-y", [(0, 1, "x"), (1, 2, "y")]),
    # BIO
    ("B-x I-x B-x B-x O", [(0, 2, "x"), (2, 3, "x"), (3, 4, "x")]),
    ("B-x O I-x", [(0, 1, "x"), (2, 3, "x")]),
    ("B-x I-y I-y", [(0, 1, "x"), (1, 3, "y")]),
    ("O B-x", [(1, 2, "x")]),
    # BILOU
    ("U-x U-x", [(0, 1, "x"), (1, 2, "x")]),
    ("B-x I-x L-x U-y O B-y L-y", [(0, 3, "x"), (3, 4, "y"), (5, 7, "y")]),
    ("B-x L-x L-x", [(0, 2, "x"), (2, 3, "x")]),
    ("B-x L-x I-x", [(0, 2, "x"), (2, 3, "x")]),
    ("U-x I-x L-x", [(0, 1, "x"), (1, 3, "x")]),
    ("B-x U-x", [(0, 1, "x"), (1, 2, "x")]),
    # BIOES and BMES
    ("S-x B-x E-x B-y M-y I-y E-y S-y", [(0, 1, "x"), (1, 3, "x"), (3, 7, "y"), (7, 8, "y")]),
    ("B-x E-y", [(0, 1, "x"), (1, 2, "y")]),
    # types with dashes
    ("B-per-son I-per-son I-per", [(0, 2, "per-son"), (2, 3, "per")]),
    ("B-I I-I B-O", [(0, 2, "I"), (2, 3, "O")]),
]


def test_tags_of_every_scheme_are_converted_to_entities():
    for tags, entities in TAGS:
        assert word_ranges(tags) == entities


def to_tags(entities, count, scheme):
    """Tags of words by the definition of a scheme."""
    prefixes = {"bio": "BIIB", "bilou": "BILU", "bioes": "BIES", "bmes": "BMES"}[scheme]
    tags = ["O"] * count
    for first, end, name in entities:
        for word in range(first, end):
            prefix = prefixes[0] if word == first else prefixes[2] if word == end - 1 else prefixes[1]
            tags[word] = f"{prefixes[3] if end - first == 1 else prefix}-{name}"
    return tags


def test_entities_survive_a_round_trip_through_every_scheme():
    generator = random.Random(0)
    for _ in range(300):
        count = generator.randint(1, 12)
        boundaries = sorted(generator.sample(range(count + 1), generator.randint(2, count + 1)))
        runs = list(pairwise(boundaries))
        entities = [(*run, generator.choice("xy")) for run in runs if generator.random() < 0.7]
        for scheme in ("bio", "bilou", "bioes", "bmes"):
            assert word_ranges(" ".join(to_tags(entities, count, scheme))) == entities


def test_spans_count_code_points_of_the_words_joined_by_single_spaces():
    words = ["שלום", "👩‍👩‍👧", "e\u0301a", "نيويورك", "𝔘𝔫𝔦"]
    spans = spans_of(words, ["O", "B-x", "I-x", "B-y", "I-y"])
    text = " ".join(words)
    assert [text[span.start : span.end] for span in spans] == [" ".join(words[1:3]), " ".join(words[3:])]


SMALL = "EU\tB-ORG\nrejects\tO\n\nPeter\tB-PER\nBlackburn\tI-PER\n"


def test_a_conll_file_gives_words_and_spans(tmp_path):
    source = from_conll(conll(tmp_path, SMALL))
    assert (source.modality, source.storage) == ("text", "arrays")
    assert source.examples.tolist() == [("EU", "rejects"), ("Peter", "Blackburn")]
    assert source.targets.tolist() == [(Span(0, 2, "ORG"),), (Span(0, 15, "PER"),)]
    assert source.labels == LabelSpec(("ORG", "PER"), "entities")
    assert [source.id_of(row) for row in range(2)] == ["train.conll, line 1", "train.conll, line 4"]
    assert source.invalid == () and source.counts() == {"ORG": 1, "PER": 1}
    assert source.describe().splitlines()[0] == "2 texts in memory, entities of 2 types"


VARIANTS = [
    SMALL.replace("\n", "\r\n"),
    SMALL.replace("\n", "\r"),
    "\ufeff" + SMALL,
    SMALL.strip(),
    "\n\n" + SMALL + "\n\n\n",
    SMALL.replace("\n\n", "\n \t\n\u00a0\n\n"),
    SMALL.replace("\t", " "),
    SMALL.replace("\t", " \t  "),
    SMALL.replace("\n", " \n"),
    SMALL.replace("\t", "\tNN\t"),
    "-DOCSTART- -X- -X- O\n\n" + SMALL,
    "-DOCSTART-\n" + SMALL,
    SMALL.replace("\n\n", "\n-DOCSTART- O\n"),
    SMALL.replace("\n\n", "\n\n# sent_id = 2\n# text = Peter Blackburn\n#\n"),
    "# global.columns = FORM TAG\n" + SMALL,
]


def test_line_ends_blank_lines_separators_and_comments_do_not_matter(tmp_path):
    for text in VARIANTS:
        source = from_conll(conll(tmp_path, text))
        assert source.examples.tolist() == [("EU", "rejects"), ("Peter", "Blackburn")]
        assert source.targets.tolist() == [(Span(0, 2, "ORG"),), (Span(0, 15, "PER"),)]
        assert source.invalid == ()


def test_any_of_the_four_columns_of_conll_2003_can_be_read(tmp_path):
    text = "EU NNP I-NP I-ORG\nrejects VBZ I-VP O\n"
    assert from_conll(conll(tmp_path, text)).targets.tolist() == [(Span(0, 2, "ORG"),)]
    source = from_conll(conll(tmp_path, text), tag=2)
    assert source.targets.tolist() == [(Span(0, 2, "NP"), Span(3, 10, "VP"))]
    assert from_conll(conll(tmp_path, text), word=1, tag=-2).examples.tolist() == [("NNP", "VBZ")]


@pytest.mark.parametrize("row", ["# O", "#\tO", "# # I-NP O", "#1 O"])
def test_a_number_sign_with_a_tag_is_a_word(tmp_path, row):
    source = from_conll(conll(tmp_path, f"{row}\nParis B-city\n\nroom O\n{row}\nParis B-city\n"))
    sign = row.split()[0]
    assert source.examples.tolist() == [(sign, "Paris"), ("room", sign, "Paris")]


def test_unusual_spaces_are_part_of_a_word(tmp_path):
    source = from_conll(conll(tmp_path, "10\u00a0000 B-sum\n\u3000 O\na\u2028b O\nc\x85d O\n"))
    assert source.examples.tolist() == [("10\u00a0000", "\u3000", "a\u2028b", "c\x85d")]
    assert source.targets.tolist() == [(Span(0, 6, "sum"),)]


def test_invalid_sentences_are_listed_and_the_others_are_used(tmp_path):
    rows = ["in O", "Paris", "", "in X", "", "in O", "Rome B-city", "", "at B-", "", "at b-city"]
    source = from_conll(conll(tmp_path, "\n".join(rows)))
    assert source.examples.tolist() == [("in", "Rome")]
    assert source.id_of(0) == "train.conll, line 6"
    assert [(example.example_id, example.reason) for example in source.invalid] == [
        ("train.conll, line 1", "too few columns in 'Paris': 1, at least 2 needed"),
        ("train.conll, line 4", "'X' is not a tag such as 'O', 'B-city' or 'I-city'"),
        ("train.conll, line 9", "'B-' is not a tag such as 'O', 'B-city' or 'I-city'"),
        ("train.conll, line 11", "'b-city' is not a tag such as 'O', 'B-city' or 'I-city'"),
    ]
    source = from_conll(conll(tmp_path, "a b c d B-x\n\na b c O\n"), word=3, tag=4)
    assert source.invalid[0].reason == "too few columns in 'a b c O': 4, at least 5 needed"


def test_a_file_without_a_valid_sentence_raises_with_the_reason(tmp_path):
    for text in ("", "\n\n", "-DOCSTART- O\n\n", "\ufeff", "# a comment\n"):
        with pytest.raises(ValueError, match=r"train\.conll has no valid sentence\. It is empty\.$"):
            from_conll(conll(tmp_path, text))
    with pytest.raises(ValueError, match=r"no valid sentence\. train\.conll, line 1: too few columns in 'Paris'"):
        from_conll(conll(tmp_path, "Paris\n"))
    with pytest.raises(ValueError, match="no text has an entity"):
        from_conll(conll(tmp_path, "in O\nParis O\n"))
    with pytest.raises(ValueError, match=r"line 2: byte 0xfc is not UTF-8"):
        from_conll(conll(tmp_path, "in O\nZürich B-city\n", encoding="latin-1"))
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'train\.conll'"):
        from_conll(tmp_path / "trian.conll")


def test_a_sentence_of_100_000_words_can_be_read(tmp_path):
    source = from_conll(conll(tmp_path, "Paris B-city\nis O\n" * 50_000))
    assert len(source.examples[0]) == 100_000 and len(source.targets[0]) == 50_000
    assert source.targets[0][-1] == Span(49_999 * 9, 49_999 * 9 + 5, "city")


def test_words_in_memory_can_be_labelled_or_unlabelled():
    words, tags = [["in", "Paris"], ("to", "Rome"), []], [["O", "B-city"], ("O", "U-city"), []]
    source = from_words(words, tags)
    assert source.examples.tolist() == [("in", "Paris"), ("to", "Rome"), ()]
    assert source.targets.tolist() == [(Span(3, 8, "city"),), (Span(3, 7, "city"),), ()]
    assert from_words(words).targets is None and from_words(words).examples.tolist() == source.examples.tolist()
    assert from_words(np.array([["in", "Paris"]])).examples.tolist() == [("in", "Paris")]
    assert len(from_words([])) == 0


def test_entity_types_have_the_order_of_labels_or_are_sorted():
    words, tags = [["a", "b"]], [["B-y", "B-x"]]
    assert from_words(words, tags).labels.names == ("x", "y")
    for labels in (("y", "z", "x"), LabelSpec(("y", "z", "x"), "entities")):
        assert from_words(words, tags, labels=labels).labels == LabelSpec(("y", "z", "x"), "entities")
    assert from_words(words, [["O", "O"]], labels=("x",)).targets.tolist() == [()]
    with pytest.raises(ValueError, match=r"`labels` does not have the entity types x, y\. Did you mean 'xx'"):
        from_words(words, tags, labels=("xx",))


def test_all_texts_with_invalid_tags_are_listed():
    with pytest.raises(ValueError, match=r"(?s)`tags`\[0\]: 1 tags for 2 words.*`tags`\[2\]: 'Z' is not a tag"):
        from_words([["a", "b"], ["a"], ["a"]], [["O"], ["B-x"], ["Z"]])
    with pytest.raises(ValueError, match=r"`tags` must have 2 lists, one per text\. Received: 1"):
        from_words([["a"], ["b"]], [["O"]])
    with pytest.raises(ValueError, match=r"0 is not a tag"):
        from_words([["a"]], [[0]])
    with pytest.raises(ValueError, match="no text has an entity"):
        from_words([["a"]], [["O"]])


NOT_WORDS = ["a b", ["a", ""], ["a", " \u00a0"], ["a", None], ["a", 1], None, 3, [["a"]], {"a": 1}]


def test_a_text_that_is_not_a_list_of_words_raises():
    for text in NOT_WORDS:
        with pytest.raises(TypeError, match=r"`words`\[1\] must be a list of non-empty words"):
            from_words([["a"], text])


def test_an_iterator_of_words_raises():
    with pytest.raises(TypeError, match=r"`words`\[0\] must be a list of non-empty words"):
        from_words([(word for word in ("a", "b"))])


def test_span_formats_of_annotation_tools_are_read():
    text = "in Paris and Rome"
    paris, rome = Span(3, 8, "city"), Span(13, 17, "city")
    for value in (
        [[13, 17, "city"], [3, 8, "city"]],
        [{"start": 3, "end": 8, "label": "city"}, {"begin": 13, "stop": 17, "type": "city"}],
        [{"start_offset": 3, "end_offset": 8, "label": "city", "id": 1}, [13, 17, " city "]],
        [[2, 9, "city"], [12, 17, "city"]],
    ):
        assert read_spans(value, text) == (paris, rome)
    assert read_spans(None, text) == read_spans([], text) == ()


@pytest.mark.parametrize(
    "text", ["אני גר בתל אביב היום", "👩‍👩‍👧 in 🇮🇱 Paris 👍🏽", "e\u0301 Zu\u0308rich x", "a\x00b\r\nc"]
)
def test_offsets_count_code_points_in_right_to_left_texts_and_emoji(text):
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            part = text[start:end]
            if part.strip():
                (span,) = read_spans([[start, end, "x"]], text)
                assert text[span.start : span.end] == part.strip()


INVALID = [
    ("[[0, 2, 'x']]", "spans must be a list"),
    ({"start": 0, "end": 2, "label": "x"}, "spans must be a list"),
    (5, "spans must be a list"),
    ([5], r"a span must be \[start, end, type\]. Received: 5"),
    (["x"], r"must be \[start, end, type\]"),
    ([None], r"must be \[start, end, type\]"),
    ([[0, 2]], r"must be \[start, end, type\]"),
    ([[0, 2, "x", 1]], r"must be \[start, end, type\]"),
    ([{"end": 2, "label": "x"}], "whole numbers. Received: None to 2"),
    ([[0.0, 2, "x"]], "whole numbers. Received: 0.0 to 2"),
    ([["0", "2", "x"]], "whole numbers"),
    ([[False, True, "x"]], "whole numbers"),
    ([[0, None, "x"]], "whole numbers"),
    ([[0, 2, None]], "must have a type. Received: None"),
    ([[0, 2, " "]], "must have a type"),
    ([[0, 2, ["x"]]], "must have a type"),
    ([{"start": 0, "end": 2}], "must have a type"),
    ([[-1, 2, "x"]], r"-1 to 2 \(x\) is outside of the text, which has 8 characters"),
    ([[3, 9, "x"]], r"3 to 9 \(x\) is outside of the text, which has 8 characters"),
    ([[5, 3, "x"]], r"5 to 3 \(x\) ends before it starts"),
    ([[3, 3, "x"]], r"3 to 3 \(x\) is empty"),
    ([[8, 8, "x"]], r"8 to 8 \(x\) is empty"),
    ([[2, 3, "x"]], "x marks only spaces"),
    ([[3, 8, "x"], [0, 4, "y"]], r"'Paris' \(x\) overlaps 'in P' \(y\)"),
    ([[3, 8, "x"], [3, 8, "x"]], "overlaps"),
    ([[0, 8, "x"], [3, 4, "y"]], "overlaps"),
    ([[0, 8, "x"], [0, 2, "x"]], "overlaps"),
]


def test_invalid_spans_raise_with_the_reason():
    for value, reason in INVALID:
        with pytest.raises(ValueError, match=reason):
            read_spans(value, "in Paris")


def test_adjacent_spans_do_not_overlap():
    assert read_spans([[2, 4, "x"], [0, 2, "x"]], "abcd") == (Span(0, 2, "x"), Span(2, 4, "x"))
    assert read_spans([[0, 3, "x"], [3, 5, "y"]], "ab cd") == (Span(0, 2, "x"), Span(3, 5, "y"))


def test_error_messages_are_short_for_long_texts():
    text = "x" * 100_000
    for value in ([[0, 60_000, "a"], [50_000, 90_000, "b"]], [["x" * 100_000]], "x" * 100_000):
        with pytest.raises(ValueError) as error:
            read_spans(value, text)
        assert len(str(error.value)) < 200


def test_targets_are_an_array_of_tuples_even_if_all_have_the_same_length():
    targets, labels = labels_of([[Span(0, 1, "x")], [Span(0, 1, "y")]])
    assert targets.shape == (2,) and targets.tolist() == [(Span(0, 1, "x"),), (Span(0, 1, "y"),)]
    assert labels == LabelSpec(("x", "y"), "entities")


def test_words_can_contain_spaces_if_tabs_separate_columns(tmp_path):
    source = from_conll(conll(tmp_path, "in\tO\nNew York\tB-x\n\nbook O\n"))
    assert source.examples.tolist() == [("in", "New York"), ("book",)]
    assert [len(spans) for spans in source.targets] == [1, 0]
