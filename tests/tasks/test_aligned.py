"""Losses and metrics on tokens see only positions that have a target, in one shape."""

import keras
import numpy as np
import pytest

from tltk.tasks.aligned import AlignedLoss, AlignedMetric
from tltk.tasks.question_answering import SpanAccuracy, SpanCrossEntropy, align_ends
from tltk.tasks.token_classification import TokenCrossEntropy, align_tags

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy()


def tokens():
    generator = np.random.default_rng(0)
    outputs = generator.dirichlet(np.ones(5), (4, 6)).astype("float32")
    return generator.integers(-1, 5, (4, 9)).astype("int32"), outputs  # targets are padded further than outputs


def test_the_cross_entropy_of_tags_is_that_of_the_task():
    targets, outputs = tokens()
    weights = np.array([1, 2, 0, 0.5], "float32")
    own = AlignedLoss(CROSS_ENTROPY, align_tags)
    for options in ((), (weights,)):
        expected = TokenCrossEntropy()(targets, outputs, *options)
        np.testing.assert_allclose(own(targets, outputs, *options), expected, rtol=1e-6)


def test_the_reduction_is_that_of_the_loss():
    targets, outputs = tokens()
    weights = np.array([1, 2, 0, 0.5], "float32")
    by_weight = AlignedLoss(keras.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"), align_tags)
    by_count = AlignedLoss(CROSS_ENTROPY, align_tags)(targets, outputs, weights)
    np.testing.assert_allclose(by_weight(targets, outputs, weights), by_count * 4 / 3.5, rtol=1e-6)


def test_the_cross_entropy_of_answers_is_that_of_the_task():
    logits = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
    targets = np.array([[0, 0], [1, 3], [2, 2]], "int32")
    own = AlignedLoss(keras.losses.SparseCategoricalCrossentropy(from_logits=True), align_ends)
    np.testing.assert_allclose(own(targets, logits), SpanCrossEntropy()(targets, logits), rtol=1e-6)
    accuracy = AlignedMetric(keras.metrics.SparseCategoricalAccuracy(), align_ends)
    accuracy.update_state(logits.argmax(1), logits)
    assert float(accuracy.result()) == 1 == float(SpanAccuracy()(logits.argmax(1), logits))


def test_a_metric_counts_labelled_tokens_and_weights():
    targets, outputs = tokens()
    shown = targets[:, :6]
    correct, labelled = outputs.argmax(-1) == shown, shown >= 0
    metric = AlignedMetric(keras.metrics.SparseCategoricalAccuracy(name="tags"), align_tags)
    metric.update_state(targets, outputs)
    assert (metric.name, float(metric.result())) == ("tags", pytest.approx(correct[labelled].mean()))
    metric.reset_state()
    weights = np.array([1, 2, 0, 0.5], "float32")
    metric.update_state(targets, outputs, sample_weight=weights)
    by_token = np.broadcast_to(weights[:, None], shown.shape)[labelled]
    assert float(metric.result()) == pytest.approx(np.average(correct[labelled], weights=by_token))


def test_both_are_rebuilt_by_keras():
    loss = keras.losses.deserialize(keras.losses.serialize(AlignedLoss(CROSS_ENTROPY, align_tags)))
    assert loss.align is align_tags and isinstance(loss.loss, type(CROSS_ENTROPY))
    metric = AlignedMetric(keras.metrics.SparseCategoricalAccuracy(name="tags"), align_ends)
    rebuilt = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert (rebuilt.name, rebuilt.metric.name, rebuilt.align) == ("tags", "tags", align_ends)
