"""A task of one's own, made of public names alone: how many things an image shows."""

from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

import tltk


@tltk.register_task
@dataclass(frozen=True)
class CountThings(tltk.Task):
    """A Poisson rate for each column, and the count that is most likely.

    Args:
        labels: names of what is counted.
        most: largest count that is answered.
    """

    name: ClassVar[str] = "count_things"
    monitor: ClassVar[tltk.Monitor] = tltk.Monitor("mae", "min")
    score_name: ClassVar[str] = "mae"

    labels: tltk.LabelSpec
    most: int = 20

    def endpoints(self, backbone):
        """Take the last two stages."""
        return tuple(stage.name for stage in backbone.stages[-2:])

    def outputs(self, features, *, mask=None, seed=0):
        """Build the head: rates, float32 [batch, columns]."""
        pooled = [keras.layers.GlobalAveragePooling2D()(each) for each in features.values()]
        x = keras.layers.Concatenate()(pooled)
        init = keras.initializers.GlorotUniform(seed)
        return keras.layers.Dense(len(self.labels), "softplus", kernel_initializer=init, dtype="float32")(x)

    def encode(self, targets):
        """Counts to float32 [batch, columns]."""
        return tf.reshape(tf.cast(targets, tf.float32), [-1, len(self.labels)])

    def loss(self):
        """Poisson deviance but for a constant."""
        return keras.losses.Poisson()

    def metrics(self):
        """Mean absolute error of the rates."""
        return [keras.metrics.MeanAbsoluteError(name="mae")]

    def describe_outputs(self):
        """One rate a column."""
        return {"rates": self.labels.names}

    def decode(self, outputs, context):
        """Return "rates" float32 and "counts" int32, [n, columns] each."""
        rates = context.average(outputs)
        counts = tf.minimum(tf.cast(tf.math.floor(rates), tf.int32), self.most)
        return {"rates": rates, "counts": counts}

    def predictions(self, decoded, ids):
        """Each image's counts."""
        rows = zip(ids, decoded["counts"], decoded["rates"], strict=True)
        return [
            tltk.Prediction(
                example_id,
                ", ".join(f"{count} {name}" for count, name in zip(counts, self.labels.names, strict=True)),
                None,
                dict(zip(self.labels.names, map(float, rates), strict=True)),
            )
            for example_id, counts, rates in rows
        ]

    def evaluator(self):
        """Mean absolute error of the counts."""
        return CountEvaluator(self.labels.names)


class CountEvaluator:
    """Adds up errors of counts, a column each."""

    def __init__(self, names):
        self.names, self.errors, self.examples = names, np.zeros(len(names)), 0

    def update(self, targets, decoded, ids):
        """Count some examples."""
        true = np.asarray(targets).reshape(len(ids), -1)
        self.errors += np.abs(true - decoded["counts"]).sum(0)
        self.examples += len(ids)

    def result(self):
        """Return the mean over columns, and a row a column."""
        mae = self.errors / self.examples
        rows = tuple({"name": name, "mae": float(value)} for name, value in zip(self.names, mae, strict=True))
        return tltk.ReportParts({"mae": float(mae.mean())}, rows, "Columns")
