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
    generators = {
        id(generator): generator
        for layer in private.flattened_sublayers(model)
        for generator in private.seed_generators(layer)
    }
    states = np.random.SeedSequence([seed, phase]).generate_state(len(generators))
    for generator, state in zip(generators.values(), states, strict=True):
        generator.state.assign([int(state), 0])
