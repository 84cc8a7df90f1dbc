"""A phase is fed with the last thing that nothing learns in and nothing is drawn in."""

from dataclasses import replace

import pytest
import tensorflow as tf
from filelock import FileLock

import tltk
from tests.conftest import squares, squares_model
from tltk.feature_cache.policy import Cache
from tltk.modalities.image.augment import standard
from tltk.models import frozen_split as views
from tltk.training.phase_data import Feed, ignore_unknown_length_warning

PHASE = tltk.linear_probe(epochs=3).phases[0]


def served(phase, cache, *, train=None, val=None, folder=None):
    model = squares_model()
    view = views.split(model.keras, phase.plan.resolve(model))
    options = {"batch_size": 8, "seed": 0, "cache": Cache(cache), "folder": folder}
    with Feed(model, train or squares(16), val or squares(8), **options) as feed:
        data = feed.of_phase(phase, 0, view)
        return data, view, next(iter(data.train.dataset()))[0].shape[1:], next(iter(data.val.dataset()))[0].shape[1:]


@pytest.mark.parametrize("cache", ["auto", "memory"])
def test_a_frozen_prefix_is_fed_as_what_it_made(cache):
    data, view, train, val = served(PHASE, cache)
    assert data.model is view.suffix
    assert train == val == (8,)


@pytest.mark.parametrize(
    "phase",
    [replace(PHASE, augment=standard()), replace(PHASE, plan=tltk.train_all()), replace(PHASE, epochs=1)],
    ids=["fresh augmentation", "nothing frozen", "one epoch"],
)
def test_otherwise_it_is_fed_with_images(phase):
    data, view, train, val = served(phase, "auto")
    assert data.model is view.train
    assert train == val == (16, 16, 3)


def test_off_means_images():
    assert served(PHASE, "off")[2] == (16, 16, 3)


def test_a_dataset_keeps_being_images():
    data = tf.data.Dataset.from_tensor_slices((squares(16).examples, squares(16).targets.values)).batch(8)
    assert served(PHASE, "auto", train=data)[2] == (16, 16, 3)


def test_auto_leaves_nothing_behind_on_disk(tmp_path, monkeypatch):
    from tltk.feature_cache import compute as prefix_cache

    monkeypatch.setattr("tltk.feature_cache.policy._IN_MEMORY", 0)
    seen = []
    original = prefix_cache.compute
    monkeypatch.setattr(
        prefix_cache, "compute", lambda *args, **named: seen.append(named["folder"]) or original(*args, **named)
    )
    data, view, _, _ = served(PHASE, "auto", folder=tmp_path)
    assert data.model is view.suffix
    assert all(folder.parent == tmp_path for folder in seen)
    assert len(seen) == 2
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_in_its_folder_is_removed_and_nothing_else(tmp_path):
    for name in (".tltk-cache-left", ".tltk-cache-used", ".cache-mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.bin").write_bytes(b"half")
        (tmp_path / name / "in-use").touch()
    with FileLock(tmp_path / ".tltk-cache-used" / "in-use"):
        served(PHASE, "memory", folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".tltk-cache-used", ".cache-mine"}


def test_disk_is_kept_in_the_cache_of_tltk(tmp_path, monkeypatch):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "own"))
    served(PHASE, "disk")
    assert len(list((tmp_path / "own" / "prefix").iterdir())) == 2
    served(replace(PHASE, plan=tltk.train_all()), "disk", train=squares(16), val=squares(8))


def test_a_dataset_to_judge_by_means_images_for_both_and_nothing_is_computed_for_nothing(monkeypatch):
    from tltk.feature_cache import compute as prefix_cache

    monkeypatch.setattr(prefix_cache, "compute", None)  # would fail if it were called
    data = tf.data.Dataset.from_tensor_slices((squares(8).examples, squares(8).targets.values)).batch(8)
    assert served(PHASE, "memory", val=data)[2] == (16, 16, 3)


def test_what_a_phase_kept_is_dropped_when_the_next_begins():
    model = squares_model()
    view = views.split(model.keras, PHASE.plan.resolve(model))
    options = {"batch_size": 8, "seed": 0, "cache": Cache("memory"), "folder": None}
    with Feed(model, squares(16), squares(8), **options) as feed:
        feed.of_phase(PHASE, 0, view)
        feed.of_phase(PHASE, 1, view)
        assert len(feed.loaders) == 2


def test_ctrl_c_at_the_very_end_of_an_epoch_is_ctrl_c():
    said = "pybind11::error_already_set: MISMATCH of original and normalized active exception types: ORIGINAL "
    with pytest.raises(KeyboardInterrupt), ignore_unknown_length_warning():
        raise RuntimeError(f"{said}OutOfRangeError REPLACED BY KeyboardInterrupt: <")
    with pytest.raises(RuntimeError, match="something else"), ignore_unknown_length_warning():
        raise RuntimeError("something else")
