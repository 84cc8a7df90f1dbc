import json
import shutil

import numpy as np

import tltk
from tests.conftest import squares, squares_model
from tltk.training import run_folder
from tltk.training.compare import compare_runs


def train(folder, *, seed=0):
    options = {"recipe": tltk.linear_probe(epochs=1), "batch_size": 8, "verbose": 0}
    return tltk.fit(squares_model(head=tltk.head(zero_init=True)), squares(), out=folder, seed=seed, **options)


def test_equal_and_different_runs(tmp_path):
    run = train(tmp_path / "first")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    run_folder.rewrite(tmp_path / "copy", "invalid.csv", lambda path: path.write_text("example_id,reason\na,0 bytes\n"))
    assert compare_runs(tmp_path / "first", tmp_path / "copy").is_equal  # evaluating may find invalid test examples

    run.model.keras.set_weights([weight + np.float32(0.5) for weight in run.model.keras.get_weights()])
    other = run.save(tmp_path / "other").folder
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "seed": 5, "sha256": None}))
    comparison = compare_runs(tmp_path / "first", other)
    assert not comparison.is_equal
    assert "weights differ, at most by 0.5" in comparison.differences[0]
    assert "seed: 0 before, 5 now" in comparison.circumstances
