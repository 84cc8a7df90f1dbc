"""Questions and contexts: valid and invalid SQuAD files, and lists in memory."""

import json

import numpy as np
import pytest

from tltk.data.formats.squad import ANSWERS, from_questions, from_squad
from tltk.specs import LabelSpec, Span

CONTEXT = "Ann met Bob in Paris. Bob left."


def question(text="Who?", *answers, **more):
    squad_answers = [{"text": answer, "answer_start": start} for start, answer in answers]
    return {"id": "q1", "question": text, "answers": squad_answers, **more}


def squad(folder, *paragraphs, name="dev.json"):
    contents = [{"context": context, "qas": questions} for context, questions in paragraphs]
    return write_file(folder, {"version": "v2.0", "data": [{"title": "x", "paragraphs": contents}]}, name)


def write_file(folder, value, name="dev.json"):
    data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
    (folder / name).write_bytes(data)
    return folder / name


def test_squad_1_questions_have_the_spans_of_all_answers(tmp_path):
    path = squad(
        tmp_path,
        (
            CONTEXT,
            [question("Who met Bob?", (0, "Ann"), (0, "Ann"), (0, "Ann met")), question("Who left?", (22, "Bob"))],
        ),
        ("It rained.", [question("What?", (3, "rained"), id="q3")]),
    )
    source = from_squad(path)
    assert (source.modality, source.storage) == ("text", "arrays") and source.labels == ANSWERS == LabelSpec(
        ("answer",), "answers"
    )
    assert source.examples.shape == (3, 2)
    assert source.examples.tolist()[2] == ["What?", "It rained."]
    assert source.targets.tolist() == [(Span(0, 3), Span(0, 7)), (Span(22, 25),), (Span(3, 9),)]
    assert source.id_of(2) == "dev.json, question q3"
    assert source.invalid == () and source.counts() == {}


def test_squad_2_questions_can_have_no_answer(tmp_path):
    plausible = [{"text": "Bob", "answer_start": 8}]
    path = squad(
        tmp_path,
        (
            CONTEXT,
            [
                question("Who?", is_impossible=True, plausible_answers=plausible),
                question("Who met Bob?", (0, "Ann"), is_impossible=False),
                question("Why?", (0, "not there"), is_impossible=True),
                {"id": 4, "question": "Where?"},
                {"question": "Where?", "answers": None},
            ],
        ),
    )
    source = from_squad(path)
    assert source.targets.tolist() == [(), (Span(0, 3),), (), (), ()]
    assert source.id_of(3) == "dev.json, question 4" and source.id_of(4) == "dev.json, question 4"
    assert source.describe() == "5 texts in memory, 4 of them without an answer"


def test_a_question_is_invalid_if_none_of_its_answers_is_in_the_context(tmp_path):
    path = squad(
        tmp_path,
        (
            CONTEXT,
            [
                question("A?", (1, "Ann"), id="a"),
                question("B?", (0, "Ann"), (500, "Ann"), id="b"),
                question("C?", (-3, "Bob"), id="c"),
                question("D?", (8, "bob"), (0, ""), id="d"),
                question("E?", (26, "left. And went."), id="e"),
                question("F?", (None, "Ann"), id="f"),
                question("G?", ("0", "Ann"), id="g"),
                question("H?", (0, None), id="h"),
                question("I?", (0, 7), id="i"),
                question("J?", (0.0, "Ann"), id="j"),
                question("K?", (21, " "), id="k"),
            ],
        ),
    )
    source = from_squad(path)
    assert source.examples.tolist() == [["B?", CONTEXT]] and source.targets.tolist() == [(Span(0, 3),)]
    assert [example.example_id.split()[-1] for example in source.invalid] == list("acdefghijk")
    assert source.invalid[0].reason == "the answer 'Ann' is not in its context at 1"
    assert source.invalid[3].reason == "the answer 'left. And went.' is not in its context at 26"


def test_spaces_around_an_answer_are_removed(tmp_path):
    path = squad(tmp_path, (CONTEXT, [question("Who?", (3, " met Bob "), (0, "Ann "), (21, " \n"))]))
    assert from_squad(path).targets.tolist() == [(Span(4, 11), Span(0, 3))]
    assert from_questions(["Who?"], [CONTEXT], [[(3, " met ")]]).targets.tolist() == [(Span(4, 7),)]


@pytest.mark.parametrize(
    "context", ["אן פגשה את בוב בתל אביב", "👩‍👩‍👧 met 🇮🇱 Bob 👍🏽", "e\u0301 a\u0308", "a\r\nb\x00c"]
)
def test_offsets_count_code_points(tmp_path, context):
    starts = [start for start in range(len(context)) if not context[start].isspace()]
    path = squad(tmp_path, (context, [question("?", (start, context[start:].rstrip())) for start in starts]))
    assert [spans[0].start for spans in from_squad(path).targets] == starts


def test_empty_contexts_and_questions_are_invalid(tmp_path):
    path = squad(
        tmp_path,
        ("", [question(id="a")]),
        (" \n", [question(id="b")]),
        (None, [question(id="c")]),
        (7, [question(id="d")]),
        (CONTEXT, [question(" ", id="e"), {"id": "f"}, question(None, id="g"), question(["Who?"], id="h"), question()]),
    )
    source = from_squad(path)
    assert len(source) == 1
    assert [example.reason for example in source.invalid] == ["empty context"] * 4 + ["empty question"] * 4


def test_a_file_without_a_usable_question_raises_with_the_reason(tmp_path):
    with pytest.raises(ValueError, match=r"has no usable question\. It is empty\.$"):
        from_squad(squad(tmp_path))
    with pytest.raises(ValueError, match=r"no usable question\. dev\.json, question q1: empty context$"):
        from_squad(squad(tmp_path, ("", [question()])))
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'dev\.json'"):
        from_squad(tmp_path / "dew.json")


NOT_SQUAD = [
    [],
    {},
    None,
    5,
    "data",
    {"data": 5},
    {"data": None},
    {"data": "ab"},
    {"data": [5]},
    {"data": [{}]},
    {"data": {"paragraphs": []}},
    {"data": [{"paragraphs": [{"context": "a"}]}]},
    {"data": [{"paragraphs": [{"qas": [question()]}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": None}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": question()}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": "Who?"}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": ["Who?"]}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": ["ab"]}]}]},
    {"data": [{"paragraphs": [{"context": "a", "qas": [[["question", "Who?"]]]}]}]},
    {"data": [{"paragraphs": ["a"]}]},
]


def test_json_in_another_format_raises_with_the_expected_format(tmp_path):
    for value in NOT_SQUAD:
        with pytest.raises(ValueError, match=r'dev\.json is not in the format of SQuAD, \{"data": \[\{"paragraphs"'):
            from_squad(write_file(tmp_path, value))


MALFORMED_ANSWERS = [
    {"text": ["Ann"], "answer_start": [0, 1]},
    {"text": [3], "answer_start": 0},
    *("Ann", 5, {"start": 3}, ["Ann"], [None], [["Ann", 0]], [{"text": 3, "answer_start": 0}]),
]


def test_malformed_answers_make_a_question_invalid(tmp_path):
    for answers in MALFORMED_ANSWERS:
        path = squad(tmp_path, (CONTEXT, [question("A?", id="a") | {"answers": answers}, question("B?", (0, "Ann"))]))
        source = from_squad(path)
        assert source.examples[:, 0].tolist() == ["B?"]
        assert [example.reason for example in source.invalid] == ['answers must be a list of {"text", "answer_start"}']


TWICE = "Ann met Bo. Ann left."


@pytest.mark.parametrize(
    ("answers", "spans", "reason"),
    [
        ({"text": ["Bo", "Ann"], "answer_start": [8, 12]}, (Span(8, 10), Span(12, 15)), ""),
        ({"text": "Bo", "answer_start": 8}, (Span(8, 10),), ""),
        ({"text": [], "answer_start": []}, (), ""),
        ([{"text": "", "answer_start": -1}], (), ""),
        ([{"text": "", "answer_start": 0}, {"text": "Bo", "answer_start": 8}], (Span(8, 10),), ""),
        ([{"text": "Bo", "answer_start": -1}], (Span(8, 10),), ""),
        ([{"text": "Ann", "answer_start": -1}], None, "occurs 2 times in its context, and its start is -1"),
        ([{"text": "Cy", "answer_start": -1}], None, "the answer 'Cy' is not in its context at -1"),
    ],
)
def test_answers_as_people_write_them(tmp_path, answers, spans, reason):
    source = from_squad(squad(tmp_path, (TWICE, [question("A?") | {"answers": answers}, question("B?", (0, "Ann"))])))
    if spans is None:
        assert len(source) == 1 and reason in source.invalid[0].reason
    else:
        assert source.targets.tolist() == [spans, (Span(0, 3),)] and source.invalid == ()


def test_a_wrong_answer_beside_a_right_one_is_told(tmp_path, caplog):
    source = from_squad(squad(tmp_path, (TWICE, [question("A?", (8, "Bo"), (0, "Cy"))])))
    assert source.targets.tolist() == [(Span(8, 10),)]
    assert "question 'A?': the answer 'Cy' is not in its context at 0; its other answers are used" in caplog.text


@pytest.mark.parametrize("name", ["dev.json", "dev.jsonl"])
def test_flat_questions(tmp_path, name):
    row = {"id": "7", "question": "Who?", "context": TWICE, "answers": {"text": ["Bo"], "answer_start": [8]}}
    for content in [[row], {"data": [row]}] if name == "dev.json" else [row]:
        (tmp_path / name).write_text(json.dumps(content))
        source = from_squad(tmp_path / name)
        assert source.examples.tolist() == [["Who?", TWICE]] and source.targets.tolist() == [(Span(8, 10),)]
        assert source.id_of(0) == f"{name}, question 7"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", r"is not valid JSON: Expecting value"),
        (b'{"data": [', r"is not valid JSON"),
        (b"question,context\n", r"is not valid JSON"),
        (b"\x00\x01", r"is not valid JSON"),
        (b'{"data": ' + b"1" * 5000 + b"}", r"dev\.json is not valid JSON: Exceeds the limit"),
        (b"[" * 100_000, r"dev\.json is not valid JSON: .*recursion"),
        (b'{"data":\n "\xfc"}', r"dev\.json, line 2: byte 0xfc is not UTF-8"),
    ],
)
def test_a_file_that_is_not_json_or_not_utf8_raises(tmp_path, data, reason):
    with pytest.raises(ValueError, match=reason):
        from_squad(write_file(tmp_path, data))


def test_a_byte_order_mark_and_line_ends_do_not_matter(tmp_path):
    path = squad(tmp_path, (CONTEXT, [question("Who?", (0, "Ann"))]))
    indented = json.dumps(json.loads(path.read_text()), indent=1).replace("\n", "\r\n")
    source = from_squad(write_file(tmp_path, b"\xef\xbb\xbf" + indented.encode()))
    assert source.examples.tolist() == [["Who?", CONTEXT]] and source.targets.tolist() == [(Span(0, 3),)]


def test_questions_in_memory_can_be_labelled_or_unlabelled():
    contexts = [CONTEXT, "It rained."]
    source = from_questions(["Who?", "Why?"], contexts, [[(0, "Ann"), (8, "Bob")], []])
    assert (source.modality, source.storage) == ("text", "arrays") and source.labels == ANSWERS
    assert source.examples.tolist() == [["Who?", CONTEXT], ["Why?", "It rained."]]
    assert source.targets.tolist() == [(Span(0, 3), Span(8, 11)), ()]
    assert from_questions(["Who?", "Why?"], contexts, [None, [(3, "rained")]]).targets.tolist() == [(), (Span(3, 9),)]
    unlabelled = from_questions(["Who?", "Why?"], contexts)
    assert unlabelled.targets is None and unlabelled.labels is None
    assert unlabelled.examples.tolist() == source.examples.tolist()
    assert len(from_questions([], [])) == 0 == len(from_questions([], [], []))


def test_all_invalid_questions_in_memory_are_listed():
    with pytest.raises(ValueError, match=r"must have equal lengths. Received: 2, 1, None"):
        from_questions(["a", "b"], ["c"])
    with pytest.raises(ValueError, match=r"must have equal lengths. Received: 1, 1, 2"):
        from_questions(["a"], ["c"], [[], []])
    with pytest.raises(
        ValueError, match=r"(?s)question 0: the answer 'Bob' is not in its context at 0.*2: empty conte"
    ):
        from_questions(["a?", "b?", "c?"], [CONTEXT, CONTEXT, " "], [[(0, "Bob")], [(0, "Ann")], []])
    for answers in (["Ann"], [(0,)], [(0, "Ann", 1)], [None], [0], "Ann", 5, [{"text": "Ann", "answer_start": 0}]):
        with pytest.raises(ValueError, match=r"question 1: answers must be a list of \(start, text\)"):
            from_questions(["a?", "b?"], [CONTEXT, CONTEXT], [[(0, "Ann")], answers])


def test_a_context_of_a_million_words_can_be_read(tmp_path):
    context = "so " * 1_000_000 + "it ended"
    path = squad(tmp_path, (context, [question(f"{n}?", (3_000_000, "it ended")) for n in range(20)]))
    assert from_squad(path).targets[19] == (Span(3_000_000, 3_000_008),)


def test_offsets_can_be_numpy_integers():
    assert from_questions(["Who?"], ["It was Ann."], [[(np.int64(7), "Ann")]]).targets[0][0].start == 7


def test_what_has_another_form_costs_itself_only(tmp_path):
    whole = {"context": TWICE, "qas": [question("A?", (8, "Bo")), "B?"]}
    paragraphs = [{}, {"context": "a"}, whole, "text"]
    source = from_squad(
        write_file(tmp_path, {"data": [{"paragraphs": paragraphs}, {"title": "x"}, {"paragraphs": []}]})
    )
    assert source.examples.tolist() == [["A?", TWICE]]
    assert [example.example_id.removeprefix("dev.json, data") for example in source.invalid] == [
        "[0].paragraphs[0]",
        "[0].paragraphs[1]",
        "[0].paragraphs[2].qas[1]",
        "[0].paragraphs[3]",
        "[1]",
    ]
    assert 'must have "context" and a list "qas". Received: {}' in source.invalid[0].reason


def test_a_list_of_something_else_is_refused_with_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=r"(?s)format of SQuAD.*\[0\]: must be an object with.*Received: 1"):
        from_squad(write_file(tmp_path, [1, 2]))
