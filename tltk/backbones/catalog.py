"""The catalog of backbones by name; listing it reads no weights and does not import TensorFlow."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tltk.backbones import weights as weight_files
from tltk.backbones.audio import kerashub as hub_audio
from tltk.backbones.audio import pictures, speaker_encoder
from tltk.backbones.base import Backbone
from tltk.backbones.image import efficientnet_lite as lite
from tltk.backbones.image import keras_applications as applications
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image.keras_applications_table import APPLICATIONS
from tltk.backbones.text import kerashub as hub_text
from tltk.backbones.text.kerashub_presets import TEXT_PRESETS
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidType
from tltk.foundation.registry import Registry


@dataclass(frozen=True)
class Entry:
    """What is registered under the name of a backbone.

    Args:
        modality: "image", "text" or one of your own.
        constructor: Called with `weights=` ("pretrained", "random" or a path); returns the backbone.
        parameters: Number of weights without the classifier; None if unknown.
        size: Rows and columns in pixels that the weights were trained at, or the maximum number of tokens of a text;
            None if unknown.
        top1: Published ImageNet top-1 accuracy in [0, 1].
        places: Returns possible locations of the weights, in the order of search; None if tltk does not search.
        suffixes: Weight files that `weights=` may name.
        weights_of: Name of the backbone whose weights it has, if not its own.
    """

    modality: str
    constructor: Callable[..., Backbone]
    parameters: int | None = None
    size: int | None = None
    top1: float | None = None
    places: Callable[[], tuple[weight_files.Place, ...]] | None = None
    suffixes: tuple[str, ...] = weight_files.SUFFIXES
    weights_of: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of `tltk backbones`.

    Args:
        name: What `tltk.backbone` takes.
        modality: "image", "text" or one of your own.
        parameters: Number of weights without the classifier; None if unknown.
        size: Rows and columns in pixels that the weights were trained at, or the maximum number of tokens of a text;
            None if unknown.
        top1: Published ImageNet top-1 accuracy in [0, 1].
        weights: Where they are now: "keras cache", "kerashub cache", "tltk cache", "registry", "hub", or "registered"
            for a backbone of your own.
    """

    name: str
    modality: str
    parameters: int | None
    size: int | None
    top1: float | None
    weights: str


CATALOG: Registry[Entry] = Registry("backbone", "tltk.register_backbone(name, constructor)")


def register_backbone(name: str, constructor: Callable[..., Backbone], *, modality: str = "image") -> None:
    """Register a backbone, for `tltk.backbone`, the command line and `tltk backbones`.

    Args:
        name: What `tltk.backbone` will take.
        constructor: Called as `constructor(weights=…)` with "pretrained", "random" or the path of a file; returns a
            `tltk.backbones.Backbone`, such as `tltk.backbone(your_keras_model, stages={…})`.
        modality: "image", "text" or one of your own, for the list.

    Returns:
        Nothing.

    Raises:
        InvalidType: If `constructor` is not a function of `weights`.
        InvalidInput: If the name is empty, or taken by another backbone.

    Examples:
        >>> import keras, tltk
        >>> def two_convolutions(*, weights="pretrained"):
        ...     pixels = keras.Input((32, 32, 3))
        ...     x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="low")(pixels)
        ...     x = keras.layers.Conv2D(16, 3, strides=2, padding="same", name="high")(x)
        ...     return tltk.backbone(keras.Model(pixels, x), stages={"conv2": "low", "conv3": "high"})
        >>> tltk.register_backbone("two_convolutions", two_convolutions)
        >>> tltk.backbone("two_convolutions").endpoints(("conv3",))
        {'conv3': Endpoint(stride=4, channels=16)}
    """
    check.instance_of("modality", modality, str)
    if not callable(constructor) or "weights" not in inspect.signature(constructor).parameters:
        received = type(constructor).__name__
        raise InvalidType(
            f"`constructor` must be a function with an argument `weights` that returns a backbone. Received: {received}"
        )
    CATALOG.register(name, Entry(modality, constructor), definition=constructor)


def names(modality: str | None = None) -> tuple[str, ...]:
    """List the name of every known backbone.

    Args:
        modality: Such as "image" or "text"; None for all.

    Examples:
        >>> names()[:3]
        ('resnet50', 'resnet50_v2', 'resnet101')
    """
    return tuple(name for name in CATALOG if modality in (None, CATALOG.get(name).modality))


def table() -> list[Row]:
    """List every known backbone, and where its weights are.

    Examples:
        >>> table()[0].name, table()[0].parameters, table()[0].top1
        ('resnet50', 23587712, 0.749)
    """
    return [_row(name, CATALOG.get(name)) for name in CATALOG]


def _row(name: str, entry: Entry) -> Row:
    where = "registered" if entry.places is None else weight_files.whereabouts(entry.weights_of or name, entry.places())
    return Row(name, entry.modality, entry.parameters, entry.size, entry.top1, where)


def _register_builtin() -> None:
    """Register the backbones that come with tltk."""
    for row in APPLICATIONS.values():
        constructor, places = partial(applications.backbone, row.name), partial(applications.places, row.name)
        CATALOG.register(row.name, Entry("image", constructor, row.parameters, row.size, row.top1, places))
    for network in lite.NETWORKS:
        constructor, places = partial(lite.backbone, network), partial(lite.places, network)
        entry = Entry("image", constructor, network.parameters, network.size, network.top1, places, lite.SUFFIXES)
        CATALOG.register(network.name, entry)
    for name, preset in hub.PRESETS.items():
        constructor, places = partial(hub.backbone, name), partial(hub.places, name)
        CATALOG.register(name, Entry("image", constructor, preset.parameters, hub.SIZE, preset.top1, places))
    for name, text in TEXT_PRESETS.items():
        constructor, places = partial(hub_text.backbone, name), partial(hub_text.places, name)
        CATALOG.register(name, Entry("text", constructor, text.parameters, text.sequence_length, None, places))
    name = lite.LITE0.name
    entry = replace(CATALOG.get(name), modality="audio", constructor=pictures.backbone, size=None, weights_of=name)
    CATALOG.register(pictures.NAME, entry)
    encoder = speaker_encoder
    entry = Entry("audio", encoder.backbone, encoder.PARAMETERS, places=encoder.places, suffixes=encoder.SUFFIXES)
    CATALOG.register(encoder.NAME, entry)
    for name in hub_audio.PRESETS:
        constructor, places = partial(hub_audio.backbone, name), partial(hub_audio.places, name)
        CATALOG.register(name, Entry("audio", constructor, places=places))


_register_builtin()
