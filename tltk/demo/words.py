"""The demo of sounds, spoken words: cepstra without a network, linear probe, fine-tuning, export."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import tltk
from tltk.demo import speech
from tltk.evaluation.report import Report
from tltk.foundation.paths import cache_folder

RATE, SECONDS = 16_000, 1.0
EPOCHS, PROBE_EPOCHS, LEARNING_RATE = 8, 15, 2e-3
PICTURE = (96, 96)  # mel bands and frames
AUGMENT = (tltk.augment.speed(low=0.75, high=1.33), tltk.augment.time_shift())


@dataclass(frozen=True)
class AudioDemoResult:
    """Result of the demo of sounds.

    Args:
        cepstra: Test accuracy of a logistic regression on cepstral coefficients.
        probe: Report of the linear probe on the voices of the test.
        tuned: Report of the fine-tuned model on them.
        seconds: Seconds of "cepstra", "probe" and "tuned", and of the whole "demo".
        run: Folder of the fine-tuned run.
        clips: Folder of the spoken words.
        saved_model: Folder of the exported version.
        answer: A "clip" and the "label" predicted for it in a clean process that imports only TensorFlow.
    """

    cepstra: float
    probe: Report
    tuned: Report
    seconds: dict[str, float]
    run: Path
    clips: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float]]:
        """Return the rows of the table: method, test accuracy, seconds of training."""
        return [
            ("cepstra, no network", self.cepstra, self.seconds["cepstra"]),
            ("linear probe", self.probe.metrics["accuracy"], self.seconds["probe"]),
            ("probe, then fine-tuning", self.tuned.metrics["accuracy"], self.seconds["tuned"]),
        ]

    def lines(self) -> list[str]:
        """Return the lines below the table."""
        return [
            f"clips:        {self.clips}",
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"SavedModel:   {self.saved_model}",
            f"its prediction for {self.answer['clip']}, from a process that imports only tensorflow: "
            f"{self.answer['label']}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "test_accuracy": self.tuned.metrics["accuracy"],
            "probe_accuracy": self.probe.metrics["accuracy"],
            "cepstra_accuracy": self.cepstra,
            "seconds": self.seconds["demo"],
            "seconds_of": self.seconds,
            "run": self.run,
            "clips": self.clips,
            "saved_model": self.saved_model,
            "served": self.answer,
        }


def run_audio_demo(
    out: Path,
    *,
    backbone: str = "efficientnet_lite0",
    seed: int = 0,
    words: tuple[str, ...] = speech.WORDS,
    voices: tuple[int, int] = (20, 20),
    say: Callable[[str], None],
) -> AudioDemoResult:
    """Train, evaluate and export a classifier of spoken words, tested on voices that it never heard.

    Args:
        out: Folder for the clips, the run and the SavedModel.
        backbone: Backbone of images from `tltk backbones`, which sees log-mel pictures.
        seed: Seed of the voices, the split and the training.
        words: Words to tell apart.
        voices: Numbers of voices for training and for the test.
        say: Called with each line of progress.

    Returns:
        The accuracies, times and files.

    Raises:
        InvalidInput: If the backbone is unknown; nothing has been written then.
        NotFound: If espeak-ng is not found, or the pretrained weights cannot be found or downloaded.
        FileError: If espeak-ng cannot be downloaded, or fails.
    """
    start = time.perf_counter()
    network = tltk.backbone(backbone, spec=tltk.AudioSpec(RATE, SECONDS), image_size=PICTURE)
    speaker = speech.espeak(cache_folder() / "sounds")
    folder = speech.make_clips(out / "clips", speaker, words=words, train=voices[0], test=voices[1], seed=seed)
    clips = tltk.from_folder(folder)
    groups = [speech.voice_of(clips.id_of(row)) for row in range(len(clips))]
    train, val, test = tltk.split(clips, val=0.2, seed=seed, groups=groups)
    say(
        f"1/4 {len(words)} words by espeak-ng: {len(train)} clips for training, {len(val)} for validation, "
        f"{len(test)} of {voices[1]} other voices for the test"
    )
    cepstra_accuracy, cepstra_seconds = _cepstra(train, test)

    say("2/4 linear probe: a new head on the frozen network of photographs, which sees log-mel pictures")
    task = tltk.classification(clips.labels)
    recipe = tltk.linear_probe(epochs=PROBE_EPOCHS)
    probe = tltk.fit(tltk.assemble(network, task, seed=seed), train, val, recipe=recipe, seed=seed)
    probe_report = tltk.evaluate(probe, test)

    say("3/4 fine-tuning after a linear probe, with shifts and changes of speed")
    recipe = tltk.fine_tune(epochs=EPOCHS, probe_epochs=PROBE_EPOCHS, learning_rate=LEARNING_RATE, augment=AUGMENT)
    run = tltk.fit(tltk.assemble(network, task, seed=seed), train, val, recipe=recipe, seed=seed, out=out / "run")
    report = tltk.evaluate(run, test)
    report.save(out / "run" / "report.html")

    say("4/4 export as a SavedModel, and a prediction in a clean process")
    clip = Path(test.examples[0])
    exported = tltk.export(run, out / "serving", requests=[clip.read_bytes()])
    answer = {"clip": str(clip.relative_to(folder)), "label": exported.first_outputs["label"][0]}
    seconds = {
        "cepstra": cepstra_seconds,
        "probe": probe.seconds,
        "tuned": run.seconds,
        "demo": time.perf_counter() - start,
    }
    folders = {"run": run.folder or out, "clips": folder, "saved_model": exported.path}
    return AudioDemoResult(cepstra_accuracy, probe_report, report, seconds, answer=answer, **folders)


def _cepstra(train: Any, test: Any) -> tuple[float, float]:
    """Train a logistic regression on cepstral coefficients, and return the test accuracy and the seconds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    start = time.perf_counter()
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_coefficients(train), train.targets.classes())
    accuracy = model.score(_coefficients(test), test.targets.classes())
    return float(accuracy), time.perf_counter() - start


def _coefficients(clips: Any) -> np.ndarray:
    """Return means and deviations of 20 cepstral coefficients in 8 parts of each clip, [n, 320]."""
    from scipy.fft import dct

    from tltk.modalities.audio.mel import MelSpectrogram

    rows, spec, mel = [], tltk.AudioSpec(RATE, SECONDS), MelSpectrogram(RATE, 400, 160, 512, 40)
    for waveforms in replace(clips, targets=None, labels=None).to_dataset(spec):
        bands = np.log(np.asarray(mel.apply(waveforms)) + 1e-8)
        parts = np.array_split(dct(bands, norm="ortho")[..., :20], 8, axis=1)
        rows.append(np.concatenate([statistic for part in parts for statistic in (part.mean(1), part.std(1))], 1))
    return np.concatenate(rows)
