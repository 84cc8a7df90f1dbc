"""`tltk.adopt`: use an existing Keras model with tltk."""

from collections import Counter
from typing import Any

import keras

from tltk.backbones.base import Origin, Preprocessing, Stage, check_stage_order, operation_stages
from tltk.backbones.image.user_model import named_stages
from tltk.backbones.user_model import check_input, wrong_dtype
from tltk.foundation import checks as check
from tltk.foundation import familiar
from tltk.foundation import keras_graph as graph
from tltk.foundation.errors import InvalidInput
from tltk.modalities.modality import MODALITIES
from tltk.models.flat_copy import FlatCopy, has_nested_models
from tltk.models.transfer_model import TransferModel
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task
from tltk.trainability.layers import HEAD


@familiar.arguments
def adopt(
    model: keras.Model,
    task: Task,
    *,
    spec: Any = None,
    preprocessing: Preprocessing | None = None,
    stages: dict[str, str] | None = None,
    from_logits: bool | None = None,
) -> TransferModel:
    """Use your own Keras model with tltk: train, evaluate, predict with and export it like an assembled model.

    The layers are shared with your model, so that training changes it too. Only a model that contains other models, or
    gets a `preprocessing` is copied first, because Keras cannot put operations in front of a
    graph. The layers of nested models become layers of one flat model, so that plans can name each of them.

    Args:
        model: A functional or built sequential model with one input and one output. Images: pixels
            [batch, height, width, channels] in [0, 255] (RGB, grey or others). Texts: token ids [batch, tokens].
        task: Meaning of the outputs, such as `tltk.classification(class_names)`. Classes are probabilities or logits
            [batch, classes]; for two classes also one output, the second class.
        spec: Input format. Default for images: stretch them to the input shape of the model. Required for texts (a
            `tltk.TextSpec`) and for models of images of any size (a `tltk.ImageSpec`).
        preprocessing: What the model expects to be done to pixels in [0, 255] first, such as
            `tltk.backbones.Preprocessing(scale=(1 / 255,))`.
        stages: {stage name: name of its last layer}, in order, for plans that name stages; the layers after the last
            stage are the head. Default: each nested model that has weights is a stage.
        from_logits: Whether the outputs are logits, which become probabilities. Default: whether the last layer is
            linear.

    Returns:
        The model as a TransferModel.

    Raises:
        InvalidType: If `model` is not a Keras model.
        InvalidInput: If the model cannot be adopted; lists every problem.

    Examples:
        >>> import tltk
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
        >>> adopt(model, tltk.classification(["cat", "dog"])).input_spec.shape
        (8, 8, 3)
    """
    check.instance_of("model", model, keras.Model, hint="Load a file with keras.models.load_model(path).")
    require_task(task)
    if from_logits is not None:
        check.instance_of("from_logits", from_logits, bool, hint="Pass True, False or None.")
    original = _functional(model)
    problems = check.Problems()
    own_spec = _own_spec(original, spec, problems)
    read_spec = None if own_spec is None else _read_spec(own_spec, task, problems)
    if preprocessing is not None:
        check.instance_of("preprocessing", preprocessing, Preprocessing, hint="Pass tltk.backbones.Preprocessing(…).")
        preprocessing = None if preprocessing.is_identity else preprocessing
        if "float" not in original.inputs[0].dtype:
            problems.add(f"`preprocessing` needs pixels. Received: an input of dtype {original.inputs[0].dtype}")
    problems.raise_if_any(f"{model.name!r} cannot be adopted:")
    task = task.for_input(read_spec)
    network, nested_ends = _flat(original, read_spec, preprocessing)
    outputs: Any = None
    try:
        outputs = task.adopt_outputs(network.output, from_logits=from_logits)
    except InvalidInput as error:
        problems.add(str(error))
    stage_of = _stages(network, stages, nested_ends, problems)
    problems.raise_if_any(f"{model.name!r} cannot be adopted:")
    if outputs is not network.output:
        graph.rename_added(network, outputs)
        network = keras.Model(network.inputs[0], outputs, name=network.name)
    if stage_of:
        stage_of = {operation.name: stage_of.get(operation.name, HEAD) for operation in network.operations}
    return TransferModel(
        network, task, read_spec, stage_of, model.name, Origin("model", None, None), _precision(network)
    )


def _functional(model: keras.Model) -> keras.Model:
    """Return the model, or a sequential model as a functional one that shares its layers.

    Raises:
        InvalidInput: If it has no graph of layers, several inputs, or no weights.
    """
    if isinstance(model, keras.Sequential) and not model.built:
        raise InvalidInput(
            f"{model.name!r} is not built yet, so that its layers have no weights. Begin it with keras.Input(shape), "
            "or call model.build((None, height, width, channels))."
        )
    flat = graph.as_functional(model)
    if flat is None:
        raise InvalidInput(
            f"{model.name!r} is a subclassed model ({type(model).__name__}), whose layers have no graph. Build it as "
            "keras.Model(inputs, outputs), with outputs = model.call(inputs) or layer by layer."
        )
    if len(flat.inputs) != 1:
        names = check.listing((tensor.name for tensor in flat.inputs), limit=6)
        raise InvalidInput(f"{model.name!r} must have one input. Received: {len(flat.inputs)} inputs ({names})")
    if not flat.weights:
        raise InvalidInput(f"{model.name!r} has no weights: there is nothing to train.")
    return flat if flat is model else keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _own_spec(model: keras.Model, spec: Any, problems: check.Problems) -> Any:
    """Return the input format of a model, from its shape if it is not given; None if that is not possible."""
    inputs = model.inputs[0]
    if spec is not None:
        check_input(inputs, spec, problems)
        return spec
    shape = tuple(inputs.shape[1:])
    inferred = (modality.spec_from_shape(shape, inputs.dtype) for modality in MODALITIES.values())
    spec = next((inferred_spec for inferred_spec in inferred if inferred_spec is not None), None)
    if spec is None and len(shape) == 3 and "float" not in inputs.dtype:
        problems.add(wrong_dtype(inputs, "float32"))
    elif spec is None:
        problems.add(
            f"its input is {inputs.dtype} of shape {inputs.shape}. Pass `spec`: tltk.ImageSpec(height, width) for "
            "images, tltk.TextSpec(tokenizer, sequence_length) for token ids"
        )
    elif len(shape) == 3 and shape[0] in (1, 3, 4) and shape[0] < min(shape[1:]):
        channels, height, width = shape
        problems.add(
            f"its input of shape {inputs.shape} seems to have the channels first, and tltk passes them last. Rebuild "
            f"it: x = keras.Input({(height, width, channels)}); "
            "model = keras.Model(x, model(keras.layers.Permute((3, 1, 2))(x))). Or pass `spec` if they are last"
        )
    else:
        check_input(inputs, spec, problems)
    return spec


def _read_spec(spec: Any, task: Task, problems: check.Problems) -> Any:
    """Return the format that tltk reads for a task."""
    try:
        return task.input_spec(spec)
    except InvalidInput as error:
        problems.add(str(error))
        return spec


def _flat(model: keras.Model, spec: Any, preprocessing: Preprocessing | None) -> tuple[keras.Model, dict[str, str]]:
    """Return a flat model that takes the format `spec`, and the end of each nested model: name → operation."""
    if preprocessing is None and not has_nested_models(model):
        return model, {}
    original = model.inputs[0]
    x = inputs = keras.Input(original.shape[1:], dtype=original.dtype, name=spec.name)
    x = x if preprocessing is None else preprocessing.apply(x)
    added = graph.ancestor_nodes([x])
    graph.make_names_unique(added, set())
    flat_copy = FlatCopy(taken={node.operation.name for node in added})
    return keras.Model(inputs, flat_copy.call(model, x), name=model.name), flat_copy.nested_ends


def _stages(
    network: keras.Model, stages: dict[str, str] | None, nested_ends: dict[str, str], problems: check.Problems
) -> dict[str, str]:
    """Return the stage of every operation but those of the head; empty without stages.

    Of nested models, the last one is the head if no other layer with weights follows it.
    """
    if stages is None and not nested_ends:
        return {}
    try:
        if stages is not None:
            check_stage_order(network, named_stages(stages))
        declared = (nested_ends if stages is None else stages).items()
        stage_of = operation_stages(network, (Stage(name, last) for name, last in declared))
    except InvalidInput as error:
        problems.add(f"`stages`: {error}")
        return {}
    if any(layer.weights and layer.name not in stage_of for layer in network.layers):
        return stage_of
    if stages is not None:
        problems.add("`stages`: no layer with weights follows the last stage. Leave out the head, which needs no name")
        return {}
    last = list(nested_ends)[-1]
    remaining = {name: stage for name, stage in stage_of.items() if stage != last}
    return remaining if len(nested_ends) > 1 else {}


def _precision(network: keras.Model) -> str:
    """Return the dtype policy that most layers with weights have."""
    policies = Counter(layer.dtype_policy.name for layer in network.layers if layer.weights)
    return policies.most_common(1)[0][0]
