"""What checkpoints cost: the time to write one, and what share of a training with one every five minutes that is.

    python examples/benchmarks/checkpoints.py [--json]

MiniLM is trained as a whole (`tltk.full`, AdamW with averaged weights: the largest state per parameter), on texts of
128 tokens, with a checkpoint every 10 steps. tltk measures the seconds of each (`run.config["checkpoints"]`). The share
is the mean time of a checkpoint, the flush to disk included, divided by five minutes.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

import tltk

STEPS, EVERY, INTERVAL = 60, 10, 300.0


def measure(folder: Path) -> dict[str, float]:
    """Train, and return the figures."""
    generator = np.random.default_rng(0)
    words = ["the", "of", "and", "to", "in", "is", "that", "for", "it", "was", "on", "with", "as", "by"]
    texts = [" ".join(generator.choice(words, 120)) for _ in range(STEPS * 8)]
    source = tltk.from_arrays(texts, [("even", "odd")[index % 2] for index in range(len(texts))])
    backbone = tltk.backbone("all_minilm_l6_v2_en", sequence_length=128)
    model = tltk.assemble(backbone, tltk.classification(["even", "odd"]))
    optimizer = tltk.adamw(2e-5, ema_momentum=0.99)
    recipe = tltk.Recipe("all", (tltk.Phase("all", tltk.train_all(), 1, optimizer),))
    checkpoint = tltk.Checkpoint(f"{EVERY} steps", keep=1)
    run = tltk.fit(model, source, recipe=recipe, batch_size=8, out=folder / "run", checkpoint=checkpoint, verbose=0)
    written = run.config["checkpoints"]
    seconds = written["seconds"] / written["written"]
    state = 5 * sum(weight.numpy().nbytes for weight in model.keras.trainable_weights) / 1e6
    return {
        "checkpoints": written["written"],
        "seconds_per_checkpoint": round(seconds, 2),
        "state_mb": round(state),
        "share_every_5_min": round(seconds / INTERVAL, 4),
        "seconds_per_step": round((run.seconds - written["seconds"]) / STEPS, 3),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    print(json.dumps(figures) if as_json else "\n".join(f"{name:24} {value}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
