"""Averaged weights (EMA): validation and the best epoch use the averages, training continues with the raw weights."""

import keras
import numpy as np

from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput
from tltk.optimizers.state import without_loss_scaling


class AveragedWeights(keras.callbacks.Callback):
    """Put the averages into the model for validation, and the raw weights back when the next epoch begins.

    List it first among the callbacks: in `on_epoch_end` those after it see the averages, and so does validation. At the
    start of the next epoch the raw weights are back, bit for bit. After `fit` the model holds the averages.

    `keras.callbacks.SwapEMAWeights` restores the raw weights before any `on_epoch_end` unless told otherwise, restores
    them by adding and subtracting, which rounds, and leaves the raw ones in the model if `fit` stops early
    (docs/design-notes.md). The moving statistics of batch norm have no average; they are those of the raw weights.

    Raises:
        InvalidInput: From `fit`, if the optimizer computes no averages.

    Examples:
        >>> from tltk.optimizers.spec import adamw, build
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> optimizer = build(adamw(ema_momentum=0.9), 0.1, model.trainable_variables)
        >>> model.compile(optimizer, loss="mse")
        >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), callbacks=[AveragedWeights()], verbose=0)
    """

    def __init__(self) -> None:
        super().__init__()
        self._raw: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Check that there are averages, and drop what an interrupted `fit` has left."""
        if not without_loss_scaling(self.model.optimizer).use_ema:
            raise InvalidInput(
                "the optimizer computes no averages. Build it with adamw(ema_momentum=0.99) or sgd(ema_momentum=0.99)."
            )
        self._raw = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Restore the raw weights."""
        if self._raw is not None:
            for variable, value in zip(self._variables, self._raw, strict=True):
                variable.assign(value)
            self._raw = None

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Validate with the averages."""
        self._use_averages()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Show the averages to the callbacks that follow, also without validation."""
        self._use_averages()

    def on_train_end(self, logs: dict | None = None) -> None:
        """Leave the averages, which Keras assigns at the end of `fit`, in the model."""
        self._raw = None

    @property
    def _variables(self) -> list[keras.Variable]:
        return private.optimizer_variables(without_loss_scaling(self.model.optimizer))

    def _use_averages(self) -> None:
        if self._raw is None:
            self._raw = [keras.ops.convert_to_numpy(variable).copy() for variable in self._variables]
            private.assign_moving_averages(without_loss_scaling(self.model.optimizer))
