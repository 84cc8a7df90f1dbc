"""A custom modality works in every function: fit with a cached prefix, evaluate, predict, embed, export, load_run."""

import numpy as np
import pytest

import tltk
from tests.extension.sensors import SensorSpec, from_series, network

SPEC = SensorSpec(12, 2)


def ramps(count, *, seed=0):
    """Build a source of noisy series that fall or rise."""
    generator = np.random.default_rng(seed)
    y = (np.arange(count) % 2).astype("int32")
    x = np.where(y[:, None, None], 1.0, -1.0) * np.linspace(0, 1, 12)[None, :, None] * np.ones((1, 1, 2))
    return from_series(x + generator.normal(0, 0.1, x.shape), y, labels=("falls", "rises"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    backbone = tltk.backbone(network(SPEC), spec=SPEC, stages={"stem": "stem_pool", "body": "body_conv"})
    model = tltk.assemble(backbone, tltk.classification(("falls", "rises")), precision="float32")
    recipe = tltk.linear_probe(epochs=30, learning_rate=3e-2)
    return tltk.fit(
        model, ramps(64), ramps(20, seed=1), recipe=recipe, out=tmp_path_factory.mktemp("run"), batch_size=16
    )


def test_a_linear_probe_on_cached_features_learns_the_classes(run):
    assert run.history[-1]["val_accuracy"] == 1
    assert {run.model.stages[layer.name] for layer in run.model.keras.layers if layer.weights} == {
        "stem",
        "body",
        "head",
    }


def test_the_strides_of_stages_are_known_before_the_model_is_built():
    backbone = tltk.backbone(network(SPEC), spec=SPEC, stages={"stem": "stem_conv", "body": "body_conv"})
    assert {name: endpoint.stride for name, endpoint in backbone.endpoints().items()} == {"stem": 1, "body": 2}


def test_the_model_can_be_evaluated_and_can_predict_and_embed(run):
    report = tltk.evaluate(run.model, ramps(30, seed=2))
    assert report.metrics["accuracy"] == 1
    x = ramps(4, seed=3).examples
    predictions = tltk.predict(run, x)
    classes = run.model.keras.predict(x, verbose=0).argmax(1)
    assert [prediction.label for prediction in predictions] == [("falls", "rises")[index] for index in classes]
    assert predictions.invalid == ()
    assert tltk.embed(run.model, ramps(4, seed=3)).features.shape == (4, 8)


def test_invalid_examples_are_left_out_and_listed(run):
    x = np.array(ramps(4).examples)
    x[2, 3] = np.nan
    predictions = tltk.predict(run, from_series(x))
    assert len(predictions) == 3
    assert [(example.example_id, example.reason) for example in predictions.invalid] == [
        ("example 2", "missing readings")
    ]


def test_the_model_can_be_exported_verified_and_loaded(run, tmp_path):
    exported = tltk.export(run.model, tmp_path / "serving")
    assert max(exported.largest_differences.values()) < 1e-5
    assert tltk.verify(tmp_path / "serving", measure_latency=False).path == exported.path
    loaded = tltk.load_run(run.folder)
    assert loaded.model.input_spec == SPEC
    x = ramps(6, seed=4).examples
    assert tltk.predict(loaded, x) == tltk.predict(run, x)


def test_inputs_of_other_modalities_are_refused(run):
    with pytest.raises(ValueError, match="`data` holds images, but the model takes sensors"):
        tltk.evaluate(run.model, tltk.from_arrays(np.zeros((2, 8, 8, 3), "uint8"), [0, 1]))
    with pytest.raises(ValueError, match=r"`pairs=True` needs a backbone that takes texts; this one takes sensors"):
        tltk.assemble(
            tltk.backbone(network(SPEC), spec=SPEC, stages={"all": "body_conv"}),
            tltk.classification(("falls", "rises"), pairs=True),
        )
