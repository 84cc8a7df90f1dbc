"""`tltk.inspect` on data with planted faults, and on data without."""

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.images import damaged_png
from tests.inspection.photos import changed, picture, pictures
from tltk.errors import InvalidInput, InvalidType

NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one fault of each kind that needs no model."""
    root = tmp_path_factory.mktemp("inspect") / "photos"
    for number in range(24):
        path = root / NAMES[number % 2] / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    damaged_png(root / "cat" / "broken.png", size=(64, 64))
    (root / "cat" / "empty.jpg").touch()
    Image.fromarray(picture(0)).save(root / "cat" / "copy.bmp")
    Image.fromarray(picture(2)).save(root / "dog" / "conflict.tiff")
    Image.fromarray(changed(picture(4), "re-encode")).save(root / "cat" / "near.png")
    Image.fromarray(picture(50)).save(root / "cat" / "ending.jpg", format="PNG")
    return root


@pytest.fixture(scope="module")
def inspection(folder):
    return tltk.inspect(tltk.from_folder(folder))


@pytest.fixture(scope="module")
def backbone():
    return tltk.backbone(conv_net(), stages=STAGES)


def test_each_planted_fault_is_found(inspection):
    assert {finding.name: finding.count for finding in inspection.findings} == {
        "unreadable": 2,
        "conflicting_labels": 2,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "wrong_ending": 1,
    }
    assert inspection["exact_duplicates"].examples == ("cat/00.png = cat/copy.bmp",)
    assert inspection["near_duplicates"].examples == ("cat/04.png ≈ cat/near.png",)
    assert inspection["conflicting_labels"].examples == ("cat/02.png (cat) = dog/conflict.tiff (dog)",)
    assert all(finding.fix and finding.severity for finding in inspection.findings)
    assert repr(inspection) == "<Inspection of 30 images, 2 classes: 2 errors, 2 warnings, 1 note>"


def test_the_source_without_the_exclude_list_has_no_error(inspection, folder, tmp_path):
    assert set(inspection.exclude) == {
        "cat/broken.png",
        "cat/empty.jpg",
        "cat/copy.bmp",
        "cat/02.png",
        "dog/conflict.tiff",
    }
    path = inspection.save_exclude_list(tmp_path / "exclude.txt")
    clean = tltk.from_folder(folder, exclude=path)
    assert len(clean) == 30 - 5
    again = tltk.inspect(clean)
    assert {finding.name for finding in again.findings} == {"near_duplicates", "wrong_ending"}
    assert again.exclude == ()


def test_clean_data_has_no_findings():
    clean = tltk.inspect(tltk.from_arrays(pictures(24), np.arange(24) % 2))
    assert clean.findings == ()
    assert any("wrong labels" in reason for reason in clean.not_checked)


@pytest.mark.parametrize("seed", range(3))
def test_no_group_of_duplicates_straddles_the_parts_of_a_split(seed):
    originals = pictures(20)
    copies = np.stack([changed(image, "brighten") for image in originals[:10]])
    source = tltk.from_arrays(np.concatenate([originals, copies, originals[:10]]), np.arange(40) % 2)
    groups = tltk.inspect(source).groups
    assert (groups[:10] == groups[20:30]).all()
    parts = tltk.split(source, val=0.2, test=0.2, seed=seed, groups=groups)
    rows = [set(groups[[int(part.id_of(row).split()[1]) for row in range(len(part))]].tolist()) for part in parts]
    assert all(rows)
    assert not rows[0] & rows[1] | rows[0] & rows[2] | rows[1] & rows[2]


def test_wrong_labels_are_found_with_a_backbone(backbone):
    source = squares(120)
    labels = source.targets.values.copy()
    labels[:4] = (labels[:4] + 1) % 3
    wrong = tltk.from_arrays(source.examples, labels, labels=source.labels.names)
    inspection = tltk.inspect(wrong, model=backbone)
    found = inspection["wrong_labels"]
    assert {f"example {row}" for row in range(4)} >= set(found.ids) and found.count >= 3
    assert found.examples[0].split("more likely ")[1] in ("red)", "green)", "blue)")
    assert not set(found.ids) & set(inspection.exclude)
    assert tltk.inspect(source, model=backbone)["wrong_labels"].count == 0


def test_a_model_scores_the_test_part_with_and_without_leaks():
    train, test = squares(24), squares(12, seed=1)
    leaking = tltk.from_arrays(
        np.concatenate([test.examples, train.examples[:6]]),
        np.concatenate([test.targets.values, train.targets.values[:6]]),
        labels=train.labels.names,
    )
    inspection = tltk.inspect(train, test=leaking, model=squares_model())
    assert inspection["leaks"].count == 6
    assert set(inspection.exclude) == {f"example {row}" for row in range(6)}
    assert set(inspection.scores) == {"test", "test without leaks"}
    assert "test without leaks: accuracy" in inspection.describe()
    assert set(tltk.inspect(train, test=test, model=squares_model()).scores) == {"test"}


@pytest.mark.parametrize(
    "scale", [lambda x: x / 255, lambda x: x / 127.5 - 1, lambda x: (x - 100) / 50, lambda x: x / 255 / 255]
)
def test_pixels_that_were_scaled_are_a_finding_and_the_rest_is_still_looked_at(scale):
    x = pictures(12).astype("float32")
    x[1] = x[0]
    inspection = tltk.inspect((scale(x), np.arange(12) % 2))
    assert (inspection["scaling"].count, inspection["scaling"].severity) == (12, "error")
    assert inspection["conflicting_labels"].count == 2
    assert tltk.inspect(x[1:])["scaling"].count == 0


def test_a_source_in_another_range_than_the_model_is_a_finding(backbone):
    source = tltk.from_arrays(pictures(4) / 255, [0, 1, 0, 1], value_range=(0, 1))
    assert tltk.inspect(source)["scaling"].count == 0
    assert tltk.inspect(source, model=backbone)["scaling"].count == 4
    with_range = tltk.backbone(conv_net(), stages=STAGES, value_range=(0, 1))
    assert tltk.inspect(source, model=with_range)["scaling"].count == 0
    assert tltk.inspect(pictures(4) / 255, model=with_range)["scaling"].count == 0


def test_texts():
    texts = [f"{word} is the number {number} of this list" for number, word in enumerate("abcdefghijkl")]
    source = tltk.from_arrays([*texts, texts[0].upper()], [0, 1] * 6 + [1])
    inspection = tltk.inspect(source)
    assert inspection["conflicting_labels"].examples == ("example 0 (0) = example 12 (1)",)


def test_classes_that_are_too_small_to_check_labels_are_said(backbone):
    x, y = squares(43).examples, np.append(np.arange(40) % 2, [2, 2, 2])
    inspection = tltk.inspect(tltk.from_arrays(x, y, labels=("a", "b", "c")), model=backbone)
    assert inspection["few_examples"].examples == ("c (3)",)
    assert "wrong labels of c: fewer than 10 examples" in inspection.not_checked
    numbers = tltk.from_arrays(x, np.arange(43) / 7, label_type="regression")
    assert "wrong labels: the examples have no classes" in tltk.inspect(numbers, model=backbone).not_checked


def test_data_without_a_readable_example_or_without_any(backbone, tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).touch()
    inspection = tltk.inspect(tltk.from_folder(tmp_path, unlabelled=True), model=backbone)
    assert inspection.exclude == ("a.png", "b.png")
    source = tltk.from_arrays(pictures(2), [0, 1])
    assert tltk.inspect(source.subset([]), model=backbone).groups.tolist() == []
    assert tltk.inspect(source, test=source.subset([]), model=backbone)["leaks"].count == 0


def test_wrong_arguments_are_refused(backbone):
    texts = tltk.from_arrays(["a", "b"], [0, 1])
    with pytest.raises(InvalidInput, match="the model takes images"):
        tltk.inspect(texts, model=backbone)
    with pytest.raises(InvalidInput, match="`test` holds images"):
        tltk.inspect(texts, test=tltk.from_arrays(pictures(2)))
    with pytest.raises(InvalidType, match="`source`"):
        tltk.inspect("photos")
    sounds = tltk.backbone("speaker_encoder", weights="random")
    with pytest.raises(InvalidInput, match=r"`source` is an array.*the model takes sounds.*sample_rate"):
        tltk.inspect(np.zeros((2, 16_000)), model=sounds)
    for false_alarms in (0, 1, 2, "0.1"):
        with pytest.raises(InvalidInput, match=r"false_alarms.*above 0 and below 1"):
            tltk.inspect(texts, false_alarms=false_alarms)
