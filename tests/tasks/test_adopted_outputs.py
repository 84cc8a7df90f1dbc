import keras
import numpy as np
import pytest

import tltk
from tltk.tasks.adopted_outputs import check_outputs, last_activation, probabilities, single_output

layers = keras.layers


def dense(units, activation=None):
    return layers.Dense(units, activation, name="out")(keras.Input((4,)))


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (lambda: dense(3), "linear"),
        (lambda: dense(3, "softmax"), "softmax"),
        (lambda: layers.Softmax()(dense(3)), "softmax"),
        (lambda: layers.Activation("sigmoid")(dense(3)), "sigmoid"),
        (lambda: keras.ops.softmax(dense(3)), "softmax"),
        (lambda: layers.Reshape((3, 1))(layers.Flatten()(dense(3, "softmax"))), "softmax"),
        (lambda: dense(3, "tanh"), "tanh"),
        (lambda: layers.Activation("linear", dtype="float32")(dense(3, "softmax")), "softmax"),
        (lambda: dense(3) * 2, ""),
    ],
)
def test_the_last_activation_is_found_behind_changes_of_shape(build, name):
    assert last_activation(build())[1] == name


def test_named_outputs_must_have_the_names_and_sizes_that_the_task_describes():
    described = {"colour": ("red", "green"), "light": ("light",)}
    check_outputs({"light": dense(1), "colour": dense(2)}, described)
    with pytest.raises(ValueError, match=r"a dict of the outputs colour, light. Received: outputs colour"):
        check_outputs({"colour": dense(2)}, described)
    with pytest.raises(ValueError, match=r"(?s)colour: the task needs 2 outputs. Received: a model with 3"):
        check_outputs({"light": dense(1), "colour": dense(3)}, described)
    with pytest.raises(ValueError, match="Received: list"):
        check_outputs([dense(2), dense(1)], described)


def test_one_output_is_not_a_dict_of_one():
    output = dense(2)
    assert single_output(output) is output
    with pytest.raises(ValueError, match=r"one output.*keras.Model\(model.input, model.output\['logits'\]\)"):
        single_output({"logits": output})


def test_probabilities_are_returned_unchanged():
    output = dense(2, "softmax")
    assert probabilities(output, ("a", "b"), activation="softmax", from_logits=None) is output
    scaled = layers.Rescaling(0.5)(dense(2, "sigmoid"))
    assert probabilities(scaled, ("a", "b"), activation="softmax", from_logits=False) is scaled


@pytest.mark.parametrize("from_logits", [None, True])
def test_one_logit_becomes_the_probabilities_of_two_classes(from_logits):
    inputs = keras.Input((1,))
    logit = layers.Dense(1, kernel_initializer="ones")(inputs)
    both = probabilities(logit, ("no", "yes"), activation="softmax", from_logits=from_logits)
    values = np.asarray(keras.Model(inputs, both)(np.array([[0.0], [2.0]])))
    np.testing.assert_allclose(values, [[0.5, 0.5], [0.1192, 0.8808]], atol=1e-4)


def test_tags_have_one_probability_per_token():
    task = tltk.token_classification(["city"])
    tokens = keras.Input((None,), dtype="int32")
    tags = layers.Dense(3)(layers.Embedding(5, 4)(tokens))
    assert task.adopt_outputs(tags).shape == (None, None, 3)
    with pytest.raises(ValueError, match=r"outputs of shape \[batch, tokens, 3\]. Received: .*\(None, 3\)"):
        task.adopt_outputs(dense(3))
    assert tltk.question_answering().adopt_outputs(layers.Dense(2)(layers.Embedding(5, 4)(tokens))).shape[-1] == 2
