import keras
import numpy as np

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
