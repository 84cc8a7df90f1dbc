"""Batches of a phase are cached features of the frozen prefix where possible, and examples otherwise."""

import re
from dataclasses import replace

import pytest
import tensorflow as tf
from filelock import FileLock

import tltk
from tests.conftest import squares, squares_model
from tltk.feature_cache.storage import Cache
from tltk.modalities.image.augment import standard
from tltk.models.frozen_split import split_frozen_prefix
from tltk.training.phase_data import Feed, ignore_unknown_length_warning

PHASE = tltk.linear_probe(epochs=3).phases[0]


def data_of(phase, cache, *, train=None, val=None, folder=None):
    """Return the phase data, the frozen split, and the shape of one training and one validation input."""
    model = squares_model()
    frozen_split = split_frozen_prefix(model.keras, phase.plan.resolve(model))
    options = {"batch_size": 8, "seed": 0, "cache": Cache(cache), "folder": folder}
    with Feed(model, train or squares(16), val or squares(8), **options) as feed:
        data = feed.phase_data(phase, 0, frozen_split)
        shapes = [next(iter(loader.dataset()))[0].shape[1:] for loader in (data.train, data.val)]
        return data, frozen_split, *shapes


@pytest.mark.parametrize("cache", ["auto", "memory"])
def test_a_phase_with_a_frozen_prefix_gets_its_features(cache):
    data, frozen_split, train, val = data_of(PHASE, cache)
    assert data.model is frozen_split.suffix
    assert train == val == (8,)


@pytest.mark.parametrize(
    "phase",
    [replace(PHASE, augment=standard()), replace(PHASE, plan=tltk.train_all()), replace(PHASE, epochs=1)],
    ids=["new augmentation every epoch", "nothing frozen", "one epoch"],
)
def test_a_phase_whose_features_cannot_be_reused_gets_images(phase):
    data, frozen_split, train, val = data_of(phase, "auto")
    assert data.model is frozen_split.model
    assert train == val == (16, 16, 3)


def test_a_phase_without_a_cache_gets_images():
    assert data_of(PHASE, "off")[2] == (16, 16, 3)


def dataset(count=16):
    return tf.data.Dataset.from_tensor_slices((squares(count).examples, squares(count).targets.values))


@pytest.mark.parametrize("val", [None, dataset(8).batch(4)])
def test_a_tf_dataset_of_fixed_order_is_cached(val):
    data, frozen_split, train_shape, val_shape = data_of(PHASE, "auto", train=dataset().batch(8), val=val)
    assert data.model is frozen_split.suffix
    assert train_shape == val_shape == (8,)


@pytest.mark.parametrize(
    ("train", "reason"),
    [
        (dataset().shuffle(16).batch(8), r"`train` is a tf.data.Dataset whose order .*: it is shuffled anew"),
        (dataset(4).batch(4).concatenate(dataset(16).batch(8)), "batches of a tf.data.Dataset differ in size"),
    ],
    ids=["shuffled", "uneven"],
)
def test_another_dataset_is_not_cached_which_is_said_once(train, reason, caplog):
    data, frozen_split, train_shape, _ = data_of(PHASE, "auto", train=train)
    assert data.model is frozen_split.model and train_shape == (16, 16, 3)
    (message,) = [record.getMessage() for record in caplog.records if "computed in every epoch" in record.getMessage()]
    assert re.search(reason, message)


def test_a_dataset_that_is_not_cached_because_nothing_could_be_needs_no_reason(caplog):
    data_of(replace(PHASE, plan=tltk.train_all()), "auto", train=dataset().shuffle(16).batch(8))
    data_of(PHASE, "off", train=dataset().shuffle(16).batch(8))
    assert "computed in every epoch" not in caplog.text


def test_auto_leaves_nothing_behind_on_disk(tmp_path, monkeypatch):
    from tltk.feature_cache import compute as compute_module

    monkeypatch.setattr("tltk.feature_cache.storage._MAX_MEMORY_BYTES", 0)
    folders = []
    original = compute_module.compute

    def compute(*args, **options):
        folders.append(options["folder"])
        return original(*args, **options)

    monkeypatch.setattr(compute_module, "compute", compute)
    data, frozen_split, _, _ = data_of(PHASE, "auto", folder=tmp_path)
    assert data.model is frozen_split.suffix
    assert all(folder.parent == tmp_path for folder in folders)
    assert len(folders) == 2
    assert list(tmp_path.iterdir()) == []


def test_temporary_folders_of_killed_runs_are_removed_and_nothing_else(tmp_path):
    for name in (".tltk-cache-left", ".tltk-cache-used", ".cache-mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "records.bin").write_bytes(b"half")
        (tmp_path / name / "in-use").touch()
    with FileLock(tmp_path / ".tltk-cache-used" / "in-use"):
        data_of(PHASE, "memory", folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".tltk-cache-used", ".cache-mine"}


def test_disk_stores_features_in_the_cache_folder_of_tltk(tmp_path, monkeypatch):
    monkeypatch.setenv("TLTK_CACHE", str(tmp_path / "cache"))
    data_of(PHASE, "disk")
    assert len(list((tmp_path / "cache" / "prefix").iterdir())) == 2
    data_of(replace(PHASE, plan=tltk.train_all()), "disk", train=squares(16), val=squares(8))


def test_with_a_shuffled_dataset_for_validation_no_features_are_computed(monkeypatch):
    from tltk.feature_cache import compute as compute_module

    monkeypatch.setattr(compute_module, "compute", None)  # would fail if it were called
    assert data_of(PHASE, "memory", val=dataset(8).shuffle(8).batch(8))[2] == (16, 16, 3)


def test_the_next_phase_drops_the_loaders_of_the_phase_before():
    model = squares_model()
    frozen_split = split_frozen_prefix(model.keras, PHASE.plan.resolve(model))
    options = {"batch_size": 8, "seed": 0, "cache": Cache("memory"), "folder": None}
    with Feed(model, squares(16), squares(8), **options) as feed:
        feed.phase_data(PHASE, 0, frozen_split)
        feed.phase_data(PHASE, 1, frozen_split)
        assert len(feed.loaders) == 2


def test_ctrl_c_at_the_end_of_an_epoch_raises_keyboard_interrupt():
    message = "pybind11::error_already_set: MISMATCH of original and normalized active exception types: ORIGINAL "
    with pytest.raises(KeyboardInterrupt), ignore_unknown_length_warning():
        raise RuntimeError(f"{message}OutOfRangeError REPLACED BY KeyboardInterrupt: <")
    with pytest.raises(RuntimeError, match="something else"), ignore_unknown_length_warning():
        raise RuntimeError("something else")
