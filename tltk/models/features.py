"""What enters the head of a model, and models that compute it."""

import keras

from tltk.backbones.base import Backbone
from tltk.backbones.connect import connect
from tltk.foundation import hardware as machine
from tltk.foundation import keras_graph as graph
from tltk.heads import builder as heads
from tltk.models.transfer_model import TransferModel
from tltk.trainability.layers import HEAD


def endpoints(model: TransferModel) -> dict[str, keras.KerasTensor]:
    """Return what enters the head.

    Args:
        model: Assembled or adopted.

    Returns:
        Stage → its features, from the input to the output. For an adopted model without a head stage, what enters its
        last layer with weights, under the name "".
    """
    nodes = graph.nodes(model.keras)
    head = [node for node in nodes if model.stages.get(node.operation.name) == HEAD]
    if not head:
        last = [node for node in nodes if getattr(node.operation, "weights", ())][-1]
        return {"": last.input_tensors[0]}
    entering = {id(tensor) for node in head for tensor in node.input_tensors}
    outputs = [(model.stages.get(node.operation.name), tensor) for node in nodes for tensor in node.outputs]
    # Masks enter the head as well: the operations that make them belong to no stage.
    by_stage = {stage: tensor for stage, tensor in outputs if id(tensor) in entering and stage not in (None, HEAD)}
    return by_stage or {"": head[0].input_tensors[0]}


def features(model: TransferModel) -> keras.KerasTensor:
    """Return the features of the last stage that enters the head."""
    return list(endpoints(model).values())[-1]


def extractor(model: TransferModel, pooling: str | None) -> keras.Model:
    """Build the model that `tltk.embed` runs: input → features, sharing the layers of a model.

    Args:
        model: Trained or not; its head is left out.
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
        FileNotFoundError: If no pretrained weights are found.
    """
    with machine.dtype_policy(machine.precision(precision, fast_bfloat16=backbone.fast_bfloat16)):
        connected = connect(backbone)
        return _pooled(connected.network, connected.network.outputs[0], pooling, mask=connected.mask)


def _pooled(
    network: keras.Model, tensor: keras.KerasTensor, pooling: str | None, *, mask: keras.KerasTensor | None
) -> keras.Model:
    pooled = tensor if pooling is None else heads.pool(tensor, pooling, mask=mask)
    graph.name_added(network, pooled)
    return keras.Model(network.inputs[0], pooled)
