from dataclasses import dataclass

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares, weights_as_bytes
from tltk.models import features
from tltk.specs import LabelSpec

PETS = LabelSpec(("cat", "dog"))


def small(**options):
    return tltk.backbone("mobilenet_v2", weights="random", image_size=32, **options)


def test_the_graph_is_flat_and_every_layer_has_a_stage():
    model = tltk.assemble(small(), tltk.classification(PETS))
    assert not any(isinstance(layer, keras.Model) for layer in model.keras.layers)
    named = [layer.name for layer in model.keras.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert set(named) == set(model.stages) - {"pixels"}
    assert model.stage_names[0] == "stem"
    assert model.stage_names[-1] == "head"


def test_an_assembled_model_is_loaded_by_keras_alone_with_equal_outputs(tmp_path):
    model = tltk.assemble(small(), tltk.classification(PETS, head=tltk.head(hidden=(8,), zero_init=False)))
    model.keras.save(tmp_path / "a.keras")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.keras.predict(x, verbose=0))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_applies_to_the_backbone_and_does_not_change_the_global_policy(precision):
    model = tltk.assemble(small(), tltk.classification(PETS), precision=precision)
    half = precision.removeprefix("mixed_")
    compute_dtypes = {layer.compute_dtype for layer in model.keras.layers if model.stages.get(layer.name) == "conv3"}
    assert compute_dtypes == {half}
    assert {variable.dtype for variable in model.keras.trainable_variables} == {"float32"}
    assert model.keras.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_functional_model_can_be_a_backbone():
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    model = tltk.assemble(backbone, tltk.classification(PETS))
    assert model.stage_names == ("stem", "conv2", "conv3", "head")
    assert model.keras.output_shape == (None, 2)


def test_the_seed_determines_the_weights_of_the_head():
    task = tltk.classification(PETS, head=tltk.head(zero_init=False))
    kernels = [
        tltk.assemble(small(), task, seed=seed).keras.get_layer("head_output").get_weights()[0] for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.any(kernels[0] != kernels[2])


def test_swapped_arguments_are_rejected():
    with pytest.raises(TypeError, match=r"`backbone` must be Backbone. Received: Classification. Pass tltk.backbone"):
        tltk.assemble(tltk.classification(PETS), small())
    with pytest.raises(TypeError, match=r"`task` must be a task.*Received: LabelSpec"):
        tltk.assemble(small(), PETS)


def model_with_head_names():
    """A backbone whose layers have the names that tltk gives to the layers of a head."""
    x = pixels = keras.Input((16, 16, 3), name="pixels")
    x = keras.layers.Conv2D(4, 3, name="head_conv")(x)
    x = keras.layers.BatchNormalization(name="head_norm")(x)
    x = keras.layers.Conv2D(4, 3, strides=2, name="head_output")(x)
    return keras.Model(pixels, x, name="head_names")


@pytest.fixture
def assembled_with_head_names():
    backbone = tltk.backbone(model_with_head_names(), stages={"stem": "head_norm", "conv2": "head_output"})
    task = tltk.classification(squares(3).labels, head=tltk.head(dropout=0.1))
    return tltk.assemble(backbone, task, precision="float32")


def test_the_head_is_what_was_added_even_if_backbone_layers_have_the_same_names(assembled_with_head_names, tmp_path):
    model = assembled_with_head_names
    before = weights_as_bytes(model.keras, "head_conv", "head_norm", "head_output")
    run = tltk.fit(model, squares(12), recipe=tltk.linear_probe(epochs=1), batch_size=4, out=tmp_path)
    after = weights_as_bytes(model.keras, "head_conv", "head_norm", "head_output")
    changed = {name.split("/")[0] for name in before if before[name] != after[name]}
    assert changed == {"head_norm_1", "head_output_1"}
    assert tltk.load_run(tmp_path).model.stages == run.model.stages == model.stages
    assert [model.stages[name] for name in ("head_conv", "head_norm", "head_output")] == ["stem", "stem", "conv2"]


def test_head_layers_whose_names_are_taken_get_numbered_names(assembled_with_head_names):
    model = assembled_with_head_names
    head = [name for name, stage in model.stages.items() if stage == "head"]
    assert head == ["head_pool", "head_norm_1", "head_dropout", "head_output_1", "head_probabilities"]
    paths = [weight.path for weight in model.keras.weights]
    assert len(set(paths)) == len(paths)
    assert {path.split("/")[0] for path in paths} == {head[1], head[3], "head_conv", "head_norm", "head_output"}


def test_a_functional_backbone_is_shared_and_keeps_its_layer_names():
    net = model_with_head_names()
    names = [operation.name for operation in net.operations]
    model = tltk.assemble(tltk.backbone(net), tltk.classification(PETS))
    assert [operation.name for operation in net.operations] == names
    assert all(model.keras.get_layer(layer.name) is layer for layer in net.layers)
    both = keras.Model(net.input, [net.get_layer("head_norm").output, model.keras.output])
    assert len(both.outputs) == 2


@tltk.register_task
@dataclass(frozen=True)
class TwoStages(tltk.Task):
    """A task whose head uses features of two stages."""

    name = "two_stages"

    labels: LabelSpec = PETS

    def endpoints(self, backbone):
        return tuple(stage.name for stage in backbone.stages[1:])

    def outputs(self, features, *, mask=None, seed=0):
        pooled = [keras.layers.GlobalAveragePooling2D()(tensor) for tensor in features.values()]
        return {"class": keras.layers.Dense(2, name="class")(keras.layers.Concatenate()(pooled)), "area": pooled[0]}

    def loss(self):
        return {"class": keras.losses.MeanSquaredError(), "area": keras.losses.MeanSquaredError()}


def test_a_task_chooses_the_stages_whose_features_its_head_uses():
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), TwoStages())
    assert [tensor.shape[1:] for tensor in features.endpoints(model).values()] == [(8, 8, 8), (4, 4, 8)]
    assert list(features.endpoints(model)) == ["conv2", "conv3"]
    head = [name for name, stage in model.stages.items() if stage == "head"]
    assert sorted(head) == ["class", "concatenate", "global_average_pooling2d", "global_average_pooling2d_1"]


def test_layer_names_of_a_head_do_not_depend_on_earlier_models():
    first, second = (tltk.assemble(small(), TwoStages()).keras for _ in range(2))
    assert [operation.name for operation in first.operations] == [operation.name for operation in second.operations]
    assert [variable.path for variable in first.variables][-2:] == ["class/kernel", "class/bias"]
