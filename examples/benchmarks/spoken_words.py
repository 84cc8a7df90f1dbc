"""Twelve spoken words by voices that were never heard in training.

    python examples/benchmarks/spoken_words.py --json         # ends with one JSON object

The words are spoken by espeak-ng (Debian, GPL-3; downloaded with apt-get and unpacked, not installed) in 63 variants of
its voice, with random speed, pitch and accent. Three variants are left out, whose echo is louder than the word; 43 are
tested and heard nowhere else. Training sets have 5 and 20 of the others. `accuracy_…` is EfficientNet-Lite0 on log-mel
pictures with `tltk.fine_tune`, `scratch_20` the same network from random weights, `mfcc_…` a logistic regression on
cepstral coefficients. `speakers` tells 20 variants apart by embeddings of 3 sentences of
each: those of the speaker encoder, `speakers_imagenet` those of the image network. `times_real_time` is the length of
these sentences divided by the time of decoding, resampling and spectrograms.
"""

import argparse
import io
import math
import os
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf
from scipy.fft import dct
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import tltk
from tltk.cli import console
from tltk.demo.speech import ACCENTS, CLIPS_PER_WORD, PITCHES, SPEEDS, WORDS, Order, espeak, speak
from tltk.foundation.files import write_atomically

SENTENCES = 9  # of each voice
VARIANTS, TRAINING = 63, 20  # in the order of a shuffle with seed 0: those for training first
RATE = 22_050  # of espeak-ng
PICTURE = (96, 96)  # mel bands and frames
SOUNDS = 5760  # read by the fine-tuning in all epochs: eight of 20 voices
SCRATCH = tltk.adamw(2e-3, weight_decay=1e-2, clip_norm=1.0)
SENTENCE = tltk.AudioSpec(seconds=4.8)
AUGMENT = (tltk.augment.speed(low=0.75, high=1.33), tltk.augment.time_shift())


def spoken(folder: Path) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Return clips (at `RATE`), words and voices; they are spoken once and kept in a file."""
    file = folder / "spoken_words.npz"
    folder.mkdir(parents=True, exist_ok=True)
    if not file.exists():
        speaker = espeak(folder)
        generator = np.random.default_rng(0)
        voices = [speaker.voices[index] for index in generator.permutation(len(speaker.voices))[:VARIANTS]]
        orders = [
            (word, voice, generator.choice(ACCENTS), generator.integers(*SPEEDS), generator.integers(*PITCHES))
            for voice in range(VARIANTS)
            for word in range(len(WORDS))
            for _ in range(CLIPS_PER_WORD if voice < TRAINING else 1)
        ]

        def say(order: tuple) -> np.ndarray:
            word, voice, *rest = order
            return samples_of(speak(speaker, Order(WORDS[word], voices[voice], *rest, file)))

        with ThreadPoolExecutor() as pool:
            clips = list(pool.map(say, orders))
        lengths = [len(clip) for clip in clips]
        arrays = {"samples": np.concatenate(clips), "lengths": lengths, "orders": [order[:2] for order in orders]}
        write_atomically(file, lambda temporary: np.savez(temporary, **arrays))
    stored = np.load(file)
    return np.split(stored["samples"], np.cumsum(stored["lengths"])[:-1]), *stored["orders"].T


def samples_of(file: bytes) -> np.ndarray:
    """Return the samples of a WAV file of espeak-ng, int16 [samples]."""
    with wave.open(io.BytesIO(file)) as recording:
        return np.frombuffer(recording.readframes(1_000_000), "<i2")


def source(clips: list[np.ndarray], words: np.ndarray, rows: np.ndarray) -> tltk.Source:
    """Return the source of some clips."""
    return tltk.from_arrays([clips[row] for row in rows], words[rows], labels=WORDS, sample_rate=RATE)


def accuracy(train: tltk.Source, test: tltk.Source, *, weights: str, out: Path) -> dict[str, float]:
    """Train EfficientNet-Lite0 on log-mel pictures, and return the accuracy on voices that were never heard.

    No labels are held out: the last weights are taken. Sounds are few, so more of them is worth more than a choice.
    """
    start = time.perf_counter()
    backbone = tltk.backbone("efficientnet_lite0", weights=weights, spec=tltk.AudioSpec(), image_size=PICTURE)
    model = tltk.assemble(backbone, tltk.classification(WORDS))
    epochs = math.ceil(SOUNDS / len(train))
    tuned = tltk.fine_tune(epochs=epochs, probe_epochs=10, learning_rate=2e-3, augment=AUGMENT)
    phase = tltk.Phase("scratch", tltk.train_all(batch_norm="train"), 3 * epochs, SCRATCH, augment=AUGMENT)
    recipe = tuned if weights == "pretrained" else tltk.Recipe("scratch", (phase,))
    run = tltk.fit(model, train, recipe=recipe, out=out, verbose=0)
    seconds = time.perf_counter() - start
    return {"accuracy": tltk.evaluate(run, test).metrics["accuracy"], "seconds": seconds}


def cepstra(clips: tltk.Source) -> np.ndarray:
    """Return 20 cepstral coefficients of 8 parts of each clip, and their deviations, [n, 320]."""
    from tltk.modalities.audio.mel import MelSpectrogram

    mel = MelSpectrogram(RATE, 551, 220, 1024, 40)
    features = []
    for samples in clips.examples.values:
        bands = np.log(np.array(mel.apply(samples[None]))[0] + 1e-8)
        parts = np.array_split(dct(bands, norm="ortho")[:, :20], 8)
        features.append(np.concatenate([np.concatenate([part.mean(0), part.std(0)]) for part in parts]))
    return np.array(features)


def by_cepstra(train: tltk.Source, test: tltk.Source) -> float:
    """Return the accuracy of a logistic regression on cepstral coefficients."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(cepstra(train), train.targets.classes())
    return float((model.predict(cepstra(test)) == test.targets.classes()).mean())


def sentences(folder: Path) -> tuple[tltk.Source, np.ndarray]:
    """Speak sentences of ten words by 20 variants, whose pitches and accents are theirs; return also the voices."""
    speaker = espeak(folder)
    generator = np.random.default_rng(0)
    names = [speaker.voices[index] for index in generator.permutation(len(speaker.voices))[:TRAINING]]
    orders = [
        Order(" ".join(generator.choice(WORDS, 10)), name, "en-us", int(generator.integers(*SPEEDS)), 50, folder)
        for name in names
        for _ in range(SENTENCES)
    ]
    with ThreadPoolExecutor() as pool:
        clips = list(pool.map(lambda order: samples_of(speak(speaker, order)), orders))
    voices = np.repeat(np.arange(TRAINING), SENTENCES)
    return tltk.from_arrays(clips, voices, sample_rate=RATE), voices


def speakers(clips: tltk.Source, voices: np.ndarray, *, backbone: str) -> float:
    """Tell 20 voices apart: the nearest mean of the embeddings of 3 sentences each; tested on the others."""
    features = tltk.embed(tltk.backbone(backbone, spec=SENTENCE), clips, unit_length=True).features
    is_first = np.arange(len(voices)) % SENTENCES < 3
    means = np.stack([features[is_first & (voices == voice)].mean(0) for voice in range(TRAINING)])
    nearest = (features[~is_first] @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T).argmax(1)
    return float((nearest == voices[~is_first]).mean())


def times_real_time(clips: tltk.Source, folder: Path) -> float:
    """Return the length of clips divided by the time of reading WAV files and drawing spectrograms, once traced."""
    for number, (samples, voice) in enumerate(zip(clips.examples.values, clips.targets.classes(), strict=True)):
        (folder / str(voice)).mkdir(parents=True, exist_ok=True)
        with wave.open(str(folder / str(voice) / f"{number:04d}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes(samples.astype("<i2").tobytes())
    backbone = tltk.backbone("log_mel_efficientnet_lite0", spec=SENTENCE)
    files = tltk.from_folder(folder)
    picture = tf.function(backbone.preprocessing.picture)
    for _ in range(2):
        start = time.perf_counter()
        pixels = sum(int(tf.size(picture(waveforms))) for waveforms, _ in files.to_dataset(backbone.input_spec))
        seconds = time.perf_counter() - start
    assert pixels == len(files) * np.prod(backbone.preprocessing.size(SENTENCE.samples)) * 3
    return sum(map(len, clips.examples.values)) / RATE / seconds


def run(options: argparse.Namespace) -> dict[str, float]:
    """Speak, train and measure."""
    clips, words, voices = spoken(options.folder)
    test = source(clips, words, np.flatnonzero(voices >= TRAINING))
    results: dict[str, float] = {}
    for count in (5, TRAINING):
        train = source(clips, words, np.flatnonzero(voices < count))
        tuned = accuracy(train, test, weights="pretrained", out=options.out / str(count))
        results |= {f"accuracy_{count}": tuned["accuracy"], f"seconds_{count}": tuned["seconds"]}
        results[f"mfcc_{count}"] = by_cepstra(train, test)
        console.say(str(results))
    told = sentences(options.folder)
    results["speakers"] = speakers(*told, backbone="speaker_encoder")
    results["speakers_imagenet"] = speakers(*told, backbone="log_mel_efficientnet_lite0")
    results["times_real_time"] = times_real_time(told[0], options.folder / "sentences")
    console.say(str(results))
    results["scratch_20"] = accuracy(train, test, weights="random", out=options.out / "scratch")["accuracy"]
    return results


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tltk" / "sounds"
    parser.add_argument("--folder", type=Path, default=default, help="folder of the clips and of espeak-ng")
    parser.add_argument("--out", type=Path, default=Path("runs/spoken_words"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with console.command(as_json=options.json):
        results = run(options)
        console.show_json(results) if options.json else console.show(str(results))


if __name__ == "__main__":
    sys.exit(main())
