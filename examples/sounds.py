"""Noises of machines in long recordings: which are there, and when.

    python examples/sounds.py recordings.csv                # columns: path, label, such as "fan;leak"
    python examples/sounds.py --tiny                        # offline, under a minute on two cores

A recording can have several noises, or none, and is as long as it likes: the model reads it in overlapping windows,
which are all labelled like their recording. Predictions, evaluation and the SavedModel average over the windows; the
table at the end has a row for each of them, so that it shows when a noise is heard.
"""

import argparse
import csv
import wave
from pathlib import Path

import numpy as np

import tltk
from tltk.cli import console

NOTE = "--tiny: generated noises, random weights; the metrics say nothing about the method"
RATE = 16_000
NOISES = ("bearing", "fan", "leak")


def noise(name: str, times: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return one noise, float [samples]: clicks of a bearing, the hum of a fan, or the hiss of a leak."""
    if name == "fan":
        pitch = generator.uniform(90, 120)
        return sum(np.sin(2 * np.pi * pitch * harmonic * times) / harmonic for harmonic in (1, 2, 3)) * 0.15
    white = generator.normal(0, 1, len(times))
    if name == "leak":
        return np.diff(white, prepend=0) * 0.05
    return white * np.exp(-200 * (times * generator.uniform(8, 12) % 1)) * 0.5


def write_recordings(folder: Path, *, count: int = 24) -> Path:
    """Write recordings of 2 to 4 s with up to three noises as WAV files, and a table of them; return the table."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        times = np.arange(round(RATE * generator.uniform(2, 4))) / RATE
        names = [name for index, name in enumerate(NOISES) if number >> index & 1]
        sound = generator.normal(0, 0.01, len(times)) + sum(noise(name, times, generator) for name in names)
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, RATE, 0, "NONE", ""))
            file.writeframes((np.clip(sound, -1, 1) * 32_767).astype("<i2").tobytes())
        rows.append((f"{number}.wav", ";".join(names)))
    with (folder / "recordings.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("path", "label"), *rows])
    return folder / "recordings.csv"


def run(options: argparse.Namespace) -> None:
    """Train on windows, evaluate whole recordings, save the report, and list the windows of one recording."""
    table = write_recordings(options.out / "recordings") if options.tiny else options.recordings
    recordings = tltk.from_csv(table, modality="audio", label_type="multilabel")
    train, val, test = tltk.split(recordings, val=0.15, test=0.2)  # recordings: all windows of one are in one part
    spec = tltk.AudioSpec(RATE, options.seconds, overlap=options.seconds / 2)
    weights, size, recipe = options.weights, None, tltk.fine_tune(epochs=options.epochs)
    if options.tiny:
        weights, size, recipe = "random", 32, tltk.linear_probe(epochs=1)
    backbone = tltk.backbone(options.backbone, spec=spec, weights=weights, image_size=size)
    model = tltk.assemble(backbone, tltk.classification(recordings.labels))
    done = tltk.fit(model, train, val, recipe=recipe, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    windows = tltk.predict(done, test[:1], per_window=True)
    for (start, stop), labels, probabilities in zip(windows.times, windows.labels, windows.probabilities, strict=True):
        scores = "  ".join(f"{name} {value:.2f}" for name, value in zip(windows.names, probabilities, strict=True))
        print(f"{start:5.2f} to {stop:5.2f} s   {scores}   {', '.join(labels) or 'nothing'}")
    precision = report.metrics["mean_average_precision"]
    print(f"test mAP {precision:.4f} on {report.example_count} recordings; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", type=Path, nargs="?", help="table with the columns path and label (a;b)")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="an image backbone of `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help="path of a weight file, if no hub is reachable")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/sounds"), help="folder for the run and its report")
    parser.add_argument("--tiny", action="store_true", help=NOTE)
    options = parser.parse_args()
    if options.tiny:
        print(NOTE)
    elif options.recordings is None:
        parser.error("pass the table of the recordings, or --tiny")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
