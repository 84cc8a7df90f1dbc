import csv

import pytest

from tltk.data.formats.csv_file import read_rows


def rows(folder, text, name="data.csv", *, delimiter=None, columns=("text", "label"), header=True):
    (folder / name).write_bytes(text.encode())
    return read_rows(folder / name, delimiter=delimiter, columns=columns, header=header)


def test_stray_quotation_marks_in_a_tsv_do_not_join_rows(tmp_path):
    text = 'text\tlabel\nhe said "hi\tgood\n"quoted start\tgood\nend"\tbad\n"a\tb"\tx\n"say ""x"""\ty\n"a" or "b"\tz\n'
    assert [cells for _, cells in rows(tmp_path, text, "data.tsv")[1:]] == [
        ['he said "hi', "good"],
        ['"quoted start', "good"],
        ['end"', "bad"],
        ["a\tb", "x"],
        ['say "x"', "y"],
        ['"a" or "b"', "z"],
    ]


def test_a_tsv_with_cells_over_lines_is_read_as_it_was_written(tmp_path):
    table = [["text", "label"], ['two\nlines "x"', "p"], ["a\tb", "q"]]
    with (tmp_path / "data.tsv").open("w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows(table)
    read = read_rows(tmp_path / "data.tsv", delimiter=None, columns=("text",), header=True)
    assert [cells for _, cells in read] == table


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_quoted_cells_can_escape_by_doubling_or_by_a_backslash(tmp_path, newline):
    text = 'text,label\n"a ""b"", c",x\n"a \\"b\\", c",y\n"two\nlines",z\n\\n,w\n'.replace("\n", newline)
    assert [cells for _, cells in rows(tmp_path, text)] == [
        ["text", "label"],
        ['a "b", c', "x"],
        ['a "b", c', "y"],
        [f"two{newline}lines", "z"],
        ["\\n", "w"],
    ]


def test_a_broken_row_costs_that_row_only(tmp_path):
    text = 'text,label\na,x\n"b,x\nc,y\nd\n\ne,f,g\nj,y'
    assert rows(tmp_path, text)[1:] == [
        (2, ["a", "x"]),
        (3, "a quotation mark that is not closed"),
        (4, ["c", "y"]),
        (5, "1 cells, but the header has 2"),
        (7, "3 cells, but the header has 2"),
        (8, ["j", "y"]),
    ]


@pytest.mark.parametrize(("delimiter", "other"), [(",", ";"), (";", ","), ("|", ","), ("\t", ";")])
def test_the_delimiter_is_found_by_the_names_of_the_columns(tmp_path, delimiter, other):
    text = f"text{delimiter}label\na{other} b{delimiter}x\n"
    assert rows(tmp_path, text, "data.txt") == [(1, ["text", "label"]), (2, [f"a{other} b", "x"])]


def test_a_delimiter_can_be_given(tmp_path):
    assert rows(tmp_path, "text:label\na,b:x\n", delimiter=":")[1] == (2, ["a,b", "x"])
    with pytest.raises(ValueError, match="`delimiter` must be one character"):
        rows(tmp_path, "a,b\n", delimiter="::")


def test_columns_without_a_header_have_numbers(tmp_path):
    read = rows(tmp_path, "a b\tgood\nc\tbad\n", "data.txt", columns=("0", "1"), header=False)
    assert read == [(0, ["0", "1"]), (1, ["a b", "good"]), (2, ["c", "bad"])]


def test_other_line_ends_and_encodings(tmp_path):
    assert rows(tmp_path, "text,label\ra,x\rb,y") == [(1, ["text", "label"]), (2, ["a", "x"]), (3, ["b", "y"])]
    (tmp_path / "excel.txt").write_bytes("text\tlabel\né\tx\n".encode("utf-16"))
    assert read_rows(tmp_path / "excel.txt", delimiter=None, columns=("text",), header=True)[1] == (2, ["é", "x"])
    (tmp_path / "excel.txt").write_bytes(b"\xff\xfea")
    with pytest.raises(ValueError, match=r"excel\.txt begins like UTF-16 but cannot be decoded"):
        read_rows(tmp_path / "excel.txt", delimiter=None, columns=(), header=True)
    assert rows(tmp_path, " \n\n") == []


def test_spaces_around_the_names_of_columns_do_not_matter(tmp_path):
    assert rows(tmp_path, " text ;label \na, b; x\n") == [(1, ["text", "label"]), (2, ["a, b", " x"])]


def test_the_delimiter_line_of_excel_and_repeated_headers_are_no_rows(tmp_path):
    read = rows(tmp_path, "sep=;\ntext;label\na, b;x\ntext;label\n")
    assert read == [(2, ["text", "label"]), (3, ["a, b", "x"]), (4, "the header again")]


def test_a_mark_of_inches_does_not_begin_a_quoted_cell(tmp_path):
    text = 'text,label\nTV 32",a\nradio,b\nTV 40",a\n"two\nlines",b\n'
    expected = [['TV 32"', "a"], ["radio", "b"], ['TV 40"', "a"], ["two\nlines", "b"]]
    assert [cells for _, cells in rows(tmp_path, text)[1:]] == expected


def test_rows_between_two_stray_marks_are_not_joined(tmp_path):
    text = 'text,label\n"open,a\nx,b\ny,b\n"open again,a\nz,b\n"a"b,c\n'
    read = rows(tmp_path, text)[1:]
    stray = "a quotation mark that is not closed"
    assert [number for number, cells in read if cells == stray] == [2, 5, 7]
    assert [cells for _, cells in read if cells != stray] == [["x", "b"], ["y", "b"], ["z", "b"]]


def test_a_bad_row_of_a_tsv_does_not_change_the_others(tmp_path):
    text = 'text\tlabel\n"line1\nline2"\ta\n"stray\tb\nfoo\tb\nbad\ta\textra\nend"\tb\n"x\n\ny\nz"\tb\nbad\n'
    assert rows(tmp_path, text, "data.tsv")[1:] == [
        (2, ["line1\nline2", "a"]),
        (3, ['"stray', "b"]),
        (4, ["foo", "b"]),
        (5, "3 cells, but the header has 2"),
        (6, ['end"', "b"]),
        (7, ["x\n\ny\nz", "b"]),
        (8, "1 cells, but the header has 2"),
    ]


def test_a_cell_over_lines_can_be_the_last_one_beside_a_bad_row_of_a_tsv(tmp_path):
    text = 'label\ttext\na\t"line1\nline2"\nbad\nb\tfoo\n'
    assert rows(tmp_path, text, "data.tsv")[1:] == [
        (2, ["a", "line1\nline2"]),
        (3, "1 cells, but the header has 2"),
        (4, ["b", "foo"]),
    ]
