import keras
import pytest

from tests.conftest import conv_net
from tltk.trainability.layers import (
    is_normalization,
    is_normalization_with_statistics,
    layer_rows,
    model_and_stages,
    parameters,
    set_trainable,
    sublayers,
    sublayers_by_path,
)


def test_rows_follow_the_graph_and_count_every_weight():
    model = conv_net()
    rows = layer_rows(model)
    assert [row.name for row in rows][:3] == ["stem_conv", "stem_bn", "stem_relu"]
    assert sum(row.parameters for row in rows) == model.count_params()
    assert {row.stage for row in rows} == {""}


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


def test_a_value_that_is_not_a_model_is_a_type_error():
    with pytest.raises(TypeError, match=r"`model` must be a keras.Model or returned by tltk.assemble. Received: int"):
        model_and_stages(3)


def test_norms_are_recognized_by_their_type_or_by_their_name_and_weights():
    class T5LayerNorm(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), name="weight")

    class DenseNorm(keras.layers.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 2), name="kernel")

    class LayerScale(keras.layers.Layer):
        def build(self, shape):
            self.gamma = self.add_weight(shape=(shape[-1],), name="gamma")

    def built(layer):
        layer.build((None, 4))
        return layer

    for kind in ("BatchNormalization", "LayerNormalization", "RMSNormalization"):
        assert is_normalization(built(getattr(keras.layers, kind)()))
    assert is_normalization(built(keras.layers.GroupNormalization(groups=2)))
    assert is_normalization(built(T5LayerNorm()))
    assert not is_normalization(built(DenseNorm()))
    assert not is_normalization(built(LayerScale()))
    assert not is_normalization(built(keras.layers.Dense(2)))


def test_sublayers_are_named_by_their_path_and_numbered():
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.layers_in_it = [keras.layers.Dense(2), keras.layers.Dense(2), keras.layers.Dense(2, name="out")]
            self.again = keras.layers.Dense(2, name="out")
            self.inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="inner")

    first, second = sublayers_by_path(Block()), sublayers_by_path(Block())
    assert sorted(first) == ["dense", "dense_1", "inner", "inner/dense", "out", "out~"]
    assert list(first) == list(second)
    dense = keras.layers.Dense(2, name="alone")
    assert sublayers_by_path(dense) == {"alone": dense}


def test_flags_are_set_containers_first():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="a")], name="inner")
    outer = keras.Sequential([keras.Input((2,)), inner], name="outer")
    dense = inner.layers[0]
    set_trainable([(dense, True), (inner, False), (outer, True)])
    assert (outer.trainable, inner.trainable, dense.trainable) == (True, False, True)
