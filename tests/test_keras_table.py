"""Every line of the tables "in plain Keras | in tltk" runs."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

import tltk
from tests import ROOT
from tests.conftest import coloured_squares, replaying_here
from tests.test_docs import quick_recipes

TEXT = (ROOT / "docs" / "from-keras.md").read_text()
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", TEXT, flags=re.MULTILINE)
LINES = [right[1:].partition("`")[0] for left, right in ROWS if right.startswith("`")]


def network():
    """Build the smallest network with a stage conv3 above another one."""
    x = pixels = keras.Input((16, 16, 3))
    for name in ("conv2", "conv3"):
        x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name=name)(x)
    return keras.Model(pixels, x)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """Return the names that the page uses, and a folder with the files it reads."""
    folder = tmp_path_factory.mktemp("page")
    x, y = coloured_squares(24, classes=2)
    rows = ["file,animal"]
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        path = folder / "photos" / ("cat", "dog")[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        rows.append(f"{path.relative_to(folder)},{path.parent.name}")
    (folder / "photos.csv").write_text("\n".join(rows))
    source = tltk.from_arrays(x, y, labels=("cat", "dog"))
    backbone = tltk.backbone(network(), stages={"conv2": "conv2", "conv3": "conv3"})
    task = tltk.classification(source.labels)
    model = tltk.assemble(backbone, task)
    train, val, test = tltk.split(source)
    run = tltk.fit(model, train, val, plan=tltk.train_all(), epochs=1, out=folder / "runs" / "saved")
    dataset = source.to_dataset(model)
    values = {"source": source, "train": train, "val": val, "test": test, "names": source.labels.names, "x": x, "y": y}
    values["w"] = np.linspace(0, 2, len(x))
    values |= {"backbone": backbone, "task": task, "model": model, "run": run, "dataset": dataset}
    return {**values, "folder": folder, "tltk": tltk, "keras": keras, "np": np}


def test_the_page_lists_at_least_30_lines():
    assert len(LINES) == len(set(LINES)) >= 30
    assert len(ROWS) - len(LINES) <= 3 + 2 + 5  # three need nothing of tltk; two a download; five headings


@pytest.mark.parametrize("line", LINES)
def test_a_line_runs(line, names, monkeypatch):
    monkeypatch.chdir(names["folder"])
    quick_recipes(monkeypatch)
    with replaying_here():
        exec(line, dict(names))
