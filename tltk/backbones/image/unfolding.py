"""Unfolds layers of KerasHub that contain layers, so that plans see each one, and models load with Keras alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import keras

from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private

if TYPE_CHECKING:
    from keras import KerasTensor


@dataclass
class Unfolding:
    """Copies the layers of a KerasHub model onto new inputs as one flat graph.

    The copies have the weights of the originals, but share nothing with them. Nested models are flattened, and layers
    of KerasHub in `CALLS` are replaced by the layers and operations that their `call` consists of.

    Attributes:
        tensors: Id of a tensor of the model, or of a model inside it → tensor of the flat graph.
    """

    tensors: "dict[int, KerasTensor]" = field(default_factory=dict)
    _copies: dict[int, tuple[Any, Any]] = field(default_factory=dict)  # id of a layer → layer, copy
    _models: list[Any] = field(default_factory=list)  # ids of tensors are unique only while their models exist

    def call(self, model: keras.Model, inputs: "KerasTensor") -> Any:
        """Call copies of the layers of a model on new inputs.

        Args:
            model: Functional model with one input; its graph can be used no more.
            inputs: Keras tensor that takes the place of its input.

        Returns:
            Keras tensors in the structure of `model.output`.
        """
        outputs = self._model(model, [inputs], name="", original="")
        for used in self._models:
            private.forget_calls(used)
        for layer, copied in self._copies.values():
            copied.set_weights(layer.get_weights())
        graph.make_names_unique(graph.ancestor_nodes(keras.tree.flatten(outputs), until=[inputs]), set())
        return outputs

    def _model(self, model: keras.Model, inputs: "list[KerasTensor]", *, name: str, original: str) -> Any:
        """Call the layers of a model, whose names begin with `name` instead of `original`, the name of their layer."""
        self._models.append(model)
        self.tensors.update(zip(map(id, model.inputs), inputs, strict=True))
        siblings: dict[str, int] = {}
        for node in graph.nodes(model):
            if node.is_input:
                continue
            arguments, options = node.arguments.fill_in(self.tensors)
            outputs = self._layer(node.operation, arguments, options, name=name, original=original, siblings=siblings)
            # The replacement of a layer may return the first ones of its outputs only.
            self.tensors.update(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=False))
        return keras.tree.map_structure(lambda tensor: self.tensors[id(tensor)], model.output)

    def _layer(
        self, operation: Any, arguments: Any, options: dict, *, name: str, original: str, siblings: dict[str, int]
    ) -> Any:
        nested = graph.as_functional(operation)
        if nested is not None:
            return self._model(nested, keras.tree.flatten(arguments[0]), name=name, original=original)
        if isinstance(operation, keras.layers.Identity):
            return arguments[0]
        new_name = _joined(name, original, graph.sibling_name(operation, siblings))
        call = CALLS.get(type(operation).__name__) if type(operation).__module__.startswith("keras_hub.") else None
        if call is not None:
            received = (*arguments, *(options[key] for key in ("inputs_embeds",) if key in options))
            inputs = keras.tree.map_structure(lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype), received)
            inner = keras.Model(keras.tree.flatten(inputs), call(operation, *inputs))
            return self._model(inner, keras.tree.flatten(received), name=new_name, original=operation.name)
        is_layer = isinstance(operation, keras.Layer)
        return (self._copy(operation, new_name) if is_layer else operation)(*arguments, **options)

    def _copy(self, layer: Any, name: str) -> Any:
        """Return a copy of a layer; a layer without weights gets another one for every call."""
        if id(layer) not in self._copies or not layer.weights:
            self._copies[id(layer)] = layer, type(layer).from_config({**layer.get_config(), "name": name})
        return self._copies[id(layer)][1]


def _joined(parent: str, original: str, name: str) -> str:
    """Return the name of a layer inside a layer: some begin with the name of the outer one already."""
    if original and name.startswith(original):
        return parent + name.removeprefix(original)
    return f"{parent}_{name}" if parent else name


def _own_call(layer: Any, *inputs: Any) -> Any:
    return layer.call(*inputs)


def _spatial_pyramid_pooling(layer: Any, x: "KerasTensor") -> "KerasTensor":
    """Return the outputs of DeepLabV3's `SpatialPyramidPooling`; its own call resizes to a size that is a tensor."""
    branches = [branch(x) for branch in layer.aspp_parallel_channels]
    branches[-1] = keras.layers.UpSampling2D(x.shape[1:3], name="pooling_enlarged")(branches[-1])
    return layer.projection(keras.layers.Concatenate(name="branches")(branches))


def _mit_block(layer: Any, x: "KerasTensor") -> "KerasTensor":
    """Return the outputs of MiT's `HierarchicalTransformerEncoder`, which cannot be loaded from a .keras file.

    Args:
        layer: A block of the encoder of SegFormer.
        x: float [batch, positions, channels]; the positions are those of a square.
    """
    attention, mlp = layer.attn, layer.mlp
    attended = _mit_attention(attention, _named(layer.norm1, "norm1")(x))
    x = keras.layers.Add(name="attention_skip")([x, _drop_path(layer.drop_path, attended, "attention_drop_path")])
    side = round(x.shape[1] ** 0.5)
    hidden = _named(mlp.fc1, "mlp_up")(_named(layer.norm2, "norm2")(x))
    hidden = keras.layers.Reshape((side, side, hidden.shape[-1]), name="mlp_grid")(hidden)
    hidden = _named(mlp.dwconv, "mlp_depthwise")(hidden)
    hidden = keras.layers.Reshape((x.shape[1], hidden.shape[-1]), name="mlp_positions")(hidden)
    hidden = _named(mlp.fc2, "mlp_down")(keras.ops.gelu(hidden))
    return keras.layers.Add(name="mlp_skip")([x, _drop_path(layer.drop_path, hidden, "mlp_drop_path")])


def _mit_attention(layer: Any, x: "KerasTensor") -> "KerasTensor":
    positions, channels = x.shape[1:]
    query, source = _named(layer.q, "query")(x), x
    if layer.sr_ratio > 1:
        side = round(positions**0.5)
        source = keras.layers.Reshape((side, side, channels), name="reduction_grid")(source)
        source = _named(layer.sr, "reduction")(source)
        source = keras.layers.Reshape((-1, channels), name="reduction_positions")(source)
        source = _named(layer.norm, "reduction_norm")(source)
    key, value = _named(layer.k, "key")(source), _named(layer.v, "value")(source)
    heads = {
        name: keras.ops.transpose(
            keras.ops.reshape(tensor, (-1, tensor.shape[1], layer.num_heads, channels // layer.num_heads)), (0, 2, 1, 3)
        )
        for name, tensor in (("query", query), ("key", key), ("value", value))
    }
    weights = keras.ops.matmul(heads["query"], keras.ops.transpose(heads["key"], (0, 1, 3, 2))) * layer.scale
    weights = _named(layer.dropout, "attention_dropout")(keras.ops.softmax(weights, axis=-1))
    mixed = keras.ops.transpose(keras.ops.matmul(weights, heads["value"]), (0, 2, 1, 3))
    mixed = keras.ops.reshape(mixed, (-1, positions, channels))
    return _named(layer.proj_drop, "projection_dropout")(_named(layer.proj, "projection")(mixed))


def _drop_path(layer: Any, x: "KerasTensor", name: str) -> "KerasTensor":
    """Leave out whole examples in training, as KerasHub's `DropPath` of a rate does."""
    return keras.layers.Dropout(layer.rate, noise_shape=(None, 1, 1), name=name)(x) if layer.rate else x


def _hybrid_encoder(layer: Any, levels: "list[KerasTensor]") -> "list[KerasTensor]":
    """Return the levels that D-FINE's `DFineHybridEncoder` passes to the decoder, the finest first.

    Its own call also returns attentions, and reshapes to a batch size that is a tensor.
    """
    levels = list(levels)
    if layer.num_encoder_layers > 0:
        for encoder, index in zip(layer.encoder, layer.encode_proj_layers, strict=True):
            rows, columns, channels = levels[index].shape[1:]
            x = keras.layers.Reshape((rows * columns, channels), name=f"positions_{index}")(levels[index])
            positions = layer.build_2d_sincos_position_embedding(
                columns, rows, layer.encoder_hidden_dim, layer.positional_encoding_temperature
            )
            for block in encoder.encoder_layer:
                x = _encoder_block(block, x, keras.ops.convert_to_numpy(positions))
            levels[index] = keras.layers.Reshape((rows, columns, channels), name=f"grid_{index}")(x)
    merged = [levels[-1]]
    for number, (lateral, block) in enumerate(zip(layer.lateral_convs, layer.fpn_blocks, strict=True)):
        merged[-1] = lateral(merged[-1])
        larger = keras.layers.UpSampling2D(2, name=f"upsample_{number}")(merged[-1])
        joined = keras.layers.Concatenate(name=f"fpn_concat_{number}")([larger, levels[-2 - number]])
        merged.append(block(joined))
    merged.reverse()
    outputs = [merged[0]]
    for number, (downsample, block) in enumerate(zip(layer.downsample_convs, layer.pan_blocks, strict=True)):
        smaller = downsample(outputs[-1])
        joined = keras.layers.Concatenate(name=f"pan_concat_{number}")([smaller, merged[number + 1]])
        outputs.append(block(joined))
    return outputs


def _encoder_block(layer: Any, x: "KerasTensor", positions: Any) -> "KerasTensor":
    """Return the outputs of D-FINE's `DFineEncoderLayer`.

    Args:
        layer: A transformer block.
        x: float [batch, positions, channels].
        positions: Sine position embedding, float32 [1, positions, channels].
    """
    name, is_pre_norm, attention = layer.name, layer.normalize_before, layer.self_attn
    norm = _named(layer.self_attn_layer_norm, f"{name}_attention_norm")
    normed = norm(x) if is_pre_norm else x
    placed = keras.ops.add(normed, positions)
    query = _named(attention.q_proj, f"{name}_query")(placed) * attention.scaling
    key = _named(attention.k_proj, f"{name}_key")(placed)
    value = _named(attention.v_proj, f"{name}_value")(normed)
    weights = keras.ops.softmax(keras.ops.einsum("bthd,bshd->bhts", query, key), axis=-1)
    weights = _named(attention.dropout, f"{name}_attention_dropout")(weights)
    mixed = keras.ops.einsum("bhts,bshd->bthd", weights, value)
    mixed = keras.layers.Reshape(x.shape[1:], name=f"{name}_attention_heads")(mixed)
    mixed = _named(attention.out_proj, f"{name}_projection")(mixed)
    dropout = layer.dropout_layer.rate
    mixed = keras.layers.Dropout(dropout, name=f"{name}_projection_dropout")(mixed)
    x = keras.layers.Add(name=f"{name}_attention_skip")([x, mixed])
    x = x if is_pre_norm else norm(x)
    final_norm = _named(layer.final_layer_norm, f"{name}_mlp_norm")
    x = final_norm(x) if is_pre_norm else x
    hidden = _named(layer.activation_fn_layer, f"{name}_activation")(_named(layer.fc1, f"{name}_mlp_up")(x))
    hidden = _named(layer.activation_dropout_layer, f"{name}_activation_dropout")(hidden)
    hidden = _named(layer.fc2, f"{name}_mlp_down")(hidden)
    hidden = keras.layers.Dropout(dropout, name=f"{name}_mlp_dropout")(hidden)
    x = keras.layers.Add(name=f"{name}_mlp_skip")([x, hidden])
    return x if is_pre_norm else final_norm(x)


def _named(layer: Any, name: str) -> Any:
    layer.name = name  # that of its copy
    return layer


CALLS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        (
            "FeaturePyramid",
            "OverlappingPatchingAndEmbedding",
            "HGNetV2Embeddings",
            "HGNetV2Encoder",
            "HGNetV2Stage",
            "HGNetV2BasicLayer",
            "HGNetV2ConvLayer",
            "HGNetV2ConvLayerLight",
            "DFineConvNormLayer",
            "DFineRepVggBlock",
            "DFineCSPRepLayer",
            "DFineFeatureAggregationBlock",
            "DFineSCDown",
        ),
        _own_call,
    ),
    "SpatialPyramidPooling": _spatial_pyramid_pooling,
    "HierarchicalTransformerEncoder": _mit_block,
    "DFineHybridEncoder": _hybrid_encoder,
}
