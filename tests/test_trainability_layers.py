import keras
import pytest

from tests.conftest import conv_net
from tltk.trainability.layers import is_normalization_with_statistics, model_and_stages, parameters, rows, sublayers


def test_rows_follow_the_graph_and_count_every_weight():
    model = conv_net()
    found = rows(model)
    assert [row.name for row in found][:3] == ["stem_conv", "stem_bn", "stem_relu"]
    assert sum(row.parameters for row in found) == model.count_params()
    assert {row.stage for row in found} == {""}


def test_sublayers_come_outermost_first_and_an_operation_has_none():
    inner = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(1, name="a"), keras.layers.Dense(1, name="b")], name="s"
    )
    assert sublayers(inner)[0] is inner
    x = keras.Input((2,))
    operation = keras.ops.abs(x)._keras_history.operation
    assert sublayers(operation) == []
    assert parameters(operation) == 0


def test_only_batch_norm_keeps_statistics():
    assert is_normalization_with_statistics(keras.layers.BatchNormalization())
    assert not is_normalization_with_statistics(keras.layers.LayerNormalization())


def test_what_is_no_model_is_told():
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model or what tltk.assemble returned. Received: int"):
        model_and_stages(3)
