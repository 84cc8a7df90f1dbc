"""Checks of every backbone and recipe; tests call them for each entry of the catalog, new entries included."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import keras
import numpy as np

from tltk import backbones
from tltk.backbones.image import efficientnet_lite as lite
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image.keras_applications_table import APPLICATIONS
from tltk.foundation import keras_graph as graph


def check_backbone(name: str) -> None:
    """Build a backbone without values in its weights, and compare it with its entry in the catalog."""
    with _built_once(name):
        _check_backbone(name)


@contextmanager
def _built_once(name: str) -> Iterator[None]:
    """Let Keras build a network once, for the body of a backbone and for the shapes that it tells beforehand."""
    function = APPLICATIONS[name].function if name in APPLICATIONS else "VGG16"
    with mock.patch.object(keras.applications, function, cache(getattr(keras.applications, function))):
        yield


def _check_backbone(name: str) -> None:
    with keras.StatelessScope(initialize_variables=False):  # drawing random weights takes nine tenths of the time
        backbone, body, origin, flat = _built(name)
    assert origin == backbones.Origin("random", None, None)
    assert body.count_params() == backbone.parameters
    assert 0.5 < backbone.top1 < 1
    assert backbone.top1_source.startswith("https://")
    _check_output(backbone, body)
    _check_stages(backbone, body)
    _check_endpoints(backbone, body)
    _check_preprocessing(backbone)
    stage_of = backbones.layer_stages(flat, backbone.stages)
    assert set(stage_of) == {layer.name for layer in flat.layers}
    assert all(stage == "stem" for layer, stage in stage_of.items() if layer.startswith("preprocessing"))


def check_numbers(name: str, folder: Path) -> None:
    """Build a backbone with random weights, and check that it computes the same features once saved and loaded.

    Args:
        name: Name of the backbone.
        folder: Folder for a .keras file.
    """
    backbone, _, _, flat = _built(name)
    images = np.random.default_rng(1).uniform(0, 255, (1, *backbone.input_spec.shape)).astype("float32")
    before = keras.ops.convert_to_numpy(flat(images, training=False))
    flat.save(folder / "flat.keras")
    loaded = keras.models.load_model(folder / "flat.keras", compile=False)
    after = keras.ops.convert_to_numpy(loaded(images, training=False))
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(before, after)


def _built(name: str):
    min_image_size = backbones.backbone(name, weights="random").min_image_size
    backbone = backbones.backbone(name, weights="random", image_size=max(64, min_image_size))
    body, origin = backbone.build()
    pixels = keras.Input(backbone.input_spec.shape, name="pixels")
    return backbone, body, origin, keras.Model(pixels, body.call(backbone.preprocess(pixels)))


def _check_output(backbone, body):
    assert body.input_shape == (None, *backbone.input_spec.shape)
    assert len(body.output_shape) == 4
    assert None not in body.output_shape[1:]
    assert body.output_shape[1] < backbone.input_spec.height / 16


def _check_stages(backbone, body):
    names = [stage.name for stage in backbone.stages]
    assert names == ["stem", "conv2", "conv3", "conv4", "conv5"]
    stage_of = backbones.layer_stages(body, backbone.stages)
    assert set(stage_of) == {layer.name for layer in body.layers}, "every layer belongs to a stage"
    assert {stage_of[layer.name] for layer in body.layers if layer.weights} == set(names), "every stage has weights"
    order = graph.nodes(body)
    assert backbone.stages[-1].last == order[-1].operation.name, "the last stage ends at the output"
    previous: set[str] = set()
    for stage in backbone.stages:
        leading = graph.ancestors(order, stage.last)
        assert previous < leading, f"{stage.name} comes after the previous stage"
        previous = leading
    rows = [body_output(body, stage.last).shape[1] for stage in backbone.stages]
    assert rows == sorted(rows, reverse=True), "the resolution never rises"
    assert len(set(rows)) >= 4, "and falls between stages"


def _check_endpoints(backbone, body):
    for stage, endpoint in zip(backbone.stages, backbone.endpoints().values(), strict=True):
        shape = body_output(body, stage.last).shape
        assert endpoint.channels == shape[-1]
        assert 2 / 3 < backbone.input_spec.height / shape[1] / endpoint.stride < 3 / 2, f"stride of {stage.name}"


def body_output(body: keras.Model, name: str) -> keras.KerasTensor:
    """Return the output of a layer or operation."""
    return next(node.outputs[0] for node in graph.nodes(body) if node.operation.name == name)


def _check_preprocessing(backbone):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    preprocessed = keras.ops.convert_to_numpy(backbone.preprocess(pixels))
    np.testing.assert_allclose(preprocessed, reference(backbone.name, pixels), rtol=1e-5, atol=1e-5)


def reference(name: str, pixels: np.ndarray) -> np.ndarray:
    """Preprocess pixels as the authors of the network do."""
    if name in APPLICATIONS:
        return getattr(keras.applications, APPLICATIONS[name].module).preprocess_input(pixels.copy())
    if name in [network.name for network in lite.NETWORKS]:
        return (pixels - 127) / 128
    assert name in hub.PRESETS
    return (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


def check_recipe(recipe) -> None:
    """Train a small model with each phase of a recipe: the loss is finite, and frozen weights do not change."""
    from dataclasses import replace

    import tltk
    from tests.conftest import squares, squares_model, weights_as_bytes
    from tltk.recipes import Recipe

    short = Recipe(recipe.name, tuple(replace(phase, epochs=1, warmup=0.0) for phase in recipe.phases))
    for phase in short.phases:
        model = squares_model()
        before = weights_as_bytes(model.keras, "stem", "conv", "head")
        run = tltk.fit(model, squares(), recipe=Recipe("one", (phase,)), batch_size=8)
        after = weights_as_bytes(model.keras, "stem", "conv", "head")
        decisions = phase.plan.resolve(model)
        changed = {name.split("/")[0] for name in before if before[name] != after[name]}
        assert changed, phase.name
        assert all(decisions[name].action != "frozen" for name in changed)
        assert np.isfinite(run.history[0]["loss"])
