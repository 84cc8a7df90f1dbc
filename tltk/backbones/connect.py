"""Builds the graph of a backbone, from the raw input to the features of its stages."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tltk.backbones.base import Backbone, Origin, require_stages
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.modalities.modality import modality_of

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, eq=False)
class Connected:
    """A backbone as a graph.

    Args:
        network: Images float32 [batch, height, width, channels] in [0, 255], or token ids int32 [batch, tokens] →
            {stage: float [batch, h, w, channels] or [batch, tokens, channels]}.
        mask: True for real tokens, bool [batch, tokens]; None where nothing is padded.
        origin: Where the weights came from.
    """

    network: "keras.Model"
    mask: "keras.KerasTensor | None"
    origin: Origin


def connect(backbone: Backbone, endpoints: tuple[str, ...] = ()) -> Connected:
    """Build raw input → preprocessing → network as one flat graph in which every layer is called once.

    A model of the user's own without preprocessing is used as it is, so that both share one graph and its weights. With
    preprocessing it is copied, weights included: Keras cannot put operations in front of a graph.

    Args:
        backbone: From `tltk.backbone`; its weights are found and read now.
        endpoints: Names of stages whose features are wanted; the default is the last one.

    Returns:
        The graph.

    Raises:
        NotFound: If no pretrained weights are found.
        InvalidInput: If there is no such stage, or a model that needs preprocessing cannot be copied.

    Examples:
        >>> import tltk
        >>> mobile = tltk.backbone("mobilenet_v2", weights="random", image_size=64)
        >>> {name: tensor.shape for name, tensor in connect(mobile, ("conv3", "conv5")).network.output.items()}
        {'conv3': (None, 8, 8, 32), 'conv5': (None, 2, 2, 1280)}
    """
    import keras

    body, origin = backbone.build()
    network = keras.Model(body.inputs[0], _features(body, backbone, endpoints), name=body.name)
    is_user_model = backbone.weights == "model"
    if not is_user_model:
        network = _on_raw_input(backbone, network)
    elif not backbone.preprocessing.is_identity:
        network = _on_raw_input(backbone, _copy(network))
    return Connected(network, modality_of(backbone.input_spec).mask(network.inputs[0], backbone.input_spec), origin)


def _features(body: "keras.Model", backbone: Backbone, endpoints: tuple[str, ...]) -> "dict[str, keras.KerasTensor]":
    """Return {stage: its output}; layers after the last declared stage belong to it, except in a pyramid."""
    require_stages(backbone, endpoints)
    last = backbone.stages[-1].name
    outputs = {node.operation.name: node.outputs[0] for node in graph.nodes(body)}
    features = {stage.name: outputs[stage.last] for stage in backbone.stages} | {last: body.outputs[0]}
    return {name: features[name] for name in endpoints or (last,)}


def _on_raw_input(backbone: Backbone, network: "keras.Model") -> "keras.Model":
    """Put the raw input and the preprocessing in front of a network, and drop the former calls of its layers."""
    import keras

    spec = backbone.input_spec
    inputs = keras.Input(spec.shape, dtype=spec.dtype, name=spec.name)
    preprocessed = backbone.preprocess(inputs)
    taken = {operation.name for operation in network.operations if not isinstance(operation, keras.layers.InputLayer)}
    graph.make_names_unique(graph.ancestor_nodes([preprocessed]), taken)
    features = graph.call_layers(network, preprocessed)
    private.forget_calls(network)
    return keras.Model(inputs, features, name=network.name)


def _copy(network: "keras.Model") -> "keras.Model":
    import keras

    try:
        copy = keras.models.clone_model(network)
    except (NotImplementedError, TypeError, ValueError) as error:
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInput(
            f"{network.name!r} cannot be copied, which `preprocessing` needs: {message} Give its layers a "
            "`get_config`, or build the preprocessing into your model as its first layers."
        ) from error
    copy.set_weights(network.get_weights())
    return copy
