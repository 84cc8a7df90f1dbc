"""Splits are complete, disjoint, seeded and stratified, and keep groups together."""

from dataclasses import replace

import numpy as np
import pytest

from tests.images import class_folder
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.formats.folder import from_folder
from tltk.data.formats.squad import from_questions
from tltk.data.split import split
from tltk.specs import InvalidExample


def numbered(targets, **options):
    """A source whose pixels are the indices of the examples."""
    pixels = np.zeros((len(targets), 2, 2, 3), "float32")
    pixels[:, 0, 0, 0] = np.arange(len(targets)) % 256
    pixels[:, 0, 0, 1] = np.arange(len(targets)) // 256
    return from_arrays(pixels, targets, **options)


def indices(source) -> list[int]:
    return [int(example_id.split()[-1]) for example_id in map(source.id_of, range(len(source)))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [10, 57, 300])
def test_the_three_parts_are_disjoint_and_complete(seed, count):
    parts = split(numbered(np.arange(count) % 2), val=0.2, test=0.3, seed=seed)
    all_indices = [index for part in parts for index in indices(part)]
    assert sorted(all_indices) == list(range(count))
    assert len(parts[1]) == pytest.approx(0.2 * count, abs=1)
    assert len(parts[2]) == pytest.approx(0.3 * count, abs=1)
    for part in parts:
        assert indices(part) == sorted(indices(part))


def test_every_part_has_the_class_proportions_of_the_whole():
    targets = np.repeat([0, 1, 2], [200, 100, 20])
    for part in split(numbered(targets), val=0.1, test=0.2, seed=3):
        fractions = np.bincount(part.targets, minlength=3) / len(part)
        assert fractions == pytest.approx([200 / 320, 100 / 320, 20 / 320], abs=0.02)


def test_equal_seeds_give_equal_splits_and_other_seeds_do_not():
    source = numbered(np.arange(100) % 2)
    first, again, other = (indices(split(source, seed=seed)[2]) for seed in (1, 1, 2))
    assert first == again != other


def test_sizes_can_be_whole_numbers_of_examples():
    assert [len(part) for part in split(numbered(np.arange(50) % 2), val=7, test=10)] == [33, 7, 10]


def test_sizes_and_seeds_can_be_numbers_of_numpy():
    source = numbered(np.arange(40) % 2)
    expected = split(source, val=0.25, test=4, seed=1)
    parts = split(source, val=np.float32(0.25), test=np.int64(4), seed=np.int64(1))
    assert [indices(part) for part in parts] == [indices(part) for part in expected]


def test_a_size_of_zero_gives_an_empty_part():
    parts = split(numbered(np.arange(50) % 2), val=0, test=0.2)
    assert [len(part) for part in parts] == [40, 0, 10]


@pytest.mark.parametrize("seed", range(8))
def test_a_group_is_never_in_two_parts(seed):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, 25, 200)
    targets = (groups + generator.integers(0, 2, 200)) % 3
    parts = split(numbered(targets), val=0.2, test=0.2, seed=seed, groups=groups)
    part_groups = [set(groups[indices(part)]) for part in parts]
    assert [set(part.groups) for part in parts] == part_groups  # cross-validation in training needs them too
    assert all(part_groups)
    assert not (part_groups[0] & part_groups[1] or part_groups[0] & part_groups[2] or part_groups[1] & part_groups[2])
    assert sorted(index for part in parts for index in indices(part)) == list(range(200))
    assert [len(part) / 200 for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.12)


def test_an_unlabelled_source_can_be_split_by_groups_of_strings():
    source = from_arrays(np.zeros((9, 2, 2, 3), "uint8"))
    groups = list("aaabbbccc")
    for part in split(source, val=3, test=3, groups=groups):
        assert len({groups[index] for index in indices(part)}) == 1


def test_too_few_groups_or_a_wrong_number_of_values_raise():
    source = numbered(np.arange(10) % 2)
    with pytest.raises(ValueError, match="`groups` must have 10 values"):
        split(source, groups=[1, 2])
    with pytest.raises(ValueError, match="at least two different values"):
        split(source, groups=[1] * 10)


def test_the_parts_of_a_folder_are_kept(tmp_path):
    for part, count in (("train", 8), ("val", 2), ("test", 3)):
        class_folder(tmp_path / part, count=count)
    parts = split(from_folder(tmp_path), val=0.5, test=0.5)
    assert [len(part) for part in parts] == [16, 4, 6]
    for part, name in zip(parts, ("train", "val", "test"), strict=True):
        assert all(part.id_of(index).startswith(f"{name}/") for index in range(len(part)))


def test_a_missing_part_is_split_off_the_training_part(tmp_path):
    for part, count in (("train", 10), ("test", 3)):
        class_folder(tmp_path / part, count=count)
    train, val, test = split(from_folder(tmp_path), val=0.2)
    assert [len(train), len(val), len(test)] == [16, 4, 6]
    assert all(val.id_of(index).startswith("train/") for index in range(len(val)))
    assert np.bincount(val.targets).tolist() == [2, 2]


def test_a_class_with_one_example_raises_with_its_count():
    source = numbered([0] * 10 + [1] * 10 + [2], labels=("cat", "dog", "eel"))
    with pytest.raises(ValueError, match=r"into 3 parts needs at least 3 examples of each class: 'eel' has 1"):
        split(source)


def test_three_examples_of_a_class_are_enough_for_three_parts():
    source = numbered([0] * 30 + [1] * 3)
    assert [int((part.targets.values == 1).sum()) for part in split(source, val=0.3, test=0.3)] == [1, 1, 1]


def test_a_class_with_too_few_examples_for_all_parts_raises():
    source = numbered([0] * 30 + [1] * 2, labels=("cat", "eel"))
    with pytest.raises(ValueError, match="'eel' has"):
        split(source, val=0.3, test=0.3)


def test_parts_too_small_for_the_number_of_classes_raise():
    with pytest.raises(ValueError, match="too small for 10 classes"):
        split(numbered(np.arange(100) % 10), val=3, test=3)


@pytest.mark.parametrize("options", [{"val": -0.1}, {"val": 1.0}, {"test": 1.5}, {"val": "a"}, {"test": True}])
def test_sizes_out_of_range_raise(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be a fraction"):
        split(numbered(np.arange(10) % 2), **options)


def test_all_wrong_sizes_are_listed():
    with pytest.raises(ValueError, match=r"(?s)`val` must.*`test` must"):
        split(numbered(np.arange(10) % 2), val=-1, test=2.5)


def test_an_empty_training_part_raises():
    with pytest.raises(ValueError, match="leave no training examples out of 10"):
        split(numbered(np.arange(10) % 2), val=0.5, test=0.5)


def test_splitting_another_type_raises_with_the_alternative():
    with pytest.raises(TypeError, match="`take` and `skip`"):
        split([1, 2, 3])


@pytest.mark.parametrize(("label_type", "y"), [("regression", np.arange(20.0)), ("multilabel", np.eye(20, 4))])
def test_regression_and_multilabel_targets_are_split_at_random(label_type, y):
    parts = split(numbered(y, label_type=label_type), val=0.25, test=0.25)
    assert [len(part) for part in parts] == [10, 5, 5]
    assert sorted(index for part in parts for index in indices(part)) == list(range(20))


def test_invalid_rows_are_carried_by_the_training_part_alone():
    invalid = tuple(InvalidExample(f"t.csv, row {row}", "empty") for row in range(10))
    source = replace(from_arrays(["x"] * 100, ["a", "b"] * 50), invalid=invalid)
    parts = split(source, val=0.2, test=0.2)
    assert [len(part.invalid) for part in parts] == [10, 0, 0]
    assert parts[0].invalid == invalid == source.invalid
    assert [len(part.invalid) for part in split(parts[0], val=0, test=0.5)] == [10, 0, 0], "also when it is split again"


def test_entities_answers_and_pairs_are_split_together_with_their_texts():
    tagged = from_words([[f"w{n}", "x"] for n in range(20)], [["B-a" if n % 2 else "O", "O"] for n in range(20)])
    questions = from_questions(
        [f"q{n}?" for n in range(20)], [f"c{n}" for n in range(20)], [[(1, f"{n}")] for n in range(20)]
    )
    pairs = from_arrays([(f"a{n}", f"b{n}") for n in range(20)], [0, 1] * 10)
    for source in (tagged, questions, pairs):
        parts = split(source, val=0.25, test=0.25)
        assert [len(part) for part in parts] == [10, 5, 5]
        assert sorted(index for part in parts for index in indices(part)) == list(range(20))
        for part in parts:
            assert (part.modality, part.storage) == (source.modality, source.storage) and part.labels == source.labels
            for row, index in enumerate(indices(part)):
                assert np.array_equal(part.examples[row], source.examples[index])
                assert part.targets[row] == source.targets[index]


def test_questions_about_one_context_stay_together_if_contexts_are_the_groups():
    contexts = [f"context {n // 5}" for n in range(60)]
    source = from_questions([f"q{n}?" for n in range(60)], contexts, [[]] * 60)
    parts = split(source, val=0.2, test=0.2, groups=source.examples[:, 1])
    part_contexts = [set(part.examples[:, 1]) for part in parts]
    assert all(part_contexts) and sum(map(len, part_contexts)) == 12
    assert sum(map(len, parts)) == 60


def test_a_seed_out_of_range_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"`seed` must be a whole number in \[0, 2\*\*31\)\. Received: -1"):
        split(numbered(np.arange(20) % 2), seed=-1)


def test_the_message_counts_the_parts_and_the_examples_as_the_user_sees_them():
    source = from_arrays(np.zeros((12, 4, 4, 3), "uint8"), ["a"] * 10 + ["b"] * 2)
    with pytest.raises(
        ValueError, match=r"into 3 parts needs at least 3.*'b' has 2\. Leave .* or pass test=0 or val=0"
    ):
        split(source, val=2, test=2)
    assert [len(part) for part in split(source, val=2, test=0)] == [10, 2, 0]


def test_a_class_without_examples_does_not_prevent_a_split():
    source = from_arrays(np.zeros((12, 4, 4, 3), "uint8"), [0, 1] * 6, labels=("a", "b", "none"))
    assert [part.counts() for part in split(source, val=2, test=2)] == [
        {"a": 4, "b": 4, "none": 0},
        {"a": 1, "b": 1, "none": 0},
        {"a": 1, "b": 1, "none": 0},
    ]


def test_classes_absent_from_a_part_are_named(caplog):
    labels = ["a"] * 20 + ["b"] * 3
    parts = split(numbered(labels), val=0.15, test=0.15)
    assert [part.counts()["b"] for part in parts] == [3, 0, 0]
    assert "the val part has no example of 'b'" in caplog.text
    assert "the test part has no example of 'b'" in caplog.text
    caplog.clear()
    split(numbered(["a"] * 10 + ["b"] * 10))
    assert not caplog.text
