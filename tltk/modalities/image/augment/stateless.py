"""Keras' random image layers as pure functions of a batch and a seed."""

from collections.abc import Callable

import keras
import tensorflow as tf

Transform = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class _SeedStream(keras.random.SeedGenerator):
    """The random source of a Keras layer, started anew from a given seed at every call."""

    def start(self, seed: tf.Tensor) -> None:
        self.base, self.drawn = seed, 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        self.drawn += 1
        return tf.random.experimental.stateless_fold_in(self.base, self.drawn)


def from_layer(layer: keras.Layer, *, mixes: bool = False) -> Transform:
    """Turn a Keras image layer, which draws from a state that runs on, into a pure function of batch and seed."""
    stream = _SeedStream(0)  # a seed here, and in every layer: without one Keras draws it from Python's global state
    for part in layer._flatten_layers():
        part.generator = stream
        part._backend_generators = {"tensorflow": stream}  # what a layer takes where Keras' backend is another

    def transform(images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        stream.start(seed)
        if not mixes:
            return tf.cast(layer(images, training=True), tf.float32), targets
        mixed = layer({"images": images, "labels": targets}, training=True)
        return tf.cast(mixed["images"], tf.float32), mixed["labels"]

    return transform
