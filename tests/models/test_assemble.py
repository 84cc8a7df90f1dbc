import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net
from tltk.specs import ImageSpec, LabelSpec

PETS = LabelSpec(("cat", "dog"))


def small(**options):
    return tltk.backbone("mobilenet_v2", weights="random", input_size=32, **options)


def test_the_graph_is_flat_and_every_layer_has_a_stage():
    model = tltk.assemble(small(), tltk.classification(PETS))
    assert not any(isinstance(layer, keras.Model) for layer in model.keras.layers)
    named = [layer.name for layer in model.keras.layers if not isinstance(layer, keras.layers.InputLayer)]
    assert set(named) == set(model.stages) - {"pixels"}
    assert model.stage_names[0] == "stem"
    assert model.stage_names[-1] == "head"


def test_what_is_assembled_reloads_with_keras_alone_and_without_a_difference(tmp_path):
    model = tltk.assemble(small(), tltk.classification(PETS, head=tltk.head(hidden=(8,), zero_init=False)))
    model.keras.save(tmp_path / "a.keras")
    x = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    again = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.keras.predict(x, verbose=0))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_is_for_the_backbone_and_leaves_nothing_behind(precision):
    model = tltk.assemble(small(), tltk.classification(PETS), precision=precision)
    half = precision.removeprefix("mixed_")
    computed = {layer.compute_dtype for layer in model.keras.layers if model.stages.get(layer.name) == "conv3"}
    assert computed == {half}
    assert {variable.dtype for variable in model.keras.trainable_variables} == {"float32"}
    assert model.keras.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_somebody_elses_body_can_be_a_backbone():
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    model = tltk.assemble(backbone, tltk.classification(PETS))
    assert model.stage_names == ("stem", "conv2", "conv3", "head")
    assert model.keras.output_shape == (None, 2)


def test_the_head_is_seeded():
    task = tltk.classification(PETS, head=tltk.head(zero_init=False))
    kernels = [
        tltk.assemble(small(), task, seed=seed).keras.get_layer("head_output").get_weights()[0] for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.any(kernels[0] != kernels[2])


def test_swapped_arguments_are_told():
    with pytest.raises(TypeError, match=r"`backbone` must be Backbone. Received: Classification. Pass tltk.backbone"):
        tltk.assemble(tltk.classification(PETS), small())
    with pytest.raises(TypeError, match=r"`task` must come from tltk.classification, regress, tag or answer"):
        tltk.assemble(small(), PETS)


def test_a_finished_model_can_be_adopted():
    body = conv_net()
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(body.output)
    model = keras.Model(body.input, keras.layers.Dense(2, "softmax", name="head_output")(x))
    adopted = tltk.adopt(model, tltk.classification(PETS))
    assert adopted.keras is model
    assert adopted.input == ImageSpec(16, 16, 3)
    with pytest.raises(
        ValueError, match=r"(?s)the task has 3 outputs, the model 2.*names layers that the model has not: conv9"
    ):
        tltk.adopt(model, tltk.classification(LabelSpec(("a", "b", "c"))), stages={"conv9": "stem"})
    with pytest.raises(TypeError, match=r"`model` must be Model. Received: str"):
        tltk.adopt("model.keras", tltk.classification(PETS))
