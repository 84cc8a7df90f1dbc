"""Sounds that several tests share."""

import io
import wave
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np

import tltk
from tests.conftest import STAGES, conv_net
from tltk.backbones.audio.pictures import on_sounds
from tltk.backbones.base import Origin
from tltk.foundation import keras_graph as graph
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.4)


def tone(*, pitch=440.0, seconds=0.5, rate=8000, seed=0):
    """Return a tone with a little noise, float32 [samples]."""
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).normal(0, 0.01, len(times))
    return (0.3 * np.sin(2 * np.pi * pitch * times) + noise).astype("float32")


def wav(samples, rate=8000):
    """Encode samples [n] or [n, channels] in [-1, 1] as a WAV file of 16 bits."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1 if np.ndim(samples) == 1 else np.shape(samples)[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


def clips_folder(folder, *, count=6, rates=(8000, 11_025)):
    """Write a folder of low and high tones of several rates and lengths; return it."""
    for name, pitch in (("high", 1500), ("low", 300)):
        (Path(folder) / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            rate = rates[number % len(rates)]
            sound = tone(pitch=pitch * (1 + 0.02 * number), seconds=0.3 + 0.05 * number, rate=rate, seed=number)
            (Path(folder) / name / f"{number}.wav").write_bytes(wav(sound, rate))
    return Path(folder)


def picture_backbone(spec=SPEC, *, dropout=0.0):
    """Return a small image network with batch norm, whose weights look trained, on log-mel pictures of 24 bands."""
    image = tltk.backbone(conv_net(size=32), stages=STAGES)
    image = replace(
        image,
        weights="random",
        builder=lambda shape, origin: _trained_network(shape, dropout),
        shapes=lambda shape: graph.output_shapes(_trained_network(shape, dropout)),
        locator=partial(Origin, "random", None, None),
    )
    return on_sounds(image, spec, size=(24, 26))


def _trained_network(shape, dropout):
    """Build `conv_net` at another shape, with weights and statistics that are neither zeros nor ones."""
    network = keras.models.clone_model(conv_net(dropout=dropout), input_tensors=keras.Input(shape, name="pixels"))
    generator = np.random.default_rng(0)
    for weight in network.weights:
        if weight.dtype.startswith(("float", "bfloat")):  # and not the state of a dropout
            is_kernel = weight.path.endswith("kernel")
            values = generator.normal(0, 0.2, weight.shape) if is_kernel else generator.uniform(0.5, 2, weight.shape)
            weight.assign(values)
    return network
