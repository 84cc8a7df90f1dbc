"""CSV and JSON lines: rows become examples, and every fault is named with its row."""

import json

import numpy as np
import pytest

from tests.pictures import flat
from tltk.data.sources import from_csv, from_jsonl


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
    assert [str(path) for path in source.items] == [str(here / "pictures" / f"{name}.png") for name in "ab"]
    assert source.labels.names == ("cat", "dog")
    assert source.name_of(1) == "data.csv, row 3"


def test_a_byte_order_mark_windows_line_ends_quotes_and_blank_lines_are_read(here):
    text = '\ufeffpath,label\r\n"pictures/a.png","cat, tabby"\r\n\r\npictures/b.png,dog\r\n'
    source = from_csv(csv(here, text))
    assert source.labels.names == ("cat, tabby", "dog")
    assert source.name_of(1) == "data.csv, row 4"


def test_tabs_separate_the_columns_of_a_tsv(here):
    assert len(from_csv(csv(here, GOOD.replace(",", "\t"), "data.tsv"))) == 2


def test_root_is_where_relative_paths_start(here):
    source = from_csv(csv(here, "file,kind\na.png,x\nb.png,y\n"), input="file", label="kind", root=here / "pictures")
    assert len(source) == 2


def test_several_labels_in_a_cell_are_separated(here):
    text = "path,label\npictures/a.png,red; round\npictures/b.png,\npictures/c.png,red\n"
    source = from_csv(csv(here, text), kind="multi")
    assert source.labels.names == ("red", "round")
    assert source.targets.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert from_csv(csv(here, text.replace(";", "|")), kind="multi", separator="|").labels == source.labels


def test_numbers_may_stand_in_several_columns(here):
    text = "path,x,y\npictures/a.png,1,2.5\npictures/b.png,3,-1\n"
    source = from_csv(csv(here, text), label=["x", "y"], kind="number")
    assert source.targets.tolist() == [[1.0, 2.5], [3.0, -1.0]]
    assert source.labels.mean == (2.0, 0.75)


def test_rows_without_a_label_column_are_unlabelled(here):
    assert from_csv(csv(here, "path\npictures/a.png\n"), label=None).labels is None


def test_texts_are_not_paths(here):
    source = from_csv(csv(here, "text,label\nso good,pro\nso bad,con\n"), input="text", text=True)
    assert source.kind == "texts" and source.items.tolist() == ["so good", "so bad"]


def test_jsonl_takes_lists_and_skips_blank_lines(here):
    rows = ({"path": "pictures/a.png", "label": ["red", "round"]}, "", {"path": "pictures/b.png", "label": "red"})
    source = from_jsonl(jsonl(here, *rows), kind="multi")
    assert source.targets.tolist() == [[1, 1], [1, 0]]
    assert source.name_of(1) == "data.jsonl, row 3"


def test_jsonl_keeps_line_separators_inside_texts(here):
    rows = [{"t": "one\u2028two", "label": "x"}, {"t": "three", "label": "y"}]
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (here / "data.jsonl").write_text(text, "utf-8")
    assert from_jsonl(here / "data.jsonl", input="t", text=True).items.tolist() == ["one\u2028two", "three"]


def test_absolute_paths_are_kept(here):
    row = {"path": str(here / "pictures" / "a.png")}
    assert str(from_jsonl(jsonl(here, row), label=None, root="/elsewhere").items[0]) == row["path"]


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
        from_csv(csv(here, text), kind="number")


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
    with pytest.raises(ValueError, match=r"`kind` must be one of.*Did you mean 'number'"):
        from_csv(csv(here, GOOD), kind="numbers")
    with pytest.raises(ValueError, match="must be one column for kind='single'"):
        from_csv(csv(here, GOOD), label=["path", "label"])


def test_a_repeated_column_is_refused(here):
    with pytest.raises(ValueError, match=r"column 'label' stands there twice"):
        from_csv(csv(here, "path,label,label\npictures/a.png,x,y\npictures/b.png,y,x\n"))


def test_targets_are_of_the_right_types(here):
    assert from_csv(csv(here, GOOD)).targets.dtype == np.int32
