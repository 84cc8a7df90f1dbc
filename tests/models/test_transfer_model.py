import copy
from dataclasses import replace

import keras
import numpy as np
import pytest

from tests import texts
from tests.conftest import squares_model


def test_stages_are_listed_from_the_input_to_the_head():
    assert squares_model().stage_names == ("stem", "conv2", "conv3", "head")


def test_one_line_describes_a_model():
    line = squares_model().describe()
    for part in ("conv_net", "16×16", "float32", "classification 3 outputs", "stages: stem, conv2, conv3, head"):
        assert part in line


def test_text_models_have_a_mask_and_image_models_have_none(tmp_path):
    assert squares_model().mask() is None
    model = texts.text_model(texts.tiny_preset(tmp_path))
    mask = keras.Function(model.keras.inputs, model.mask())
    values = np.asarray(mask([np.array([[2, 5, 3, 0]], "int32")]))
    np.testing.assert_array_equal(np.squeeze(values), [True, True, True, False])


@pytest.mark.parametrize("name", ["fit", "compile", "save", "summary", "predict", "evaluate", "export"])
def test_what_keras_models_do_points_to_keras_or_tltk(name):
    model = squares_model()
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=rf"TransferModel has no '{name}'. Use (tltk|model\.keras)\."):
        getattr(model, name)


def test_other_unknown_attributes_are_explained_and_copies_work():
    model = squares_model()
    with pytest.raises(AttributeError, match=r"no 'trainable_weights'. Use model.keras.trainable_weights"):
        model.trainable_weights  # noqa: B018
    with pytest.raises(AttributeError, match=r"no 'stage'. Did you mean 'stages'\?"):
        model.stage  # noqa: B018
    assert copy.copy(model) == model and replace(model, precision="float16").precision == "float16"
