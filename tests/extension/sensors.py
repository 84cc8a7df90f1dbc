"""A custom modality that uses only public names: series of sensor readings of a fixed length."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

import tltk


@dataclass(frozen=True)
class SensorSpec:
    """Input format of a model of series: float32 [batch, steps, channels].

    Args:
        steps: Number of readings in a series.
        channels: Number of sensors.
    """

    steps: int
    channels: int

    name: ClassVar[str] = "readings"
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self):
        """Shape of an example."""
        return (self.steps, self.channels)

    def describe(self):
        """Describe the size of a series."""
        return f"{self.steps} steps × {self.channels} channels"


class SensorModality(tltk.Modality):
    """Series in memory; a request holds the readings of all steps as comma-separated numbers."""

    name = "sensor"
    spec_type = SensorSpec

    def validate(self, source):
        """Remove series with missing readings."""
        finite = np.isfinite(source.examples).all(axis=(1, 2))
        invalid = tuple(tltk.InvalidExample(source.id_of(row), "missing readings") for row in np.flatnonzero(~finite))
        return (source.subset(finite) if invalid else source), invalid

    def reader(self, source, spec):
        """Return a reader of the array."""
        return tltk.ArrayReader(np.asarray(source.examples, spec.dtype))

    def source(self, inputs, spec):
        """Convert an array [n, steps, channels] to a source."""
        return from_series(inputs)

    def request_names(self, spec):
        """Name the input of an export."""
        return ("readings",)

    def request_reader(self, spec):
        """Return a function that parses numbers; a request with another number of them is invalid."""
        count = spec.steps * spec.channels

        def read(readings):
            pattern = r"\s*-?\d+(\.\d+)?\s*" + r"(,\s*-?\d+(\.\d+)?\s*)" + f"{{{count - 1}}}"
            valid = tf.strings.regex_full_match(readings, pattern)
            clean = tf.where(valid, readings, ",".join(["0"] * count))
            numbers = tf.strings.to_number(tf.strings.strip(tf.strings.split(clean, ",").to_tensor("0")))
            series = tf.reshape(numbers, [-1, *spec.shape])
            error = tf.where(valid, "", f"not {count} comma-separated numbers")
            return tltk.Request(series, valid, error, tltk.Context(tf.size(readings, tf.int64)))

        return read, []

    def sample_requests(self, spec, *, count, seed):
        """Generate series of random readings, and two invalid requests."""
        batch = np.random.default_rng(seed).normal(0, 1, (count, *spec.shape)).round(3)
        requests = [",".join(f"{value:.3f}" for value in series.ravel()).encode() for series in batch]
        return [(request,) for request in (*requests, b"1,2", b"no numbers")]

    def from_requests(self, requests, spec, folder):
        """Parse the valid requests; the others are left out."""
        rows = {}
        for number, (request,) in enumerate(requests):
            try:
                rows[str(number)] = np.array([float(value) for value in request.decode().split(",")], "float32")
            except ValueError:
                continue
        kept = {number: row for number, row in rows.items() if len(row) == spec.steps * spec.channels}
        series = np.stack(list(kept.values())).reshape(-1, *spec.shape)
        return tltk.Source("sensor", "arrays", series, ids=np.array(list(kept), object))

    def to_config(self, spec, folder):
        """Return the fields of the spec."""
        return asdict(spec)

    def from_config(self, config, folder):
        """Rebuild the spec."""
        return SensorSpec(**config)


tltk.register_modality(SensorModality())


def from_series(x, y=None, *, labels=None):
    """Build a source of series [n, steps, channels] and classes [n]."""
    spec = None if labels is None else tltk.LabelSpec(tuple(labels))
    return tltk.Source("sensor", "arrays", np.asarray(x, "float32"), y, spec)


def network(spec):
    """Build a small network: series → features [batch, steps / 2, 8]."""
    readings = keras.Input(spec.shape, name="readings")
    x = keras.layers.Conv1D(8, 3, padding="same", activation="relu", name="stem_conv")(readings)
    x = keras.layers.MaxPooling1D(name="stem_pool")(x)
    return keras.Model(readings, keras.layers.Conv1D(8, 3, padding="same", name="body_conv")(x), name="sensor_net")
