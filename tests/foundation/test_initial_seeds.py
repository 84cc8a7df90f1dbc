import random

import keras
import numpy as np
import pytest

import tltk
from tltk.foundation.initial_seeds import initial_seeds
from tltk.specs import LabelSpec


def test_pythons_generator_is_restored_also_after_an_error():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    with pytest.raises(KeyError), initial_seeds(5):
        raise KeyError
    assert random.random() == expected


def test_a_backbone_with_random_weights_depends_on_the_seed_of_assemble_alone():
    def weights(seed, global_seed):
        keras.utils.set_random_seed(global_seed)
        backbone = tltk.backbone("mobilenet_v2", weights="random", image_size=32)
        model = tltk.assemble(backbone, tltk.classification(LabelSpec(("a", "b"))), seed=seed)
        return model.keras.get_layer("Conv1").get_weights()[0]

    first = weights(3, 1)
    np.testing.assert_array_equal(weights(3, 2), first)
    assert (weights(4, 1) != first).any()
