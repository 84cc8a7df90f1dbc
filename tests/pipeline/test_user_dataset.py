import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf

from tltk.pipeline.user_dataset import BatchCheck, UserDataset, checked, count, flat, parts_of


class Even:
    """Targets must be even, and are halved."""

    def target_problem(self, targets):
        odd = targets[targets % 2 == 1]
        return f"{odd[0]} is odd" if len(odd) else ""

    def read_targets(self, targets):
        return targets // 2


def user(*targets, low=0.0, **options):
    inputs = np.arange(len(targets), dtype="float32") + low
    data = tf.data.Dataset.from_tensor_slices((inputs, np.array(targets), np.ones(len(targets)))).batch(2)
    batch_check = BatchCheck("train", lambda low, high, is_first: f"{low:g}" if not low >= 0 else "", **options)
    return checked(UserDataset(data, len(data), len(targets)), batch_check)


def test_elements_of_datasets_of_unknown_length_are_counted():
    data = tf.data.Dataset.range(10)
    assert count(data) == 10 and count(data.filter(lambda value: value > 6)) == 3
    with pytest.raises(ValueError, match="never ends"):
        count(data.repeat())
    with pytest.raises(ValueError, match="holds no examples"):
        count(data.filter(lambda value: value > 10))


def test_elements_are_tuples_of_one_to_three_parts():
    assert flat((("a", "b"),)) == ("a", "b") and flat(("a",)) == ("a",)
    assert parts_of("spec") == ("spec",) and parts_of(("a", "b")) == ("a", "b")


def test_right_batches_pass_with_converted_targets_and_weights():
    batches = list(user(2, 4, 6, targets=Even()).dataset)
    assert [targets.numpy().tolist() for _, targets, _ in batches] == [[1, 2], [3]]
    assert batches[1][2].numpy().tolist() == [1.0]


def test_a_wrong_target_is_named_with_its_batch_whenever_it_is_read():
    data = user(2, 4, 6, 8, 2, 3, targets=Even())
    data.read_first()
    with pytest.raises(ValueError, match="`train`, batch 2: 3 is odd"), data.explained():
        list(data.dataset)
    assert data.problem() == "`train`, batch 2: 3 is odd"
    assert len(list(user(2, 3).dataset)) == 1, "targets that nobody uses are not checked"


@pytest.mark.parametrize("low", [-5.0, np.nan, np.inf])
def test_inputs_are_checked_by_their_range(low):
    with pytest.raises(ValueError, match=r"batch 0: (-5|nan)"):
        user(2, 4, low=low).read_first()


def test_an_error_of_the_dataset_itself_is_explained():
    data = tf.data.Dataset.range(3).map(lambda value: tf.debugging.check_numerics(1 / (value - 1), "division"))
    with pytest.raises(ValueError, match=r"your tf.data.Dataset cannot be read. TensorFlow says: .*division"):
        checked(UserDataset(data, 3, 3), BatchCheck("train", lambda low, high, is_first: "")).read_first()


def test_the_check_is_freed_with_the_dataset():
    data = user(2, 4, targets=Even())
    reference = weakref.ref(data.batch_check)
    list(data.dataset)
    del data
    gc.collect()
    assert reference() is None


def test_weights_are_one_finite_number_per_example():
    def weighted(weights, **options):
        parts = (np.zeros(2, "float32"), np.array([2, 4]), np.array(weights))
        data = tf.data.Dataset.from_tensor_slices(parts).batch(2)
        return checked(UserDataset(data, 1, 2), BatchCheck("train", lambda low, high, is_first: "", **options))

    (batch,) = weighted([[1], [3]], targets=Even()).dataset
    assert batch[2].dtype == tf.float32 and batch[2].numpy().tolist() == [1, 3]
    with pytest.raises(ValueError, match="`train`, batch 0: row 1 has the sample weight -3"):
        weighted([1, -3], targets=Even()).read_first()
    with pytest.raises(ValueError, match=r"`train`: sample weights must be one number per example.*None, 2"):
        weighted([[1, 2], [3, 4]], targets=Even())
    weighted([[1, 2], [3, 4]])  # nobody uses them
