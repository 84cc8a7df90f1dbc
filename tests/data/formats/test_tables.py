"""Sources from CSV and JSON lines files, with errors that list every invalid row."""

import csv as csv_module
import json
import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.images import solid_png
from tltk.data.formats.tables import from_csv, from_jsonl
from tltk.errors import FileError
from tltk.specs import LabelSpec, Span


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b", "c"):
        solid_png(tmp_path / "images" / f"{name}.png", (0, 0, 0))
    return tmp_path


def csv(folder, text, name="data.csv", encoding="utf-8"):
    (folder / name).write_bytes(text.encode(encoding))
    return folder / name


def jsonl(folder, *rows):
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    (folder / "data.jsonl").write_text(text, "utf-8")
    return folder / "data.jsonl"


GOOD = "path,label\nimages/a.png,cat\nimages/b.png,dog\n"


def test_paths_in_a_csv_are_relative_to_its_folder(folder):
    source = from_csv(csv(folder, GOOD))
    assert [str(path) for path in source.examples] == [str(folder / "images" / f"{name}.png") for name in "ab"]
    assert source.labels.names == ("cat", "dog")
    assert source.id_of(1) == "data.csv, row 3"


def test_a_csv_can_have_a_byte_order_mark_crlf_quotes_and_blank_lines(folder):
    text = '\ufeffpath,label\r\n"images/a.png","cat, tabby"\r\n\r\nimages/b.png,dog\r\n'
    source = from_csv(csv(folder, text))
    assert source.labels.names == ("cat, tabby", "dog")
    assert source.id_of(1) == "data.csv, row 4"


def test_the_columns_of_a_tsv_are_separated_by_tabs(folder):
    assert len(from_csv(csv(folder, GOOD.replace(",", "\t"), "data.tsv"))) == 2


def test_root_is_the_folder_of_relative_paths(folder):
    source = from_csv(csv(folder, "file,kind\na.png,x\nb.png,y\n"), input="file", label="kind", root=folder / "images")
    assert len(source) == 2


def test_labels_in_a_cell_are_split_at_the_separator(folder):
    text = "path,label\nimages/a.png,red; round\nimages/b.png,\nimages/c.png,red\n"
    source = from_csv(csv(folder, text), label_type="multilabel")
    assert source.labels.names == ("red", "round")
    assert source.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert from_csv(csv(folder, text.replace(";", "|")), label_type="multilabel", separator="|").labels == source.labels


def test_regression_targets_can_have_several_columns(folder):
    text = "path,x,y\nimages/a.png,1,2.5\nimages/b.png,3,-1\n"
    source = from_csv(csv(folder, text), label=["x", "y"], label_type="regression")
    assert source.targets.tolist() == [[1.0, 2.5], [3.0, -1.0]]
    assert source.labels.mean == (2.0, 0.75)


def test_label_none_gives_an_unlabelled_source(folder):
    assert from_csv(csv(folder, "path\nimages/a.png\n"), label=None).labels is None


def test_a_column_of_texts_gives_a_source_of_texts(folder):
    source = from_csv(csv(folder, "text,label\nso good,pro\nso bad,con\n"), input="text", modality="text")
    assert (source.modality, source.storage) == ("text", "arrays") and source.examples.tolist() == ["so good", "so bad"]


def test_jsonl_accepts_lists_of_labels_and_blank_lines(folder):
    rows = ({"path": "images/a.png", "label": ["red", "round"]}, "", {"path": "images/b.png", "label": "red"})
    source = from_jsonl(jsonl(folder, *rows), label_type="multilabel")
    assert source.targets.tolist() == [[1, 1], [1, 0]]
    assert source.id_of(1) == "data.jsonl, row 3"


def test_jsonl_keeps_line_separators_inside_texts(folder):
    rows = [{"t": "one\u2028two", "label": "x"}, {"t": "three", "label": "y"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (folder / "data.jsonl").write_text(text, "utf-8")
    assert from_jsonl(folder / "data.jsonl", input="t", modality="text").examples.tolist() == ["one\u2028two", "three"]


def test_absolute_paths_are_kept(folder):
    row = {"path": str(folder / "images" / "a.png")}
    assert str(from_jsonl(jsonl(folder, row), label=None, root="/elsewhere").examples[0]) == row["path"]


def test_whole_number_labels_are_class_names(folder):
    rows = [{"path": "images/a.png", "label": 10}, {"path": "images/b.png", "label": 9}]
    assert set(from_jsonl(jsonl(folder, *rows)).labels.names) == {"9", "10"}


def test_all_missing_files_are_listed_with_their_rows(folder):
    text = "path,label\nimages/a.png,cat\nno.png,dog\nimages,dog\nnone.png,cat\n"
    source = from_csv(csv(folder, text), labels=("cat", "dog"))
    assert [reason.rpartition("/")[2] for _, reason in invalid_rows(source)] == [
        "no.png does not exist",
        "images is a folder",
        "none.png does not exist",
    ]
    text = "path,label\nno.png,dog\nnone.png,cat\n"
    with pytest.raises(FileNotFoundError, match=r"(?s)row 2: .*no\.png does not exist.*row 3.*none\.png"):
        from_csv(csv(folder, text))


def test_all_missing_columns_are_listed(folder):
    with pytest.raises(ValueError, match=r"(?s)no column 'path'.*Did you mean 'paths'.*no column 'label'.*'labels'"):
        from_csv(csv(folder, "paths,labels\nimages/a.png,cat\n"))
    with pytest.raises(ValueError, match=r"no column 'label'.*Did you mean 'labels'"):
        from_jsonl(jsonl(folder, {"path": "images/a.png", "labels": "x"}))


def test_another_delimiter_raises_with_a_hint(folder):
    with pytest.raises(ValueError, match="does it have another delimiter"):
        from_csv(csv(folder, GOOD.replace(",", ":")))
    with pytest.raises(ValueError, match="`delimiter` must be one character"):
        from_csv(csv(folder, GOOD), delimiter="::")


def test_all_empty_cells_are_listed(folder):
    text = "path,label\n,cat\nimages/b.png,\nimages/c.png, \n"
    with pytest.raises(ValueError, match=r"(?s)row 2: `path`.*row 3: `label`.*row 4: `label` must not be empty"):
        from_csv(csv(folder, text))
    with pytest.raises(ValueError, match=r"data\.jsonl, row 1 \(`label` must not be empty\)"):
        from_jsonl(jsonl(folder, {"path": "images/a.png", "label": None}, {"path": "images/b.png", "label": "x"}))


def test_rows_with_a_wrong_number_of_cells_are_listed(folder):
    with pytest.raises(ValueError, match=r"row 3 \(3 cells, but the header has 2\)"):
        from_csv(csv(folder, GOOD.replace("dog", "dog,big")))
    source = from_csv(csv(folder, GOOD.replace("dog", "dog,big") + "images/c.png,dog\n"))
    assert source.counts() == {"cat": 1, "dog": 1} and len(source.invalid) == 1


def test_a_wrong_encoding_raises_with_the_line(folder):
    with pytest.raises(ValueError, match=r"line 3: byte 0xfc is not UTF-8"):
        from_csv(csv(folder, GOOD.replace("dog", "hündin"), encoding="latin-1"))


def test_an_unclosed_quote_raises_with_the_line(folder):
    with pytest.raises(ValueError, match=r"row 2: a quotation mark that is not closed"):
        from_csv(csv(folder, 'path,label\n"images/a.png,cat\n'))


def test_all_invalid_numbers_are_listed(folder):
    text = "path,label\nimages/a.png,tall\nimages/b.png,nan\nimages/c.png,inf\n"
    with pytest.raises(ValueError, match=r"(?s)row 2: `label`.*'tall'.*row 3: .*'nan'.*row 4: .*'inf'"):
        from_csv(csv(folder, text), label_type="regression")


def test_all_lines_that_are_not_objects_are_listed(folder):
    with pytest.raises(ValueError, match=r"(?s)row 1: .*Expecting.*row 2: must be an object.*list"):
        from_jsonl(jsonl(folder, "{not json", [1, 2]))


def test_a_single_class_raises(folder):
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        from_csv(csv(folder, GOOD.replace("dog", "cat")))


def test_empty_tables_raise(folder):
    with pytest.raises(ValueError, match="has no rows"):
        from_csv(csv(folder, "path,label\n"))
    with pytest.raises(ValueError, match="the file is empty"):
        from_csv(csv(folder, ""))
    with pytest.raises(ValueError, match="the file is empty"):
        from_jsonl(jsonl(folder))


def test_a_missing_table_or_a_folder_raises(folder):
    csv(folder, GOOD)
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'data\.csv'"):
        from_csv(folder / "date.csv")
    with pytest.raises(FileError, match="from_folder"):
        from_jsonl(folder)


def test_invalid_options_raise(folder):
    with pytest.raises(ValueError, match=r"`label_type` must be one of.*Did you mean 'regression'"):
        from_csv(csv(folder, GOOD), label_type="regresion")
    with pytest.raises(ValueError, match="must be one column for label_type='categorical'"):
        from_csv(csv(folder, GOOD), label=["path", "label"])


def test_a_repeated_column_raises(folder):
    with pytest.raises(ValueError, match=r"has more than one column 'label'"):
        from_csv(csv(folder, "path,label,label\nimages/a.png,x,y\nimages/b.png,y,x\n"))


def test_categorical_targets_are_int32(folder):
    assert from_csv(csv(folder, GOOD)).targets.dtype == np.int32


TEXTS = {"input": "text", "modality": "text"}
SPANS = {**TEXTS, "label": "spans", "label_type": "entities"}


def invalid_rows(source):
    return [(example.example_id, example.reason) for example in source.invalid]


def test_two_columns_of_texts_give_pairs(folder):
    options = {"input": ("premise", "hypothesis"), "modality": "text"}
    rows = [("it rains", "it is wet", "yes"), ("it rains", "a, b", "no")]
    table = "\n".join(f'"{a}","{b}",{label}' for a, b, label in rows)
    objects = [{"label": label, "hypothesis": b, "premise": a} for a, b, label in rows]
    for source in (
        from_csv(csv(folder, f"premise,hypothesis,label\n{table}\n"), **options),
        from_jsonl(jsonl(folder, *objects), **options),
    ):
        assert (source.modality, source.storage) == ("text", "arrays") and source.examples.shape == (2, 2)
        assert source.examples.tolist() == [["it rains", "it is wet"], ["it rains", "a, b"]]
        assert source.targets.tolist() == [1, 0] and source.invalid == ()
    assert (
        from_jsonl(jsonl(folder, *objects), **options | {"input": ["hypothesis", "premise"]}).examples[0, 0]
        == "it is wet"
    )
    unlabelled = from_jsonl(jsonl(folder, objects[0]), **options, label=None)
    assert unlabelled.examples.shape == (1, 2) and unlabelled.labels is None


def test_pairs_can_have_regression_or_multilabel_targets(folder):
    rows = [{"a": "x", "b": "y", "score": 4.5, "tags": ["p", "q"]}, {"a": "x", "b": "z", "score": "2", "tags": "p"}]
    options = {"input": ("a", "b"), "modality": "text"}
    source = from_jsonl(jsonl(folder, *rows), **options, label="score", label_type="regression")
    assert source.targets.tolist() == [[4.5], [2.0]]
    assert from_jsonl(jsonl(folder, *rows), **options, label="tags", label_type="multilabel").targets.tolist() == [
        [1, 1],
        [1, 0],
    ]


@pytest.mark.parametrize("columns", [(), ("a", "b", "c"), ("a", "b")])
def test_a_wrong_number_of_input_columns_raises(folder, columns):
    path = csv(folder, "a,b,c,label\nx,y,z,w\n")
    with pytest.raises(
        ValueError, match=r"`input` must be one column or, for texts \(modality='text'\), two. Received: \("
    ):
        from_csv(path, input=columns, modality="text" if len(columns) != 2 else "image")


def test_entities_are_json_in_both_file_formats(folder):
    examples = [
        ("in Paris", [[3, 8, "city"]]),
        ("Ann met Bob", [{"start": 8, "end": 11, "label": "name"}, {"start": 0, "end": 3, "label": "name"}]),
        ("nothing", []),
    ]
    cells = ["".join(('"', text, '","', json.dumps(spans).replace('"', '""'), '"')) for text, spans in examples]
    lines = [{"text": text, "spans": spans} for text, spans in examples]
    without_spans = [{"text": "a"}, {"text": "b", "spans": None}, {"text": "c", "spans": ""}]
    for source in (
        from_csv(csv(folder, "\n".join(["text,spans", *cells, "a,", "b,[]", "c, "])), **SPANS),
        from_jsonl(jsonl(folder, *lines, *without_spans), **SPANS),
    ):
        assert (
            (source.modality, source.storage) == ("text", "arrays")
            and source.labels == LabelSpec(("city", "name"), "entities")
            and source.invalid == ()
        )
        assert source.examples.tolist() == ["in Paris", "Ann met Bob", "nothing", "a", "b", "c"]
        spans = [(Span(3, 8, "city"),), (Span(0, 3, "name"), Span(8, 11, "name")), (), (), (), ()]
        assert source.targets.tolist() == spans
        assert source.counts() == {"city": 1, "name": 2}


def test_offsets_refer_to_the_unchanged_text_of_the_cell(folder):
    text = '  אני "גר"\r\nבתל אביב 😀 '
    start = text.index("בתל")
    spans = json.dumps([[start, start + 8, "city"]]).replace('"', '""')
    source = from_csv(csv(folder, f'text,spans\r\n"{text.replace(chr(34), chr(34) * 2)}","{spans}"\r\n'), **SPANS)
    assert source.examples.tolist() == [text] and source.targets.tolist() == [(Span(start, start + 8, "city"),)]


def test_rows_with_invalid_spans_are_left_out_and_listed(folder):
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
    source = from_jsonl(jsonl(folder, *rows), **SPANS)
    assert source.examples.tolist() == ["in Paris", "in Rome"]
    assert [source.id_of(row) for row in range(2)] == ["data.jsonl, row 1", "data.jsonl, row 10"]
    assert [example_id for example_id, _ in invalid_rows(source)] == [
        f"data.jsonl, row {number}" for number in range(2, 10)
    ]
    parts = ("outside of the text", "is empty", "only spaces", "overlaps", "must be a JSON list", "be a list",
             "be a list", "`text` must not be empty")  # fmt: skip
    assert all(part in reason for part, (_, reason) in zip(parts, invalid_rows(source), strict=True))


def test_entities_need_at_least_one_span_and_single_texts(folder):
    with pytest.raises(ValueError, match="no text has an entity"):
        from_jsonl(jsonl(folder, {"text": "a", "spans": []}), **SPANS)
    with pytest.raises(ValueError, match=r"row 1: 0 to 9 \(x\) is outside of the text"):
        from_jsonl(jsonl(folder, {"text": "a", "spans": [[0, 9, "x"]]}), **SPANS)
    for options in ({"input": "path"}, {"input": ("text", "path"), "modality": "text"}):
        with pytest.raises(ValueError, match="needs single texts: pass modality='text' and one column as `input`"):
            from_jsonl(
                jsonl(folder, {"text": "a", "path": "b", "spans": []}), **SPANS | {"modality": "image"} | options
            )
    unlabelled = from_jsonl(jsonl(folder, {"text": "a"}), **SPANS | {"label": None})
    assert unlabelled.examples.tolist() == ["a"] and unlabelled.labels is None


def test_rows_with_empty_cells_are_left_out(folder):
    text = "text,label\nso good,pro\n,pro\n  ,con\nso bad,con\nwell,\n\nso so, \n"
    source = from_csv(csv(folder, text), **TEXTS)
    assert source.examples.tolist() == ["so good", "so bad"] and source.targets.tolist() == [1, 0]
    assert source.id_of(1) == "data.csv, row 5"
    assert invalid_rows(source) == [
        ("data.csv, row 3", "`text` must not be empty"),
        ("data.csv, row 4", "`text` must not be empty"),
        ("data.csv, row 6", "`label` must not be empty"),
        ("data.csv, row 8", "`label` must not be empty"),
    ]
    pairs = from_csv(csv(folder, "a,b,label\nx,y,p\nx,,q\n , ,p\nz,y,q\n"), input=("a", "b"), modality="text")
    assert [reason for _, reason in invalid_rows(pairs)] == ["`b` must not be empty", "`a` and `b` must not be empty"]
    images = from_csv(csv(folder, GOOD.replace("dog", "")), labels=("cat", "dog"))
    assert invalid_rows(images) == [("data.csv, row 3", "`label` must not be empty")]


def test_a_table_without_a_valid_text_raises_with_all_rows(folder):
    with pytest.raises(
        ValueError, match=r"(?s)data\.csv, row 2: `text`.*data\.csv, row 3: `text` and `label` must not"
    ):
        from_csv(csv(folder, "text,label\n,x\n , \n"), **TEXTS)


@pytest.mark.parametrize("value", [["so", "good"], {"text": "so good"}, [], {}])
def test_lists_and_objects_are_not_accepted_as_texts(folder, value):
    good = {"text": "fine", "label": "a"}
    source = from_jsonl(jsonl(folder, good, good | {"label": "b"}, {"text": value, "label": "a"}), **TEXTS)
    assert source.examples.tolist() == ["fine", "fine"]
    assert invalid_rows(source) == [("data.jsonl, row 3", f"`text` must be a text. Received: {type(value).__name__}")]
    pair = {"a": "x", "b": value}
    source = from_jsonl(jsonl(folder, {"a": "x", "b": "y"}, pair), input=("a", "b"), modality="text", label=None)
    assert [reason for _, reason in invalid_rows(source)] == [f"`b` must be a text. Received: {type(value).__name__}"]


def test_numbers_are_accepted_as_texts_and_nan_counts_as_empty(folder):
    rows = (
        {"text": 7, "label": 1},
        {"text": "b", "label": 2},
        '{"text": NaN, "label": 1}',
        '{"text": "c", "label": NaN}',
    )
    source = from_jsonl(jsonl(folder, *rows), **TEXTS)
    assert source.examples.tolist() == ["7", "b"] and source.labels.names == ("1", "2")
    assert [reason for _, reason in invalid_rows(source)] == ["`text` must not be empty", "`label` must not be empty"]


def test_a_list_as_a_single_class_raises_with_a_hint(folder):
    rows = [{"path": "images/a.png", "label": ["x"]}, {"path": "images/b.png", "label": "y"}]
    with pytest.raises(
        ValueError, match=r"row 1 \(`label` must be one class. Received: list. Did you mean label_type='multilabel'\?"
    ):
        from_jsonl(jsonl(folder, *rows))


def test_long_texts_and_control_characters_are_read(folder):
    long, odd = "so good " * 100_000, "a\x00b\x1a\x7f\ufeff"
    limit = csv_module.field_size_limit()
    source = from_csv(csv(folder, f'text,label\n"{long}",x\n"{odd}",y\n"a ""b"" \n c",x\n'), **TEXTS)
    assert source.examples.tolist() == [long, odd, 'a "b" \n c']
    assert csv_module.field_size_limit() == limit, "the global limit is restored"
    rows = ({"text": long, "label": "x"}, {"text": odd, "label": "y"})
    assert from_jsonl(jsonl(folder, *rows), **TEXTS).examples.tolist() == [long, odd]


def test_jsonl_can_have_crlf_and_a_byte_order_mark(folder):
    (folder / "data.jsonl").write_bytes(
        b'\xef\xbb\xbf{"text": "a", "label": "x"}\r\n\r\n{"text": "b", "label": "y"}\r\n'
    )
    source = from_jsonl(folder / "data.jsonl", **TEXTS)
    assert source.examples.tolist() == ["a", "b"] and source.id_of(1) == "data.jsonl, row 3"


@pytest.mark.parametrize(
    ("line", "reason"), [('{"text": ' + "1" * 5000 + "}", "Exceeds the limit"), ("[" * 100_000, "recursion depth")]
)
def test_json_that_python_cannot_parse_is_listed_with_its_row(folder, line, reason):
    source = from_jsonl(jsonl(folder, {"text": "a", "label": "x"}, line, {"text": "b", "label": "y"}), **TEXTS)
    assert source.invalid[0].example_id == "data.jsonl, row 2" and reason in source.invalid[0].reason
    with pytest.raises(ValueError, match=f"data.jsonl, row 1: .*{reason}"):
        from_jsonl(jsonl(folder, line), **TEXTS)
    rows = [{"text": "a", "spans": [[0, 1, "x"]]}, {"text": "b", "spans": line}]
    assert f"{reason}" in invalid_rows(from_jsonl(jsonl(folder, *rows), **SPANS))[0][1]


def test_malformed_rows_of_texts_are_left_out_and_listed(folder):
    source = from_csv(csv(folder, "text,label\ngood,a\nbad\nfine,b\nx,y,z\n"), input="text", modality="text")
    assert source.examples.tolist() == ["good", "fine"]
    cells = [f"data.csv, row {row}: {count} cells, but the header has 2" for row, count in ((3, 1), (5, 3))]
    assert [f"{example.example_id}: {example.reason}" for example in source.invalid] == cells
    path = folder / "rows.jsonl"
    path.write_text('{"text": "good", "label": "a"}\n[1]\n{"text": "fine", "label": "b"}\n{"text": "cut o')
    source = from_jsonl(path, input="text", modality="text")
    assert source.examples.tolist() == ["good", "fine"]
    assert [example.example_id for example in source.invalid] == ["rows.jsonl, row 2", "rows.jsonl, row 4"]
    assert "must be an object {...}. Received: list" in source.invalid[0].reason
    numbers = from_csv(
        csv(folder, "text,label\ngood,1\nbad,n/a\nfine,2\nx,inf\n"),
        input="text",
        modality="text",
        label_type="regression",
    )
    assert numbers.targets.tolist() == [[1.0], [2.0]]
    assert [example.reason for example in numbers.invalid] == [
        f"`label` must be a finite number. Received: {value!r}" for value in ("n/a", "inf")
    ]


def test_a_file_with_some_of_the_classes_can_use_the_labels_of_a_model(folder):
    labels = LabelSpec(("a", "b", "c"))
    table = csv(folder, "text,label\ngood,b\nfine,b\n")
    source = from_csv(table, input="text", modality="text", labels=labels)
    assert source.labels is labels and source.targets.tolist() == [1, 1]
    assert from_csv(table, input="text", modality="text", labels=("b", "a")).targets.tolist() == [0, 0]
    rows = jsonl(folder, {"text": "good", "label": "d"})
    with pytest.raises(ValueError, match=r"row 1: 'd' is not one of the 3 classes"):
        from_jsonl(rows, input="text", modality="text", labels=labels)
    several = LabelSpec(("a", "b"), "multilabel")
    assert from_jsonl(
        jsonl(folder, {"text": "good", "label": ["b"]}),
        input="text",
        modality="text",
        label_type="multilabel",
        labels=several,
    ).targets.tolist() == [[0, 1]]


def test_spans_with_another_label_type_raise_with_a_hint(folder):
    rows = jsonl(folder, {"text": "good film", "label": [[0, 4, "x"]]})
    with pytest.raises(ValueError, match="Did you mean label_type='entities'"):
        from_jsonl(rows, input="text", modality="text")


def test_columns_by_number_with_and_without_a_header(folder):
    source = from_csv(csv(folder, "a,b,c\nx,so good,pro\ny,so bad,con\n"), input=1, label=-1, modality="text")
    assert source.examples.tolist() == ["so good", "so bad"] and source.labels.names == ("con", "pro")
    source = from_csv(csv(folder, "ham\tsee you\nspam\tbuy\n"), input=1, label=0, modality="text", header=False)
    assert source.examples.tolist() == ["see you", "buy"] and source.id_of(0) == "data.csv, row 1"
    with pytest.raises(ValueError, match=r"no column '5'\. Its columns: a, b"):
        from_csv(csv(folder, "a,b\nx,y\n"), input=5, label=0, modality="text")


def test_several_labels_as_columns_of_0_and_1(folder):
    text = "text,red,big\na,1,0\nb,1.0,TRUE\nc,0,false\nd,maybe,1\ne,,1\n"
    options = {"input": "text", "modality": "text", "label": ("red", "big"), "label_type": "multilabel"}
    source = from_csv(csv(folder, text), **options)
    assert source.labels.names == ("red", "big")
    assert source.targets.tolist() == [[1, 0], [1, 1], [0, 0]]
    assert [reason for _, reason in invalid_rows(source)] == [
        "`red` must be 0 or 1. Received: 'maybe'",
        "`red` must not be empty",
    ]
    renamed = from_csv(csv(folder, text), labels=("rouge", "grand"), **options)
    assert renamed.labels.names == ("rouge", "grand")
    with pytest.raises(ValueError, match="`labels` must name the 2 columns"):
        from_csv(csv(folder, text), labels=("rouge",), **options)
    with pytest.raises(ValueError, match="pass label_type='multilabel'"):
        from_csv(csv(folder, text), input="text", modality="text", label=("red", "big"))


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (("1", "1.0", "0"), ["1", "1", "0"]),
        (("1", "1.0", "true", "0", "FALSE"), ["1", "1", "1", "0", "0"]),
        (("True", "false", "TRUE"), ["true", "false", "true"]),
        (("10", "2.0"), ["10", "2"]),
        (("1", "1.5"), ["1", "1.5"]),
        (("1", "true", "maybe"), ["1", "true", "maybe"]),
        (("007", "7", "08"), ["007", "7", "08"]),  # codes, as of places and parts
        (("1_000", "1e3"), ["1_000", "1e3"]),
        (("12345678901234567", "1.0"), ["12345678901234567", "1"]),
        (("NA", "null", "None"), ["NA", "null", "None"]),
    ],
)
def test_labels_have_one_spelling(folder, cells, names):
    rows = "".join(f"text {number},{cell}\n" for number, cell in enumerate(cells))
    source = from_csv(csv(folder, f"text,label\n{rows}"), **TEXTS)
    assert [source[row].label for row in range(len(cells))] == names


def test_names_are_without_invisible_characters_around_them(folder):
    names = ("spam", "spam\u200b", "\ufeffham", "ham\u00a0", "\u2060spam ")
    rows = "".join(f"text,{name}\n" for name in names)
    source = from_csv(csv(folder, f"text,label\n{rows}"), **TEXTS)
    assert source.counts() == {"ham": 2, "spam": 3}


def test_a_list_of_objects_is_read_as_lines_are(folder):
    rows = [{"text": "a", "label": "x"}, {"text": "b", "label": None}, 3, {"text": "c", "label": "y"}]
    for number, indent in enumerate((None, 2)):
        path = folder / f"list{number}.json"
        path.write_text(json.dumps(rows, indent=indent))
        source = from_jsonl(path, **TEXTS)
        assert source.examples.tolist() == ["a", "c"] and source.ids[1] == f"{path.name}, row 4"
        assert [example.example_id for example in source.invalid] == [f"{path.name}, row {row}" for row in (2, 3)]
    path.write_text(path.read_text().removesuffix("]"))
    with pytest.raises(ValueError, match=r"row 1: begins like a list of objects but is not valid JSON: .*delimiter"):
        from_jsonl(path, **TEXTS)


def test_known_names_keep_their_spelling(folder):
    source = from_csv(csv(folder, "text,label\na,1.0\nb,2.0\n"), labels=("1.0", "2.0"), **TEXTS)
    assert source.labels.names == ("1.0", "2.0")


def test_paths_as_people_write_them(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    rows = ("images\\a.png,x", "~/images/b.png,y", f"file://{folder}/images/c.png,x", "http://host/d.png,y")
    source = from_csv(csv(folder, "path,label\n" + "\n".join(rows)))
    assert [Path(path).name for path in source.examples] == ["a.png", "b.png", "c.png"]
    assert "is an address: download the file" in source.invalid[0].reason


def test_paths_that_lead_out_of_the_folder_are_read_and_told(folder, tmp_path_factory, caplog):
    other = solid_png(tmp_path_factory.mktemp("other") / "secret.png", (1, 2, 3))
    (folder / "images" / "link.png").symlink_to(other)
    (folder / "linked").symlink_to(other.parent)
    climbing = f"images/{'../' * 20}{other.relative_to('/')}"
    for path in (str(other), climbing, "images/link.png", "linked/secret.png"):
        caplog.clear()
        source = from_csv(csv(folder, f"path,label\n{path},x\nimages/b.png,y\n"))
        assert len(source) == 2
        assert f"1 of 2 paths lead out of {folder}, such as " in caplog.text
    caplog.clear()
    from_csv(csv(folder, "path,label\nimages/../images/a.png,x\nimages/b.png,y\n"))
    assert not caplog.text


def test_paths_that_cannot_be_paths_cost_their_rows(folder):
    pipe = folder / "images" / "pipe.png"
    os.mkfifo(pipe)
    strange = ["~nobody-has-this-name/x.png", "x" * 300 + ".png", "a/" * 3000, "images/pipe.png", "images/a.png/b.png"]
    strange += ["/dev/zero", "https://host/x.png", "\\\\host\\share\\x.png", "con", ".", "..", "/", "images/\0.png"]
    rows = "".join(f"{path},x\n" for path in strange)
    source = from_csv(csv(folder, f"path,label\nimages/a.png,x\nimages/b.png,y\n{rows}"))
    assert len(source) == 2
    assert len(source.invalid) == len(strange)


def test_accents_of_a_path_can_have_either_form(folder):
    composed, decomposed = (unicodedata.normalize(form, "images/é.png") for form in ("NFC", "NFD"))
    (folder / "images" / "a.png").rename(folder / decomposed)
    source = from_csv(csv(folder, f"path,label\n{composed},x\nimages/b.png,y\n"))
    assert len(source) == 2


def test_dotted_names_lead_into_objects(folder):
    rows = (
        {"review": {"text": "so good"}, "meta": {"label": "pro"}},
        {"review": {"text": "bad"}, "meta": {"label": "con"}},
    )
    source = from_jsonl(jsonl(folder, *rows, {"review": 3}), input="review.text", label="meta.label", modality="text")
    assert source.examples.tolist() == ["so good", "bad"]
    assert invalid_rows(source) == [("data.jsonl, row 3", "`review.text` and `meta.label` must not be empty")]


def test_ids_of_images_may_lack_the_suffix(folder):
    source = from_csv(csv(folder, "id,label\nimages/a,x\nimages\\b,y\nimages,z\n"), input="id")
    assert [Path(path).name for path in source.examples] == ["a.png", "b.png"]
    assert "is a folder" in source.invalid[0].reason


def test_a_decimal_comma_is_told(folder):
    source = from_csv(csv(folder, "text;label\na;1,5\nb;2\nc;3\n"), label_type="regression", **TEXTS)
    assert source.invalid[0].reason.endswith("Received: '1,5' (write a decimal point, and no separator of thousands)")


def test_half_of_a_character_costs_its_row(tmp_path):
    lines = [
        {"text": "a", "label": "x"},
        {"text": "c", "label": "y"},
        {"text": "\ud83d", "label": "x"},
        {"text": "b", "label": "\ud83d"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
    source = from_jsonl(tmp_path / "a.jsonl", input="text", modality="text")
    assert list(source.examples) == ["a", "c"]
    assert [example.reason.split(" is half")[0] for example in source.invalid] == [
        r"`text` is not Unicode: '\ud83d'",
        r"`label` is not Unicode: '\ud83d'",
    ]


def test_a_column_is_not_both_input_and_label(tmp_path):
    path = csv(tmp_path, "text,label\na,x\nb,y\n")
    with pytest.raises(ValueError, match=r"column 'label' is both in `input` and in `label`"):
        from_csv(path, input=("text", "label"), modality="text")
