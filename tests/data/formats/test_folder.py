"""Sources from folders, files and arrays, with errors that list all problems."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tests.images import FORMATS, class_folder, encoded, solid_png
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.folder import from_files, from_folder
from tltk.errors import FileError
from tltk.modalities.modality import named_modality
from tltk.pipeline.batching import Order
from tltk.specs import ImageSpec


def test_sub_folders_are_classes_in_sorted_order(tmp_path):
    source = from_folder(class_folder(tmp_path, classes=("dog", "cat"), count=2))
    assert (source.modality, source.storage) == ("image", "files")
    assert source.labels.names == ("cat", "dog")
    assert source.targets.tolist() == [0, 0, 1, 1]
    assert source.targets.dtype == np.int32
    assert [str(path) for path in source.examples] == sorted(str(path) for path in tmp_path.rglob("*.png"))


def test_images_of_all_formats_at_any_depth_are_found_and_other_files_ignored(tmp_path):
    for name in ("a", "b"):
        for ending in FORMATS:
            folder = tmp_path / name / "deep" / "er"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"x.{ending.upper()}").write_bytes(encoded(ending))
        (tmp_path / name / "notes.txt").write_text("not an image")
        (tmp_path / name / ".hidden.png").write_bytes(encoded("png"))
        solid_png(tmp_path / name / ".cache" / "x.png", (0, 0, 0))
    solid_png(tmp_path / ".git" / "x.png", (0, 0, 0))
    source = from_folder(tmp_path)
    assert len(source) == 2 * len(FORMATS)
    assert source.labels.names == ("a", "b")


def test_train_val_and_test_folders_are_parts(tmp_path):
    for part, count in (("train", 3), ("validation", 2), ("test", 1)):
        class_folder(tmp_path / part, count=count)
    source = from_folder(tmp_path)
    assert {part: int((source.parts == part).sum()) for part in ("train", "val", "test")} == {
        "train": 6,
        "val": 4,
        "test": 2,
    }
    assert source.labels.names == ("cat", "dog")
    assert source.id_of(0) == "train/cat/0000.png"


def test_all_differences_between_the_classes_of_parts_are_listed(tmp_path):
    class_folder(tmp_path / "train", classes=("cat", "dog", "fox"))
    class_folder(tmp_path / "val", classes=("cat", "dogs", "fox"))
    class_folder(tmp_path / "test", classes=("cat", "owl"))
    with pytest.raises(ValueError, match=r"(?s)val/ has classes that train/ lacks: dogs.*'dog'.*test/ has.*lacks: owl"):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train", "dev"),
        ("Training", "Testing"),
        ("TRAIN", "Valid", "test"),
        ("training", "validation"),
        ("training_set", "test_set"),
    ],
)
def test_common_names_of_parts_are_known(tmp_path, names):
    for name in names:
        class_folder(tmp_path / name, count=2)
    (tmp_path / "readme").mkdir()  # without images
    source = from_folder(tmp_path)
    assert source.labels.names == ("cat", "dog")
    assert len(set(source.parts)) == len(names)
    assert set(source.parts) <= {"train", "val", "test"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train", "test", "annotations"),
            r"parts \(test, train\) and beside them annotations.*from_folder\('.*train'\)",
        ),
        (("train", "training", "test"), "contains one part twice: test, train, training"),
        (("val", "test"), "contains test and val, but no train/"),
    ],
)
def test_folders_that_may_be_parts_or_classes_are_refused(tmp_path, names, message):
    for name in names:
        class_folder(tmp_path / name, count=2)
    with pytest.raises(ValueError, match=message + r"[^\n]* If these are classes, pass classes="):
        from_folder(tmp_path)
    assert from_folder(tmp_path, classes=names).labels.names == names


def test_a_test_part_may_lack_classes(tmp_path):
    class_folder(tmp_path / "train", classes=("cat", "dog", "fox"), count=2)
    class_folder(tmp_path / "test", classes=("cat", "dog"), count=2)
    source = from_folder(tmp_path)
    assert source.labels.names == ("cat", "dog", "fox")
    assert source.subset(source.parts == "test").counts() == {"cat": 2, "dog": 2, "fox": 0}


def test_a_class_without_a_folder_has_no_examples_unless_it_looks_misspelt(tmp_path, caplog):
    class_folder(tmp_path, classes=("cat", "dog"), count=2)
    source = from_folder(tmp_path, classes=("owl", "dog", "cat"))
    assert source.counts() == {"owl": 0, "dog": 2, "cat": 2}
    assert "no sub-folder 'owl'" in caplog.text
    with pytest.raises(ValueError, match=r"has none of the classes\. Its sub-folders: cat, dog"):
        from_folder(tmp_path, classes=("owl", "elk"))


def test_the_current_folder(tmp_path, monkeypatch):
    class_folder(tmp_path, count=2)
    monkeypatch.chdir(tmp_path)
    source = from_folder(".")
    assert source.id_of(0) == "cat/0000.png"
    assert Path(source.examples[0]).is_file()


def test_home_and_file_addresses(tmp_path, monkeypatch):
    class_folder(tmp_path / "my photos", count=2)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("~/my photos", f"file://{tmp_path}/my%20photos"):
        assert len(from_folder(path)) == 4
    assert len(from_files("~/my photos/cat/0000.png")) == 1


def test_names_that_are_not_utf_8_can_be_read_and_printed(tmp_path):
    class_folder(tmp_path, classes=("tea",), count=2)
    latin = tmp_path / os.fsdecode(b"caf\xe9")
    latin.mkdir()
    shutil.copy(tmp_path / "tea" / "0000.png", latin / os.fsdecode(b"\xfc.png"))
    source = from_folder(tmp_path)
    assert source.labels.names == ("caf\\xe9", "tea")
    assert source.id_of(0) == "caf\\xe9/\\xfc.png"
    assert source[0].input.shape == source[1].input.shape
    reader = named_modality("image").reader(source, ImageSpec(8, 8))
    assert [batch.rows.tolist() for batch in reader.partial_batches(Order(batch_size=3))] == [[0, 1, 2]]


def test_a_class_is_the_same_with_composed_and_decomposed_accents(tmp_path):
    for part, form in (("train", "NFC"), ("test", "NFD")):
        class_folder(tmp_path / part, classes=(unicodedata.normalize(form, "café"), "tea"), count=2)
    composed = unicodedata.normalize("NFC", "café")
    assert from_folder(tmp_path).counts() == {composed: 4, "tea": 4}
    decomposed = unicodedata.normalize("NFD", "café")
    assert from_folder(tmp_path / "train", classes=(decomposed, "tea")).labels.names == (composed, "tea")
    source = from_arrays(["a", "b", "c"], [composed, decomposed, "tea"], labels=(decomposed, "tea"))
    assert source.counts() == {composed: 2, "tea": 1}


def test_folders_and_files_of_systems_are_ignored(tmp_path):
    class_folder(tmp_path, classes=("a", "b", "@eaDir", "__MACOSX", ".ipynb_checkpoints"), count=2)
    class_folder(tmp_path / "a", classes=("@eaDir",), count=1)
    solid_png(tmp_path / "a" / "._0000.png", (0, 0, 0))
    source = from_folder(tmp_path)
    assert source.ids.tolist() == ["a/0000.png", "a/0001.png", "b/0000.png", "b/0001.png"]


def test_images_that_cannot_be_read_are_listed_and_other_files_counted(tmp_path, caplog):
    class_folder(tmp_path, classes=("a", "b"), count=2)
    (tmp_path / "a" / "photo.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "a" / "scan.jp2").write_bytes(b"\0\0\0\x0cjP  ")
    (tmp_path / "b" / "notes.txt").write_text("not an image")
    (tmp_path / "b" / "no suffix").write_bytes(encoded("png"))
    (tmp_path / "b" / "LICENSE").write_text("not an image")
    with caplog.at_level("INFO"):
        source = from_folder(tmp_path)
    assert source.counts() == {"a": 2, "b": 3}
    reason = "images cannot be read: convert it to PNG or JPEG"
    assert [(one.example_id, one.reason) for one in source.invalid] == [
        ("a/photo.HEIC", f".heic {reason}"),
        ("a/scan.jp2", f".jp2 {reason}"),
    ]
    assert "files that are not images are ignored: 1 no suffix, 1 .txt" in caplog.text.replace(
        "1 .txt, 1 no suffix", "1 no suffix, 1 .txt"
    )
    shutil.rmtree(tmp_path / "b")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "photo.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=r"class 'b' has no images in .*b, but 1 \.heic; supported are \.jpg"):
        from_folder(tmp_path)


def test_links_that_lead_back_end(tmp_path):
    class_folder(tmp_path, classes=("a", "b"), count=2)
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "b" / "itself").symlink_to(tmp_path / "b")
    assert from_folder(tmp_path).counts() == {"a": 2, "b": 2}


def test_classes_called_train_and_test_need_a_train_folder_to_be_parts(tmp_path):
    source = from_folder(class_folder(tmp_path, classes=("bus", "train"), count=2))
    assert source.labels.names == ("bus", "train")
    assert source.parts is None


def test_a_missing_folder_raises_with_a_similar_name(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileNotFoundError, match=r"photo does not exist.*'photos'"):
        from_folder(tmp_path / "photo")


def test_a_file_instead_of_a_folder_raises(tmp_path):
    path = solid_png(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(FileError, match=r"a\.png is a file"):
        from_folder(path)


def test_an_empty_folder_raises(tmp_path):
    with pytest.raises(ValueError, match="has no sub-folders; one per class is needed"):
        from_folder(tmp_path)
    with pytest.raises(ValueError, match="contains no images"):
        from_folder(tmp_path, unlabelled=True)


def test_images_without_sub_folders_raise_with_the_option_unlabelled(tmp_path):
    solid_png(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(ValueError, match="unlabelled=True"):
        from_folder(tmp_path)
    source = from_folder(tmp_path, unlabelled=True)
    assert source.targets is None and source.labels is None and len(source) == 1


def test_all_classes_without_images_are_listed(tmp_path):
    class_folder(tmp_path)
    for name in ("eel", "fox"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"(?s)'eel' has no images.*'fox' has no images"):
        from_folder(tmp_path)


def test_a_single_class_raises(tmp_path):
    with pytest.raises(ValueError, match=r"at least two classes.*cat"):
        from_folder(class_folder(tmp_path, classes=("cat",)))


def test_classes_can_be_selected_in_any_order_and_unknown_ones_raise(tmp_path):
    class_folder(tmp_path, classes=("cat", "dog", "fox"), count=2)
    source = from_folder(tmp_path, classes=("fox", "cat"))
    assert source.labels.names == ("fox", "cat")
    assert source.counts() == {"fox": 2, "cat": 2}
    with pytest.raises(ValueError, match=r"no sub-folder 'foxs'.*Did you mean 'fox'"):
        from_folder(tmp_path, classes=("foxs", "cat"))


def test_files_keep_the_order_of_the_list(tmp_path):
    class_folder(tmp_path / "more", count=1)
    last = solid_png(tmp_path / "a.png", (0, 0, 0))
    source = from_files([tmp_path / "more", last])
    assert [str(path).rsplit("/", 1)[-1] for path in source.examples] == ["0000.png", "0000.png", "a.png"]
    assert source.labels is None
    assert len(from_files(str(last))) == 1


def test_all_missing_files_are_listed(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"(?s)a\.png does not exist.*b\.png does not exist"):
        from_files([tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(ValueError, match="at least one image"):
        from_files([])
    with pytest.raises(ValueError, match="contains no images"):
        from_files(tmp_path)


def test_links_to_folders_are_followed(tmp_path):
    class_folder(tmp_path / "real", classes=("cat",), count=2)
    class_folder(tmp_path / "set", classes=("dog",), count=2)
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "real" / "cat")
    assert from_folder(tmp_path / "set").counts() == {"cat": 2, "dog": 2}


def test_a_source_of_arrays_does_not_copy_them():
    pixels = np.zeros((4, 8, 8, 3), "uint8")
    source = from_arrays(pixels, [0, 1, 0, 1])
    assert np.shares_memory(source.examples, pixels)
    assert source.labels.names == ("0", "1")


def test_a_list_of_texts_gives_a_source_of_texts():
    source = from_arrays(["good", "bad"], ["pro", "con"])
    assert (source.modality, source.storage) == ("text", "arrays")
    assert source.labels.names == ("con", "pro")


def test_deleting_images_later_does_not_change_the_source(tmp_path):
    source = from_folder(class_folder(tmp_path))
    shutil.rmtree(tmp_path / "cat")
    assert len(source) == 6


def test_tuples_of_two_texts_give_a_source_of_pairs():
    source = from_arrays([("it rains", "it is wet"), ("it rains", "it is dry")], ["yes", "no"])
    assert (
        (source.modality, source.storage) == ("text", "arrays")
        and source.examples.shape == (2, 2)
        and source.examples.dtype == object
    )
    assert source.examples[1].tolist() == ["it rains", "it is dry"]
    assert source.labels.names == ("no", "yes") and source.targets.tolist() == [1, 0]
    assert from_arrays((("a", "b"),)).examples.tolist() == [["a", "b"]]
    assert from_arrays([("a", None)]).examples.tolist() == [["a", None]], (
        "validation lists missing texts before training"
    )
    assert source.subset([1]).examples.tolist() == [["it rains", "it is dry"]]


@pytest.mark.parametrize(
    "wrong", [("a",), ("a", "b", "c"), ("a", 1), ("a", b"b"), (("a", "b"), "c"), "ab", ["a", "b"], None, ()]
)
def test_items_that_are_not_pairs_of_texts_raise(wrong):
    with pytest.raises(TypeError, match=r"`x`\[1\] must be a tuple of two texts, like the other items\. Received: "):
        from_arrays([("a", "b"), wrong])


def test_a_wrong_number_of_labels_for_pairs_raises():
    with pytest.raises(ValueError, match="`y` must have 1 values"):
        from_arrays([("a", "b")], [0, 1])


@pytest.mark.parametrize("name", ["pipe.png", "pipe"])
def test_a_pipe_among_the_images_is_left_out_and_nobody_waits_for_it(tmp_path, name):
    class_folder(tmp_path)
    os.mkfifo(tmp_path / "cat" / name)
    (tmp_path / "cat" / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "cat" / "itself.png").symlink_to("itself.png")
    (tmp_path / "cat" / "nowhere").symlink_to("nothing")
    source = from_folder(tmp_path)
    valid, invalid = named_modality("image").validate(source)
    assert len(valid) == 6
    reasons = {example.example_id: example.reason for example in invalid}
    expected = {"cat/zero.png": "a pipe or device, not a file", "cat/itself.png": "Too many levels of symbolic links"}
    assert reasons == expected | ({"cat/pipe.png": "a pipe or device, not a file"} if name == "pipe.png" else {})


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("seg_train", "seg_test"), ("train", "test")),
        (("images_train", "images_val"), ("train", "val")),
        (("dataset_train", "dataset_test"), ("train", "test")),
        (("01_train", "02_val", "03_test"), ("train", "val", "test")),
        (("train2017", "val2017"), ("train", "val")),
        (("train", "eval"), ("train", "val")),
        (("train", "holdout"), ("train", "test")),
        (("trn", "tst"), ("train", "test")),
        (("my-train-images", "my-test-images"), ("train", "test")),
    ],
)
def test_parts_are_known_with_words_around_their_names(tmp_path, names, parts):
    for name in names:
        class_folder(tmp_path / name)
    source = from_folder(tmp_path)
    assert source.labels.names == ("cat", "dog")
    assert dict(zip((path.split("/")[0] for path in source.ids), source.parts, strict=True)) == dict(
        zip(names, parts, strict=True)
    )


def test_parts_can_be_packed_in_folders_of_their_own_name(tmp_path):
    for name in ("seg_train", "seg_test"):
        class_folder(tmp_path / name / name)
    source = from_folder(tmp_path)
    assert source.labels.names == ("cat", "dog") and set(source.parts) == {"train", "test"}
    assert source.id_of(0) == "seg_train/seg_train/cat/0000.png"


def test_names_with_the_words_of_parts_are_classes_if_they_hold_images(tmp_path):
    source = from_folder(class_folder(tmp_path, classes=("toy_train", "test_tube")))
    assert source.labels.names == ("test_tube", "toy_train") and source.parts is None


def test_folders_with_the_same_sub_folders_are_no_classes_unless_they_are_named(tmp_path):
    for name in ("first", "second"):
        class_folder(tmp_path / name)
    message = r"(?s)first, second, and all of them have the sub-folders cat, dog.*train/.*classes=\('first', 'second'\)"
    with pytest.raises(ValueError, match=message):
        from_folder(tmp_path)
    assert from_folder(tmp_path, classes=("first", "second")).counts() == {"first": 6, "second": 6}


def test_one_sub_folder_that_all_classes_have_is_no_sign_of_parts(tmp_path):
    for name in ("n01", "n02"):
        solid_png(tmp_path / name / "images" / "x.png", (0, 0, 0))
    assert from_folder(tmp_path).labels.names == ("n01", "n02")


@pytest.mark.parametrize("names", [("cat", "dog"), ("test", "train")])
def test_a_folder_too_high_is_refused_with_the_one_to_pass(tmp_path, names):
    for name in names:
        class_folder(tmp_path / "dataset" / name)
    with pytest.raises(
        ValueError, match=rf"Received: dataset, which .*{', '.join(names)}\. .*from_folder\('.*/dataset'"
    ):
        from_folder(tmp_path)
