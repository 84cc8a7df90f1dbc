"""Models of the user: which are adopted, how, and what is said about the others."""

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares
from tests.texts import TOKENIZER, texts
from tltk.backbones import Preprocessing
from tltk.optimizers.spec import sgd
from tltk.recipes import Phase, Recipe
from tltk.specs import ImageSpec, LabelSpec
from tltk.trainability import train_top

PETS = LabelSpec(("cat", "dog"))
COLOURS = ("red", "green", "blue")
layers = keras.layers


def classifier(units=3, activation="softmax", *, inputs=None, last=None):
    """A small flat classifier of images."""
    body = conv_net()
    x = layers.GlobalAveragePooling2D(name="pool")(body.output)
    x = layers.Dense(units, activation, name="out")(x)
    return keras.Model(body.input, x if last is None else last(x), name="mine")


def nested_classifier():
    """A base inside a model, as in the transfer-learning guide of Keras."""
    pixels = keras.Input((16, 16, 3))
    x = conv_net()(layers.Rescaling(1 / 255)(pixels), training=False)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, layers.Dense(3, "softmax")(x), name="nested")


def adopted_outputs(model, x):
    return np.asarray(model.keras(x.astype("float32"), training=False))


def test_a_flat_model_is_not_copied():
    model = classifier(2)
    adopted = tltk.adopt(model, tltk.classification(PETS))
    assert adopted.keras is model
    assert adopted.input_spec == ImageSpec(16, 16, 3)
    assert adopted.stage_names == ()


def test_a_sequential_model_shares_its_layers():
    model = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(3, "softmax", name="out")])
    adopted = tltk.adopt(model, tltk.classification(COLOURS))
    assert adopted.keras.get_layer("out") is model.layers[-1]
    with pytest.raises(ValueError, match=r"not built yet.*keras.Input\(shape\)"):
        tltk.adopt(keras.Sequential([layers.Dense(3)]), tltk.classification(COLOURS))


def test_the_layers_of_nested_models_are_layers_of_the_adopted_one():
    model, x = nested_classifier(), coloured_squares(4)[0]
    adopted = tltk.adopt(model, tltk.classification(COLOURS))
    names = [layer.name for layer in adopted.keras.layers]
    assert {"stem_conv", "conv2_bn", "conv3_relu"} <= set(names) and "conv_net" not in names
    assert adopted.stage_names == ("conv_net", "head")
    np.testing.assert_allclose(adopted_outputs(adopted, x), model.predict(x.astype("float32"), verbose=0), rtol=1e-5)
    decisions = tltk.unfreeze_from("conv_net").resolve(adopted)
    assert decisions["conv2_conv"].action == "train"
    assert tltk.freeze("stem_*").resolve(adopted)["stem_conv"].action == "frozen"
    before = model.get_weights()
    tltk.fit(adopted, squares(6), recipe=tltk.linear_probe(epochs=1), batch_size=3)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True)), "a copy"


def test_nested_models_whose_layers_have_equal_names_are_told_apart():
    def block(name, channels):
        x = keras.Input((None, None, channels))
        return keras.Model(x, layers.Conv2D(4, 3, padding="same", name="conv")(x), name=name)

    model = keras.Sequential(
        [keras.Input((16, 16, 3)), block("b1", 3), block("b2", 4), layers.Flatten(), layers.Dense(3, "softmax")]
    )
    adopted = tltk.adopt(model, tltk.classification(COLOURS))
    assert [layer.name for layer in adopted.keras.layers if "conv" in layer.name] == ["conv", "conv_1"]
    assert adopted.stage_names == ("b1", "b2", "head")
    assert len({weight.path for weight in adopted.keras.weights}) == len(adopted.keras.weights)


def test_a_nested_head_is_the_head():
    head = keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")], name="classifier")
    model = keras.Sequential([keras.Input((16, 16, 3)), conv_net(), head])
    adopted = tltk.adopt(model, tltk.classification(COLOURS))
    assert adopted.stage_names == ("conv_net", "head")


def test_one_sigmoid_becomes_the_probabilities_of_two_classes():
    model, x = classifier(1, "sigmoid"), coloured_squares(4)[0]
    adopted = tltk.adopt(model, tltk.classification(PETS))
    second = model.predict(x.astype("float32"), verbose=0)
    probabilities = tltk.predict(adopted, x).probabilities
    np.testing.assert_allclose(probabilities, np.concatenate([1 - second, second], 1), rtol=1e-5)
    assert adopted.keras.get_layer("out") is model.get_layer("out")


@pytest.mark.parametrize(
    ("units", "labels", "function"),
    [(3, COLOURS, keras.ops.softmax), (2, LabelSpec(("a", "b"), "multilabel"), keras.ops.sigmoid)],
)
def test_logits_become_probabilities(units, labels, function):
    model, x = classifier(units, None), coloured_squares(4)[0]
    expected = np.asarray(function(model(x.astype("float32"), training=False)))
    assert tltk.predict(tltk.adopt(model, tltk.classification(labels)), x).probabilities == pytest.approx(expected)
    unknown = classifier(units, None, last=layers.BatchNormalization(name="last"))
    with pytest.raises(ValueError, match=r"unknown whether the outputs of the last layer 'last'.*`from_logits=False`"):
        tltk.adopt(unknown, tltk.classification(labels))
    adopted = tltk.adopt(unknown, tltk.classification(labels), from_logits=True)
    assert 0 <= adopted_outputs(adopted, x).min() <= adopted_outputs(adopted, x).max() <= 1


def test_wrong_activations_are_refused():
    with pytest.raises(ValueError, match=r"the last layer 'out' applies sigmoid: one class per example needs softmax"):
        tltk.adopt(classifier(3, "sigmoid"), tltk.classification(COLOURS))
    with pytest.raises(ValueError, match=r"'out' applies softmax: independent labels need sigmoid"):
        tltk.adopt(classifier(3, "softmax"), tltk.classification(LabelSpec(COLOURS, "multilabel")))
    with pytest.raises(ValueError, match=r"`from_logits=True`, but the last layer 'out' already applies softmax"):
        tltk.adopt(classifier(3), tltk.classification(COLOURS), from_logits=True)
    with pytest.raises(ValueError, match=r"`from_logits` has no meaning for regression"):
        tltk.adopt(classifier(1, None), tltk.regression(["age"]), from_logits=False)


def test_scores_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match=r"`from_logits=False`, but the outputs of the last layer 'out'.*'linear'"):
        tltk.adopt(classifier(3, None), tltk.classification(COLOURS), from_logits=False)
    with pytest.raises(TypeError, match=r"`from_logits` must be bool. Received: str"):
        tltk.adopt(classifier(3), tltk.classification(COLOURS), from_logits="x")
    wrong_axis = classifier(3, None, last=layers.Softmax(axis=0, name="last"))
    for from_logits in (None, False):
        with pytest.raises(ValueError, match=r"'last' applies softmax over axis 0.*axis=-1"):
            tltk.adopt(wrong_axis, tltk.classification(COLOURS), from_logits=from_logits)


@pytest.mark.parametrize("channels", [1, 4, 6])
def test_images_of_other_channels_are_read_as_the_model_takes_them(channels):
    pixels = keras.Input((8, 8, channels))
    model = keras.Model(pixels, layers.Dense(2, "softmax")(layers.Flatten()(pixels)), name="own")
    adopted = tltk.adopt(model, tltk.classification(PETS))
    images = np.random.default_rng(0).integers(0, 255, (3, 8, 8, channels)).astype("uint8")
    expected = model.predict(images.astype("float32"), verbose=0)
    assert adopted.keras is model and adopted.input_spec == ImageSpec(8, 8, channels)
    np.testing.assert_allclose(tltk.predict(adopted, images).probabilities, expected, atol=1e-3)


def rebuilt_as_told(model):
    """Refuse to adopt a model, rebuild it as the message says and adopt that."""
    with pytest.raises(ValueError, match="Rebuild it: ") as error:
        tltk.adopt(model, tltk.classification(PETS))
    code = str(error.value).split("Rebuild it: ")[1].split(". Or")[0]
    names = {"keras": keras, "model": model}
    exec(code, names)
    return tltk.adopt(names["model"], tltk.classification(PETS))


@pytest.mark.parametrize(("shape", "dtype"), [((8, 6, 3), "uint8"), ((3, 8, 6), "float32")])
def test_the_message_for_other_pixels_says_how_to_rebuild_the_model(shape, dtype):
    pixels = keras.Input(shape, dtype=dtype)
    x = layers.Flatten()(keras.ops.cast(pixels, "float32") / 255.0)
    model = keras.Model(pixels, layers.Dense(2, "softmax")(x), name="own")
    adopted = rebuilt_as_told(model)
    assert adopted.input_spec == ImageSpec(8, 6, 3)
    images = np.random.default_rng(0).integers(0, 255, (2, 8, 6, 3)).astype("uint8")
    own = images if dtype == "uint8" else images.transpose(0, 3, 1, 2).astype("float32")
    np.testing.assert_allclose(tltk.predict(adopted, images).probabilities, np.asarray(model(own)), rtol=1e-4)


def test_a_spec_says_that_few_rows_are_no_channels():
    pixels = keras.Input((3, 8, 6))
    model = keras.Model(pixels, layers.Dense(2, "softmax")(layers.Flatten()(pixels)))
    assert tltk.adopt(model, tltk.classification(PETS), spec=ImageSpec(3, 8, 6)).input_spec.channels == 6


def test_preprocessing_precedes_the_model():
    model, x = classifier(), coloured_squares(4)[0]
    adopted = tltk.adopt(model, tltk.classification(COLOURS), preprocessing=Preprocessing(scale=(1 / 255,)))
    expected = model.predict(x.astype("float32") / 255, verbose=0)
    np.testing.assert_allclose(tltk.predict(adopted, x).probabilities, expected, rtol=1e-5)
    assert tltk.adopt(model, tltk.classification(COLOURS), preprocessing=Preprocessing()).keras is model


def text_classifier(units=2, activation="softmax", *, length=None, dtype="int32"):
    tokens = keras.Input((length,), dtype=dtype)
    x = layers.Embedding(len(TOKENIZER.vocabulary), 8, name="embedding")(tokens)
    return keras.Model(tokens, layers.Dense(units, activation, name="out")(layers.GlobalAveragePooling1D()(x)))


def test_a_text_model_is_adopted_with_its_spec(tmp_path):
    source = texts()
    adopted = tltk.adopt(text_classifier(), tltk.classification(source), spec=tltk.TextSpec(TOKENIZER, 16))
    recipe = Recipe("top", (Phase("top", train_top(layers=2), 1, sgd(0.1)),))
    run = tltk.fit(adopted, source, recipe=recipe, batch_size=4, out=tmp_path / "run")
    assert tltk.evaluate(run, source).example_count == len(source)
    assert tltk.predict(tmp_path / "run", ["good film"]) == tltk.predict(run, ["good film"])
    with pytest.raises(ValueError, match=r"(?s)input is int32 of shape \(None, None\).*tltk.TextSpec\(tokenizer"):
        tltk.adopt(text_classifier(), tltk.classification(PETS))
    with pytest.raises(ValueError, match=r"`preprocessing` needs pixels. Received: an input of dtype int32"):
        spec, preprocessing = tltk.TextSpec(TOKENIZER, 16), Preprocessing(scale=(2.0,))
        tltk.adopt(text_classifier(), tltk.classification(PETS), spec=spec, preprocessing=preprocessing)


def test_all_problems_of_an_adopted_model_are_listed_at_once():
    with pytest.raises(ValueError, match=r"(?s)'mine' cannot be.*needs 3 outputs. Received: a model with 2.*'conv9'"):
        tltk.adopt(classifier(2), tltk.classification(COLOURS), stages={"stem": "conv9"})
    pixels = keras.Input((None, None, 3))
    any_size = keras.Model(pixels, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(pixels)))
    with pytest.raises(ValueError, match=r"spec`: tltk.ImageSpec"):
        tltk.adopt(any_size, tltk.classification(COLOURS))
    assert tltk.adopt(any_size, tltk.classification(COLOURS), spec=ImageSpec(8, 8)).input_spec == ImageSpec(8, 8)
    with pytest.raises(TypeError, match=r"`model` must be Model. Received: str. Load a file with keras.models"):
        tltk.adopt("model.keras", tltk.classification(COLOURS))


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


def test_models_that_cannot_be_adopted_say_so_at_once():
    task, pixels = tltk.classification(COLOURS), keras.Input((8, 8, 3))
    flat = layers.Flatten()(pixels)
    two = [layers.Dense(3, "softmax")(flat), layers.Dense(3, "softmax")(flat)]
    second = keras.Input((8, 8, 3), name="second")
    fixed = keras.Input((8, 8, 3), batch_size=2)

    def head(x):
        return layers.Dense(3, "softmax")(layers.Flatten()(x))

    for model, message in (
        (Subclassed(name="own"), r"'own' is a subclassed model \(Subclassed\)"),
        (keras.Model(pixels, two), r"needs one output. Received: a list of 2 outputs \(0, 1\).*model.output\[0\]\)"),
        (keras.Model(pixels, {"a": two[0]}), r"Received: a dict of 1 outputs \('a'\).*model.output\['a'\]\)"),
        (keras.Model([pixels, second], head(layers.Add()([pixels, second]))), r"Received: 2 inputs \(.*second"),
        (keras.Model(pixels, layers.Softmax()(layers.GlobalAveragePooling2D()(pixels))), r"has no weights"),
        (keras.Model(pixels, layers.Conv2D(3, 1, activation="softmax")(pixels)), r"\[batch, 3\].*\(None, 8, 8, 3\)"),
        (keras.Model(fixed, head(fixed)), r"its batch size is fixed to 2"),
        (text_classifier(3, length=4), r"input is int32 of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            tltk.adopt(model, task)


def test_stages_name_the_parts_of_a_model_and_the_rest_is_the_head():
    stages = {name: STAGES[name] for name in ("stem", "conv2", "conv3")}
    adopted = tltk.adopt(classifier(), tltk.classification(COLOURS), stages=stages)
    assert adopted.stage_names == ("stem", "conv2", "conv3", "head")
    assert adopted.stages["out"] == adopted.stages["pool"] == "head" and adopted.stages["conv2_bn"] == "conv2"
    with pytest.raises(ValueError, match=r"`stages`: no layer with weights follows the last stage"):
        tltk.adopt(classifier(), tltk.classification(COLOURS), stages={"all": "out"})
    with pytest.raises(ValueError, match=r"`stages`: stage 'low' is empty.*from the input to the output"):
        stages = {"high": STAGES["conv3"], "low": STAGES["stem"]}
        tltk.adopt(classifier(), tltk.classification(COLOURS), stages=stages)
    with pytest.raises(ValueError, match=r"`stages` names 'head'"):
        tltk.adopt(classifier(), tltk.classification(COLOURS), stages={"head": STAGES["stem"]})


def test_the_errors_of_plans_name_stages_and_train_top():
    adopted = tltk.adopt(classifier(), tltk.classification(COLOURS))
    for plan in (tltk.freeze("backbone"), tltk.unfreeze_from("conv5")):
        with pytest.raises(ValueError, match=r"none declared.*`stages=` of tltk.adopt.*train_top\(layers="):
            plan.resolve(adopted)


def test_an_adopted_model_is_trained_evaluated_exported_and_loaded(tmp_path, replay_here):
    adopted = tltk.adopt(nested_classifier(), tltk.classification(COLOURS))
    recipe = tltk.fine_tune(epochs=1, probe_epochs=1)
    run = tltk.fit(adopted, squares(12), squares(6), recipe=recipe, batch_size=6, out=tmp_path / "run")
    report = tltk.evaluate(run, squares(9, seed=1))
    exported = tltk.export(run, tmp_path / "serving")
    assert max(exported.largest_differences.values()) < 1e-5
    loaded = tltk.load_run(tmp_path / "run")
    assert tltk.evaluate(loaded, squares(9, seed=1)).metrics == pytest.approx(report.metrics)
    assert loaded.model.stages == run.model.stages
    calls = {layer.name: len(layer._inbound_nodes) for layer in run.model.keras.layers}
    assert set(calls.values()) == {1}, "every layer has one call, that of the model"
