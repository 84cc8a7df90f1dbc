import keras
import numpy as np
import pytest

from tltk.errors import InvalidInput
from tltk.training.stateful import Variables


def test_values_are_copied_and_assigned():
    variables = [keras.Variable([1.0, 2.0]), keras.Variable(3, dtype="int32")]
    stateful = Variables("the weights", lambda: variables)
    state = stateful.get_state()
    variables[0].assign([5.0, 6.0])
    np.testing.assert_array_equal(state[0], [1.0, 2.0])
    stateful.set_state(state)
    np.testing.assert_array_equal(variables[0].numpy(), [1.0, 2.0])


def test_other_variables_are_an_error():
    stateful = Variables("the optimizer", lambda: [keras.Variable([1.0, 2.0])])
    with pytest.raises(InvalidInput, match="does not fit the optimizer: it has 1 arrays, of which 1 have a shape"):
        stateful.set_state([np.zeros(3)])
