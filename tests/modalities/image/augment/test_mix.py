"""mixup and cutmix: images and targets are blended in the same proportions."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.modalities.image.augment.examples import rectangles, seed_of, smooth_batch
from tltk import augment as a
from tltk.modalities.image.augment.mix import beta

each_augmentation = pytest.mark.parametrize("augmentation", [a.mixup(1.0), a.cutmix()], ids=lambda record: record.name)


def mixed(augmentation, seed=(2, 3)):
    images, targets = smooth_batch()
    return [part.numpy() for part in augmentation.build()(tf.constant(images), tf.constant(targets), seed_of(*seed))]


@each_augmentation
def test_targets_are_blended_in_the_proportions_of_the_images(augmentation):
    changed, targets = mixed(augmentation)
    assert targets.sum(1) == pytest.approx(np.ones(8), abs=1e-5)
    assert (targets >= 0).all() and ((targets > 0.01).sum(1) <= 2).all() and (targets.max(1) < 0.999).any()
    # The third channel is 30 × the index of the example: its mean shows the proportion of each image.
    assert changed[..., 2].mean((1, 2)) == pytest.approx(targets @ (30.0 * np.arange(8)), abs=0.01)


@each_augmentation
def test_each_image_draws_its_own_weight(augmentation):
    _, targets = mixed(augmentation)
    assert len(np.unique(np.diag(targets).round(4))) > 4


def test_mixup_blends_all_pixels_with_the_weights_of_the_targets():
    images, _ = smooth_batch()
    changed, targets = mixed(a.mixup(1.0))
    np.testing.assert_allclose(changed, np.einsum("bk,khwc->bhwc", targets, images), atol=0.01)


def test_cutmix_pastes_one_rectangle():
    changed, targets = mixed(a.cutmix())
    for number, (image, target) in enumerate(zip(changed[..., 2], targets, strict=True)):
        pasted = image != 30 * number
        assert pasted.mean() == pytest.approx(1 - target[number], abs=1e-5)
        rows, columns = pasted.any(1), pasted.any(0)
        np.testing.assert_array_equal(pasted, rows[:, None] & columns)
        assert (np.diff(rows.astype(int)) == 1).sum() <= 1 and (np.diff(columns.astype(int)) == 1).sum() <= 1


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 5.0])
def test_weights_have_a_beta_distribution(alpha):
    drawn = beta(tf.zeros([4000, 1]), seed_of(1, 2), alpha).numpy()
    assert np.isfinite(drawn).all() and drawn.min() >= 0 and drawn.max() <= 1
    if alpha == 0.01:  # nearly all weights are 0 or 1, which the test below cannot rank
        assert np.mean(drawn < 0.5) == pytest.approx(0.5, abs=0.03)
        assert np.mean((drawn > 0.01) & (drawn < 0.99)) == pytest.approx(
            np.diff(stats.beta(0.01, 0.01).cdf([0.01, 0.99]))[0], abs=0.02
        )
    else:
        assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.001


def test_gamma_variables_themselves_would_underflow():
    first, second = (tf.random.stateless_gamma([4000], seed_of(1, number), 0.01).numpy() for number in (2, 3))
    assert np.mean(first / (first + second) == 0.5) > 0.1


@each_augmentation
def test_targets_that_cannot_be_blended_are_refused(augmentation):
    images, targets = rectangles()
    apply = augmentation.build()
    with pytest.raises(ValueError, match=rf"{augmentation.name} blends targets.*a dict of 'boxes', 'labels', 'masks'"):
        apply(images, targets, seed_of(0, 1))
    with pytest.raises(ValueError, match=r"float vectors \[b, k\].*Received: int32 of rank 1"):
        tf.function(apply).get_concrete_function(images, tf.range(12), seed_of(0, 1))


@each_augmentation
def test_half_precision_targets_keep_their_dtype(augmentation):
    images, targets = smooth_batch()
    assert augmentation.build()(tf.constant(images), tf.cast(targets, tf.float16), seed_of(0, 1))[1].dtype == tf.float16


@pytest.mark.parametrize("make", [lambda: a.mixup(0), lambda: a.cutmix(float("nan"))])
def test_values_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match="`alpha` must be a number above 0"):
        make()
