"""Seeds of what is drawn at random inside the network during training, such as dropout."""

import keras
import numpy as np

from tltk.foundation import keras_private as private


def set_seeds(model: keras.Model, seed: int, phase: int) -> None:
    """Set the state of every random generator of a model, so that a phase draws the same numbers each time.

    Layers of a pretrained network get their seeds when they are built, from the clock. Each generator gets a seed of
    its own, which depends on its place in the model, on `seed` and on the phase.

    Args:
        model: Built model.
        seed: Seed of the training, not negative.
        phase: Number of the phase, from 0.
    """
    variables = seed_states(model)
    values = np.random.SeedSequence([seed, phase]).generate_state(len(variables))
    for variable, value in zip(variables, values, strict=True):
        variable.assign([int(value), 0])


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """List the states of the random generators of a model, uint32 [2] each, in a fixed order.

    Args:
        model: Built model.
    """
    generators = {
        id(generator): generator
        for layer in private.flattened_sublayers(model)
        for generator in private.seed_generators(layer)
    }
    return [generator.state for generator in generators.values()]
