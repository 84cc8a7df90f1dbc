"""What the guides of Keras do with a model works with models of tltk, before and after training."""

import copy

import keras
import numpy as np
import pytest

import tltk
from tests import texts
from tests.conftest import STAGES, conv_net, squares, squares_model
from tltk.specs import LabelSpec

COLOURS = LabelSpec(("red", "green", "blue"))


def _image():
    backbone = tltk.backbone("mobilenet", weights="random", image_size=32)
    return tltk.assemble(backbone, tltk.classification(COLOURS), precision="float32"), squares(8), "conv_pw_5_relu"


def _adopted():
    body = conv_net(dropout=0.3)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(body.output)
    model = keras.Model(body.input, keras.layers.Dense(3, "softmax", name="out")(pooled), name="adopted")
    return tltk.adopt(model, tltk.classification(COLOURS), stages=STAGES), squares(8), "conv2_relu"


def _custom_backbone():
    return squares_model(dropout=0.3), squares(8), "conv2_relu"


def _text(folder):
    return texts.text_model(texts.tiny_preset(folder)), texts.texts(1), "transformer_layer_0"


BUILDERS = {
    "image": _image,
    "text": _text,
    "adopted": _adopted,
    "custom backbone": _custom_backbone,
}


CASES = [("image", False), ("text", True), ("adopted", True), ("custom backbone", True)]  # training leaves more behind


@pytest.fixture(scope="module", params=CASES, ids=str)
def assembled(request, tmp_path_factory):
    """A model, a batch of its input, and the name of a layer in its middle; untrained or after two phases."""
    kind, trained = request.param
    build = BUILDERS[kind]
    model, source, middle = build(tmp_path_factory.mktemp("preset")) if kind == "text" else build()
    if trained:
        tltk.fit(model, source, source, recipe=tltk.fine_tune(epochs=1, probe_epochs=1), batch_size=4)
    calls = {layer.name: len(layer._inbound_nodes) for layer in model.keras.layers}
    assert set(calls.values()) == {1}, "every layer has one call, that of the model"
    if kind == "text":
        return model.keras, np.array([[2, 5, 11, 3, 0], [2, 8, 12, 19, 3]], "int32"), middle
    height, width, _ = model.input_spec.shape
    pixels = np.random.default_rng(0).uniform(0, 255, (2, height, width, 3)).astype("float32")
    return model.keras, pixels, middle


def _submodel(model, x, middle, folder):
    part = keras.Model(model.input, model.get_layer(middle).output)
    assert keras.ops.convert_to_numpy(part(x)).shape[0] == len(x)
    if x.dtype == "float32":  # in a text model every layer also gets the mask
        upper = keras.Model(model.get_layer(middle).output, model.output)
        np.testing.assert_allclose(upper(part(x)), model(x), rtol=1e-5, atol=1e-6)


def _tensors_of_each_layer(model, x, middle, folder):
    tensors = {id(tensor) for node in _nodes(model) for tensor in node.outputs}
    for layer in model.layers:
        assert all(id(tensor) in tensors for tensor in keras.tree.flatten([layer.input, layer.output])), layer.name
    all_layers = keras.Model(model.input, [layer.output for layer in model.layers])
    np.testing.assert_array_equal(all_layers(x)[-1], model(x))


def _nodes(model):
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def _clone(model, x, middle, folder):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(x), model(x))
    assert [layer.name for layer in clone.layers] == [layer.name for layer in model.layers]


def _summary(model, x, middle, folder):
    lines = []
    model.summary(print_fn=lines.append, expand_nested=True, show_trainable=True)
    assert f"Total params: {model.count_params():,}" in "\n".join(lines)


def _plot(model, x, middle, folder):
    pytest.importorskip("pydot", reason="plotting needs pydot")
    dot = keras.utils.model_to_dot(model, show_shapes=True)
    assert all(layer.name in dot.to_string() for layer in model.layers)


def _save(model, x, middle, folder):
    model.save(folder / "model.keras")
    loaded = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [operation.name for operation in loaded.operations] == [operation.name for operation in model.operations]


def _save_weights(model, x, middle, folder):
    model.save_weights(folder / "model.weights.h5")
    clone = keras.models.clone_model(model)
    clone.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(clone(x), model(x))


def _export(model, x, middle, folder):
    model.export(folder / "saved_model", verbose=False)
    served = keras.layers.TFSMLayer(folder / "saved_model", call_endpoint="serve")
    np.testing.assert_allclose(served(x), model(x), rtol=1e-5, atol=1e-6)


def _quantize(model, x, middle, folder):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):  # Keras, of layers without kernels
        clone.quantize("int8")
    np.testing.assert_allclose(clone(x), model(x), atol=0.2)


def _nest(model, x, middle, folder):
    outer = keras.Sequential([keras.Input(model.input.shape[1:], dtype=model.input.dtype), model])
    np.testing.assert_array_equal(outer(x), model(x))
    outer.save(folder / "outer.keras")
    np.testing.assert_array_equal(keras.models.load_model(folder / "outer.keras")(x), model(x))


def _deepcopy(model, x, middle, folder):
    copied = copy.deepcopy(model)
    np.testing.assert_array_equal(copied(x), model(x))
    assert not {id(variable) for variable in copied.variables} & {id(variable) for variable in model.variables}


def _train(model, x, middle, folder):
    clone = keras.models.clone_model(model)
    clone.compile("sgd", "mse")  # its graph is smaller than that of Adam
    history = clone.fit(x, np.zeros((len(x), model.output.shape[-1])), verbose=0)
    assert np.isfinite(history.history["loss"]).all()


IDIOMS = {function.__name__.strip("_"): function for function in (
    _submodel, _tensors_of_each_layer, _clone, _summary, _plot, _save, _save_weights, _export, _quantize, _nest,
    _deepcopy, _train,
)}  # fmt: skip


@pytest.mark.parametrize("idiom", IDIOMS)
def test_models_support_the_keras_idiom(assembled, idiom, tmp_path):
    IDIOMS[idiom](*assembled, tmp_path)


@pytest.mark.parametrize("kind", ["adopted", "custom backbone"])
def test_the_assembled_model_itself_can_be_compiled_and_fitted(kind):
    model, source, _ = BUILDERS[kind]()
    model.keras.compile("adam", "categorical_crossentropy")
    size = model.input_spec.shape[:2]
    pixels = keras.ops.image.resize(source.examples.astype("float32"), size)
    model.keras.fit(pixels, np.eye(3)[np.asarray(source.targets)], verbose=0)
    run = tltk.fit(model, source, recipe=tltk.linear_probe(epochs=1), batch_size=4)
    assert len(run.history) == 1
