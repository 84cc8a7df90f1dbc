"""Changes of the last layer."""

import numpy as np
from scipy.special import expit, log_softmax, softmax

from tltk.balancing.last_layer import LastLayer, log_loss, mean_over, probabilities_of

GENERATOR = np.random.default_rng(0)
LAYER = LastLayer(GENERATOR.normal(size=(4, 3)).astype("float32"), np.array([0.5, 0.0, -1.0], "float32"))
FEATURES = GENERATOR.normal(size=(5, 4)).astype("float32")


def test_a_shift_is_subtracted_from_the_logits():
    shift = np.log([0.7, 0.2, 0.1])
    np.testing.assert_allclose(LAYER.shifted(shift).logits(FEATURES), LAYER.logits(FEATURES) - shift, rtol=1e-5)


def test_norms_are_equal_with_tau_1_and_kept_with_tau_0():
    normalized = LAYER.normalized(1.0)
    norms = np.linalg.norm(normalized.kernel, axis=0)
    np.testing.assert_allclose(norms, np.linalg.norm(LAYER.kernel, axis=0).mean(), rtol=1e-5)
    assert not normalized.bias.any()
    np.testing.assert_allclose(LAYER.normalized(0.0).kernel, LAYER.kernel)
    half = LAYER.normalized(0.5).kernel / LAYER.kernel * np.sqrt(np.linalg.norm(LAYER.kernel, axis=0))
    np.testing.assert_allclose(half, half[0, 0], rtol=1e-5)


def test_a_temperature_divides_the_logits():
    np.testing.assert_allclose(LAYER.divided(2.0).logits(FEATURES), LAYER.logits(FEATURES) / 2, rtol=1e-5)


def test_rows_of_a_group_are_averaged():
    assert mean_over(None, FEATURES) is FEATURES
    averaged = mean_over(np.array([2, 0, 2, 2, 0]), FEATURES)
    np.testing.assert_allclose(averaged, [FEATURES[[1, 4]].mean(0), FEATURES[[0, 2, 3]].mean(0)])


def test_probabilities_and_losses():
    logits, targets = LAYER.logits(FEATURES), np.eye(3)[[0, 1, 2, 0, 1]]
    np.testing.assert_allclose(probabilities_of(logits, exclusive=True), softmax(logits, axis=1))
    np.testing.assert_allclose(probabilities_of(logits, exclusive=False), expit(logits))
    np.testing.assert_allclose(
        log_loss(targets, logits, exclusive=True), -log_softmax(logits, axis=1)[targets > 0].mean(), rtol=1e-5
    )
    binary = -(targets * np.log(expit(logits)) + (1 - targets) * np.log(expit(-logits)))
    np.testing.assert_allclose(log_loss(targets, logits, exclusive=False), binary.mean(), rtol=1e-5)
