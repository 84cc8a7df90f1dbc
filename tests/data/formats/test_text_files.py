"""Files that a user names: found or answered, UTF-8 or the line named."""

import pytest

from tltk.data.formats.text_files import existing, read_text


def written(folder, data, name="texts.txt"):
    (folder / name).write_bytes(data)
    return folder / name


def test_a_file_that_is_there_is_its_path_as_text_or_path(tmp_path):
    path = written(tmp_path, b"")
    assert existing(path) == existing(str(path)) == path


def test_a_missing_file_is_answered_with_the_nearest_name_beside_it(tmp_path):
    written(tmp_path, b"", "train.conll")
    with pytest.raises(FileNotFoundError, match=r"tain\.conll does not exist\. Did you mean 'train\.conll'\?"):
        existing(tmp_path / "tain.conll")
    with pytest.raises(FileNotFoundError, match=r"zzz does not exist\.$"):
        existing(tmp_path / "zzz")


def test_a_file_in_a_folder_that_is_missing_or_no_folder_is_missing(tmp_path):
    for folder in (tmp_path / "nowhere", written(tmp_path, b"")):
        with pytest.raises(FileNotFoundError, match=r"a\.txt does not exist\.$"):
            existing(folder / "a.txt")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError, match="is a folder; for pictures in folders there is from_folder"):
        existing(tmp_path)
    with pytest.raises(IsADirectoryError, match="is a folder"):
        existing("")


TEXTS = ["", "a", "a\r\nb\rc\n", "\x00\x01\x1a", "שלום 😀", "one\u2028two\x85three", "a\ufeffb", "\ufffd"]


def test_text_is_given_back_character_by_character_with_or_without_a_byte_order_mark(tmp_path):
    for text in TEXTS:
        assert read_text(written(tmp_path, text.encode())) == text
        assert read_text(written(tmp_path, b"\xef\xbb\xbf" + text.encode())) == text


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_line_that_is_not_utf8_is_named(tmp_path, mark, end):
    for line, lines in enumerate(([b"f\xfcr"], [b"good", b"", b"ab\xfc", b"\xe4"], [b"g"] * 99 + [b"\xfc"])):
        bad = (1, 3, 100)[line]
        path = written(tmp_path, mark + end.join(lines))
        with pytest.raises(
            ValueError, match=rf"texts\.txt, line {bad}: byte 0xfc is not UTF-8\. Save the file as UTF-8"
        ):
            read_text(path)


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        ("good".encode("utf-16"), "ff"),
        (b"\xef\xbb\xbf\n\xef\xbb", "ef"),
        ("😀".encode()[:2], "f0"),
        ("\ud800".encode(errors="surrogatepass"), "ed"),
        (b"\xc0\x80", "c0"),
    ],
)
def test_other_encodings_cut_characters_and_surrogates_are_not_utf8(tmp_path, data, byte):
    line = 1 + data[:4].count(b"\n")
    with pytest.raises(ValueError, match=f"line {line}: byte 0x{byte} is not UTF-8"):
        read_text(written(tmp_path, data))
