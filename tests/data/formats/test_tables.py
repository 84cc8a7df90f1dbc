"""CSV and JSON lines: rows become examples, and every fault is named with its row."""

import csv as csv_module
import json

import numpy as np
import pytest

from tests.pictures import flat
from tltk.data.formats.tables import from_csv, from_jsonl
from tltk.specs import LabelSpec, Span


@pytest.fixture
def here(tmp_path):
    for name in ("a", "b", "c"):
        flat(tmp_path / "pictures" / f"{name}.png", (0, 0, 0))
    return tmp_path


def csv(folder, text, name="data.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def jsonl(folder, *rows):
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "data.jsonl").write_text(text, "utf-8")
    return folder / "data.jsonl"


GOOD = "path,label\npictures/a.png,cat\npictures/b.png,dog\n"


def test_a_csv_gives_paths_beside_it_and_labels(here):
    source = from_csv(csv(here, GOOD))
    assert [str(path) for path in source.examples] == [str(here / "pictures" / f"{name}.png") for name in "ab"]
    assert source.labels.names == ("cat", "dog")
    assert source.id_of(1) == "data.csv, row 3"


def test_a_byte_order_mark_windows_line_ends_quotes_and_blank_lines_are_read(here):
    text = '\ufeffpath,label\r\n"pictures/a.png","cat, tabby"\r\n\r\npictures/b.png,dog\r\n'
    source = from_csv(csv(here, text))
    assert source.labels.names == ("cat, tabby", "dog")
    assert source.id_of(1) == "data.csv, row 4"


def test_tabs_separate_the_columns_of_a_tsv(here):
    assert len(from_csv(csv(here, GOOD.replace(",", "\t"), "data.tsv"))) == 2


def test_root_is_where_relative_paths_start(here):
    source = from_csv(csv(here, "file,kind\na.png,x\nb.png,y\n"), input="file", label="kind", root=here / "pictures")
    assert len(source) == 2


def test_several_labels_in_a_cell_are_separated(here):
    text = "path,label\npictures/a.png,red; round\npictures/b.png,\npictures/c.png,red\n"
    source = from_csv(csv(here, text), label_type="multilabel")
    assert source.labels.names == ("red", "round")
    assert source.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert from_csv(csv(here, text.replace(";", "|")), label_type="multilabel", separator="|").labels == source.labels


def test_numbers_may_stand_in_several_columns(here):
    text = "path,x,y\npictures/a.png,1,2.5\npictures/b.png,3,-1\n"
    source = from_csv(csv(here, text), label=["x", "y"], label_type="regression")
    assert source.targets.tolist() == [[1.0, 2.5], [3.0, -1.0]]
    assert source.labels.mean == (2.0, 0.75)


def test_rows_without_a_label_column_are_unlabelled(here):
    assert from_csv(csv(here, "path\npictures/a.png\n"), label=None).labels is None


def test_texts_are_not_paths(here):
    source = from_csv(csv(here, "text,label\nso good,pro\nso bad,con\n"), input="text", modality="text")
    assert (source.modality, source.storage) == ("text", "arrays") and source.examples.tolist() == ["so good", "so bad"]


def test_jsonl_takes_lists_and_skips_blank_lines(here):
    rows = ({"path": "pictures/a.png", "label": ["red", "round"]}, "", {"path": "pictures/b.png", "label": "red"})
    source = from_jsonl(jsonl(here, *rows), label_type="multilabel")
    assert source.targets.tolist() == [[1, 1], [1, 0]]
    assert source.id_of(1) == "data.jsonl, row 3"


def test_jsonl_keeps_line_separators_inside_texts(here):
    rows = [{"t": "one\u2028two", "label": "x"}, {"t": "three", "label": "y"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (here / "data.jsonl").write_text(text, "utf-8")
    assert from_jsonl(here / "data.jsonl", input="t", modality="text").examples.tolist() == ["one\u2028two", "three"]


def test_absolute_paths_are_kept(here):
    row = {"path": str(here / "pictures" / "a.png")}
    assert str(from_jsonl(jsonl(here, row), label=None, root="/elsewhere").examples[0]) == row["path"]


def test_whole_number_labels_are_class_names(here):
    rows = [{"path": "pictures/a.png", "label": 10}, {"path": "pictures/b.png", "label": 9}]
    assert set(from_jsonl(jsonl(here, *rows)).labels.names) == {"9", "10"}


def test_missing_files_are_all_named_with_their_rows(here):
    text = "path,label\npictures/a.png,cat\nno.png,dog\npictures,dog\nnone.png,cat\n"
    with pytest.raises(
        FileNotFoundError, match=r"(?s)row 3: .*no\.png does not exist.*row 4.*folder.*row 5.*none\.png"
    ):
        from_csv(csv(here, text))


def test_missing_columns_are_answered_together(here):
    with pytest.raises(ValueError, match=r"(?s)no column 'path'.*Did you mean 'paths'.*no column 'label'.*'labels'"):
        from_csv(csv(here, "paths,labels\npictures/a.png,cat\n"))
    with pytest.raises(ValueError, match=r"no column 'label'.*Did you mean 'labels'"):
        from_jsonl(jsonl(here, {"path": "pictures/a.png", "labels": "x"}))


def test_other_separators_are_recognised(here):
    with pytest.raises(ValueError, match="are its columns separated by something else"):
        from_csv(csv(here, GOOD.replace(",", ";")))


def test_empty_cells_are_all_named(here):
    text = "path,label\n,cat\npictures/b.png,\npictures/c.png, \n"
    with pytest.raises(ValueError, match=r"(?s)row 2: `path`.*row 3: `label`.*row 4: `label` must not be empty"):
        from_csv(csv(here, text))
    with pytest.raises(ValueError, match="row 1: `label` must not be empty"):
        from_jsonl(jsonl(here, {"path": "pictures/a.png", "label": None}, {"path": "pictures/b.png", "label": "x"}))


def test_rows_of_other_lengths_are_named(here):
    with pytest.raises(ValueError, match="row 3: 3 cells where the header has 2"):
        from_csv(csv(here, GOOD.replace("dog", "dog,big")))


def test_a_wrong_encoding_names_the_line(here):
    with pytest.raises(ValueError, match=r"line 3: byte 0xfc is not UTF-8"):
        from_csv(csv(here, GOOD.replace("dog", "hündin"), encoding="latin-1"))


def test_an_open_quote_names_the_line(here):
    with pytest.raises(ValueError, match=r"line \d+: unexpected end of data"):
        from_csv(csv(here, 'path,label\n"pictures/a.png,cat\n'))


def test_numbers_that_are_none_are_all_named(here):
    text = "path,label\npictures/a.png,tall\npictures/b.png,nan\npictures/c.png,inf\n"
    with pytest.raises(ValueError, match=r"(?s)row 2: `label`.*'tall'.*row 3: .*'nan'.*row 4: .*'inf'"):
        from_csv(csv(here, text), label_type="regression")


def test_lines_that_are_no_objects_are_all_named(here):
    with pytest.raises(ValueError, match=r"(?s)row 1: .*Expecting.*row 2: must be an object.*list"):
        from_jsonl(jsonl(here, "{no json", [1, 2]))


def test_one_class_is_refused(here):
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        from_csv(csv(here, GOOD.replace("dog", "cat")))


def test_empty_tables_are_refused(here):
    with pytest.raises(ValueError, match="has no rows"):
        from_csv(csv(here, "path,label\n"))
    with pytest.raises(ValueError, match="the file is empty"):
        from_csv(csv(here, ""))
    with pytest.raises(ValueError, match="the file is empty"):
        from_jsonl(jsonl(here))


def test_missing_tables_and_folders_are_refused(here):
    csv(here, GOOD)
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'data\.csv'"):
        from_csv(here / "date.csv")
    with pytest.raises(IsADirectoryError, match="from_folder"):
        from_jsonl(here)


def test_options_that_do_not_exist_are_answered(here):
    with pytest.raises(ValueError, match=r"`label_type` must be one of.*Did you mean 'regression'"):
        from_csv(csv(here, GOOD), label_type="regresion")
    with pytest.raises(ValueError, match="must be one column for label_type='categorical'"):
        from_csv(csv(here, GOOD), label=["path", "label"])


def test_a_repeated_column_is_refused(here):
    with pytest.raises(ValueError, match=r"column 'label' stands there twice"):
        from_csv(csv(here, "path,label,label\npictures/a.png,x,y\npictures/b.png,y,x\n"))


def test_targets_are_of_the_right_types(here):
    assert from_csv(csv(here, GOOD)).targets.dtype == np.int32


TEXTS = {"input": "text", "modality": "text"}
SPANS = {**TEXTS, "label": "spans", "label_type": "entities"}


def told(source):
    return [(each.example_id, each.reason) for each in source.invalid]


def test_two_columns_of_texts_are_pairs(here):
    options = {"input": ("premise", "hypothesis"), "modality": "text"}
    rows = [("it rains", "it is wet", "yes"), ("it rains", "a, b", "no")]
    table = "\n".join(f'"{a}","{b}",{label}' for a, b, label in rows)
    objects = [{"label": label, "hypothesis": b, "premise": a} for a, b, label in rows]
    for source in (
        from_csv(csv(here, f"premise,hypothesis,label\n{table}\n"), **options),
        from_jsonl(jsonl(here, *objects), **options),
    ):
        assert (source.modality, source.storage) == ("text", "arrays") and source.examples.shape == (2, 2)
        assert source.examples.tolist() == [["it rains", "it is wet"], ["it rains", "a, b"]]
        assert source.targets.tolist() == [1, 0] and source.invalid == ()
    assert (
        from_jsonl(jsonl(here, *objects), **options | {"input": ["hypothesis", "premise"]}).examples[0, 0]
        == "it is wet"
    )
    one = from_jsonl(jsonl(here, objects[0]), **options, label=None)
    assert one.examples.shape == (1, 2) and one.labels is None


def test_pairs_may_have_numbers_or_several_labels(here):
    rows = [{"a": "x", "b": "y", "score": 4.5, "tags": ["p", "q"]}, {"a": "x", "b": "z", "score": "2", "tags": "p"}]
    options = {"input": ("a", "b"), "modality": "text"}
    source = from_jsonl(jsonl(here, *rows), **options, label="score", label_type="regression")
    assert source.targets.tolist() == [[4.5], [2.0]]
    assert from_jsonl(jsonl(here, *rows), **options, label="tags", label_type="multilabel").targets.tolist() == [
        [1, 1],
        [1, 0],
    ]


@pytest.mark.parametrize("wrong", [(), ("a", "b", "c"), ("a", "b")])
def test_other_numbers_of_columns_are_refused(here, wrong):
    path = csv(here, "a,b,c,label\nx,y,z,w\n")
    with pytest.raises(
        ValueError, match=r"`input` must be one column or, for texts \(modality='text'\), two. Received: \("
    ):
        from_csv(path, input=wrong, modality="text" if len(wrong) != 2 else "image")


def test_entities_come_as_json_in_either_kind_of_file(here):
    marked = [
        ("in Paris", [[3, 8, "city"]]),
        ("Ann met Bob", [{"start": 8, "end": 11, "label": "name"}, {"start": 0, "end": 3, "label": "name"}]),
        ("nothing", []),
    ]
    cells = ["".join(('"', text, '","', json.dumps(spans).replace('"', '""'), '"')) for text, spans in marked]
    lines = [{"text": text, "spans": spans} for text, spans in marked]
    nothing = [{"text": "a"}, {"text": "b", "spans": None}, {"text": "c", "spans": ""}]
    for source in (
        from_csv(csv(here, "\n".join(["text,spans", *cells, "a,", "b,[]", "c, "])), **SPANS),
        from_jsonl(jsonl(here, *lines, *nothing), **SPANS),
    ):
        assert (
            (source.modality, source.storage) == ("text", "arrays")
            and source.labels == LabelSpec(("city", "name"), "entities")
            and source.invalid == ()
        )
        assert source.examples.tolist() == ["in Paris", "Ann met Bob", "nothing", "a", "b", "c"]
        found = [(Span(3, 8, "city"),), (Span(0, 3, "name"), Span(8, 11, "name")), (), (), (), ()]
        assert source.targets.tolist() == found
        assert source.counts() == {"city": 1, "name": 2}


def test_entities_are_counted_in_the_characters_of_the_cell_as_it_stands(here):
    text = '  אני "גר"\r\nבתל אביב 😀 '
    start = text.index("בתל")
    spans = json.dumps([[start, start + 8, "city"]]).replace('"', '""')
    source = from_csv(csv(here, f'text,spans\r\n"{text.replace(chr(34), chr(34) * 2)}","{spans}"\r\n'), **SPANS)
    assert source.examples.tolist() == [text] and source.targets.tolist() == [(Span(start, start + 8, "city"),)]


def test_rows_with_wrong_spans_are_left_out_and_named(here):
    rows = [
        {"text": "in Paris", "spans": [[3, 8, "city"]]},
        {"text": "in Rome", "spans": [[3, 9, "city"]]},
        {"text": "in Rome", "spans": [[3, 3, "city"]]},
        {"text": "in Rome", "spans": [[2, 3, "city"]]},
        {"text": "in Rome", "spans": [[0, 5, "city"], [3, 7, "city"]]},
        {"text": "in Rome", "spans": "[[3, 7"},
        {"text": "in Rome", "spans": {"start": 3}},
        {"text": "in Rome", "spans": 7},
        {"text": " ", "spans": []},
        {"text": "in Rome", "spans": [[3, 7, "city"]]},
    ]
    source = from_jsonl(jsonl(here, *rows), **SPANS)
    assert source.examples.tolist() == ["in Paris", "in Rome"]
    assert [source.id_of(row) for row in range(2)] == ["data.jsonl, row 1", "data.jsonl, row 10"]
    assert [example_id for example_id, _ in told(source)] == [f"data.jsonl, row {number}" for number in range(2, 10)]
    parts = ("outside of the text", "holds nothing", "nothing but spaces", "overlaps", "must be JSON", "be a list",
             "be a list", "`text` must not be empty")  # fmt: skip
    assert all(part in reason for part, (_, reason) in zip(parts, told(source), strict=True))


def test_texts_without_any_entity_or_spans_of_no_text_are_refused(here):
    with pytest.raises(ValueError, match="no text has an entity"):
        from_jsonl(jsonl(here, {"text": "a", "spans": []}), **SPANS)
    with pytest.raises(ValueError, match=r"row 1: 0 to 9 \(x\) is outside of the text"):
        from_jsonl(jsonl(here, {"text": "a", "spans": [[0, 9, "x"]]}), **SPANS)
    for options in ({"input": "path"}, {"input": ("text", "path"), "modality": "text"}):
        with pytest.raises(
            ValueError, match="spans are marked in one text: pass modality='text' and one column as `input`"
        ):
            from_jsonl(jsonl(here, {"text": "a", "path": "b", "spans": []}), **SPANS | {"modality": "image"} | options)
    unlabelled = from_jsonl(jsonl(here, {"text": "a"}), **SPANS | {"label": None})
    assert unlabelled.examples.tolist() == ["a"] and unlabelled.labels is None


def test_texts_with_empty_cells_are_left_out_and_pictures_are_not(here):
    text = "text,label\nso good,pro\n,pro\n  ,con\nso bad,con\nwell,\n\nso so, \n"
    source = from_csv(csv(here, text), **TEXTS)
    assert source.examples.tolist() == ["so good", "so bad"] and source.targets.tolist() == [1, 0]
    assert source.id_of(1) == "data.csv, row 5"
    assert told(source) == [
        ("data.csv, row 3", "`text` must not be empty"),
        ("data.csv, row 4", "`text` must not be empty"),
        ("data.csv, row 6", "`label` must not be empty"),
        ("data.csv, row 8", "`label` must not be empty"),
    ]
    pairs = from_csv(csv(here, "a,b,label\nx,y,p\nx,,q\n , ,p\nz,y,q\n"), input=("a", "b"), modality="text")
    assert [reason for _, reason in told(pairs)] == ["`b` must not be empty", "`a` and `b` must not be empty"]
    with pytest.raises(ValueError, match="row 3: `label` must not be empty"):
        from_csv(csv(here, GOOD.replace("dog", "")))


def test_a_table_of_bad_texts_alone_is_refused_with_all_of_them(here):
    with pytest.raises(
        ValueError, match=r"(?s)data\.csv, row 2: `text`.*data\.csv, row 3: `text` and `label` must not"
    ):
        from_csv(csv(here, "text,label\n,x\n , \n"), **TEXTS)


@pytest.mark.parametrize("value", [["so", "good"], {"text": "so good"}, [], {}])
def test_lists_and_objects_are_no_texts(here, value):
    good = {"text": "fine", "label": "a"}
    source = from_jsonl(jsonl(here, good, good | {"label": "b"}, {"text": value, "label": "a"}), **TEXTS)
    assert source.examples.tolist() == ["fine", "fine"]
    assert told(source) == [("data.jsonl, row 3", f"`text` must be a text. Received: {type(value).__name__}")]
    pair = {"a": "x", "b": value}
    source = from_jsonl(jsonl(here, {"a": "x", "b": "y"}, pair), input=("a", "b"), modality="text", label=None)
    assert [reason for _, reason in told(source)] == [f"`b` must be a text. Received: {type(value).__name__}"]


def test_numbers_are_texts_and_what_is_not_a_number_is_empty(here):
    rows = (
        {"text": 7, "label": 1},
        {"text": "b", "label": 2},
        '{"text": NaN, "label": 1}',
        '{"text": "c", "label": NaN}',
    )
    source = from_jsonl(jsonl(here, *rows), **TEXTS)
    assert source.examples.tolist() == ["7", "b"] and source.labels.names == ("1", "2")
    assert [reason for _, reason in told(source)] == ["`text` must not be empty", "`label` must not be empty"]


def test_a_list_is_no_single_class(here):
    rows = [{"path": "pictures/a.png", "label": ["x"]}, {"path": "pictures/b.png", "label": "y"}]
    with pytest.raises(
        ValueError, match=r"row 1: `label` must be one class. Received: list. Did you mean label_type='multilabel'\?"
    ):
        from_jsonl(jsonl(here, *rows))


def test_texts_of_any_length_and_of_control_characters_are_read_from_cells(here):
    long, odd = "so good " * 100_000, "a\x00b\x1a\x7f\ufeff"
    before = csv_module.field_size_limit()
    source = from_csv(csv(here, f'text,label\n"{long}",x\n"{odd}",y\n"a ""b"" \n c",x\n'), **TEXTS)
    assert source.examples.tolist() == [long, odd, 'a "b" \n c']
    assert csv_module.field_size_limit() == before, "what others read is left alone"
    rows = ({"text": long, "label": "x"}, {"text": odd, "label": "y"})
    assert from_jsonl(jsonl(here, *rows), **TEXTS).examples.tolist() == [long, odd]


def test_windows_line_ends_and_a_byte_order_mark_make_no_difference_to_jsonl(here):
    (here / "data.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a", "label": "x"}\r\n\r\n{"text": "b", "label": "y"}\r\n')
    source = from_jsonl(here / "data.jsonl", **TEXTS)
    assert source.examples.tolist() == ["a", "b"] and source.id_of(1) == "data.jsonl, row 3"


@pytest.mark.parametrize(
    ("line", "reason"), [('{"text": ' + "1" * 5000 + "}", "Exceeds the limit"), ("[" * 100_000, "recursion depth")]
)
def test_json_that_python_does_not_read_is_named_with_its_row(here, line, reason):
    found = from_jsonl(jsonl(here, {"text": "a", "label": "x"}, line, {"text": "b", "label": "y"}), **TEXTS)
    assert found.invalid[0].example_id == "data.jsonl, row 2" and reason in found.invalid[0].reason
    with pytest.raises(ValueError, match=f"data.jsonl, row 1: .*{reason}"):
        from_jsonl(jsonl(here, line), **TEXTS)
    rows = [{"text": "a", "spans": [[0, 1, "x"]]}, {"text": "b", "spans": line}]
    assert f"{reason}" in told(from_jsonl(jsonl(here, *rows), **SPANS))[0][1]


def test_of_texts_broken_rows_are_left_out_and_named(here):
    source = from_csv(csv(here, "text,label\ngood,a\nbad\nfine,b\nx,y,z\n"), input="text", modality="text")
    assert source.examples.tolist() == ["good", "fine"]
    cells = [f"data.csv, row {row}: {count} cells where the header has 2" for row, count in ((3, 1), (5, 3))]
    assert [f"{example.example_id}: {example.reason}" for example in source.invalid] == cells
    path = here / "rows.jsonl"
    path.write_text('{"text": "good", "label": "a"}\n[1]\n{"text": "fine", "label": "b"}\n{"text": "cut o')
    source = from_jsonl(path, input="text", modality="text")
    assert source.examples.tolist() == ["good", "fine"]
    assert [example.example_id for example in source.invalid] == ["rows.jsonl, row 2", "rows.jsonl, row 4"]
    assert "must be an object {...}. Received: list" in source.invalid[0].reason
    numbers = from_csv(
        csv(here, "text,label\ngood,1\nbad,n/a\nfine,2\nx,inf\n"),
        input="text",
        modality="text",
        label_type="regression",
    )
    assert numbers.targets.tolist() == [[1.0], [2.0]]
    assert [example.reason for example in numbers.invalid] == [
        f"`label` must be a finite number. Received: {value!r}" for value in ("n/a", "inf")
    ]


def test_labels_of_a_model_are_taken_over_by_a_file_that_holds_a_part_of_them(here):
    known = LabelSpec(("a", "b", "c"))
    table = csv(here, "text,label\ngood,b\nfine,b\n")
    source = from_csv(table, input="text", modality="text", labels=known)
    assert source.labels is known and source.targets.tolist() == [1, 1]
    assert from_csv(table, input="text", modality="text", labels=("b", "a")).targets.tolist() == [0, 0]
    rows = jsonl(here, {"text": "good", "label": "d"})
    with pytest.raises(ValueError, match=r"row 1: 'd' is none of the 3 classes"):
        from_jsonl(rows, input="text", modality="text", labels=known)
    several = LabelSpec(("a", "b"), "multilabel")
    assert from_jsonl(
        jsonl(here, {"text": "good", "label": ["b"]}),
        input="text",
        modality="text",
        label_type="multilabel",
        labels=several,
    ).targets.tolist() == [[0, 1]]


def test_spans_under_another_kind_are_recognised(here):
    rows = jsonl(here, {"text": "good film", "label": [[0, 4, "x"]]})
    with pytest.raises(ValueError, match="Did you mean label_type='entities'"):
        from_jsonl(rows, input="text", modality="text")
