"""Draw docs/demo.png from the output of `tltk demo`.

tltk demo --json --out runs/demo > runs/demo.json
python examples/demo_image.py runs/demo runs/demo.json docs/demo.png
"""

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

import tltk

INK, GOOD, BAD, BARS = "#1d2733", "#2e7d4f", "#b3372f", ("#9aa5b1", "#6c93c4", "#2563a8")


def main(folder: Path, result_file: Path, figure_file: Path) -> None:
    """Show one test patch of each class with its prediction, and the three accuracies."""
    result = json.loads(result_file.read_text())
    model = tltk.load_run(folder / "run").model
    classes = model.task.labels.names
    paths = [folder / "photos" / "test" / name / "007.png" for name in classes]
    predictions = tltk.predict(model, paths)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    grid = figure.add_gridspec(2, 11)
    for index, (name, path, prediction) in enumerate(zip(classes, paths, predictions, strict=True)):
        axes = figure.add_subplot(grid[index // 7, index % 7])
        axes.imshow(Image.open(path), cmap="gray", vmin=0, vmax=255)
        axes.set_title(
            f"{prediction.label} {prediction.probability:.2f}",
            fontsize=8,
            color=GOOD if prediction.label == name else BAD,
        )
        axes.set_axis_off()
    axes = figure.add_subplot(grid[:, 7:])
    names = ("from scratch,\nsame time", "linear probe", "probe, then\nfine-tuning")
    values = [result[key] for key in ("scratch_accuracy", "probe_accuracy", "test_accuracy")]
    bars = axes.barh(names, values, color=BARS)
    axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=3, fontsize=9)
    axes.set(xlim=(0, 1.12), xlabel="accuracy on 1,400 patches of halves never seen")
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, colors=INK)
    figure.suptitle(
        "Which of 14 photographs is this 64-px grey patch from? EfficientNet-Lite0, 25 labels per class", fontsize=11
    )
    figure.savefig(figure_file, dpi=110)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
