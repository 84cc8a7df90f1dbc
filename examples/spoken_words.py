"""Classes of sounds: EfficientNet-Lite0 on log-mel pictures, part of the exported model.

    python examples/spoken_words.py clips/ --seconds 1      # a folder with a sub-folder of recordings for each word
    python examples/spoken_words.py --tiny                  # offline, under a minute on two cores

Recordings can differ in format, rate and length. The SavedModel takes the bytes of WAV files.
"""

import argparse
import wave
from pathlib import Path

import numpy as np

import tltk
from tltk.cli import console

NOTE = "--tiny: generated tones, random weights; the metrics say nothing about the method"
RATE = 16_000


def write_tones(folder: Path, *, count: int = 12) -> Path:
    """Write rising and falling tones as WAV files; return the folder."""
    generator = np.random.default_rng(0)
    for name, sign in (("falling", -1), ("rising", 1)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            times = np.arange(round(RATE * generator.uniform(0.3, 0.5))) / RATE
            pitch = generator.uniform(700, 1400) + sign * 600 * times
            sound = 0.3 * np.sin(2 * np.pi * pitch * times) + generator.normal(0, 0.01, len(times))
            with wave.open(str(folder / name / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes((sound * 32_767).astype("<i2").tobytes())
    return folder


def run(options: argparse.Namespace) -> None:
    """Train, evaluate, save the report, export."""
    clips = tltk.from_folder(write_tones(options.out / "tones") if options.tiny else options.clips)
    train, val, test = tltk.split(clips, val=0.15, test=0.2)
    spec, weights, size = tltk.AudioSpec(RATE, options.seconds), options.weights, None
    recipe = tltk.fine_tune(epochs=options.epochs)
    if options.tiny:
        spec, weights, size, recipe = tltk.AudioSpec(RATE, 0.5), "random", 32, tltk.linear_probe(epochs=1)
    backbone = tltk.backbone(options.backbone, spec=spec, weights=weights, image_size=size)
    model = tltk.assemble(backbone, tltk.classification(clips.labels))
    done = tltk.fit(model, train, val, recipe=recipe, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    exported = tltk.export(done, options.out / "serving")
    print(
        f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} clips; SavedModel: {exported.path}"
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="?", help="folder with a sub-folder for each class")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="an image backbone of `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help="path of a weight file, if no hub is reachable")
    parser.add_argument("--seconds", type=float, default=1.0, help="length that sounds are padded or cut to")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("runs/spoken_words"), help="folder for the run and its report")
    parser.add_argument("--tiny", action="store_true", help=NOTE)
    options = parser.parse_args()
    if options.tiny:
        print(NOTE)
    elif options.clips is None:
        parser.error("pass the folder of the clips, or --tiny")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
