"""What every row of a public list must satisfy; parametrised over the list, so that a new row is tested for free."""

from pathlib import Path

import keras
import numpy as np

from tltk import backbones
from tltk.backbones.image import efficientnet_lite as lite
from tltk.backbones.image import kerashub as hub
from tltk.backbones.image.keras_applications_table import APPLICATIONS
from tltk.foundation import keras_graph as graph


def check_backbone(name: str) -> None:
    """Build one row without any numbers in its weights, and check everything that the row claims."""
    with keras.StatelessScope(initialize_variables=False):  # drawing the numbers is nine tenths of the time
        chosen, body, origin, flat = _built(name)
        again = keras.Model.from_config(flat.get_config())
    assert origin == backbones.Origin("random", None, None)
    assert body.count_params() == chosen.parameters
    assert 0.5 < chosen.top1 < 1
    assert chosen.top1_source.startswith("https://")
    _check_output(chosen, body)
    _check_stages(chosen, body)
    _check_endpoints(chosen, body)
    _check_preprocessing(chosen)
    found = backbones.layer_stages(flat, chosen.stages)
    assert set(found) == {layer.name for layer in flat.layers}
    assert all(stage == "stem" for name, stage in found.items() if name.startswith("preprocessing"))
    assert again.get_config() == flat.get_config()


def check_numbers(name: str, folder: Path) -> None:
    """Build one row with random weights: raw pixels → features in one flat graph, which loads to the same numbers.

    Args:
        name: of the row.
        folder: for a .keras file.
    """
    chosen, _, _, flat = _built(name)
    picture = np.random.default_rng(1).uniform(0, 255, (1, *chosen.input.shape)).astype("float32")
    before = keras.ops.convert_to_numpy(flat(picture, training=False))
    flat.save(folder / "flat.keras")
    loaded = keras.models.load_model(folder / "flat.keras", compile=False)
    after = keras.ops.convert_to_numpy(loaded(picture, training=False))
    assert np.isfinite(before).all()
    np.testing.assert_array_equal(before, after)


def _built(name: str):
    chosen = backbones.backbone(name, weights="random")
    chosen = backbones.backbone(name, weights="random", image_size=max(64, chosen.min_image_size))
    body, origin = chosen.build()
    pixels = keras.Input(chosen.input.shape, name="pixels")
    return chosen, body, origin, keras.Model(pixels, body.call(chosen.preprocess(pixels)))


def _check_output(chosen, body):
    assert body.input_shape == (None, *chosen.input.shape)
    assert len(body.output_shape) == 4
    assert None not in body.output_shape[1:]
    assert body.output_shape[1] < chosen.input.height / 16


def _check_stages(chosen, body):
    names = [stage.name for stage in chosen.stages]
    assert names == ["stem", "conv2", "conv3", "conv4", "conv5"]
    found = backbones.layer_stages(body, chosen.stages)
    assert set(found) == {layer.name for layer in body.layers}, "every layer belongs to a stage"
    assert {found[layer.name] for layer in body.layers if layer.weights} == set(names), "every stage has weights"
    order = graph.nodes(body)
    assert chosen.stages[-1].last == order[-1].operation.name, "the last stage ends at the output"
    before: set[str] = set()
    for stage in chosen.stages:
        here = graph.ancestors(order, stage.last)
        assert before < here, f"{stage.name} comes after the stage before it"
        before = here
    rows = [body_output(body, stage.last).shape[1] for stage in chosen.stages]
    assert rows == sorted(rows, reverse=True), "the resolution never rises"
    assert len(set(rows)) >= 4, "and falls between stages"


def _check_endpoints(chosen, body):
    for stage, endpoint in zip(chosen.stages, chosen.endpoints().values(), strict=True):
        shape = body_output(body, stage.last).shape
        assert endpoint.channels == shape[-1]
        assert 2 / 3 < chosen.input.height / shape[1] / endpoint.stride < 3 / 2, f"stride of {stage.name}"


def body_output(body: keras.Model, name: str) -> keras.KerasTensor:
    """Return the output of a layer or operation."""
    return next(node.outputs[0] for node in graph.nodes(body) if node.operation.name == name)


def _check_preprocessing(chosen):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 8, 8, 3)).astype("float32")
    found = keras.ops.convert_to_numpy(chosen.preprocess(pixels))
    np.testing.assert_allclose(found, reference(chosen.name, pixels), rtol=1e-5, atol=1e-5)


def reference(name: str, pixels: np.ndarray) -> np.ndarray:
    """Preprocess as the network's authors do."""
    if name in APPLICATIONS:
        return getattr(keras.applications, APPLICATIONS[name].module).preprocess_input(pixels.copy())
    if name == lite.NAME:
        return (pixels - 127) / 128
    assert name in hub.PRESETS
    return (pixels / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])


def check_recipe(recipe) -> None:
    """A recipe trains a small model: it is finite, loses nothing, and what its plans freeze stays as it was."""
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
        decided = phase.plan.resolve(model)
        moved = {name.split("/")[0] for name in before if before[name] != after[name]}
        assert moved, phase.name
        assert all(decided[name].action != "frozen" for name in moved)
        assert np.isfinite(run.history[0]["loss"])
