"""Reading of text files: similar names of missing files, and the line of invalid UTF-8."""

import gzip

import pytest

from tltk.data.formats.text_files import existing_file, read_text
from tltk.errors import FileError


def write_file(folder, data, name="texts.txt"):
    (folder / name).write_bytes(data)
    return folder / name


def test_the_path_of_an_existing_file_is_returned(tmp_path):
    path = write_file(tmp_path, b"")
    assert existing_file(path) == existing_file(str(path)) == path


def test_a_missing_file_raises_with_a_similar_name(tmp_path):
    write_file(tmp_path, b"", "train.conll")
    with pytest.raises(FileNotFoundError, match=r"tain\.conll does not exist\. Did you mean 'train\.conll'\?"):
        existing_file(tmp_path / "tain.conll")
    with pytest.raises(FileNotFoundError, match=r"zzz does not exist\.$"):
        existing_file(tmp_path / "zzz")


def test_a_file_in_a_missing_folder_raises(tmp_path):
    for folder in (tmp_path / "nowhere", write_file(tmp_path, b"")):
        with pytest.raises(FileNotFoundError, match=r"a\.txt does not exist\.$"):
            existing_file(folder / "a.txt")


def test_a_folder_raises(tmp_path):
    with pytest.raises(FileError, match=r"is a folder, not a file\. Use tltk\.from_folder"):
        existing_file(tmp_path)
    with pytest.raises(FileError, match="is a folder"):
        existing_file("")


TEXTS = ["", "a", "a\r\nb\rc\n", "\x00\x01\x1a", "שלום 😀", "one\u2028two\x85three", "a\ufeffb", "\ufffd"]


def test_text_is_read_unchanged_with_or_without_a_byte_order_mark(tmp_path):
    for text in TEXTS:
        assert read_text(write_file(tmp_path, text.encode())) == text
        assert read_text(write_file(tmp_path, b"\xef\xbb\xbf" + text.encode())) == text


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_invalid_utf8_raises_with_the_line(tmp_path, mark, end):
    contents = {1: [b"f\xfcr"], 3: [b"good", b"", b"ab\xfc", b"\xe4"], 100: [b"g"] * 99 + [b"\xfc"]}
    for line, lines in contents.items():
        path = write_file(tmp_path, mark + end.join(lines))
        with pytest.raises(
            ValueError, match=rf"texts\.txt, line {line}: byte 0xfc is not UTF-8\. Save the file as UTF-8"
        ):
            read_text(path)


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        (b"\xfe\x00", "fe"),
        (b"\xef\xbb\xbf\n\xef\xbb", "ef"),
        ("😀".encode()[:2], "f0"),
        ("\ud800".encode(errors="surrogatepass"), "ed"),
        (b"\xc0\x80", "c0"),
    ],
)
def test_other_encodings_incomplete_characters_and_surrogates_are_not_utf8(tmp_path, data, byte):
    line = 1 + data[:4].count(b"\n")
    with pytest.raises(ValueError, match=f"line {line}: byte 0x{byte} is not UTF-8"):
        read_text(write_file(tmp_path, data))


def test_utf_16_is_known_by_its_byte_order_mark(tmp_path):
    assert read_text(write_file(tmp_path, "é\n😀".encode("utf-16"))) == "é\n😀"


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (gzip.compress(b"text,label", mtime=0), r"is compressed \(gzip\). Unpack it"),
        (b"PK\x03\x04\x14\x00", "save the sheet as CSV"),
        (b"PAR1\xff", "is a Parquet file"),
        ("text,label".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        ("text,label".encode("utf-16-be"), "UTF-16 without a byte order mark"),
    ],
)
def test_a_file_that_is_no_text_is_named_for_what_it_is(tmp_path, data, advice):
    with pytest.raises(ValueError, match=advice):
        read_text(write_file(tmp_path, data))
