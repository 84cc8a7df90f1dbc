"""Batches are deterministic and complete, and invalid files do not stop them."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.images import class_folder, damaged_png, encoded, solid_png
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


def levels(loaded) -> list[int]:
    """Return the gray level of each image of `class_folder` in loaded batches: 2 i for image i."""
    return [int(level) for images, *_ in loaded for level in images[:, 0, 0, 0]]


def equal(first, second) -> bool:
    pairs = zip(first, second, strict=True)
    return all(np.array_equal(a, b) for batch, other in pairs for a, b in zip(batch, other, strict=True))


def folder(tmp_path, count=10):
    return from_folder(class_folder(tmp_path / "set", count=count))


def test_every_example_is_read_once_per_epoch_with_its_target(tmp_path):
    loader = batches(folder(tmp_path), SPEC, batch_size=6, shuffle=True, seed=3)
    assert (loader.steps_per_epoch, loader.element_count) == (4, 20)
    for number in range(3):
        loaded = epoch(loader, number)
        assert [len(images) for images, _ in loaded] == [6, 6, 6, 2]
        assert sorted(levels(loaded)) == list(range(0, 40, 2))
        all_targets = [int(target) for _, targets in loaded for target in targets]
        assert all_targets == [int(level >= 20) for level in levels(loaded)]
        assert loaded[0][0].dtype == np.float32 and loaded[0][0].shape == (6, 16, 16, 3)
    assert list(loader.invalid) == []


def test_unshuffled_batches_keep_the_order_of_the_source(tmp_path):
    assert levels(epoch(batches(folder(tmp_path), SPEC, batch_size=7))) == list(range(0, 40, 2))


def test_equal_arguments_give_equal_batches(tmp_path):
    source = folder(tmp_path)
    options = {"batch_size": 6, "shuffle": True, "augment": CHANGES, "seed": 5}
    loaders = [batches(source, SPEC, **options) for _ in range(2)]
    first, second = ([epoch(loader, number) for number in range(3)] for loader in loaders)
    for first_epoch, second_epoch in zip(first, second, strict=True):
        assert equal(first_epoch, second_epoch)
    assert not equal(first[0], first[1])
    assert levels(epoch(batches(source, SPEC, shuffle=True, seed=5))) != levels(
        epoch(batches(source, SPEC, shuffle=True, seed=6))
    )


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_do_not_depend_on_the_number_of_threads(tmp_path, threads):
    source = folder(tmp_path)
    options = {"batch_size": 6, "shuffle": True, "augment": CHANGES, "seed": 5}
    limited = tf.data.Options()
    limited.threading.private_threadpool_size = threads
    dataset = batches(source, SPEC, **options).dataset().with_options(limited)
    loaded = [tuple(part.numpy() for part in element) for element in dataset]
    assert equal(loaded, epoch(batches(source, SPEC, **options)))


def test_a_file_that_fails_to_decode_is_left_out_and_listed_once(tmp_path):
    class_folder(tmp_path / "set", count=10)
    damaged_png(tmp_path / "set" / "cat" / "0003.png")
    loader = batches(from_folder(tmp_path / "set"), SPEC, batch_size=4)
    for number in range(2):
        assert levels(epoch(loader, number)) == [level for level in range(0, 40, 2) if level != 6]
    assert [example.example_id for example in loader.invalid] == ["cat/0003.png"]
    assert next(iter(loader.invalid)).reason


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("damaged", ["cat/0000.png", "dog/0003.png"])
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_keras_fit_accepts_a_damaged_first_or_last_file(tmp_path, shuffle, damaged):
    class_folder(tmp_path / "set", count=4)
    damaged_png(tmp_path / "set" / damaged)
    loader = batches(from_folder(tmp_path / "set"), SPEC, batch_size=1, shuffle=shuffle)
    model = keras.Sequential([keras.Input(SPEC.shape), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(loader.dataset(), epochs=3, shuffle=False, verbose=0)
    assert len(history.epoch) == 3
    assert [example.example_id for example in loader.invalid] == [damaged]
    assert sum(len(images) for images, _ in epoch(loader)) == 7


def test_invalid_files_of_every_kind_do_not_affect_the_others(tmp_path):
    class_folder(tmp_path / "set", count=10)
    (tmp_path / "set" / "cat" / "a.png").write_bytes(b"")
    (tmp_path / "set" / "cat" / "b.jpg").write_bytes(encoded("jpg", size=(64, 64))[:900])
    (tmp_path / "set" / "dog" / "c.webp").write_bytes(encoded("webp")[:100])
    (tmp_path / "set" / "dog" / "d.gif").write_text("not an image")
    solid_png(tmp_path / "set" / "dog" / "gone.png", (0, 0, 0))
    source = from_folder(tmp_path / "set")
    (tmp_path / "set" / "dog" / "gone.png").unlink()
    loader = batches(source, SPEC, batch_size=8, shuffle=True)
    assert sorted(levels(epoch(loader))) == list(range(0, 40, 2))
    names = {"cat/a.png", "cat/b.jpg", "dog/c.webp", "dog/d.gif", "dog/gone.png"}
    assert {example.example_id for example in loader.invalid} == names


def test_a_source_without_any_readable_file_is_an_error(tmp_path):
    source = folder(tmp_path, count=2)
    for path in source.examples:
        damaged_png(tmp_path / path)
    with pytest.raises(Exception, match="none of the 4 examples could be decoded"):
        epoch(batches(source, SPEC))


def test_encoded_targets_can_be_blended_and_raw_targets_cannot(tmp_path):
    source = folder(tmp_path)
    for augmentation in (mixup(1.0), cutmix()):
        _, targets = epoch(batches(source, SPEC, encode=one_hot(2), augment=(augmentation,), shuffle=True))[0]
        assert targets.sum(1) == pytest.approx(np.ones(20), abs=1e-5)
        assert ((targets > 0.01) & (targets < 0.99)).any()
        with pytest.raises(ValueError, match="targets, which must be encoded as float"):
            batches(source, SPEC, augment=(augmentation,)).dataset()


def test_batches_of_an_unlabelled_source_are_images_without_targets(tmp_path):
    class_folder(tmp_path / "set", count=2)
    loader = batches(from_folder(tmp_path / "set", unlabelled=True), SPEC, batch_size=3)
    assert [images.shape for images in loader.dataset()] == [(3, 16, 16, 3), (1, 16, 16, 3)]


@pytest.mark.parametrize("shape", [(6, 16, 16, 3), (6, 9, 20, 3), (6, 8, 8, 1), (6, 8, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_arrays_are_resized_and_converted_to_rgb(shape, dtype):
    pixels = np.full(shape, 100, dtype)
    loaded = epoch(batches(from_arrays(pixels, [0, 1] * 3), SPEC, batch_size=4))
    assert [images.shape for images, _ in loaded] == [(4, 16, 16, 3), (2, 16, 16, 3)]
    np.testing.assert_allclose(loaded[0][0], 100, atol=1e-3)


def test_a_subset_of_a_source_yields_its_own_examples(tmp_path):
    source = folder(tmp_path)
    assert levels(epoch(batches(source.subset([7, 2, 19]), SPEC))) == [14, 4, 38]
    pixels = np.arange(6, dtype="uint8")[:, None, None, None] * np.ones((1, 16, 16, 3), "uint8")
    assert levels(epoch(batches(from_arrays(pixels, [0, 1] * 3).subset([5, 0]), SPEC))) == [5, 0]


def user_dataset(count=10, size=16):
    images = np.arange(count, dtype="float32")[:, None, None, None] * np.ones((1, size, size, 3), "float32")
    return tf.data.Dataset.from_tensor_slices((images, np.arange(count) % 2))


def test_a_tf_data_dataset_may_be_batched_and_have_weights():
    for data in (user_dataset(), user_dataset().batch(4)):
        loader = batches(data, SPEC, batch_size=4, encode=one_hot(2))
        loaded = epoch(loader)
        assert loader.steps_per_epoch == 3
        assert [len(images) for images, _ in loaded] == [4, 4, 2]
        assert levels(loaded) == list(range(10)) and loaded[0][1].shape == (4, 2)
    weighted = user_dataset().map(lambda x, y: (x, y, 0.5))
    assert [part.shape for part in epoch(batches(weighted, SPEC, batch_size=4))[0]] == [(4, 16, 16, 3), (4,), (4,)]
    unlabelled = batches(user_dataset().map(lambda x, y: x), SPEC, batch_size=4)
    assert [images.shape[0] for images in unlabelled.dataset()] == [4, 4, 2]


def test_a_tf_data_dataset_is_resized_and_augmented_differently_in_each_epoch():
    options = {"augment": (color_jitter(brightness=0.3),), "seed": 1}
    loader = batches(user_dataset(size=8).batch(4), SPEC, **options)
    first, second = epoch(loader), epoch(loader, 1)
    assert first[0][0].shape == (4, 16, 16, 3)
    assert not equal(first, second)
    assert equal(epoch(batches(user_dataset(size=8).batch(4), SPEC, **options)), first)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (user_dataset().map(lambda x, y: {"x": x, "y": y}), "`data` must yield"),
        (user_dataset().map(lambda x, y: (x, y, y, y)), "`data` must yield"),
        (user_dataset().map(lambda x, y: (x[0], y)), "images must have shape"),
        (user_dataset().map(lambda x, y: (x[..., :2], y)), r"takes images of 3 channels.*channels=2"),
        (user_dataset().map(lambda x, y: ("a.jpg", y)), "pixels, not text"),
        (user_dataset().repeat(), "never ends"),
        (user_dataset().take(0), "no examples"),
    ],
)
def test_a_tf_data_dataset_of_another_structure_is_refused(data, match):
    with pytest.raises(ValueError, match=match):
        batches(data, SPEC)


def test_unsuitable_data_and_options_are_refused():
    source = from_arrays(np.zeros((4, 8, 8, 3), "uint8"), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="`data` holds texts, but the model takes images"):
        batches(from_arrays(["a", "b"], [0, 1]), SPEC)
    with pytest.raises(ValueError, match="holds no examples"):
        batches(source.subset([]), SPEC)
    with pytest.raises(TypeError, match=r"`data` must be Source.*tltk\.from_folder"):
        batches("photos", SPEC)
    with pytest.raises(ValueError, match=r"(?s)`batch_size` must.*`seed` must.*`shard` must"):
        batches(source, SPEC, batch_size=0, seed=-1, shard=(2, 2))
    with pytest.raises(TypeError, match="`augment` must be Augmentation"):
        batches(source, SPEC, augment=("flip",))
    with pytest.raises(ValueError, match="use its own cache"):
        batches(user_dataset(), SPEC, cache="memory")


MIRRORED = """
import sys, keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from tltk.modalities.batches import batches
from tltk import from_folder
from tltk.augment import flip
from tltk.specs import ImageSpec
loader = batches(from_folder(sys.argv[1]), ImageSpec(16, 16), batch_size=6, shuffle=True, augment=(flip(),))
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
seen = []
count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
history = model.fit(loader.dataset(), epochs=2, shuffle=False, verbose=0, callbacks=[count])
print("seen", len(seen), len(history.epoch), loader.steps_per_epoch)
"""


def test_two_replicas_share_each_batch(tmp_path):
    class_folder(tmp_path / "set", count=10)
    command = [sys.executable, "-c", MIRRORED, str(tmp_path / "set")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert "seen 8 2 4" in process.stdout, process.stderr[-2000:]


MEMORY = """
import resource, sys
from tltk.modalities.batches import batches
from tltk import from_folder
from tltk.specs import ImageSpec
source = from_folder(sys.argv[1])
for repeat in (1, int(sys.argv[2])):
    loader = batches(source.subset(list(range(len(source))) * repeat), ImageSpec(96, 96), batch_size=16, shuffle=True)
    seen = sum(len(images) for images, _ in loader.dataset())
    print(seen, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_peak_memory_does_not_grow_with_the_number_of_images(tmp_path):
    for number in range(200):
        path = tmp_path / "set" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded("jpg", seed=number, size=(96, 96)))
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "set"), "20"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=500, check=True)
    (few, before), (many, after) = [map(int, line.split()) for line in process.stdout.splitlines()]
    assert (few, many) == (200, 4000)
    assert after - before < 60, "4,000 decoded images would be 420 MB"
