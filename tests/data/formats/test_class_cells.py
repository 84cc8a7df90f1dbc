"""Cells of class names that probably mean something else: missing values, other separators, lists as text."""

import csv

import pytest

from tltk.data.formats.tables import from_csv

MULTILABEL = {"input": "text", "modality": "text", "label_type": "multilabel"}


def table(folder, *labels):
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["text", "label"], *(("a text", label) for label in labels)])
    return path


def test_classes_named_like_missing_values_are_told_unless_they_are_expected(tmp_path, caplog):
    path = table(tmp_path, "x", "NA", "None", "NA", "Nancy", "nan")
    names = ("NA", "Nancy", "None", "nan", "x")
    assert from_csv(path, input="text", modality="text").labels.names == names
    assert "`label` has 1 row 'nan', 2 rows 'NA', 1 row 'None', which are read as a class of that name" in caplog.text
    caplog.clear()
    assert from_csv(path, input="text", modality="text", labels=names).labels.names == names
    assert not caplog.text


@pytest.mark.parametrize("mark", [",", "|"])
def test_another_separator_in_most_classes_is_told(tmp_path, caplog, mark):
    path = table(tmp_path, f"a{mark}b", "a;c", "d")
    assert from_csv(path, **MULTILABEL, delimiter=",").labels.names == ("a", f"a{mark}b", "c", "d")
    assert not caplog.text
    path = table(tmp_path, f"a{mark}b", f"a{mark}c", "a")
    from_csv(path, **MULTILABEL)
    expected = f"2 of 3 class names in `label` contain {mark!r}, such as 'a{mark}b'"
    assert expected in caplog.text and f"separator={mark!r} (--separator)" in caplog.text
    caplog.clear()
    assert from_csv(path, **MULTILABEL, separator=mark).labels.names == ("a", "b", "c")
    assert not caplog.text


@pytest.mark.parametrize("cell", ["['a', 'b']", '["a"]', "('a',)"])
def test_lists_written_as_text_are_refused(tmp_path, cell):
    with pytest.raises(ValueError, match=r"row 3: `label` is a list written as text.*str\.join\(';'\)"):
        from_csv(table(tmp_path, "a", cell), **MULTILABEL)
