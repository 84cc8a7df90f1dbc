import keras
import pytest

import tltk
from tests.conftest import conv_net
from tltk.specs import ImageSpec, LabelSpec

PETS = LabelSpec(("cat", "dog"))


def model_with_head():
    body = conv_net()
    x = keras.layers.GlobalAveragePooling2D(name="pool")(body.output)
    return keras.Model(body.input, keras.layers.Dense(2, "softmax", name="out")(x))


def test_an_adopted_model_is_not_copied():
    model = model_with_head()
    adopted = tltk.adopt(model, tltk.classification(PETS))
    assert adopted.keras is model
    assert adopted.input_spec == ImageSpec(16, 16, 3)
    assert adopted.stage_names == ()


def test_all_problems_of_an_adopted_model_are_listed_at_once():
    task = tltk.classification(LabelSpec(("a", "b", "c")))
    with pytest.raises(ValueError, match=r"(?s)needs 3 outputs. Received: a model with 2.*not in the model: conv9"):
        tltk.adopt(model_with_head(), task, stages={"conv9": "stem"})
    pixels = keras.Input((None, None, 3))
    model_of_any_size = keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(pixels))
    with pytest.raises(ValueError, match=r"spec=ImageSpec"):
        tltk.adopt(model_of_any_size, task)
    with pytest.raises(TypeError, match=r"`model` must be Model. Received: str"):
        tltk.adopt("model.keras", task)
    with pytest.raises(ValueError, match="functional or built sequential"):
        tltk.adopt(keras.Sequential([keras.layers.Dense(3)]), task)
