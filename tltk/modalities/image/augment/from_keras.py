"""Keras layers and functions as augmentations: stored by `keras.saving`, and seeded by tltk."""

import inspect
import itertools
import json
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput, InvalidType
from tltk.foundation.keras_graph import is_library_module
from tltk.modalities.augmentation import Augmentation, Targets, Transform, fold_in, register_augmentation

# Layers of Keras that change colors and move no pixels, so that boxes and masks stay as they are.
PHOTOMETRIC_LAYERS = (
    "AutoContrast",
    "Equalization",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomErasing",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPosterization",
    "RandomSaturation",
    "RandomSharpness",
    "Solarization",
)
GEOMETRIC_LAYERS = (
    "RandAugment",
    "RandomElasticTransform",
    "RandomFlip",
    "RandomPerspective",
    "RandomRotation",
    "RandomShear",
    "RandomTranslation",
    "RandomZoom",
)
_INSTEAD = {
    "AugMix": "tltk.augment.rand_augment(), since it draws with Python's random when it is traced",
    "CenterCrop": "the backbone's resize mode: tltk.backbone(name, resize='crop')",
    "CutMix": "tltk.augment.cutmix(), which blends the targets too",
    "MixUp": "tltk.augment.mixup(), which blends the targets too",
    "Normalization": "nothing: the model contains the preprocessing of its backbone",
    "RandomCrop": "tltk.augment.crop_resize(), which keeps the size of the images",
    "Rescaling": "nothing: the model contains the preprocessing of its backbone",
    "Resizing": "nothing: images have the size of the model already",
}
# Beginnings of the names of TensorFlow operations with a hidden random state; the others are called Stateless….
_UNSEEDED_OPERATIONS = (
    "Random",
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "StatefulRandom",
    "StatefulStandardNormal",
    "StatefulTruncatedNormal",
    "StatefulUniform",
    "TruncatedNormal",
)
_PIXELS = (0, 255)


def as_augmentations(augment: Any) -> tuple[Augmentation, ...]:
    """Convert what a recipe takes as `augment` to records.

    Args:
        augment: One or several of: augmentations of `tltk.augment`; Keras layers that change images but not their
            labels, or a `keras.Sequential` or `keras.layers.Pipeline` of them; registered functions (see
            docs/augment.md).

    Returns:
        The records, in order.

    Raises:
        InvalidType: If a value is something else.
        InvalidInput: If a layer or function cannot be used as an augmentation, or not be stored.

    Examples:
        >>> as_augmentations(keras.layers.RandomFlip("horizontal"))[0].name
        'keras_layer'
    """
    values = augment if isinstance(augment, list | tuple) else (augment,)
    records: list[Augmentation] = []
    for value in values:
        if isinstance(value, keras.Sequential | keras.layers.Pipeline):
            records += as_augmentations(list(value.layers))
        elif isinstance(value, keras.layers.Layer):
            records.append(_layer_record(value))
        elif callable(value) and not isinstance(value, type):
            records.append(_function_record(value))
        else:
            hint = "Pass augmentations such as tltk.augment.flip(), Keras layers, or functions image → image."
            check.instance_of("augment", value, Augmentation, hint=hint)
            records.append(value)
    return tuple(records)


def keras_layer(layer: dict[str, Any]) -> Augmentation:
    """Describe a Keras layer as an augmentation, from its configuration; recipes take the layer itself.

    Args:
        layer: Result of `keras.saving.serialize_keras_object`.

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If Keras cannot rebuild the layer.
    """
    _rebuilt_layer(layer)
    return Augmentation("keras_layer", (("layer", layer),))


def registered_function(function: str) -> Augmentation:
    """Describe a function as an augmentation, by the name it has in `keras.saving`; recipes take the function itself.

    Args:
        function: Registered name, such as "my_package>darken".

    Returns:
        The augmentation.

    Raises:
        InvalidInput: If no function is registered under this name.
    """
    if not callable(keras.saving.get_registered_object(function)):
        raise InvalidInput(
            f"no function is registered as {function!r}. Import the module that defines it, with the decorator "
            "@keras.saving.register_keras_serializable(package=…)."
        )
    return Augmentation("registered_function", (("function", function),))


def _layer_record(layer: keras.layers.Layer) -> Augmentation:
    """Describe a layer without what does not belong to its effect: name, seed state, dtype."""
    _check_layer(layer)
    try:
        config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InvalidInput(
            f"`augment`: the configuration of {layer.name!r} cannot be stored in the recipe: {error}. Give the layer a "
            "`get_config` of JSON values."
        ) from error
    options = config["config"]
    options.pop("name", None)
    if "dtype" in options:
        options["dtype"] = "float32"
    if config["class_name"] == "RandomShear":  # takes 0.2, writes [-0.2, 0.2], and does not take that (Keras 3.15)
        for key in ("x_factor", "y_factor"):
            low, high = options[key]
            options[key] = high if low == -high else [low, high]
    return keras_layer(config)


def _rebuilt_layer(config: dict[str, Any]) -> keras.layers.Layer:
    name = config.get("class_name")
    try:
        layer = keras.saving.deserialize_keras_object(config)
    except (TypeError, ValueError, ImportError, AttributeError) as error:
        raise InvalidInput(
            f"`augment`: Keras cannot rebuild the layer {name} from its configuration: {error}. Decorate its class "
            "with @keras.saving.register_keras_serializable(), and give it a complete `get_config`."
        ) from error
    _check_layer(layer)
    return layer


def _check_layer(layer: keras.layers.Layer) -> None:
    """Raise unless a layer changes images [b, h, w, c] in 0..255, keeps their labels, and has no weights."""
    name, problems = type(layer).__name__, check.Problems()
    is_library = is_library_module(type(layer).__module__)
    if is_library and name not in (*PHOTOMETRIC_LAYERS, *GEOMETRIC_LAYERS) and not isinstance(layer, keras.Model):
        instead = _INSTEAD.get(name, f"one of {check.listing((*PHOTOMETRIC_LAYERS, *GEOMETRIC_LAYERS), limit=60)}")
        problems.add(f"`augment`: keras.layers.{name} does not augment images and keep their labels. Use {instead}.")
    elif layer.weights:
        problems.add(f"`augment`: {layer.name!r} has weights, which are not part of a recipe.")
    value_range = getattr(layer, "value_range", None)
    if value_range is not None and tuple(value_range) != _PIXELS:
        problems.add(
            f"`augment`: {name} needs value_range=(0, 255), the range of images during augmentation. "
            f"Received: {tuple(value_range)}"
        )
    if getattr(layer, "data_format", None) == "channels_first":
        problems.add(f"`augment`: {name} needs data_format='channels_last'. Received: 'channels_first'")
    problems.raise_if_any()


def _function_record(function: Callable[..., Any]) -> Augmentation:
    """Describe a registered function; refuse others, since a run could not say which one it used."""
    name = getattr(function, "__name__", repr(function))
    registered_name = keras.saving.get_registered_name(function) if hasattr(function, "__name__") else name
    if keras.saving.get_registered_object(registered_name) is not function:
        raise InvalidInput(
            f"`augment`: the recipe of a run stores functions by name. Decorate {name!r} with "
            "@keras.saving.register_keras_serializable(package=…); a lambda needs a name first."
        )
    try:
        inspect.signature(function).bind(*_function_arguments(function, None, None))
    except (TypeError, ValueError) as error:
        raise InvalidType(f"`augment`: {name!r} must take `image`, or `image, seed`: {error}") from error
    return registered_function(registered_name)


def _build_layer(layer: dict[str, Any]) -> Transform:
    rebuilt = _rebuilt_layer(layer)
    name = type(rebuilt).__name__

    def call(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        generators = _seed_generators(rebuilt)
        states = [(generator.state, _seed_state(generator, fold_in(seed, i))) for i, generator in enumerate(generators)]
        with keras.StatelessScope(state_mapping=states) as scope:
            changed = rebuilt(images, training=True)
        _check_state(name, scope, states)
        if rebuilt.weights:
            raise InvalidInput(f"`augment`: {name!r} has weights, which are not part of a recipe.")
        return tf.cast(changed, tf.float32)

    traced = tf.function(call, autograph=False)

    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        _check_targets(name, targets, is_photometric=name in PHOTOMETRIC_LAYERS)
        return _checked_call(name, traced, images, seed), targets

    return transform


def _build_function(function: str) -> Transform:
    registered = keras.saving.get_registered_object(function)

    def call(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        def change(element: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            image, number = element
            with keras.StatelessScope() as scope:
                changed = registered(*_function_arguments(registered, image, fold_in(seed, number)))
            _check_state(function, scope, [])
            return tf.cast(changed, tf.float32)

        elements = (images, tf.range(tf.shape(images)[0]))
        return tf.map_fn(change, elements, fn_output_signature=tf.TensorSpec(None, tf.float32))

    traced = tf.function(call)

    def transform(images: tf.Tensor, targets: Targets, seed: tf.Tensor) -> tuple[tf.Tensor, Targets]:
        _check_targets(function, targets, is_photometric=False)
        return _checked_call(function, traced, images, seed), targets

    return transform


def _function_arguments(function: Callable[..., Any], image: Any, seed: Any) -> tuple[Any, ...]:
    """Return the arguments of a function: the image, and the seed if it has a parameter of that name."""
    return (image, seed) if "seed" in inspect.signature(function).parameters else (image,)


def _checked_call(name: str, traced: Any, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Call a traced function; raise if it changes the shape, or draws random numbers that the seed does not decide."""
    graph = traced.get_concrete_function(*(tf.TensorSpec(value.shape, value.dtype) for value in (images, seed))).graph
    definition = graph.as_graph_def()
    functions = (function.node_def for function in definition.library.function)
    operations = {node.op for node in itertools.chain(definition.node, *functions)}
    unseeded = sorted(operation for operation in operations if operation.startswith(_UNSEEDED_OPERATIONS))
    if unseeded:
        raise InvalidInput(_unseeded(name, check.listing(unseeded)))
    changed = traced(images, seed)
    if not changed.shape.is_compatible_with(images.shape):
        raise InvalidInput(
            f"`augment`: {name!r} must keep the shape of images. Received: {images.shape}, returned: {changed.shape}"
        )
    return tf.ensure_shape(changed, images.shape)


def _check_state(name: str, scope: Any, states: list[tuple[Any, Any]]) -> None:
    """Raise if a variable other than the seeds was updated, such as the seed of Keras' global generator."""
    if len(scope.state_mapping) > len(states):
        raise InvalidInput(_unseeded(name, "a generator that does not belong to it, or other state"))


def _unseeded(name: str, drawn_by: str) -> str:
    return (
        f"`augment`: {name!r} draws random numbers that tltk's seed does not decide ({drawn_by}). A layer passes a "
        "keras.random.SeedGenerator that it creates in __init__; a function takes a second parameter `seed`, int64 "
        "[2], for tf.random.stateless_*."
    )


def _check_targets(name: str, targets: Targets, *, is_photometric: bool) -> None:
    if isinstance(targets, dict) and not is_photometric and ("boxes" in targets or "masks" in targets):
        raise InvalidInput(
            f"`augment`: {name!r} may move pixels, and tltk does not move boxes and masks with it. Use tltk.augment: "
            "flip(), rotate(), crop_resize() or rand_augment() move both."
        )


def _seed_generators(layer: keras.layers.Layer) -> list[Any]:
    """List the random generators of a layer and of the layers inside it."""
    layers = private.flattened_sublayers(layer)
    return [generator for sublayer in layers for generator in private.seed_generators(sublayer)]


def _seed_state(generator: Any, seed: tf.Tensor) -> tf.Tensor:
    """Convert a seed, int64 [2], to the state of a Keras generator, uint32 [2]."""
    return tf.cast(seed % 2**31, generator.state.dtype)


register_augmentation("keras_layer", keras_layer, build=_build_layer)
register_augmentation("registered_function", registered_function, build=_build_function)
