"""Splits: complete, disjoint, seeded, stratified, and never through a group."""

from dataclasses import replace

import numpy as np
import pytest

from tests.pictures import class_folder
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.conll import from_words
from tltk.data.formats.folder import from_folder
from tltk.data.formats.squad import from_questions
from tltk.data.split import split
from tltk.specs import InvalidExample


def numbered(targets, **options):
    """A source whose pixel values are the examples' numbers."""
    pixels = np.zeros((len(targets), 2, 2, 3), "float32")
    pixels[:, 0, 0, 0] = np.arange(len(targets)) % 256
    pixels[:, 0, 0, 1] = np.arange(len(targets)) // 256
    return from_arrays(pixels, targets, **options)


def numbers(source) -> list[int]:
    return [int(name.split()[-1]) for name in map(source.id_of, range(len(source)))]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [10, 57, 300])
def test_the_three_parts_are_the_whole_and_share_nothing(seed, count):
    parts = split(numbered(np.arange(count) % 2), val=0.2, test=0.3, seed=seed)
    found = [number for part in parts for number in numbers(part)]
    assert sorted(found) == list(range(count))
    assert len(parts[1]) == pytest.approx(0.2 * count, abs=1)
    assert len(parts[2]) == pytest.approx(0.3 * count, abs=1)
    for part in parts:
        assert numbers(part) == sorted(numbers(part))


def test_every_part_has_the_classes_in_the_proportions_of_the_whole():
    targets = np.repeat([0, 1, 2], [200, 100, 20])
    for part in split(numbered(targets), val=0.1, test=0.2, seed=3):
        shares = np.bincount(part.targets, minlength=3) / len(part)
        assert shares == pytest.approx([200 / 320, 100 / 320, 20 / 320], abs=0.02)


def test_equal_seeds_give_equal_cuts_and_others_do_not():
    source = numbered(np.arange(100) % 2)
    first, again, other = (numbers(split(source, seed=seed)[2]) for seed in (1, 1, 2))
    assert first == again != other


def test_whole_numbers_are_numbers_of_examples():
    assert [len(part) for part in split(numbered(np.arange(50) % 2), val=7, test=10)] == [33, 7, 10]


def test_zero_gives_an_empty_part():
    parts = split(numbered(np.arange(50) % 2), val=0, test=0.2)
    assert [len(part) for part in parts] == [40, 0, 10]


@pytest.mark.parametrize("seed", range(8))
def test_groups_never_stand_on_two_sides(seed):
    generator = np.random.default_rng(seed)
    groups = generator.integers(0, 25, 200)
    targets = (groups + generator.integers(0, 2, 200)) % 3
    parts = split(numbered(targets), val=0.2, test=0.2, seed=seed, groups=groups)
    sides = [set(groups[numbers(part)]) for part in parts]
    assert all(sides)
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert sorted(number for part in parts for number in numbers(part)) == list(range(200))
    assert [len(part) / 200 for part in parts] == pytest.approx([0.6, 0.2, 0.2], abs=0.12)


def test_groups_may_be_names_and_unlabelled():
    source = from_arrays(np.zeros((9, 2, 2, 3), "uint8"))
    groups = list("aaabbbccc")
    for part in split(source, val=3, test=3, groups=groups):
        assert len({groups[number] for number in numbers(part)}) == 1


def test_groups_of_another_length_or_too_few_are_refused():
    source = numbered(np.arange(10) % 2)
    with pytest.raises(ValueError, match="`groups` must hold 10 values"):
        split(source, groups=[1, 2])
    with pytest.raises(ValueError, match="at least two different values"):
        split(source, groups=[1] * 10)


def test_parts_that_came_with_the_folder_are_honoured(tmp_path):
    for part, count in (("train", 8), ("val", 2), ("test", 3)):
        class_folder(tmp_path / part, count=count)
    parts = split(from_folder(tmp_path), val=0.5, test=0.5)
    assert [len(part) for part in parts] == [16, 4, 6]
    for part, name in zip(parts, ("train", "val", "test"), strict=True):
        assert all(part.id_of(index).startswith(f"{name}/") for index in range(len(part)))


def test_a_missing_part_is_cut_from_training(tmp_path):
    for part, count in (("train", 10), ("test", 3)):
        class_folder(tmp_path / part, count=count)
    train, val, test = split(from_folder(tmp_path), val=0.2)
    assert [len(train), len(val), len(test)] == [16, 4, 6]
    assert all(val.id_of(index).startswith("train/") for index in range(len(val)))
    assert np.bincount(val.targets).tolist() == [2, 2]


def test_a_class_with_one_picture_is_named_with_its_count():
    source = numbered([0] * 10 + [1] * 10 + [2], labels=("cat", "dog", "eel"))
    with pytest.raises(ValueError, match=r"at least 2 examples.*'eel' has 1"):
        split(source)


def test_three_of_a_class_are_enough_for_three_parts():
    source = numbered([0] * 30 + [1] * 3)
    assert [int((part.targets.values == 1).sum()) for part in split(source, val=0.3, test=0.3)] == [1, 1, 1]


def test_a_class_with_too_few_for_all_parts_is_named():
    source = numbered([0] * 30 + [1] * 2, labels=("cat", "eel"))
    with pytest.raises(ValueError, match="'eel' has"):
        split(source, val=0.3, test=0.3)


def test_parts_too_small_for_the_classes_are_refused():
    with pytest.raises(ValueError, match="cannot hold each of 10 classes"):
        split(numbered(np.arange(100) % 10), val=3, test=3)


@pytest.mark.parametrize("options", [{"val": -0.1}, {"val": 1.0}, {"test": 1.5}, {"val": "a"}, {"test": True}])
def test_shares_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be a share"):
        split(numbered(np.arange(10) % 2), **options)


def test_wrong_shares_are_named_together():
    with pytest.raises(ValueError, match=r"(?s)`val` must.*`test` must"):
        split(numbered(np.arange(10) % 2), val=-1, test=2.5)


def test_nothing_left_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="leave none of 10 examples"):
        split(numbered(np.arange(10) % 2), val=0.5, test=0.5)


def test_only_a_source_is_split():
    with pytest.raises(TypeError, match="take and skip"):
        split([1, 2, 3])


@pytest.mark.parametrize(("label_type", "y"), [("regression", np.arange(20.0)), ("multilabel", np.eye(20, 4))])
def test_numbers_and_several_labels_are_split_at_random(label_type, y):
    parts = split(numbered(y, label_type=label_type), val=0.25, test=0.25)
    assert [len(part) for part in parts] == [10, 5, 5]
    assert sorted(number for part in parts for number in numbers(part)) == list(range(20))


def test_what_was_invalid_in_the_file_is_said_of_the_training_part_once():
    invalid = tuple(InvalidExample(f"t.csv, row {row}", "empty") for row in range(10))
    source = replace(from_arrays(["x"] * 100, ["a", "b"] * 50), invalid=invalid)
    parts = split(source, val=0.2, test=0.2)
    assert [len(part.invalid) for part in parts] == [10, 0, 0]
    assert parts[0].invalid == invalid == source.invalid
    assert [len(part.invalid) for part in split(parts[0], val=0, test=0.5)] == [10, 0, 0], "and when it is cut again"


def test_entities_and_answers_stay_with_their_texts_at_random():
    tagged = from_words([[f"w{n}", "x"] for n in range(20)], [["B-a" if n % 2 else "O", "O"] for n in range(20)])
    asked = from_questions(
        [f"q{n}?" for n in range(20)], [f"c{n}" for n in range(20)], [[(1, f"{n}")] for n in range(20)]
    )
    paired = from_arrays([(f"a{n}", f"b{n}") for n in range(20)], [0, 1] * 10)
    for source in (tagged, asked, paired):
        parts = split(source, val=0.25, test=0.25)
        assert [len(part) for part in parts] == [10, 5, 5]
        assert sorted(number for part in parts for number in numbers(part)) == list(range(20))
        for part in parts:
            assert (part.modality, part.storage) == (source.modality, source.storage) and part.labels == source.labels
            for row, number in enumerate(numbers(part)):
                assert np.array_equal(part.examples[row], source.examples[number])
                assert part.targets[row] == source.targets[number]


def test_questions_about_one_context_stay_on_one_side_where_contexts_are_the_groups():
    contexts = [f"context {n // 5}" for n in range(60)]
    source = from_questions([f"q{n}?" for n in range(60)], contexts, [[]] * 60)
    parts = split(source, val=0.2, test=0.2, groups=source.examples[:, 1])
    sides = [set(part.examples[:, 1]) for part in parts]
    assert all(sides) and sum(map(len, sides)) == 12
    assert sum(map(len, parts)) == 60
