"""Cached features equal computed ones, are computed anew after any change, and do not alter training."""

import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests import ROOT
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.images import class_folder, damaged_png, solid_png
from tltk.data.formats.folder import from_folder
from tltk.feature_cache import compute as compute_module
from tltk.feature_cache.batches import feature_batches
from tltk.modalities.batches import batches
from tltk.modalities.image.augment import copies, flip, standard
from tltk.modalities.modality import modality_of
from tltk.models.frozen_split import split_frozen_prefix
from tltk.optimizers.spec import sgd
from tltk.pipeline.batching import Budget
from tltk.recipes import Recipe
from tltk.specs import ImageSpec


def prefix_of(model, plan=None):
    return split_frozen_prefix(model.keras, (plan or tltk.freeze("backbone")).resolve(model)).prefix


def model_of(source):
    return tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))


def reader_of(source, spec):
    return modality_of(spec).reader(source, spec)


def compute(prefix, source, spec, **options):
    return compute_module.compute(prefix, reader_of(source, spec), source, **options)


def stored_batches(records, source, spec, prefix, **options):
    return feature_batches(records, reader_of(source, spec), source, prefix, targets=source.targets, **options)


def features(loader, epoch=0):
    return [(np.asarray(inputs), np.asarray(targets)) for inputs, targets in loader.dataset(epoch)]


@pytest.fixture
def computed_counts(monkeypatch):
    """A list to which every computation appends the number of records that it computes."""
    counts = []
    original = compute_module._Computation.fill

    def fill(self, missing, write):
        counts.append(len(missing))
        original(self, missing, write)

    monkeypatch.setattr(compute_module._Computation, "fill", fill)
    return counts


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_stored_batches_equal_the_outputs_of_the_prefix_in_the_same_order(where, tmp_path):
    model, source = squares_model(dropout=0.3), squares(20)
    prefix = prefix_of(model, tltk.unfreeze_from("conv3"))
    records = compute(prefix, source, model.input_spec, batch_size=8, folder=tmp_path if where == "disk" else None)
    stored = stored_batches(records, source, model.input_spec, prefix, batch_size=8, encode=model.task.encode, seed=3)
    computed = batches(source, model.input_spec, batch_size=8, encode=model.task.encode, shuffle=True, seed=3)
    for epoch in range(2):
        pairs = zip(features(stored, epoch), features(computed, epoch), strict=True)
        for (stored_features, targets), (images, expected_targets) in pairs:
            np.testing.assert_array_equal(targets, expected_targets)
            np.testing.assert_allclose(stored_features, prefix(images, training=False), rtol=1e-5, atol=1e-5)


def test_each_epoch_reads_one_of_the_stored_copies():
    model, source = squares_model(), squares(10)
    prefix, fixed = prefix_of(model), copies(standard(), 3)
    records = compute(prefix, source, model.input_spec, batch_size=4, augment=fixed, seed=7)
    assert records.count == 30
    stored = stored_batches(records, source, model.input_spec, prefix, batch_size=4)
    computed = batches(source, model.input_spec, batch_size=4, augment=fixed, seed=7)
    epochs = [[batch[0] for batch in features(stored, epoch)] for epoch in range(4)]
    for epoch, stored_features in enumerate(epochs):
        for values, (images, _) in zip(stored_features, features(computed, epoch), strict=True):
            np.testing.assert_allclose(values, prefix(images, training=False), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(epochs[0][0], epochs[3][0])
    assert np.any(epochs[0][0] != epochs[1][0])


def weights_after(cache, phase, *, precision="float32"):
    keras.utils.set_random_seed(1)
    model = squares_model(dropout=0.1, precision=precision)
    run = tltk.fit(
        model, squares(24), squares(16, seed=2), recipe=Recipe("one", (phase,)), batch_size=8, cache=cache, seed=3
    )
    return model.keras.get_weights(), [row["loss"] for row in run.history]


PHASE = tltk.linear_probe(epochs=4).phases[0]
PHASES = {
    "head": PHASE,
    "head, copies": replace(PHASE, augment=standard(), augmentations_per_example=2),
    "conv3": replace(PHASE, plan=tltk.unfreeze_from("conv3")),
    "conv3, copies": replace(PHASE, plan=tltk.unfreeze_from("conv3"), augment=standard(), augmentations_per_example=3),
    "new augmentation every epoch": replace(PHASE, augment=standard()),
    "everything trained": replace(PHASE, plan=tltk.train_all()),
}


@functools.cache
def weights_without_cache(name):
    return weights_after("off", PHASES[name])


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("head", "auto"),
        ("new augmentation every epoch", "auto"),  # nothing is stored for this phase and the next one
        ("everything trained", "folder"),
        ("head", "memory"),
        ("head, copies", "folder"),
        ("conv3", "folder"),
        ("conv3, copies", "memory"),
    ],
)
def test_training_gives_the_same_weights_with_and_without_the_cache(name, where, tmp_path):
    expected_weights, expected_losses = weights_without_cache(name)
    weights, losses = weights_after(tmp_path / "cache" if where == "folder" else where, PHASES[name])
    np.testing.assert_allclose(expected_losses, losses, rtol=1e-5)
    for expected, weight in zip(expected_weights, weights, strict=True):
        np.testing.assert_allclose(expected, weight, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


def test_a_cached_phase_computes_each_element_once(computed_counts):
    weights_after("memory", PHASE)
    assert computed_counts == [24, 16]


def test_unreadable_images_are_left_out_with_and_without_the_cache(tmp_path):
    class_folder(tmp_path / "set", count=6)
    damaged_png(tmp_path / "set" / "dog" / "0002.png")
    source = from_folder(tmp_path / "set")
    losses = []
    for cache in ("off", "memory", tmp_path / "cache"):
        keras.utils.set_random_seed(1)
        model = model_of(source)
        run = tltk.fit(model, source, recipe=tltk.linear_probe(epochs=2), batch_size=4, cache=cache)
        assert [example.example_id for example in run.invalid] == ["dog/0002.png"]
        losses.append([row["loss"] for row in run.history])
    without_cache, *with_cache = losses
    for cached in with_cache:
        np.testing.assert_allclose(without_cache, cached, rtol=1e-5)


def test_the_key_depends_on_everything_that_the_features_depend_on(tmp_path):
    folder = tmp_path / "cache"
    source = from_folder(class_folder(tmp_path / "set", count=3))
    model = model_of(source)
    prefix = prefix_of(model)

    def new_entries(data=source, spec=model.input_spec, **options):
        before = set(folder.iterdir()) if folder.exists() else set()
        compute(options.pop("prefix", prefix), data, spec, folder=folder, batch_size=4, **options)
        return len(set(folder.iterdir()) - before)

    assert new_entries() == 1
    assert new_entries() == 0, "nothing changed"
    assert new_entries(data=source.subset([5, 4, 3, 2, 1, 0])) == 1
    assert new_entries(spec=replace(model.input_spec, resize="pad")) == 1
    assert new_entries(dtype="bfloat16") == 1
    assert new_entries(augment=copies(flip(), 2)) == 1
    assert new_entries(augment=copies(flip(), 2), seed=1) == 1
    assert new_entries(augment=copies(flip(vertical=True), 2)) == 1
    assert new_entries(prefix=prefix_of(model, tltk.unfreeze_from("conv3"))) == 1
    solid_png(tmp_path / "set" / "cat" / "0001.png", (250, 250, 250), size=(15, 15))
    assert new_entries() == 1, "an image changed"
    kernel = next(layer for layer in model.keras.layers if layer.weights and "bn" not in layer.name).weights[0]
    kernel.assign(kernel + 1e-3)
    assert new_entries() == 1, "a weight changed"
    equal_model = model_of(source)
    equal_model.keras.set_weights(model.keras.get_weights())
    assert new_entries(prefix=prefix_of(equal_model)) == 0, "another model with the same weights"


def test_bfloat16_features_take_half_the_space():
    model, source = squares_model(), squares(8)
    prefix = prefix_of(model, tltk.unfreeze_from("conv3"))
    full = compute(prefix, source, model.input_spec, batch_size=4)
    half = compute(prefix, source, model.input_spec, batch_size=4, dtype="bfloat16")
    assert half.layout.record_bytes * 2 == full.layout.record_bytes
    features = next(iter(stored_batches(half, source, model.input_spec, prefix, batch_size=4).dataset()))[0]
    assert features.dtype == "float32"
    np.testing.assert_allclose(features, full.read(np.arange(4))[0], rtol=1e-2, atol=1e-2)


def test_precisions_and_batch_sizes_have_entries_of_their_own(tmp_path):
    source, folder = squares(8), tmp_path / "cache"
    backbone = tltk.backbone("mobilenet_v2", weights="random", image_size=32)
    task = tltk.classification(source.labels)
    full, half = (tltk.assemble(backbone, task, precision=name) for name in ("float32", "mixed_bfloat16"))
    half.keras.set_weights(full.keras.get_weights())
    features = [tltk.embed(model, source, cache=folder).features for model in (full, half)]
    assert len(list(folder.iterdir())) == 2
    assert not np.array_equal(*features)
    np.testing.assert_array_equal(features[1], tltk.embed(half, source).features)
    tltk.embed(full, source, batch_size=4, cache=folder)
    assert len(list(folder.iterdir())) == 3


def test_no_more_copies_are_computed_than_there_are_epochs(computed_counts):
    recipe = tltk.linear_probe(epochs=2, augment=(flip(),), augmentations_per_example=10)
    tltk.fit(squares_model(), squares(8), recipe=recipe, cache="memory")
    assert computed_counts == [16]


def test_features_of_unknown_shape_are_rejected():
    pixels = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="only be stored with fixed shapes"):
        compute_module.layout_of(keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels)))


def test_data_without_a_readable_image_is_an_error(tmp_path):
    for number in range(3):
        damaged_png(solid_png(tmp_path / "set" / "a" / f"{number}.png", (0, 0, 0)))
    solid_png(tmp_path / "set" / "b" / "x.png", (0, 0, 0))
    source = from_folder(tmp_path / "set").subset([0, 1, 2])
    with pytest.raises(ValueError, match=r"none of the 3 examples could be decoded: a/0.png"):
        compute(prefix_of(squares_model()), source, ImageSpec(16, 16))


def test_stored_features_are_bit_identical_if_batches_are_in_order():
    model, source = squares_model(dropout=0.3), squares(20)
    prefix = prefix_of(model)
    records = compute(prefix, source, model.input_spec, batch_size=5)
    traced = tf.function(lambda pixels: prefix(pixels, training=False))
    loader = batches(source, model.input_spec, batch_size=5)
    for start, (images, _) in zip(range(0, 20, 5), loader.dataset(), strict=True):
        np.testing.assert_array_equal(records.read(np.arange(start, start + 5))[0], traced(images))


def test_the_position_of_an_image_in_its_batch_may_change_its_last_bits():
    backbone = tltk.backbone("resnet50", weights="random", image_size=64)
    body, _ = backbone.build()
    images = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3)).astype("float32")
    order = np.random.default_rng(1).permutation(8)
    traced = tf.function(lambda pixels: body(pixels, training=False))
    expected = traced(tf.constant(images)).numpy()[order]
    reordered = traced(tf.constant(images[order])).numpy()
    np.testing.assert_allclose(expected, reordered, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.optimized
def test_a_real_backbone_trains_to_the_same_weights_with_and_without_the_cache():
    # SGD, because Adam divides by the size of the gradient and amplifies differences in the last bits.
    options = {"optimizer": sgd(1e-3), "epochs": 3, "augment": standard(), "augmentations_per_example": 2}
    phase = replace(PHASE, plan=tltk.unfreeze_from("conv5"), **options)
    rng = np.random.default_rng(0)
    source = tltk.from_arrays(rng.integers(0, 255, (16, 64, 64, 3)).astype("uint8"), np.arange(16) % 2)
    backbone = tltk.backbone("resnet_18_imagenet", weights="random", image_size=64)
    model = tltk.assemble(backbone, tltk.classification(source.labels), precision="float32")
    weights, start = [], model.keras.get_weights()
    for cache in ("off", "memory"):
        model.keras.set_weights(start)
        tltk.fit(model, source, recipe=Recipe("one", (phase,)), batch_size=8, cache=cache)
        weights.append(model.keras.get_weights())
    for expected, weight in zip(*weights, strict=True):
        np.testing.assert_allclose(expected, weight, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(expected).max())))


def _weights_after_training_on_texts(model, source, phase, cache):
    tltk.fit(model, source, recipe=Recipe("one", (phase,)), batch_size=8, cache=cache)
    return model.keras.get_weights()


@pytest.mark.slow
@pytest.mark.optimized
def test_minilm_trains_to_the_same_weights_with_and_without_the_cache():
    source = tltk.from_arrays(["word " * (3 + number * 7 % 40) + "end" for number in range(24)], ["a", "b"] * 12)
    phase = replace(PHASE, plan=tltk.unfreeze_from("block5"), optimizer=sgd(1e-2), epochs=2)
    backbone = tltk.backbone("all_minilm_l6_v2_en")
    model = tltk.assemble(backbone, tltk.classification(source.labels), precision="float32")
    weights, start = [], model.keras.get_weights()
    for cache in ("off", "memory"):
        model.keras.set_weights(start)
        weights.append(_weights_after_training_on_texts(model, source, phase, cache))
    for expected, weight in zip(*weights, strict=True):
        np.testing.assert_allclose(expected, weight, rtol=1e-4, atol=1e-5)
    assert any(not np.array_equal(after, before) for after, before in zip(weights[0], start, strict=True))


def test_the_prefix_of_a_text_model_has_several_outputs(tmp_path):
    from tests.texts import text_model, texts, tiny_preset

    model, source = text_model(tiny_preset(tmp_path / "tiny")), texts()
    prefix = prefix_of(model, tltk.unfreeze_from("block2"))
    with pytest.raises(ValueError, match="only be stored with fixed shapes"):
        compute_module.layout_of(prefix)
    longest = int(reader_of(source, model.input_spec).lengths.max())
    spec = replace(model.input_spec, pad_to=longest)
    records = compute(prefix, source, spec, batch_size=4)
    assert records.layout.shapes == ((longest, 16), (longest,), (longest,))
    stored = next(iter(stored_batches(records, source, spec, prefix, batch_size=4).dataset()))[0]
    ids = next(iter(batches(source, spec, batch_size=4).dataset()))[0]
    for features, expected in zip(stored, keras.tree.flatten(prefix(ids, training=False)), strict=True):
        np.testing.assert_allclose(features, expected, atol=1e-5)


def test_batches_of_stored_texts_are_padded_to_their_longest_text(tmp_path):
    from tests.texts import VOCABULARY, text_model, tiny_preset

    model = text_model(tiny_preset(tmp_path / "tiny"))
    rng = np.random.default_rng(0)
    source = tltk.from_arrays(
        [" ".join(rng.choice(VOCABULARY[5:15], size)) for size in rng.integers(1, 28, 40)], ["bad", "good"] * 20
    )
    prefix = prefix_of(model, tltk.unfreeze_from("block2"))
    records = compute(prefix, source, replace(model.input_spec, pad_to=32), batch_size=8)
    for size, seed in ((8, None), (8, 5), (Budget(64), 5)):
        stored = stored_batches(records, source, model.input_spec, prefix, batch_size=size, seed=seed)
        computed = batches(source, model.input_spec, batch_size=size, shuffle=seed is not None, seed=seed or 0)
        lengths = set()
        for (inputs, labels), (ids, expected_labels) in zip(stored.dataset(1), computed.dataset(1), strict=True):
            np.testing.assert_array_equal(labels, expected_labels)
            for features, expected in zip(inputs, keras.tree.flatten(prefix(ids, training=False)), strict=True):
                assert features.shape == expected.shape
                np.testing.assert_allclose(features, expected, atol=1e-5)
            lengths.add(ids.shape[1])
        assert len(lengths) > 1


MEMORY = """
import json, resource, shutil, sys
sys.path[:0] = [{root!r}]
import keras, tltk
from pathlib import Path
from tests.images import class_folder
from tltk.recipes import Recipe
from dataclasses import replace
pixels = keras.Input((28, 28, 3), name="pixels")
x = keras.layers.Conv2D(256, 1, name="low")(pixels)       # 28 × 28 × 256 float32, as large as ResNet50's conv4 output
x = keras.layers.Conv2D(8, 1, name="high")(x)
backbone = tltk.backbone(keras.Model(pixels, x), stages={{"low": "low", "high": "high"}})
phase = replace(tltk.linear_probe(epochs=2).phases[0], plan=tltk.unfreeze_from("high"))
for count in (256, 1024):                                 # the peak of the first is below that of the second
    folder = Path(sys.argv[1]) / str(count)
    source = tltk.from_folder(class_folder(folder / "set", count=count // 2))
    model = tltk.assemble(backbone, tltk.classification(source.labels), precision="float32")
    tltk.fit(model, source, recipe=Recipe("one", (phase,)), batch_size=16, cache=folder / "cache")
    stored = sum(path.stat().st_size for path in (folder / "cache").rglob("records.bin"))
    print(json.dumps({{"stored": stored, "resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}}))
    shutil.rmtree(folder)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_stored_features(tmp_path):
    command = [sys.executable, "-c", MEMORY.format(root=str(ROOT)), str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True, check=True, timeout=500)
    few, many = sizes = [json.loads(line) for line in process.stdout.splitlines()]
    assert many["stored"] - few["stored"] == (1024 - 256) * 28 * 28 * 256 * 4
    slope = (many["resident"] - few["resident"]) / (many["stored"] - few["stored"])
    assert slope < 0.2, sizes  # 8 GB stored: at most 1.6 GB; 0.08 was measured


def test_a_last_batch_of_unreadable_images_is_listed_as_invalid(tmp_path):
    class_folder(tmp_path / "set", count=5)
    for number in (3, 4):
        damaged_png(tmp_path / "set" / "dog" / f"000{number}.png")
    source, model = from_folder(tmp_path / "set"), squares_model(classes=2)
    records = compute(prefix_of(model), source, model.input_spec, batch_size=4)
    assert set(records.invalid) == {8, 9}


def test_features_too_large_for_float16_are_rejected():
    pixels = keras.Input((16, 16, 3))
    large = keras.Model(pixels, keras.layers.Rescaling(1e4)(pixels))
    with pytest.raises(ValueError, match=r"above 65504 do not fit into dtype='float16'. Use 'bfloat16'"):
        compute(large, squares(4), ImageSpec(16, 16), batch_size=4, dtype="float16")


def test_a_file_rewritten_with_equal_size_and_time_has_another_fingerprint(tmp_path):
    source = from_folder(class_folder(tmp_path / "set", count=2))
    path = Path(source.examples[0])
    state, before = path.stat(), reader_of(source, ImageSpec(16, 16)).fingerprint()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert reader_of(source, ImageSpec(16, 16)).fingerprint() != before


def test_equal_bytes_of_another_shape_have_another_fingerprint():
    pixels = np.arange(4 * 32 * 64 * 3, dtype="uint8").reshape(4, 32, 64, 3)
    first, second = tltk.from_arrays(pixels), tltk.from_arrays(pixels.reshape(4, 64, 32, 3))
    fingerprints = {reader_of(source, ImageSpec(16, 16)).fingerprint() for source in (first, second)}
    assert len(fingerprints) == 2


def test_an_interrupted_computation_is_resumed(tmp_path, monkeypatch):
    model, source = squares_model(), squares(20)
    prefix = prefix_of(model)
    original = compute_module._Computation.fill

    def killed(self, missing, write):
        original(self, missing[:8], write)
        raise KeyboardInterrupt

    monkeypatch.setattr(compute_module._Computation, "fill", killed)
    with pytest.raises(KeyboardInterrupt):
        compute(prefix, source, model.input_spec, folder=tmp_path, batch_size=4)
    counts = []

    def fill(self, missing, write):
        counts.append(len(missing))
        original(self, missing, write)

    monkeypatch.setattr(compute_module._Computation, "fill", fill)
    resumed = compute(prefix, source, model.input_spec, folder=tmp_path, batch_size=4)
    assert counts == [12]
    uninterrupted = compute(prefix, source, model.input_spec, batch_size=4)
    np.testing.assert_array_equal(resumed.read(np.arange(20))[0], uninterrupted.read(np.arange(20))[0])
