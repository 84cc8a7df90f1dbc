"""Layers and functions of the user's own in saved models: which ones Keras needs to be given to load the model."""

import json
import logging
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras

from tltk.foundation import checks as check
from tltk.foundation import keras_graph as graph

log = logging.getLogger("tltk")
_REGISTER = "@keras.saving.register_keras_serializable()"


class CustomObjects(NamedTuple):
    """Objects in the configuration of a model that Keras cannot rebuild by itself.

    Args:
        names: Names of classes and functions that are not registered.
        lambdas: Names of Lambda layers that hold a Python lambda.
    """

    names: tuple[str, ...]
    lambdas: tuple[str, ...]


def custom_objects_of(config: Any, known: Mapping[str, Any] | None = None) -> CustomObjects:
    """Find the objects that Keras cannot rebuild from a configuration.

    Args:
        config: Result of `keras.saving.serialize_keras_object(model)`, or the config.json of a .keras file.
        known: Objects by name, which need not be registered.

    Returns:
        Names, each once.
    """
    names = [name for name in _custom_names(config) if name not in (known or {}) and not _is_registered(name)]
    lambdas = [item["config"].get("name", "lambda") for item in _dicts(config) if _is_lambda_layer(item)]
    return CustomObjects(tuple(dict.fromkeys(name.split(">")[-1] for name in names)), tuple(dict.fromkeys(lambdas)))


def why_unsavable(model: keras.Model, objective: Any = None) -> str:
    """Describe why a model cannot be saved, before it is trained; "" if it can.

    What can be saved but needs help when it is loaded is logged as a warning.

    Args:
        model: The network.
        objective: Configuration of the user's own loss and metrics, which are saved with the task; None without any.
    """
    try:
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
    if custom.lambdas:
        log.warning("%s", _lambda_advice(custom.lambdas))
    return ""


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
    return "; ".join([*problems, *([_lambda_advice(custom.lambdas)] if custom.lambdas else [])])


def unknown_objects(names: tuple[str, ...]) -> str:
    """Return names of classes and functions that Keras does not know, with the ways out."""
    example = ", ".join(f'"{name}": {name}' for name in names[:3])
    return (
        f"{check.listing(names, limit=6)}, unknown to Keras: import the module that defines and registers them with "
        f"{_REGISTER}, or pass tltk.load_run(folder, custom_objects={{{example}}})"
    )


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
