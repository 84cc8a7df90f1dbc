"""A custom task that uses only public names: count the objects in an image."""

from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

import tltk


@tltk.register_task
@dataclass(frozen=True)
class CountThings(tltk.Task):
    """Predict a Poisson rate for each column, and the most likely count.

    Args:
        labels: Names of the objects that are counted.
        most: Largest predicted count.
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
        pooled = [keras.layers.GlobalAveragePooling2D()(maps) for maps in features.values()]
        concatenated = keras.layers.Concatenate()(pooled)
        init = keras.initializers.GlorotUniform(seed)
        return keras.layers.Dense(len(self.labels), "softplus", kernel_initializer=init, dtype="float32")(concatenated)

    def encode(self, targets):
        """Cast counts to float32 [batch, columns]."""
        return tf.reshape(tf.cast(targets, tf.float32), [-1, len(self.labels)])

    def loss(self):
        """Return the Poisson deviance, up to a constant."""
        return keras.losses.Poisson()

    def metrics(self):
        """Return the mean absolute error of the rates."""
        return [keras.metrics.MeanAbsoluteError(name="mae")]

    def describe_outputs(self):
        """Name the rates after the columns."""
        return {"rates": self.labels.names}

    def decode(self, outputs, context):
        """Return "rates" float32 and "counts" int32, [n, columns] each."""
        rates = context.average(outputs)
        counts = tf.minimum(tf.cast(tf.math.floor(rates), tf.int32), self.most)
        return {"rates": rates, "counts": counts}

    def predictions(self, decoded, ids):
        """Return the counts of each image."""
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

    def fields(self, decoded):
        """Return "rates" and "counts", and the counts as the values of a regression."""
        return {**super().fields(decoded), "counts": decoded["counts"], "values": decoded["counts"].astype("float32")}

    def evaluator(self):
        """Return the evaluator: mean absolute error of the counts."""
        return CountEvaluator(self.labels.names)


class CountEvaluator:
    """Computes the mean absolute error of each column."""

    def __init__(self, names):
        self.names, self.errors, self.examples = names, np.zeros(len(names)), 0

    def update(self, targets, decoded, ids):
        """Add a batch of examples."""
        true = np.asarray(targets).reshape(len(ids), -1)
        self.errors += np.abs(true - decoded["counts"]).sum(0)
        self.examples += len(ids)

    def result(self):
        """Return the mean over columns, and one row per column."""
        mae = self.errors / self.examples
        rows = tuple({"name": name, "mae": float(value)} for name, value in zip(self.names, mae, strict=True))
        return tltk.ReportParts({"mae": float(mae.mean())}, rows, "Columns")
