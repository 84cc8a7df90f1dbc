"""A small network trained from scratch on the images themselves: if it does as well, no pretrained one is needed."""

from dataclasses import dataclass
from time import perf_counter

import keras
import numpy as np

from tltk.advice.comparison import LUCK, Examples, Judged, interval_of, is_tie, share_outside
from tltk.advice.intervals import difference
from tltk.advice.records import Choice
from tltk.foundation import duration, progress
from tltk.foundation.duration import Deadline
from tltk.modalities.modality import named_modality
from tltk.pipeline.batching import Order
from tltk.probes.folds import stratified_folds
from tltk.specs import ImageSpec

NAME = "small network"
MODALITY = "image"
MIN_EXAMPLES = 300  # with fewer it is far behind
_SIDE = 32  # pixels
_FILTERS = (24, 48, 96)
_FOLDS = 3
_STEPS, _BATCH, _RATE = 300, 64, 3e-3
_TIMED = 5  # steps
_SHIFT = 2  # pixels, at most, by which batches are moved
_SHARE = 0.5  # of what is left of the budget, at most


@dataclass(frozen=True, eq=False)
class Scratch:
    """What a small network trained from scratch does.

    Args:
        choice: Row of the table.
        scores: Whether it is right about each example, float64 [n].
    """

    choice: Choice
    scores: np.ndarray

    def note(self, best: Judged, examples: Examples) -> str:
        """Return a remark for the reason of the recommendation, "" if the recommended choice is better."""
        gap = difference(best.scores, self.scores, groups=examples.groups, spread=LUCK, seed=examples.seed)
        if not is_tie(gap):
            return ""
        return (
            f"; a small network trained from scratch does as well ({self.choice.accuracy:.1%}): no weights are needed"
        )


def train_from_scratch(examples: Examples, deadline: Deadline) -> tuple[Scratch | None, str]:
    """Cross-validate a convolutional network of three layers on images of 32 × 32 pixels.

    Args:
        examples: Images; with fewer than 300 nothing is trained.
        deadline: Nothing is trained if it would take more than half of the time that is left.

    Returns:
        What it does, or None; and why it was not trained, or "".
    """
    if examples.source.modality != MODALITY or len(examples) < MIN_EXAMPLES:
        return None, ""
    started_at = perf_counter()
    pixels = _pixels(examples)
    folds = stratified_folds(examples.classes, folds=_FOLDS, groups=examples.groups, seed=examples.seed)
    right = np.zeros(len(examples), np.float64)
    milliseconds = 0.0
    training = _Training(pixels, examples)
    for fold in np.unique(folds):
        training.restart(np.flatnonzero(folds != fold))
        seconds = _FOLDS * _STEPS * training.seconds_per_step()
        if fold == 0 and seconds > _SHARE * deadline.left:
            return None, f"{NAME} from scratch: it takes about {duration.describe(seconds)}, too much of the budget"
        if fold == 0:
            progress.line(f"{NAME} from scratch: {_STEPS} steps in {_FOLDS} folds")
        training.run()
        tested, predicting_at = folds == fold, perf_counter()
        right[tested] = training.predict(pixels[tested]) == examples.classes[tested]
        milliseconds = 1000 * (perf_counter() - predicting_at) / max(int(tested.sum()), 1)
    choice = Choice(
        name=NAME,
        method="from scratch",
        **interval_of(right, examples, fitted_share=share_outside(folds)),
        seconds=perf_counter() - started_at,
        parameters=training.network.count_params(),
        milliseconds=milliseconds,
    )
    return Scratch(choice, right), ""


def _pixels(examples: Examples) -> np.ndarray:
    """Read images, standardized: float32 [n, 32, 32, 3]."""
    reader = named_modality(MODALITY).reader(examples.source, ImageSpec(_SIDE, _SIDE))
    pixels = np.zeros((len(examples), _SIDE, _SIDE, 3), np.float32)
    for part in reader.partial_batches(Order(_BATCH)):
        pixels[part.rows] = part.values[0]
    return (pixels - pixels.mean((0, 1, 2))) / np.maximum(pixels.std((0, 1, 2)), 1e-3)


class _Training:
    """Trains a network on some of the images; it is traced once for all folds."""

    def __init__(self, pixels: np.ndarray, examples: Examples) -> None:
        self.pixels, self.classes, self.rows = pixels, examples.classes, np.arange(len(examples))
        self.generator = np.random.default_rng(examples.seed)
        self.network = _network(examples.targets.shape[1], seed=examples.seed)
        self.network.optimizer.build(self.network.trainable_variables)
        self.variables = [*self.network.variables, *self.network.optimizer.variables]
        self.first_values = [keras.ops.convert_to_numpy(variable).copy() for variable in self.variables]

    def restart(self, rows: np.ndarray) -> None:
        """Forget what was learnt, and train on other images from now on.

        Args:
            rows: Their indices, int64 [k].
        """
        self.rows = rows
        for variable, value in zip(self.variables, self.first_values, strict=True):
            variable.assign(value)

    def seconds_per_step(self) -> float:
        """Measure a step, once the network is traced; these steps count."""
        self._step()
        started_at = perf_counter()
        for _ in range(_TIMED):
            self._step()
        return (perf_counter() - started_at) / _TIMED

    def run(self) -> None:
        """Make the other steps."""
        with progress.bar(f"{NAME} from scratch", _STEPS) as advance:
            for _ in range(_STEPS - _TIMED - 1):
                self._step()
                advance()

    def _step(self) -> None:
        rows = self.generator.choice(self.rows, min(_BATCH, len(self.rows)), replace=False)
        shift = self.generator.integers(-_SHIFT, _SHIFT + 1, 2)
        self.network.train_on_batch(np.roll(self.pixels[rows], tuple(shift), (1, 2)), self.classes[rows])

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the predicted classes, int64 [n]."""
        batches = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
        return np.concatenate([np.asarray(self.network.predict_on_batch(batch)).argmax(1) for batch in batches])


def _network(classes: int, *, seed: int) -> keras.Model:
    """Build and compile the network."""
    x = inputs = keras.Input((_SIDE, _SIDE, 3))
    for number, filters in enumerate(_FILTERS):
        initializer = keras.initializers.HeNormal(seed=seed + number)
        x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer=initializer)(x)
        x = keras.layers.MaxPooling2D()(keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(x)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    initializer = keras.initializers.GlorotUniform(seed=seed + len(_FILTERS))
    network = keras.Model(inputs, keras.layers.Dense(classes, kernel_initializer=initializer)(x))
    rate = keras.optimizers.schedules.CosineDecay(_RATE, _STEPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(rate), loss)
    return network
