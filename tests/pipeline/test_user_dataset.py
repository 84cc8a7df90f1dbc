import pytest
import tensorflow as tf

from tltk.pipeline.user_dataset import count, flat, parts_of


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
