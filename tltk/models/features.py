"""Features of a model, which are the inputs of its head, and models that compute them."""

import keras

from tltk.backbones.base import Backbone
from tltk.backbones.connect import connect
from tltk.foundation import hardware
from tltk.foundation import keras_graph as graph
from tltk.heads import builder as heads
from tltk.models.transfer_model import TransferModel
from tltk.trainability.layers import HEAD


def endpoints(model: TransferModel) -> dict[str, keras.KerasTensor]:
    """Return the features that the head uses.

    Args:
        model: Assembled or adopted.

    Returns:
        Stage → features, in the order from input to output. For an adopted model without a head stage: "" → input of
        the last layer with weights.
    """
    nodes = graph.nodes(model.keras)
    head = [node for node in nodes if model.stages.get(node.operation.name) == HEAD]
    if not head:
        last = [node for node in nodes if getattr(node.operation, "weights", ())][-1]
        return {"": last.input_tensors[0]}
    head_inputs = {id(tensor) for node in head for tensor in node.input_tensors}
    outputs = [(model.stages.get(node.operation.name), tensor) for node in nodes for tensor in node.outputs]
    # Masks are inputs of the head as well; the operations that compute them have no stage.
    by_stage = {stage: tensor for stage, tensor in outputs if id(tensor) in head_inputs and stage not in (None, HEAD)}
    return by_stage or {"": head[0].input_tensors[0]}


def features(model: TransferModel) -> keras.KerasTensor:
    """Return the features of the last stage that the head uses."""
    return list(endpoints(model).values())[-1]


def extractor(model: TransferModel, pooling: str | None) -> keras.Model:
    """Build the model that `tltk.embed` runs: input → features. It shares the layers of the given model.

    Args:
        model: Trained or not; its head is not used.
        pooling: As in `tltk.embed`.

    Returns:
        A functional model.
    """
    return _pooled(model.keras, features(model), pooling, mask=model.mask())


def backbone_extractor(backbone: Backbone, pooling: str | None, *, precision: str = "auto") -> keras.Model:
    """Build the model that `tltk.embed` runs for a backbone alone; its weights are located and read now.

    Args:
        backbone: From `tltk.backbone`.
        pooling: As in `tltk.embed`.
        precision: As in `tltk.assemble`.

    Returns:
        A functional model.

    Raises:
        NotFound: If no pretrained weights are found.
    """
    with hardware.dtype_policy(hardware.precision(precision, fast_bfloat16=backbone.fast_bfloat16)):
        connected = connect(backbone)
        return _pooled(connected.network, connected.network.outputs[0], pooling, mask=connected.mask)


def _pooled(
    network: keras.Model, tensor: keras.KerasTensor, pooling: str | None, *, mask: keras.KerasTensor | None
) -> keras.Model:
    pooled = tensor if pooling is None else heads.pool(tensor, pooling, mask=mask)
    graph.rename_added(network, pooled)
    return keras.Model(network.inputs[0], pooled)
