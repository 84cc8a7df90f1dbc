"""Layers and functions of the user's own in saved models: which ones Keras needs to be given to load the model."""

import json
import logging
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph

log = logging.getLogger("tltk")
_MARSHALLED = ("4w", "Yw")  # how the code of a function begins, in Base64
_REGISTER = "@keras.saving.register_keras_serializable()"


class CustomObjects(NamedTuple):
    """Objects in the configuration of a model that Keras cannot rebuild by itself.

    Args:
        names: Names of classes and functions that are not registered.
        lambdas: Names of Lambda layers that hold a Python lambda.
        lambda_arguments: Other places of lambdas, such as "`kernel_initializer` of layer 'dense'"; none can be loaded.
    """

    names: tuple[str, ...]
    lambdas: tuple[str, ...]
    lambda_arguments: tuple[str, ...]


def custom_objects_of(config: Any, custom_objects: Mapping[str, Any] | None = None) -> CustomObjects:
    """Find the objects that Keras cannot rebuild from a configuration.

    Args:
        config: Result of `keras.saving.serialize_keras_object(model)`, or the config.json of a .keras file.
        custom_objects: Objects by name, which need not be registered.

    Returns:
        Names, each once.
    """
    names = [name for name in _custom_names(config) if name not in (custom_objects or {}) and not _is_registered(name)]
    lambdas = [item["config"].get("name", "lambda") for item in _dicts(config) if _is_lambda_layer(item)]
    arguments = _lambda_arguments(config)
    short_names = (name.split(">")[-1] for name in names)
    return CustomObjects(*(tuple(dict.fromkeys(values)) for values in (short_names, lambdas, arguments)))


def why_unsavable(model: keras.Model, objective: Any = None) -> str:
    """Describe why a model cannot be saved, before it is trained; "" if it can.

    What can be saved but needs help when it is loaded is logged as a warning.

    Args:
        model: The network.
        objective: Configuration of the user's own loss and metrics, which are saved with the task; None without any.
    """
    try:
        with warnings.catch_warnings():  # what is refused below is not warned about as well
            warnings.filterwarnings("ignore", "The object being serialized includes a `lambda`")
            config = keras.saving.serialize_keras_object(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"`out`: the model cannot be saved: {reason} Give the layer a `get_config`, or pass out=None"
    custom = custom_objects_of([config, objective])
    if custom.names:
        example = ", ".join(f'"{name}": {name}' for name in custom.names[:3])
        log.warning(
            "%s not registered: decorate with %s, or load the run with tltk.load_run(folder, custom_objects={%s}).",
            f"{check.listing(custom.names, limit=6)} {'is' if len(custom.names) == 1 else 'are'}",
            _REGISTER,
            example,
        )
    refused = _lambda_problems(custom)
    if custom.lambdas and not custom.lambda_arguments and _loads_lambdas():
        log.warning("%s", refused)
        return ""
    return f"`out`: the run could not be loaded: {refused}, or pass out=None" if refused else ""


def why_unloadable(path: Path, custom_objects: Mapping[str, Any] | None) -> str:
    """Describe which objects a .keras file needs that are not known; "" if it needs none, or cannot be read.

    Args:
        path: The .keras file.
        custom_objects: Objects by name that it was loaded with.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return ""
    custom = custom_objects_of(config, custom_objects)
    problems = [f"it contains {unknown_objects(custom.names)}"] if custom.names else []
    lambdas = _lambda_problems(custom)
    return "; ".join([*problems, *([lambdas] if lambdas else [])])


def unknown_objects(names: tuple[str, ...]) -> str:
    """Return names of classes and functions that Keras does not know, with the ways out."""
    example = ", ".join(f'"{name}": {name}' for name in names[:3])
    return (
        f"{check.listing(names, limit=6)}, unknown to Keras: import the module that defines and registers them with "
        f"{_REGISTER}, or pass tltk.load_run(folder, custom_objects={{{example}}})"
    )


def _lambda_problems(custom: CustomObjects) -> str:
    """Describe where lambdas are, and what to use instead; "" without lambdas."""
    problems = [_lambda_advice(custom.lambdas)] if custom.lambdas else []
    if custom.lambda_arguments:
        verb = "are Python lambdas" if len(custom.lambda_arguments) > 1 else "is a Python lambda"
        problems.append(
            f"{check.listing(custom.lambda_arguments, limit=6)} {verb}, which Keras does not load. Use a function of "
            f"your own (def), registered with {_REGISTER}, instead"
        )
    return "; ".join(problems)


def _loads_lambdas() -> bool:
    """Tell whether `keras.config.enable_unsafe_deserialization()` was called, which Keras does not say."""
    probe = keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: x, name="probe"))
    try:
        keras.saving.deserialize_keras_object(probe)
    except ValueError:
        return False
    return True


def _lambda_advice(names: tuple[str, ...]) -> str:
    listed = check.listing(map(repr, names), limit=6)
    which = f"layers {listed} hold" if len(names) > 1 else f"layer {listed} holds"
    return (
        f"{which} a Python lambda, which Keras loads only after keras.config.enable_unsafe_deserialization(). Use a "
        f"layer of your own, registered with {_REGISTER}, or operations of keras.ops instead"
    )


def _custom_names(config: Any) -> Iterator[str]:
    """Yield the registered names of all classes and functions that are not those of a library."""
    for item in _dicts(config):
        if item.get("class_name") == "function":
            yield item["registered_name"] if item["registered_name"] != "function" else str(item["config"])
        elif item.get("registered_name") and not graph.is_library_module(item.get("module") or "user"):
            yield item["registered_name"]


def _is_registered(name: str) -> bool:
    return keras.saving.get_registered_object(name) is not None


def _is_lambda_layer(item: dict[str, Any]) -> bool:
    function = item["config"].get("function") if isinstance(item.get("config"), dict) else None
    return isinstance(function, dict) and function.get("class_name") == "__lambda__"


def _lambda_arguments(value: Any, key: str = "", owner: str = "") -> Iterator[str]:
    """Yield the places of lambdas in a configuration, except for those of Lambda layers.

    Args:
        value: Configuration, or a part of it.
        key: Name of the part, which is that of an argument.
        owner: Name of the layer that it belongs to.
    """
    if isinstance(value, list | tuple):
        for item in value:
            yield from _lambda_arguments(item, key, owner)
    elif isinstance(value, dict):
        if value.get("class_name") == "__lambda__" or _is_marshalled(value):
            yield f"`{key}` of layer {owner!r}"
        elif not _is_lambda_layer(value):
            config = value.get("config")
            has_name = "class_name" in value and isinstance(config, dict) and isinstance(config.get("name"), str)
            owner = config["name"] if has_name and isinstance(config, dict) else owner
            for name, item in value.items():
                yield from _lambda_arguments(item, key if name == "config" else name, owner)


def _is_marshalled(item: dict[str, Any]) -> bool:
    """Tell whether a configuration is the code of a lambda as Keras writes that of activations: without a class."""
    value = item["value"] if set(item) == {"value"} else None
    if not isinstance(value, list | tuple) or len(value) != 3:  # a list in files, a tuple in memory
        return False
    return isinstance(value[0], str) and value[0].startswith(_MARSHALLED)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dict in nested dicts and lists that describes an object."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for item in value.values():
            yield from _dicts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _dicts(item)
