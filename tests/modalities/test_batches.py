"""The stream: deterministic, complete, and alive whatever the files hold."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.pictures import class_folder, damaged_png, encoded, flat
from tltk.augment import color_jitter, cutmix, flip, mixup
from tltk.data.formats.arrays import from_arrays
from tltk.data.formats.folder import from_folder
from tltk.modalities.batches import batches
from tltk.specs import ImageSpec
from tltk.tasks.encodings import one_hot

SPEC = ImageSpec(16, 16)
CHANGES = (flip(), color_jitter(brightness=0.2))


def epoch(loader, number=0) -> list[tuple[np.ndarray, ...]]:
    return [tuple(part.numpy() for part in element) for element in loader.dataset(number)]


def levels(read) -> list[int]:
    """The grey level of each picture in a stream of `class_folder`: 2 i for picture i."""
    return [int(level) for images, *_ in read for level in images[:, 0, 0, 0]]


def same(first, second) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


def folder(tmp_path, count=10):
    return from_folder(class_folder(tmp_path / "set", count=count))


def test_every_example_comes_exactly_once_an_epoch_with_its_target(tmp_path):
    feed = batches(folder(tmp_path), SPEC, batch_size=6, shuffle=True, seed=3)
    assert (feed.steps, feed.examples) == (4, 20)
    for number in range(3):
        read = epoch(feed, number)
        assert [len(images) for images, _ in read] == [6, 6, 6, 2]
        assert sorted(levels(read)) == list(range(0, 40, 2))
        targets = [int(target) for _, found in read for target in found]
        assert targets == [int(level >= 20) for level in levels(read)]
        assert read[0][0].dtype == np.float32 and read[0][0].shape == (6, 16, 16, 3)
    assert list(feed.invalid) == []


def test_unshuffled_batches_keep_the_order_of_the_source(tmp_path):
    assert levels(epoch(batches(folder(tmp_path), SPEC, batch_size=7))) == list(range(0, 40, 2))


def test_the_same_arguments_repeat_the_same_stream(tmp_path):
    source = folder(tmp_path)
    options = {"batch_size": 6, "shuffle": True, "augment": CHANGES, "seed": 5}
    first, second = (batches(source, SPEC, **options) for _ in range(2))
    streams = [[epoch(feed, number) for number in range(3)] for feed in (first, second)]
    for one, other in zip(*streams, strict=True):
        assert same(one, other)
    assert not same(streams[0][0], streams[0][1])
    assert levels(epoch(batches(source, SPEC, shuffle=True, seed=5))) != levels(
        epoch(batches(source, SPEC, shuffle=True, seed=6))
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_the_stream_does_not_depend_on_the_number_of_threads(tmp_path, threads):
    source = folder(tmp_path)
    options = {"batch_size": 6, "shuffle": True, "augment": CHANGES, "seed": 5}
    limited = tf.data.Options()
    limited.threading.private_threadpool_size = threads
    feed = batches(source, SPEC, **options)
    read = [tuple(part.numpy() for part in element) for element in feed.dataset().with_options(limited)]
    assert same(read, epoch(batches(source, SPEC, **options)))


def test_a_file_that_only_the_decoder_finds_bad_is_left_out_and_listed_once(tmp_path):
    class_folder(tmp_path / "set", count=10)
    damaged_png(tmp_path / "set" / "cat" / "0003.png")
    feed = batches(from_folder(tmp_path / "set"), SPEC, batch_size=4)
    for number in range(2):
        assert levels(epoch(feed, number)) == [level for level in range(0, 40, 2) if level != 6]
    assert [example.example_id for example in feed.invalid] == ["cat/0003.png"]
    assert next(iter(feed.invalid)).reason


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("at", ["cat/0000.png", "dog/0003.png"])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_fit_survives_bad_files_at_either_end(tmp_path, shuffle, at):
    class_folder(tmp_path / "set", count=4)
    damaged_png(tmp_path / "set" / at)
    feed = batches(from_folder(tmp_path / "set"), SPEC, batch_size=1, shuffle=shuffle)
    model = keras.Sequential([keras.Input(SPEC.shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(feed.dataset(), epochs=3, shuffle=False, verbose=0)
    assert len(history.epoch) == 3
    assert [example.example_id for example in feed.invalid] == [at]
    assert sum(len(images) for images, _ in epoch(feed)) == 7


def test_every_kind_of_damage_leaves_the_others_alive(tmp_path):
    class_folder(tmp_path / "set", count=10)
    (tmp_path / "set" / "cat" / "a.png").write_bytes(b"")
    (tmp_path / "set" / "cat" / "b.jpg").write_bytes(encoded("jpg", size=(64, 64))[:900])
    (tmp_path / "set" / "dog" / "c.webp").write_bytes(encoded("webp")[:100])
    (tmp_path / "set" / "dog" / "d.gif").write_text("no picture")
    flat(tmp_path / "set" / "dog" / "gone.png", (0, 0, 0))
    source = from_folder(tmp_path / "set")
    (tmp_path / "set" / "dog" / "gone.png").unlink()
    feed = batches(source, SPEC, batch_size=8, shuffle=True)
    assert sorted(levels(epoch(feed))) == list(range(0, 40, 2))
    names = {"cat/a.png", "cat/b.jpg", "dog/c.webp", "dog/d.gif", "dog/gone.png"}
    assert {example.example_id for example in feed.invalid} == names


def test_nothing_that_can_be_decoded_is_an_error_that_names_the_files(tmp_path):
    source = folder(tmp_path, count=2)
    for path in source.examples:
        damaged_png(tmp_path / path)
    with pytest.raises(Exception, match="none of the 4 examples could be decoded"):
        epoch(batches(source, SPEC))


def test_encoded_targets_can_be_mixed_and_raw_ones_cannot(tmp_path):
    source = folder(tmp_path)
    for mixing in (mixup(1.0), cutmix()):
        read = epoch(batches(source, SPEC, encode=one_hot(2), augment=(mixing,), shuffle=True))
        assert read[0][1].sum(1) == pytest.approx(np.ones(20), abs=1e-5)
        assert ((read[0][1] > 0.01) & (read[0][1] < 0.99)).any()
        with pytest.raises(ValueError, match="targets, which must be encoded as float"):
            batches(source, SPEC, augment=(mixing,)).dataset()


def test_unlabelled_sources_give_pictures_alone(tmp_path):
    class_folder(tmp_path / "set", count=2)
    feed = batches(from_folder(tmp_path / "set", unlabelled=True), SPEC, batch_size=3)
    assert [images.shape for images in feed.dataset()] == [(3, 16, 16, 3), (1, 16, 16, 3)]


@pytest.mark.parametrize("shape", [(6, 16, 16, 3), (6, 9, 20, 3), (6, 8, 8, 1), (6, 8, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_of_any_size_are_brought_to_the_spec(shape, dtype):
    pixels = np.full(shape, 100, dtype)
    read = epoch(batches(from_arrays(pixels, [0, 1] * 3), SPEC, batch_size=4))
    assert [images.shape for images, _ in read] == [(4, 16, 16, 3), (2, 16, 16, 3)]
    np.testing.assert_allclose(read[0][0], 100, atol=1e-3)


def test_subsets_give_their_own_examples(tmp_path):
    source = folder(tmp_path)
    assert levels(epoch(batches(source.subset([7, 2, 19]), SPEC))) == [14, 4, 38]
    pixels = np.arange(6, dtype="uint8")[:, None, None, None] * np.ones((1, 16, 16, 3), "uint8")
    assert levels(epoch(batches(from_arrays(pixels, [0, 1] * 3).subset([5, 0]), SPEC))) == [5, 0]


def plain(count=10, size=16):
    images = np.arange(count, dtype="float32")[:, None, None, None] * np.ones((1, size, size, 3), "float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(count) % 2))


def test_a_plain_dataset_is_taken_batched_or_not_with_or_without_weights():
    for data in (plain(), plain().batch(4)):
        feed = batches(data, SPEC, batch_size=4, encode=one_hot(2))
        read = epoch(feed)
        assert feed.steps == 3
        assert [len(images) for images, _ in read] == [4, 4, 2]
        assert levels(read) == list(range(10)) and read[0][1].shape == (4, 2)
    weighted = plain().map(lambda x, y: (x, y, 0.5))
    assert [part.shape for part in epoch(batches(weighted, SPEC, batch_size=4))[0]] == [(4, 16, 16, 3), (4,), (4,)]
    alone = batches(plain().map(lambda x, y: x), SPEC, batch_size=4)
    assert [images.shape[0] for images in alone.dataset()] == [4, 4, 2]


def test_a_plain_dataset_is_resized_and_augmented_anew_each_epoch():
    feed = batches(plain(size=8).batch(4), SPEC, augment=(color_jitter(brightness=0.3),), seed=1)
    first, second = epoch(feed), epoch(feed, 1)
    assert first[0][0].shape == (4, 16, 16, 3)
    assert not same(first, second)
    again = batches(plain(size=8).batch(4), SPEC, augment=(color_jitter(brightness=0.3),), seed=1)
    assert same(epoch(again), first)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (plain().map(lambda x, y: {"x": x, "y": y}), "`data` must yield"),
        (plain().map(lambda x, y: (x, y, y, y)), "`data` must yield"),
        (plain().map(lambda x, y: (x[0], y)), "images must be"),
        (plain().map(lambda x, y: (x[..., :2], y)), "1 or 3 channels"),
        (plain().map(lambda x, y: ("a.jpg", y)), "pixels, not text"),
        (plain().repeat(), "never ends"),
        (plain().take(0), "no examples"),
    ],
)
def test_a_plain_dataset_of_another_structure_is_refused(data, match):
    with pytest.raises(ValueError, match=match):
        batches(data, SPEC)


def test_what_cannot_feed_a_model_is_refused(tmp_path):
    source = from_arrays(np.zeros((4, 8, 8, 3), "uint8"), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="`data` holds texts, and the model takes images"):
        batches(from_arrays(["a", "b"], [0, 1]), SPEC)
    with pytest.raises(ValueError, match="holds no examples"):
        batches(source.subset([]), SPEC)
    with pytest.raises(TypeError, match=r"`data` must be Source.*tltk\.from_folder"):
        batches("photos", SPEC)
    with pytest.raises(ValueError, match=r"(?s)`batch_size` must.*`seed` must"):
        batches(source, SPEC, batch_size=0, seed=-1)
    with pytest.raises(TypeError, match="`augment` must be Augmentation"):
        batches(source, SPEC, augment=("flip",))
    with pytest.raises(ValueError, match="caches by itself"):
        batches(plain(), SPEC, cache="memory")


MIRRORED = """
import sys, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tltk.modalities.batches import batches
from tltk import from_folder
from tltk.augment import flip
from tltk.specs import ImageSpec
feed = batches(from_folder(sys.argv[1]), ImageSpec(16, 16), batch_size=6, shuffle=True, augment=(flip(),))
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
seen = []
count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
history = model.fit(feed.dataset(), epochs=2, shuffle=False, verbose=0, callbacks=[count])
print("seen", len(seen), len(history.epoch), feed.steps)
"""


def test_two_replicas_share_each_batch(tmp_path):
    class_folder(tmp_path / "set", count=10)
    command = [sys.executable, "-c", MIRRORED, str(tmp_path / "set")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert "seen 8 2 4" in done.stdout, done.stderr[-2000:]


MEMORY = """
import resource, sys
from tltk.modalities.batches import batches
from tltk import from_folder
from tltk.specs import ImageSpec
source = from_folder(sys.argv[1])
for repeat in (1, int(sys.argv[2])):
    feed = batches(source.subset(list(range(len(source))) * repeat), ImageSpec(96, 96), batch_size=16, shuffle=True)
    seen = sum(len(images) for images, _ in feed.dataset())
    print(seen, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    for number in range(200):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("jpg", seed=number, size=(96, 96)))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "set"), "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    (few, before), (many, after) = [map(int, line.split()) for line in done.stdout.splitlines()]
    assert (few, many) == (200, 4000)
    assert after - before < 60, "4,000 decoded pictures would be 420 MB"
