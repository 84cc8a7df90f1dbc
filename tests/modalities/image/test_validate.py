"""The scan before training: what it finds at both ends of a file, and what it lets pass."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.pictures import FORMATS, class_folder, damaged_png, encoded, huge_png
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.formats.folder import from_files, from_folder
from tltk.data.formats.squad import from_questions
from tltk.data.split import split
from tltk.modalities.image.validate import invalid_files, why_unreadable
from tltk.modalities.modality import drop_invalid
from tltk.specs import InvalidExample


@pytest.mark.parametrize("ending", FORMATS)
def test_whole_files_of_every_format_pass(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(encoded(ending))
    assert why_unreadable(path) == ""


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_of_every_format_are_found(tmp_path, ending, share):
    data = encoded(ending, size=(64, 64))
    path = tmp_path / f"x.{ending}"
    path.write_bytes(data[: int(len(data) * share)])
    assert "truncated" in why_unreadable(path)


@pytest.mark.parametrize("ending", ["jpg", "png", "gif"])
@pytest.mark.parametrize("extra", [b"\0", b"\xff" * 20, b"a camera's own data" * 500])
def test_bytes_after_the_end_mark_are_no_fault(tmp_path, ending, extra):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(encoded(ending) + extra)
    assert why_unreadable(path) == ""


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpegs_of_other_colours_pass(tmp_path, mode):
    path = tmp_path / "x.jpg"
    Image.new(mode, (20, 20)).save(path)
    assert why_unreadable(path) == ""
    Image.new("RGB", (20, 20)).save(path, progressive=True, exif=b"Exif\0\0" + b"x" * 5000)
    assert why_unreadable(path) == ""


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"}])
def test_every_kind_of_webp_passes(tmp_path, options):
    path = tmp_path / "x.webp"
    Image.new("RGBA", (30, 20), (1, 2, 3, 4)).save(path, **options)
    assert why_unreadable(path) == ""


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded("png"))
    assert why_unreadable(path) == ""


def test_empty_missing_folder_and_text_are_told_apart(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "folder.jpg").mkdir()
    found = [why_unreadable(tmp_path / f"{name}.jpg") for name in ("empty", "none", "text", "folder")]
    assert found == ["0 bytes", "missing", "not a JPEG, PNG, GIF, BMP or WebP picture", "a folder"]


def test_a_hundred_megapixels_are_refused_by_the_header_alone(tmp_path):
    assert why_unreadable(huge_png(tmp_path / "x.png")) == "100.0 megapixels (limit 89.5)"


def test_random_bytes_behind_a_right_start_never_raise(tmp_path):
    generator = np.random.default_rng(0)
    path = tmp_path / "x"
    for ending in FORMATS:
        start = encoded(ending)[:12]
        for length in (0, 1, 5, 40, 400):
            path.write_bytes(start + generator.bytes(length))
            assert isinstance(why_unreadable(path), str)


def broken_folder(tmp_path):
    """Twenty pictures of two classes and three bad files beside them."""
    class_folder(tmp_path, count=10)
    (tmp_path / "cat" / "empty.jpg").write_bytes(b"")
    (tmp_path / "cat" / "short.jpg").write_bytes(encoded("jpg")[:300])
    huge_png(tmp_path / "dog" / "huge.png")
    return from_folder(tmp_path)


def test_invalid_files_are_left_out_and_listed_with_reasons(tmp_path):
    good, invalid = drop_invalid(broken_folder(tmp_path), max_invalid_fraction=0.2)
    assert len(good) == 20
    assert good.counts() == {"cat": 10, "dog": 10}
    assert {example.example_id: example.reason for example in invalid} == {
        "cat/empty.jpg": "0 bytes",
        "cat/short.jpg": "truncated or damaged JPEG",
        "dog/huge.png": "100.0 megapixels (limit 89.5)",
    }


def test_more_invalid_files_than_allowed_are_refused_with_names(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"3 of 23 examples cannot be used, more than `max_invalid_fraction` \(0\.1\) allows: .*\(0 bytes\)",
    ):
        drop_invalid(broken_folder(tmp_path), max_invalid_fraction=0.1)
    with pytest.raises(ValueError, match=r"1 of 1 examples.*missing"):
        source = from_files(tmp_path / "cat" / "0000.png")
        (tmp_path / "cat" / "0000.png").unlink()
        drop_invalid(source, max_invalid_fraction=0)


def test_damage_in_the_middle_is_left_to_the_decoder(tmp_path):
    assert why_unreadable(damaged_png(tmp_path / "x.png")) == ""


def test_good_folders_and_other_sources_come_back_as_they_are(tmp_path):
    source = from_folder(class_folder(tmp_path))
    found, invalid = drop_invalid(source, max_invalid_fraction=0)
    assert found.examples is source.examples and found.targets is source.targets and invalid == ()
    arrays = from_arrays(np.zeros((2, 4, 4, 3), "uint8"))
    found, invalid = drop_invalid(arrays, max_invalid_fraction=0)
    assert found.examples is arrays.examples and invalid == ()


def test_many_files_are_looked_at_in_their_order(tmp_path):
    paths = [str(path) for path in sorted(class_folder(tmp_path).rglob("*.png"))] * 100
    paths[450], paths[7] = str(tmp_path / "none"), str(tmp_path)
    assert {number: why for number, why in enumerate(invalid_files(paths)) if why} == {7: "a folder", 450: "missing"}
    assert invalid_files([]) == []


def test_what_is_known_already_counts_and_comes_first():
    texts = from_arrays(["good"] * 10)
    found, invalid = drop_invalid(texts, max_invalid_fraction=0.1, known=(ROW,))
    assert len(found) == 10 and invalid == (ROW,)
    with pytest.raises(ValueError, match="1 of 10 examples"):
        drop_invalid(texts, max_invalid_fraction=0.05, known=(ROW,))


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`max_invalid_fraction` must be at least 0 and at most 1"):
        drop_invalid(from_arrays(np.zeros((2, 4, 4, 3), "uint8")), max_invalid_fraction=2)
    with pytest.raises(TypeError, match="`source` must be Source"):
        drop_invalid("photos", max_invalid_fraction=0.1)


ROW = InvalidExample("t.csv, row 9", "`text` must not be empty")


def with_invalid(source, count=1):
    return replace(source, invalid=tuple(InvalidExample(f"t.csv, row {number}", "empty") for number in range(count)))


def test_rows_that_a_reader_left_out_are_listed_before_what_the_scan_finds():
    source = replace(from_arrays(["good", " \n", "bad"], ["a", "b", "b"]), invalid=(ROW,))
    found, invalid = drop_invalid(source, max_invalid_fraction=0.5)
    assert found.examples.tolist() == ["good", "bad"] and found.targets.tolist() == [0, 1]
    assert invalid == (ROW, InvalidExample("example 1", "empty text"))


def test_rows_that_a_reader_left_out_count_in_the_fraction_of_invalid_ones():
    texts = from_arrays(["good"] * 9)
    assert drop_invalid(with_invalid(texts, 1), max_invalid_fraction=0.1)[1] == with_invalid(texts, 1).invalid
    with pytest.raises(
        ValueError,
        match=r"2 of 11 examples cannot be used, more than `max_invalid_fraction` \(0\.1\) allows: t\.csv, row",
    ):
        drop_invalid(with_invalid(texts, 2), max_invalid_fraction=0.1)
    with pytest.raises(ValueError, match=r"2 of 10 examples.*t\.csv, row 0 \(empty\), example 3 \(empty text\)"):
        drop_invalid(with_invalid(from_arrays(["a"] * 3 + [""] + ["a"] * 5)), max_invalid_fraction=0.1)
    with pytest.raises(ValueError, match=r"1 of 10 examples.*`max_invalid_fraction` \(0\)"):
        drop_invalid(with_invalid(texts), max_invalid_fraction=0)


@pytest.mark.parametrize("texts", [["good", "bad"], ["good", "", "bad"]])
def test_what_was_told_once_is_not_told_again(texts):
    found, invalid = drop_invalid(with_invalid(from_arrays(texts)), max_invalid_fraction=1.0)
    assert len(invalid) == 1 + texts.count("")
    assert found.invalid == ()
    again, invalid = drop_invalid(found, max_invalid_fraction=0)
    assert again.examples is found.examples and invalid == ()


def test_a_file_that_is_good_enough_as_a_whole_is_so_in_parts_once_it_was_read():
    whole = with_invalid(from_arrays(["good", "bad"] * 46, ["a", "b"] * 46), 8)
    found, invalid = drop_invalid(whole, max_invalid_fraction=0.1)
    assert len(invalid) == 8
    for part in split(found, val=0.2, test=0.2):
        assert drop_invalid(part, max_invalid_fraction=0.1)[1] == ()


def test_pairs_are_invalid_if_either_text_is():
    pairs = [("a", "b"), ("", "b"), ("a", " "), (None, "b"), ("a", None), ("", None), ("a", "\x00")]
    found, invalid = drop_invalid(from_arrays(pairs), max_invalid_fraction=1.0)
    assert found.examples.tolist() == [["a", "b"], ["a", "\x00"]]
    assert [(each.example_id, each.reason) for each in invalid] == [
        ("example 1", "empty text"),
        ("example 2", "empty text"),
        ("example 3", "no text but NoneType"),
        ("example 4", "no text but NoneType"),
        ("example 5", "empty text"),
    ]
    asked = from_questions(["Who?", ""], ["Ann met Bob.", "x"])
    assert [each.reason for each in drop_invalid(asked, max_invalid_fraction=1.0)[1]] == ["empty text"]


def test_texts_without_words_are_invalid():
    source = from_words([["in", "Paris"], [], ["\x00"]], [["O", "B-city"], [], ["O"]])
    found, invalid = drop_invalid(source, max_invalid_fraction=0.5)
    assert found.examples.tolist() == [("in", "Paris"), ("\x00",)] and len(found.targets) == 2
    assert [(each.example_id, each.reason) for each in invalid] == [("example 1", "empty text")]


def test_nothing_but_invalid_texts_leaves_an_empty_source():
    found, invalid = drop_invalid(from_arrays(["", " "]), max_invalid_fraction=1.0)
    assert len(found) == 0 and len(invalid) == 2
    assert len(drop_invalid(found, max_invalid_fraction=0)[0]) == 0
