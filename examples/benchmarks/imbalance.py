"""What `balance="auto"` gains on uneven classes, compared with doing nothing and with every single method.

    python examples/benchmarks/real_images.py               # once: download Fashion-MNIST
    tltk weights get efficientnet_lite0                     # once: download the weights of both networks
    tltk weights get all_minilm_l6_v2_en
    python examples/benchmarks/imbalance.py                 # two tables; under 40 minutes on two cores
    python examples/benchmarks/imbalance.py --quick --json  # less data, under 10 minutes; JSON lines

- fashion_mnist: made long-tailed, 100 : 1 from the most to the least frequent of its ten classes (Cui et al. 2019), on
  EfficientNet-Lite0 at 64 px;
- sections: summaries of Debian packages with their section, 57 classes as uneven as they are, on MiniLM.

Every method trains a linear probe on the same cached features, without a validation part. The test sets are balanced as
far as there are examples: balanced accuracy is the mean recall. In points of it, "gain_balanced_accuracy" is what auto
gains over doing nothing, on the set where that is less; "regret" is what the best single method, chosen in hindsight on
the test set, has more than auto, on the set where that is more.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import real_images
import real_texts

import tltk
from tltk.cli import console
from tltk.data.source import Source

SINGLE = (
    *("inverse", "square_root", "effective_number", "oversample", "undersample", "balanced_batches", "focal"),
    *("label_smoothing", "logit_adjusted_loss", "logit_adjustment", "crt", "tau_normalization"),
)
SIDE, BATCH_SIZE, RATIO = 64, 256, 100
SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "seconds")


@dataclass(frozen=True)
class Task:
    """Uneven training examples, a test set, and the network."""

    train: Source
    test: Source
    backbone: Any


def main() -> None:
    """Read the command line, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--fashion-mnist", type=Path, help="folder with the IDX files, at any depth")
    parser.add_argument("--methods", nargs="+", default=list(SINGLE), choices=SINGLE, help="single methods to compare")
    parser.add_argument("--epochs", type=int, default=40, help="of the linear probe")
    parser.add_argument("--quick", action="store_true", help="less data")
    parser.add_argument("--json", action="store_true", help="JSON lines instead of tables")
    options = parser.parse_args()
    with console.command(as_json=options.json):
        results = {name: measure(name, options) for name in options.data}
        final = {
            "gain_balanced_accuracy": min(result["gain"] for result in results.values()),
            "regret": max(result["regret"] for result in results.values()),
            "data": results,
        }
        if options.json:
            console.show_json(final)
        else:
            console.show(
                f"auto gains {final['gain_balanced_accuracy']:.1f} points; regret {final['regret']:.1f} points"
            )


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train with every method on one set.

    Returns:
        "methods": method → metrics; what auto chose; "gain" and "regret" in points of balanced accuracy.
    """
    task = TASKS[name](options)
    counts = sorted(task.train.counts().values())
    console.say(f"{name}: {len(task.train):,} training examples, {counts[0]} to {counts[-1]} per class")
    methods: dict[str, dict[str, float]] = {}
    chosen = ""
    with tempfile.TemporaryDirectory() as cache:
        for method in ("nothing", "auto", *options.methods):
            keras.utils.clear_session()
            keras.utils.set_random_seed(0)
            start = time.perf_counter()
            model = tltk.assemble(task.backbone, tltk.classification(task.train.labels))
            probe = {"recipe": tltk.linear_probe(epochs=options.epochs), "batch_size": BATCH_SIZE, "cache": cache}
            run = tltk.fit(model, task.train, balance=method, verbose=0, **probe)
            seconds = time.perf_counter() - start
            metrics = tltk.evaluate(run, task.test, batch_size=BATCH_SIZE).metrics
            methods[method] = {key: metrics[key] for key in SHOWN[:3]} | {"seconds": seconds}
            chosen = run.config["balance"]["method"] if method == "auto" else chosen
            console.say(f"{name}: {method} {metrics['balanced_accuracy']:.4f} in {seconds:.0f} s")
            if method == "auto":
                console.say(run.config["balance"]["summary"])
    scores = {method: 100 * values["balanced_accuracy"] for method, values in methods.items()}
    best = max(score for method, score in scores.items() if method != "auto")
    result = {
        "methods": methods,
        "auto": chosen,
        "gain": scores["auto"] - scores["nothing"],
        "regret": best - scores["auto"],
        "train": len(task.train),
        "test": len(task.test),
    }
    if options.json:
        console.show_json({"data": name, **result})
    else:
        rows = [(method, *(f"{values[key]:.3f}" for key in SHOWN)) for method, values in methods.items()]
        console.show_table(["method", *SHOWN], rows)
    return result


def fashion_mnist(options: argparse.Namespace) -> Task:
    """Draw a long-tailed training set: class k of a random order has n · 100^(-k / 9) images."""
    largest = 1000 if options.quick else 4000
    real_images.POOL["fashion_mnist"] = largest
    images = real_images.load("fashion_mnist", options.fashion_mnist, side=SIDE)
    generator, classes = np.random.default_rng(0), len(images.names)
    largest = min(largest, int(np.bincount(images.y).min()))
    sizes = [max(2, round(largest * RATIO ** (-rank / (classes - 1)))) for rank in range(classes)]
    rows = [
        generator.choice(np.flatnonzero(images.y == label), size, replace=False)
        for label, size in zip(generator.permutation(classes), sizes, strict=True)
    ]
    rows = np.concatenate(rows)
    train = tltk.from_arrays(images.x[rows], images.y[rows], labels=images.names)
    test = tltk.from_arrays(images.test_x, images.test_y, labels=images.names)
    return Task(train, test, tltk.backbone("efficientnet_lite0", image_size=SIDE))


def sections(options: argparse.Namespace) -> Task:
    """Take a test set of the same number of summaries per section, as far as there are, and sample the rest."""
    tested, trained = (15, 6000) if options.quick else (40, 20_000)
    rows = sorted(real_texts.summaries())
    counts = {name: sum(section == name for _, section in rows) for name in {section for _, section in rows}}
    names = tuple(sorted(name for name, count in counts.items() if count >= 6))  # one of three is tested
    rows = [(text, names.index(section)) for text, section in rows if section in names]
    x, y = np.array([text for text, _ in rows], object), np.array([label for _, label in rows])
    order = np.random.default_rng(0).permutation(len(x))
    places = [order[y[order] == label] for label in range(len(names))]
    test = np.concatenate([members[: min(tested, len(members) // 3)] for members in places])
    first = np.concatenate([members[min(tested, len(members) // 3) :][:2] for members in places])  # no class is absent
    rest = order[~np.isin(order, np.concatenate([test, first]))]
    train = np.concatenate([first, rest[: trained - len(first)]])
    train_source, test_source = (tltk.from_arrays(x[part].tolist(), y[part], labels=names) for part in (train, test))
    return Task(train_source, test_source, tltk.backbone("all_minilm_l6_v2_en", sequence_length=32))


TASKS = {"fashion_mnist": fashion_mnist, "sections": sections}

if __name__ == "__main__":
    main()
