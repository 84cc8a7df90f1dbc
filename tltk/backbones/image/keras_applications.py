"""Keras Applications models as backbones."""

import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import cache, partial
from typing import TYPE_CHECKING

from tltk.backbones import weights as weight_files
from tltk.backbones.base import Backbone, Origin
from tltk.backbones.hub import is_hub_failure
from tltk.backbones.image.keras_applications_table import APPLICATIONS, IMAGENET_DEVIATION, IMAGENET_MEAN, Application
from tltk.foundation import keras_graph as graph
from tltk.foundation import keras_private as private
from tltk.foundation.errors import FileError
from tltk.specs import ImageSpec

if TYPE_CHECKING:
    import keras

_TIMEOUT = 30.0  # seconds


def backbone(name: str, *, weights: str = "pretrained") -> Backbone:
    """Return a Keras Applications model as a backbone.

    Args:
        name: Key of `APPLICATIONS`.
        weights: "pretrained", "random" or the path of a weight file.
    """
    row = APPLICATIONS[name]
    return Backbone(
        name=name,
        modality="image",
        input_spec=ImageSpec(row.size, row.size),
        preprocessing=row.preprocessing,
        stages=row.stages,
        weights=weights,
        parameters=row.parameters,
        top1=row.top1,
        top1_source=row.source,
        fast_bfloat16=row.fast_bfloat16,
        builder=partial(_build, row),
        locator=partial(
            weight_files.locate, name, weights=weights, places=places(name), download=partial(_download, row)
        ),
        shapes=partial(_shapes, row),
        min_image_size=row.minimum,
    )


def places(name: str) -> tuple[weight_files.Place, ...]:
    """List possible locations of the weights, in the order of search."""
    file = APPLICATIONS[name].file
    return (weight_files.keras_cache(file), weight_files.own_cache(name, file))


def _build(row: Application, shape: tuple[int, int, int], origin: Origin) -> "keras.Model":
    import keras

    function = getattr(keras.applications, row.function)
    # `weights=None`, because the file to read is the one that `origin` names.
    model = function(include_top=False, weights=None, input_shape=shape)
    graph.rename_automatic(model)
    if origin.path is not None:
        weight_files.read_into(model, origin.path)
    if row.module == "efficientnet":
        _normalize_as_imagenet(model)
    return model


@cache
def _shapes(row: Application, shape: tuple[int, int, int]) -> Mapping[str, tuple]:
    with private.without_weights():
        return graph.output_shapes(_build(row, shape, Origin("random", None, None)))


def _normalize_as_imagenet(model: "keras.Model") -> None:
    """Set EfficientNet's normalization layer to the preprocessing of its training: (x / 255 - mean) / deviation.

    The weight files of Keras store the deviation as the variance; Keras corrects it by another layer, which it omits
    with `weights=None` (keras/src/applications/efficientnet.py, tensorflow#49930). Setting the right variance computes
    the same function with one layer less, and works for random weights, too.
    """
    import keras

    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.adapt_mean.assign(IMAGENET_MEAN)
    layer.adapt_variance.assign([std**2 for std in IMAGENET_DEVIATION])
    layer.finalize_state()


def _download(row: Application) -> None:
    """Let Keras download a weight file into its cache and check its hash.

    Raises:
        FileError: If the server cannot be reached.
    """
    import keras

    function = getattr(keras.applications, row.function)
    try:
        with _download_timeout(), redirect_stdout(sys.stderr):  # standard output is reserved for results
            function(include_top=False, weights="imagenet", input_shape=(row.size, row.size, 3))
    except Exception as error:
        if not is_hub_failure(error):
            raise
        raise FileError(str(error)) from error


@contextmanager
def _download_timeout() -> Iterator[None]:
    """Set a timeout for sockets: the download function of Keras has none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # about the connection that timed out
            yield
    finally:
        socket.setdefaulttimeout(before)
