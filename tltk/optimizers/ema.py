"""Averaged weights (EMA): what validation and the best epoch see, while training goes on with the raw ones."""

import keras
import numpy as np

from tltk.foundation import keras_private as private
from tltk.optimizers.state import unwrapped


class AveragedWeights(keras.callbacks.Callback):
    """Hold the averages in the model from validation until the next epoch begins.

    Put it first among the callbacks: in `on_epoch_end` those after it see the averages, and so does validation. When
    the next epoch begins the raw weights are back, bit for bit. After `fit` the model holds the averages.

    `keras.callbacks.SwapEMAWeights` has the raw weights back before any `on_epoch_end` unless told otherwise, gets them
    back by adding and subtracting, which rounds, and leaves the raw ones in the model if `fit` stops early (docs,
    design notes). Batch norm's moving statistics have no average; they are those of the raw weights.

    Raises:
        ValueError: from `fit`, if the optimizer keeps no averages.

    Example:
        >>> from tltk.optimizers.spec import adamw, build
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> optimizer = build(adamw(ema=0.9), 0.1, model.trainable_variables)
        >>> model.compile(optimizer, loss="mse")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), callbacks=[AveragedWeights()], verbose=0)
    """

    def __init__(self) -> None:
        super().__init__()
        self._raw: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check that there are averages, and forget an earlier `fit` that did not come to its end."""
        if not unwrapped(self.model.optimizer).use_ema:
            raise ValueError("the optimizer keeps no averages. Build it with adamw(ema=0.99) or sgd(ema=0.99).")
        self._raw = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Go on with the raw weights."""
        if self._raw is not None:
            for variable, value in zip(self._variables, self._raw, strict=True):
                variable.assign(value)
            self._raw = None

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Validate the averages."""
        self._average()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Show the averages to the callbacks that follow, also without validation."""
        self._average()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leave the averages in the model, where Keras has put them."""
        self._raw = None

    @property
    def _variables(self) -> list[keras.Variable]:
        return private.optimizer_variables(unwrapped(self.model.optimizer))

    def _average(self) -> None:
        if self._raw is None:
            self._raw = [keras.ops.convert_to_numpy(variable).copy() for variable in self._variables]
            private.assign_moving_averages(unwrapped(self.model.optimizer))
