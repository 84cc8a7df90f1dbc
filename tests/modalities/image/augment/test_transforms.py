"""Augmentations: pure functions of (batch, seed), eagerly and inside tf.data alike."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.image.augment import transforms as t

ALL = [
    t.flip(),
    t.flip(vertical=True),
    t.flip(horizontal=False, vertical=True),
    t.crop_resize(),
    t.rotate(30),
    t.colour(brightness=0.3),
    t.colour(contrast=0.5),
    t.colour(saturation=0.5),
    t.colour(hue=0.2),
    t.colour(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1),
    t.rand_augment(),
    t.mixup(1.0),
    t.cutmix(),
]
IDS = ["-".join(str(value) for value in augmentation.to_config().values()) for augmentation in ALL]
MIXING = [augmentation for augmentation in ALL if augmentation.name in t.MIXING]


def batch(count: int = 8, size: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Smooth coloured pictures, no two alike, and one-hot targets."""
    places = np.linspace(0, 255, size)
    images = np.zeros((count, size, size, 3), "float32")
    images[..., 0], images[..., 1] = places, places[:, None]
    images[..., 2] = 30 * np.arange(count)[:, None, None]
    return images, np.eye(count, dtype="float32")


def eager(augmentations, seed, images=None):
    given, targets = batch()
    apply = t.chain(augmentations)
    start = tf.constant(given if images is None else images), tf.constant(targets), tf.constant(seed, tf.int64)
    return [part.numpy() for part in apply(*start)]


def streamed(augmentations, seed):
    images, targets = batch()
    apply = t.chain(augmentations)
    dataset = tf.data.Dataset.from_tensors((images, targets))
    mapped = dataset.map(lambda x, y: apply(x, y, tf.constant(seed, tf.int64)), num_parallel_calls=2)
    return [part.numpy() for part in next(iter(mapped))]


@pytest.mark.parametrize("augmentation", ALL, ids=IDS)
def test_each_changes_pictures_and_keeps_range_shape_and_type(augmentation):
    images, _ = batch()
    changed, targets = eager((augmentation,), [3, 4])
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert targets.shape == (8, 8) and targets.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 255
    assert np.abs(changed - images).max() > 1
    assert changed.max() > 10  # still a picture in 0 … 255, not in 0 … 1


@pytest.mark.parametrize("augmentation", ALL, ids=IDS)
def test_each_is_a_function_of_batch_and_seed_alone(augmentation):
    first, _ = eager((augmentation,), [3, 4])
    np.random.seed(7)
    keras.utils.set_random_seed(99)
    again, _ = eager((augmentation,), [3, 4])
    others = [eager((augmentation,), [3, other])[0] for other in range(5, 10)]
    np.testing.assert_array_equal(first, again)
    assert any(np.abs(first - other).max() > 0.5 for other in others)


@pytest.mark.parametrize("augmentation", ALL, ids=IDS)
def test_each_does_the_same_eagerly_and_inside_tf_data(augmentation):
    for mine, theirs in zip(eager((augmentation,), [5, 6]), streamed((augmentation,), [5, 6]), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-3)


@pytest.mark.parametrize("augmentation", ALL, ids=IDS)
def test_a_stream_gives_the_same_batches_whatever_ran_before(augmentation):
    images, targets = batch()
    apply = t.chain((augmentation,))
    dataset = tf.data.Dataset.range(4).map(
        lambda number: apply(tf.constant(images), tf.constant(targets), tf.stack([1, number]))[0], num_parallel_calls=4
    )
    first, second = ([part.numpy() for part in dataset] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(next(iter(dataset.skip(3))).numpy(), first[3])


@pytest.mark.parametrize("augmentation", ALL, ids=IDS)
def test_each_survives_the_way_through_json(augmentation):
    assert t.from_config(json.loads(json.dumps(augmentation.to_config()))) == augmentation


@pytest.mark.parametrize("augmentation", [a for a in ALL if a.name not in t.MIXING], ids=lambda a: a.name)
def test_pictures_of_one_batch_are_changed_differently(augmentation):
    images = np.repeat(batch(2)[0][1:], 16, 0)
    if augmentation.name == "rand_augment":
        pytest.skip("Keras draws the operations for a batch")
    changed, _ = eager((augmentation,), [1, 2], images=images)
    assert any(np.abs(picture - changed[0]).max() > 0.5 for picture in changed[1:])


@pytest.mark.parametrize("augmentation", MIXING, ids=lambda a: a.name)
def test_mixing_gives_targets_that_sum_to_one_and_follow_the_pictures(augmentation):
    changed, targets = eager((augmentation,), [2, 3])
    assert targets.sum(1) == pytest.approx(np.ones(8), abs=1e-5)
    assert (targets >= 0).all() and ((targets > 0.01).sum(1) <= 2).all() and (targets.max(1) < 0.999).any()
    # The third channel is 30 × the example's number, so that its mean tells how much of each picture is there.
    mean = changed[..., 2].mean((1, 2))
    assert mean == pytest.approx(targets @ (30.0 * np.arange(8)), abs=12 if augmentation.name == "cutmix" else 0.5)


def test_flips_mirror_along_the_axis_asked_for():
    images, _ = batch()
    for augmentation, mirrored in ((t.flip(), images[:, :, ::-1]), (ALL[2], images[:, ::-1])):
        changed, _ = eager((augmentation,), [0, 1])
        same = [np.allclose(a, b, atol=1e-3) for a, b in zip(changed, images, strict=True)]
        turned = [np.allclose(a, b, atol=1e-3) for a, b in zip(changed, mirrored, strict=True)]
        assert all(a != b for a, b in zip(same, turned, strict=True))
        assert any(turned) and any(same)


def test_a_crop_of_everything_changes_nothing():
    images, _ = batch()
    changed, _ = eager((t.crop_resize(scale=(1.0, 1.0), ratio=(1.0, 1.0)),), [0, 1])
    np.testing.assert_allclose(changed, images, atol=1e-2)


def test_colour_leaves_what_was_not_asked_for():
    grey = np.full((8, 8, 8, 3), 100, "float32")
    np.testing.assert_allclose(eager((t.colour(saturation=0.9),), [0, 1], images=grey)[0], grey, atol=0.5)
    np.testing.assert_allclose(eager((t.colour(hue=0.4),), [0, 1], images=grey)[0], grey, atol=0.5)
    shifts = eager((t.colour(brightness=0.2),), [0, 1], images=grey)[0] - grey
    assert np.ptp(shifts, axis=(1, 2, 3)) == pytest.approx(0, abs=1e-3)
    assert np.abs(shifts).max() <= 0.2 * 255 + 1e-3


def test_a_chain_gives_each_step_its_own_seed():
    once = eager((t.colour(brightness=0.3),), [1, 1])[0] - batch()[0]
    twice = eager((t.colour(brightness=0.3), t.colour(brightness=0.3)), [1, 1])[0] - batch()[0]
    assert not np.allclose(twice, 2 * once, atol=1)


def test_the_global_random_state_of_keras_is_left_alone():
    def drawn():
        keras.utils.set_random_seed(5)
        return keras.random.normal((3,)).numpy()

    before = drawn()
    keras.utils.set_random_seed(5)
    eager((*t.standard(), t.mixup()), [1, 2])
    np.testing.assert_array_equal(keras.random.normal((3,)).numpy(), before)


def test_the_standard_mix_is_gentle():
    assert [augmentation.name for augmentation in t.standard()] == ["flip", "crop_resize", "colour"]
    changed, _ = eager(t.standard(), [1, 2])
    assert np.abs(changed.mean() - batch()[0].mean()) < 40


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: t.flip(horizontal=False), "needs `horizontal` or `vertical`"),
        (lambda: t.crop_resize(scale=(0.9, 0.5), ratio=(0, 1)), r"(?s)`scale` must be.*`ratio` must be"),
        (lambda: t.crop_resize(scale=(0.5, 1.5)), "`scale` must be two rising numbers above 0 and at most 1"),
        (lambda: t.crop_resize(scale=(0.5,)), "`scale` must be two"),
        (lambda: t.rotate(0), "`degrees` must be a number above 0"),
        (lambda: t.rotate(270), "`degrees` must be at least 0 and at most 180"),
        (t.colour, "needs one of brightness"),
        (lambda: t.colour(brightness=2, hue=0.6), r"(?s)`brightness` must.*`hue` must be at least 0 and at most 0.5"),
        (lambda: t.rand_augment(operations=0), "`operations` must be a number above 0"),
        (lambda: t.rand_augment(magnitude=1.5), "`magnitude` must be at least 0 and at most 1"),
        (lambda: t.mixup(0), "`alpha` must be a number above 0"),
        (lambda: t.cutmix(float("nan")), "`alpha` must be a number above 0"),
        (lambda: t.from_config({"name": "flipp"}), r"`name` must be one of.*Did you mean 'flip'"),
        (lambda: t.from_config({}), "`name` must be one of"),
        (lambda: t.from_config({"name": "colour", "bright": 0.1}), r"no key 'bright'.*Did you mean 'brightness'"),
    ],
)
def test_what_cannot_be_is_refused(make, match):
    with pytest.raises(ValueError, match=match):
        make()
