"""The cache of decoded images: the same batches as without it, and no stale or unfinished entries."""

import errno
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.images import class_folder, damaged_png, solid_png
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.folder import from_folder
from tltk.foundation import files
from tltk.modalities.batches import batches
from tltk.modalities.image import reader as readers
from tltk.pipeline import store
from tltk.specs import ImageSpec

SPEC = ImageSpec(12, 12)


def read_epochs(source, cache, count=2, spec=SPEC, **options):
    """Return the elements of each epoch, and the invalid examples."""
    loader = batches(source, spec, batch_size=4, shuffle=True, seed=1, cache=cache, **options)
    read = [[tuple(part.numpy() for part in element) for element in loader.dataset(n)] for n in range(count)]
    return read, list(loader.invalid)


def assert_same(first, second):
    for first_epoch, second_epoch in zip(first, second, strict=True):
        for first_batch, second_batch in zip(first_epoch, second_epoch, strict=True):
            for first_part, second_part in zip(first_batch, second_batch, strict=True):
                np.testing.assert_array_equal(first_part, second_part)


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_cached_batches_equal_those_without_a_cache(tmp_path, where):
    class_folder(tmp_path / "set", count=6)
    damaged_png(tmp_path / "set" / "dog" / "0002.png")
    source = from_folder(tmp_path / "set")
    uncached, invalid = read_epochs(source, "off")
    for _ in range(2):  # a folder is read from the second time on
        cached, cached_invalid = read_epochs(source, "memory" if where == "memory" else tmp_path / "cache")
        assert_same(uncached, cached)
        assert {example.example_id for example in cached_invalid} == {"dog/0002.png"}
        assert {example.example_id for example in invalid} == {"dog/0002.png"}


def test_cached_images_are_not_decoded_again(tmp_path, monkeypatch):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    first, _ = read_epochs(source, tmp_path / "cache")
    monkeypatch.setattr(readers.FileReader, "partial_batches", None)  # calling it would fail
    second, invalid = read_epochs(source, tmp_path / "cache")
    assert_same(first, second)
    assert invalid == []


def test_a_changed_file_or_option_is_decoded_again(tmp_path):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    folder = tmp_path / "cache"
    read_epochs(source, folder)
    solid_png(tmp_path / "set" / "cat" / "0001.png", (250, 250, 250), size=(15, 15))
    read, _ = read_epochs(source, folder)
    assert 250 in {int(value) for images, _ in read[0] for value in images[:, 0, 0, 0]}
    assert len(list(folder.iterdir())) == 2
    read_epochs(source, folder, spec=ImageSpec(10, 10))
    read_epochs(source, folder, spec=ImageSpec(12, 12, resize="pad"))
    read_epochs(source.subset([0, 5]), folder)
    assert len(list(folder.iterdir())) == 5


def test_the_order_of_a_source_is_part_of_the_cache_key(tmp_path):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    read_epochs(source, tmp_path / "cache")
    reordered = source.subset([5, 4, 3, 2, 1, 0])
    assert_same(read_epochs(reordered, tmp_path / "cache")[0], read_epochs(reordered, "off")[0])


def test_too_little_memory_raises_with_both_sizes(tmp_path, monkeypatch):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    monkeypatch.setattr(store, "free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r'cache="memory" needs .* GB for 6 decoded examples.*GB are free'):
        batches(source, SPEC, cache="memory")


def test_too_little_disk_space_raises_before_anything_is_decoded(tmp_path, monkeypatch):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match="no space left"):
        batches(source, SPEC, cache=tmp_path / "cache")


def test_a_disk_that_fills_up_leaves_no_records(tmp_path, monkeypatch):
    source = from_folder(class_folder(tmp_path / "set", count=3))

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(store.os, "fsync", full)
        with pytest.raises(OSError, match="cannot store decoded examples: No space left"):
            batches(source, SPEC, cache=tmp_path / "cache")
    assert not any((tmp_path / "cache").rglob("*.bin"))
    assert_same(read_epochs(source, tmp_path / "cache")[0], read_epochs(source, "off")[0])


def test_a_file_cannot_be_the_cache_folder(tmp_path):
    source = from_folder(class_folder(tmp_path / "set", count=3))
    path = solid_png(tmp_path / "a.png", (0, 0, 0))
    with pytest.raises(OSError, match=re.escape(str(path))):
        batches(source, SPEC, cache=path)


def test_arrays_of_the_right_size_need_no_cache(tmp_path):
    source = from_arrays(np.zeros((4, 12, 12, 3), "uint8"), [0, 1, 0, 1])
    assert_same(read_epochs(source, tmp_path / "cache")[0], read_epochs(source, "off")[0])
    assert not (tmp_path / "cache").exists()


def test_arrays_of_another_size_are_cached_too(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 20, 30, 3)).astype("uint8")
    source = from_arrays(pixels, [0, 1, 0, 1])
    uncached = read_epochs(source, "off")[0]
    for cache in ("memory", tmp_path / "cache"):
        assert_same(read_epochs(source, cache)[0], uncached)


def test_a_cache_contains_the_visible_pixels(tmp_path):
    Image.fromarray(np.full((12, 12, 3), 77, "uint8")).save(solid_png(tmp_path / "set" / "a" / "x.png", (0, 0, 0)))
    solid_png(tmp_path / "set" / "b" / "y.png", (3, 3, 3))
    read, _ = read_epochs(from_folder(tmp_path / "set"), "memory", count=1)
    assert sorted(int(value) for value in read[0][0][0][:, 0, 0, 0]) == [3, 77]
