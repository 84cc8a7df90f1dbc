"""A modality of one's own, made of public names alone: series of sensor readings of a fixed length."""

from dataclasses import asdict, dataclass
from typing import ClassVar

import keras
import numpy as np
import tensorflow as tf

import tltk


@dataclass(frozen=True)
class SensorSpec:
    """Series that a model takes: float32 [batch, steps, channels].

    Args:
        steps: readings of a series.
        channels: sensors.
    """

    steps: int
    channels: int

    name: ClassVar[str] = "readings"
    dtype: ClassVar[str] = "float32"

    @property
    def shape(self):
        """Steps and channels."""
        return (self.steps, self.channels)

    def describe(self):
        """Say how large a series is."""
        return f"{self.steps} steps × {self.channels} channels"


class SensorModality(tltk.Modality):
    """Series in memory; a request is the readings as comma-separated numbers, step by step."""

    name = "sensor"
    spec_type = SensorSpec

    def validate(self, source):
        """Leave out series with missing readings."""
        finite = np.isfinite(source.examples).all(axis=(1, 2))
        invalid = tuple(tltk.InvalidExample(source.id_of(row), "missing readings") for row in np.flatnonzero(~finite))
        return (source.subset(finite) if invalid else source), invalid

    def reader(self, source, spec):
        """Read the array."""
        return tltk.ArrayReader(np.asarray(source.examples, spec.dtype))

    def source(self, inputs, spec):
        """Take an array [n, steps, channels]."""
        return from_series(inputs)

    def request_names(self, spec):
        """Readings as text."""
        return ("readings",)

    def request_reader(self, spec):
        """Parse numbers; a request with too few, too many or no numbers is invalid, alone."""
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
        """Make series of random readings, and two that cannot be read."""
        series = np.random.default_rng(seed).normal(0, 1, (count, *spec.shape)).round(3)
        requests = [",".join(f"{value:.3f}" for value in each.ravel()).encode() for each in series]
        return [(request,) for request in (*requests, b"1,2", b"no numbers")]

    def from_requests(self, requests, spec, folder):
        """Parse what is numbers; the others are left out."""
        rows = {}
        for number, (request,) in enumerate(requests):
            try:
                rows[str(number)] = np.array([float(value) for value in request.decode().split(",")], "float32")
            except ValueError:
                continue
        kept = {number: row for number, row in rows.items() if len(row) == spec.steps * spec.channels}
        x = np.stack(list(kept.values())).reshape(-1, *spec.shape)
        return tltk.Source("sensor", "arrays", x, ids=np.array(list(kept), object))

    def to_config(self, spec, folder):
        """Return the fields of the spec."""
        return asdict(spec)

    def from_config(self, config, folder):
        """Bring the spec back."""
        return SensorSpec(**config)


tltk.register_modality(SensorModality())


def from_series(x, y=None, *, labels=None):
    """Take series [n, steps, channels] and classes [n]."""
    spec = None if labels is None else tltk.LabelSpec(tuple(labels))
    return tltk.Source("sensor", "arrays", np.asarray(x, "float32"), y, spec)


def network(spec):
    """A small pretrained network: series → features [batch, steps / 2, 8]."""
    readings = keras.Input(spec.shape, name="readings")
    x = keras.layers.Conv1D(8, 3, padding="same", activation="relu", name="stem_conv")(readings)
    x = keras.layers.MaxPooling1D(name="stem_pool")(x)
    return keras.Model(readings, keras.layers.Conv1D(8, 3, padding="same", name="body_conv")(x), name="sensor_net")
