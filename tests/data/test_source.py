"""The Source record: subsets, names, counts, descriptions."""

from dataclasses import replace

import numpy as np
import pytest

from tests.images import solid_png
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.formats.folder import from_folder
from tltk.data.formats.squad import from_questions
from tltk.data.source import Source
from tltk.data.targets import ClassTargets
from tltk.specs import InvalidExample, LabelSpec


def six_images() -> Source:
    """Six images whose pixels are their index, with classes a, b, c, a, b, c."""
    return from_arrays(np.arange(6, dtype="uint8").repeat(12).reshape(6, 2, 2, 3), ["a", "b", "c"] * 2)


def test_a_subset_selects_targets_and_pixels_together():
    part = six_images().subset([4, 0])
    assert part.examples[:, 0, 0, 0].tolist() == [4, 0]
    assert part.targets.tolist() == [1, 0]
    assert [part.id_of(index) for index in range(2)] == ["example 4", "example 0"]


def test_a_subset_can_be_selected_with_a_mask_and_be_empty():
    source = six_images()
    assert len(source.subset(source.targets.values == 1)) == 2
    assert len(source.subset([])) == 0
    assert source.subset([]).counts() == {"a": 0, "b": 0, "c": 0}


def test_a_subset_of_a_subset_keeps_the_original_ids():
    assert six_images().subset([5, 3, 1]).subset([2]).id_of(0) == "example 1"


def test_counts_and_description_name_every_class():
    source = six_images()
    assert source.counts() == {"a": 2, "b": 2, "c": 2}
    assert source.describe().splitlines()[0] == "6 images in memory, 3 classes"
    assert "b" in source.describe()
    assert repr(source) == "<Source of 6 images in memory, 3 classes>"


def test_multilabel_targets_are_counted_per_label():
    source = from_arrays(
        np.zeros((3, 4, 4, 3), "uint8"), [[1, 1], [0, 1], [0, 0]], label_type="multilabel", labels=("x", "y")
    )
    assert source.counts() == {"x": 1, "y": 2}
    assert "any of 2 labels per example" in source.describe()


def test_regression_targets_have_no_counts():
    source = from_arrays(np.zeros((3, 4, 4, 3), "uint8"), [1.0, 2.0, 3.0], label_type="regression")
    assert source.counts() == {}
    assert "1 value per example: value" in source.describe()


def test_an_unlabelled_source_is_described_as_unlabelled():
    assert "unlabelled" in from_arrays(np.zeros((3, 4, 4, 3), "uint8")).describe()


def test_all_wrong_lengths_are_listed():
    with pytest.raises(ValueError, match=r"(?s)`targets` must have 2.*`parts` must have 2.*`ids` must have 2"):
        Source("image", "arrays", np.zeros((2, 4, 4, 3)), np.zeros(3), LabelSpec(("a", "b")), np.zeros(1), np.zeros(4))


@pytest.mark.parametrize("groups", [[None, "a", "b"], [1.0, np.nan, 2.0], np.array(["a", 1, "b"], object)])
def test_groups_that_cannot_be_told_apart_raise(groups):
    source = from_arrays(["one", "two", "three"], [0, 1, 0])
    with pytest.raises(ValueError, match="`groups` must be texts or numbers"):
        replace(source, groups=np.asarray(groups))
    for fine in (["a", "b", "a"], [1, 2, 2], np.array(["a", "b", "a"], object)):
        assert len(replace(source, groups=np.asarray(fine))) == 3


def test_targets_without_labels_raise():
    with pytest.raises(ValueError, match="pass both or neither"):
        Source("image", "arrays", np.zeros((2, 4, 4, 3)), np.zeros(2, "int32"))


def test_an_unknown_storage_raises_with_the_nearest_one():
    with pytest.raises(ValueError, match=r"`storage` must be one of.*Did you mean 'files'"):
        Source("image", "file", [])


def test_a_source_of_an_unregistered_modality_can_be_described():
    assert Source("sensor", "arrays", np.zeros((2, 9))).describe() == "2 sensors in memory, unlabelled"
    assert Source("sensor", "files", np.array(["a", "b"], object)).describe() == "2 sensor files, unlabelled"


def test_an_unregistered_label_type_raises():
    with pytest.raises(ValueError, match=r"there is no label type 'box'.*register_targets"):
        Source("image", "arrays", np.zeros((2, 4, 4, 3)), np.zeros(2), LabelSpec(("a", "b"), "box"))


def test_targets_are_wrapped_in_the_class_of_their_label_type():
    source = six_images()
    assert type(source.targets) is ClassTargets and source.targets.values.dtype == np.int32
    second = Source("image", "arrays", np.zeros((2, 4, 4, 3)), source.targets.take([0, 1]), source.labels)
    assert type(second.subset([1]).targets) is ClassTargets and second.subset([1]).targets.tolist() == [1]


def test_entities_are_counted_per_type():
    tags = [["B-city", "I-city", "B-name"], ["O", "B-city", "O"], ["O", "O", "O"]]
    source = from_words([["a", "b", "c"]] * 3, tags, labels=("name", "date", "city"))
    assert source.counts() == {"name": 1, "date": 0, "city": 2}
    assert source.describe() == "3 texts in memory, entities of 3 types\n  name  1\n  date  0\n  city  2"
    assert source.subset([2]).counts() == {"name": 0, "date": 0, "city": 0}
    assert source.subset([1, 0]).targets.tolist() == [source.targets[1], source.targets[0]]


def test_the_description_counts_questions_without_an_answer():
    source = from_questions(["a?", "b?"], ["x", "y"], [[(0, "x")], []])
    assert source.describe() == "2 texts in memory, 1 of them without an answer" and source.counts() == {}
    assert from_questions(["a?"], ["x"]).describe() == "1 texts in memory, unlabelled"
    assert from_arrays([("a", "b")] * 2, [0, 1]).describe().startswith("2 texts in memory, 2 classes")


def test_a_subset_has_no_invalid_rows():
    invalid = (InvalidExample("x.csv, row 2", "empty"),)
    source = Source("text", "arrays", np.array(["a", "b"], object), invalid=invalid)
    assert source.invalid == invalid and source.subset([0, 1]).invalid == () and source.invalid == invalid
    assert source.describe() == "2 texts in memory, unlabelled"


def test_a_number_gives_one_example_to_look_at():
    source = six_images()
    example_id, pixels, label = source[4]
    assert (example_id, label) == ("example 4", "b") and (pixels == 4).all() and pixels.shape == (2, 2, 3)
    assert source[-1].id == source[np.int64(5)].id == "example 5"
    for index in (6, -7):
        with pytest.raises(IndexError, match=f"6 examples, and no example {index}"):
            source[index]


def test_slices_lists_and_masks_give_sources():
    source = six_images()
    for index in (slice(1, 4, 2), [1, 3], np.array([1, -3]), np.array([False, True, False, True, False, False])):
        part = source[index]
        assert isinstance(part, Source) and part.targets.tolist() == [1, 0]
    assert len(source[:0]) == 0


def test_iteration_gives_every_example():
    assert [label for _, _, label in six_images()] == ["a", "b", "c"] * 2


def test_labels_are_readable_for_every_type():
    pixels = np.zeros((2, 4, 4, 3), "uint8")
    tags = from_arrays(pixels, [["x", "y"], []], label_type="multilabel")
    assert [label for *_, label in tags] == [("x", "y"), ()]
    assert from_arrays(pixels, [1.5, 2.0], label_type="regression")[0].label == 1.5
    assert from_arrays(pixels, [[1, 2], [3, 4]], label_type="regression")[1].label == (3.0, 4.0)
    assert from_arrays(pixels)[0].label is None


def test_images_of_files_are_decoded_in_their_own_size(tmp_path):
    solid_png(tmp_path / "a" / "0.png", (10, 20, 30), size=(5, 7))
    solid_png(tmp_path / "b" / "1.png", (10, 20, 30))
    source = from_folder(tmp_path)
    assert source[0].id == "a/0.png" and source[0].label == "a"
    assert source[0].input.shape == (5, 7, 3) and source[0].input[0, 0].tolist() == [10, 20, 30]
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b/1\.png cannot be decoded: not a JPEG"):
        source[1]
