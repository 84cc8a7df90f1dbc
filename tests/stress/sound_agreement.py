"""Sounds for `tests.stress.agreement`: files of all kinds, damaged ones among them, and requests of samples."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tltk
from tests.sounds import tone
from tests.stress.damage import damage
from tltk.modalities.audio.decode import is_wav

RATES = (8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000)
ENCODINGS = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
_OTHERS = ("FLAC", "OGG")  # which `tltk.predict` reads, and a SavedModel does not
BATCH = 16


def write_sounds(folder: Path, count: int, seed: int) -> tuple[list[Path], int]:
    """Write sounds, every fourth one damaged; return their paths and the number of damaged ones.

    They have 8 to 64 bits, 1 to 8 channels and many rates and lengths. Of ten, one is a FLAC or OGG file with the
    ending of a WAV file, and one is a WAV file with another ending. Damaged are those with a flipped or missing part,
    of 0 bytes, with NaN among their samples, without samples, and with a rate of 1 Hz.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir()
    paths, damaged = [], 0
    for number in range(count):
        content = _file(number, generator)
        if number % 4 == 3:
            content, damaged = _damaged(content, number // 4, generator), damaged + 1
        ending = (".flac", ".mp3", "")[number % 3] if number % 10 == 5 else ".wav"
        paths.append(folder / f"{number:04d}{ending}")
        paths[-1].write_bytes(content)
    return paths, damaged


def _file(number: int, generator: np.random.Generator) -> bytes:
    import soundfile  # of the extra `audio`

    rate, channels = RATES[number % len(RATES)], 1 + number % 8
    seconds = float(generator.uniform(0.01, 0.9))
    pitch = float(generator.uniform(200, 0.45 * min(rate, 8000)))
    sound = np.stack([tone(pitch=pitch, seconds=seconds, rate=rate, seed=number + i) for i in range(channels)], 1)
    data = io.BytesIO()
    if number % 10 == 9:
        kind = _OTHERS[number // 10 % 2]
        soundfile.write(data, sound[:, :2], rate if kind == "FLAC" else 44_100, format=kind)
    else:
        soundfile.write(data, sound, rate, format="WAV", subtype=ENCODINGS[number % len(ENCODINGS)])
    return data.getvalue()


def _damaged(content: bytes, number: int, generator: np.random.Generator) -> bytes:
    kind = number % 6
    if kind == 0:
        return b""
    if kind == 1:
        return content[: int(generator.integers(1, len(content)))]
    if kind == 2:
        samples = np.zeros(500, "<f4")
        samples[200] = (np.nan, np.inf, -np.inf)[number % 3]
        return _wav(samples.tobytes(), rate=16_000)
    if kind == 3:
        return _wav(b"", rate=8000) if number % 2 else _wav(bytes(400), rate=1)
    return damage(content, generator)[0]


def _wav(data: bytes, *, rate: int) -> bytes:
    """Return a WAV file of float samples."""
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    return header + struct.pack("<4sI", b"data", len(data)) + data


def is_other_format(path: Path) -> bool:
    """Tell whether a file that `tltk.predict` can read is no WAV file, and so is refused by a SavedModel."""
    return not is_wav(path)


def sample_requests(count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Generate batches of padded samples, of which every fourth cannot be read, with their rates and lengths."""
    generator = np.random.default_rng(seed)
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        rates = generator.choice(RATES, size).astype("int32")
        lengths = generator.integers(1, 20_000, size).astype("int32")
        samples = generator.uniform(-1, 1, (size, int(lengths.max()) + 7)).astype("float32")
        for row in range(3, size, 4):
            kind = (start + row) // 4 % 5
            if kind == 0:
                rates[row] = generator.choice([0, -8000, 999, 400_000])
            elif kind == 1:
                lengths[row] = generator.choice([0, -1, samples.shape[1] + 1])
            else:
                samples[row, int(generator.integers(lengths[row]))] = (np.nan, np.inf, 30_000)[kind - 2]
        yield samples, rates, lengths


def sample_problems(model: tltk.TransferModel, signature: Any, *, count: int, seed: int) -> tuple[list[str], int]:
    """Compare `predict_padded_waveform` with `tltk.predict` on arrays.

    Returns:
        One line for each request that does not agree, and the number of those that neither can read.
    """
    problems: list[str] = []
    unreadable = row_number = 0
    for samples, rates, lengths in sample_requests(count, seed):
        tensors = map(tf.constant, (samples, rates, lengths))
        outputs = signature(**dict(zip(("samples", "sample_rate", "lengths"), tensors, strict=True)))
        for row in range(len(samples)):
            answer = _predicted(model, samples[row], int(rates[row]), int(lengths[row]))
            served = {name: values[row].numpy() for name, values in outputs.items()}
            problem = _sample_problem(model, answer, served)
            problems += [f"samples {row_number}: {problem}"] if problem else []
            unreadable, row_number = unreadable + (answer is None), row_number + 1
    return problems, unreadable


def _predicted(model: tltk.TransferModel, samples: np.ndarray, rate: int, length: int) -> np.ndarray | None:
    """Return the probabilities of `tltk.predict`; None if it cannot read the samples."""
    if not 0 <= length <= len(samples):
        return None
    try:
        source = tltk.from_arrays([samples[:length]], sample_rate=rate)
    except tltk.errors.InvalidInput:
        return None
    return tltk.predict(model, source).probabilities[0]


def _sample_problem(model: tltk.TransferModel, answer: np.ndarray | None, served: dict[str, Any]) -> str:
    if answer is None or not served["valid"]:
        can_read = ("tltk.predict" if answer is not None else "", "the export" if served["valid"] else "")
        if any(can_read):
            return f"only {''.join(can_read)} can read it ({served['error']!r})"
        is_blank = served["error"] and not served["probabilities"].any() and served["label"] == b""
        return "" if is_blank else "it is unreadable, but its row is not empty, or no error is given"
    difference = float(np.abs(served["probabilities"] - answer).max())
    return f"probabilities differ by {difference:.1e}" if difference > 1e-5 else ""


def classifier() -> tltk.TransferModel:
    """Train a small network on log-mel pictures of low and high tones."""
    from tests.sounds import picture_backbone

    pitches = np.geomspace(200, 3000, 48)
    x = [tone(pitch=pitch, seconds=0.4, seed=row) for row, pitch in enumerate(pitches)]
    clips = tltk.from_arrays(x, ["low" if pitch < 800 else "high" for pitch in pitches], sample_rate=8000)
    model = tltk.assemble(picture_backbone(), tltk.classification(clips.labels), precision="float32", seed=0)
    recipe = tltk.linear_probe(epochs=15, learning_rate=3e-2)
    return tltk.fit(model, clips, recipe=recipe, batch_size=8, verbose=0).model


def classification_measures(answer: Any, served: Any) -> dict[str, tuple[float, Any]]:
    """Return the largest difference of probabilities."""
    difference = np.abs(np.asarray(answer["probabilities"]) - np.asarray(served["probabilities"])).max()
    return {"largest difference of probabilities": (float(difference), max)}
