"""How good are the recipes for texts as they come? Summaries of Debian's packages, with 8, 20 and 100 labels a class.

    apt-get update                                          # once, where apt's lists are empty
    tltk weights get all_minilm_l6_v2_en                    # once
    python examples/benchmarks/few_texts.py                 # a table
    python examples/benchmarks/few_texts.py --json          # one JSON object, nothing else on standard output

One line each, 27 sections to tell apart, 2,700 summaries to test. Three training sets are drawn, and all of their
labels are learned from: there is no validation part, so nothing is chosen by looking.

- tfidf: scikit-learn's TfidfVectorizer (sublinear) and LogisticRegression (C=10) on words;
- minilm_probe: scikit-learn's LogisticRegression (C=10) on frozen MiniLM's mean-pooled vectors of length 1;
- default: `tltk.fit(model, train)` without a recipe, from 20 labels a class on;
- few_shot: `tltk.few_shot()`, in batches of 64, below.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import keras
import numpy as np
import real_texts
from real_texts import Texts
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import tltk
from tltk.recipes import Recipe

MINILM, FEW = "all_minilm_l6_v2_en", 20
Drawn = tuple[list[str], np.ndarray]


def by_tfidf(data: Texts, drawn: Drawn) -> float:
    """Judge words and their frequencies."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    return float(model.fit(*drawn).score(data.test_x, data.test_y))


def by_probe(data: Texts, drawn: Drawn) -> float:
    """Judge frozen MiniLM."""
    backbone = tltk.backbone(MINILM, sequence_length=64)

    def vectors(texts: list[str]) -> np.ndarray:
        values = tltk.embed(backbone, texts).values
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    model = LogisticRegression(C=10, max_iter=2000).fit(vectors(drawn[0]), drawn[1])
    return float(model.score(vectors(data.test_x.tolist()), data.test_y))


def by_tltk(data: Texts, drawn: Drawn, recipe: Recipe | None, batch_size: int) -> float:
    """Judge a recipe."""
    source = tltk.from_arrays(*drawn, labels=data.names)
    test = tltk.from_arrays(data.test_x.tolist(), data.test_y, labels=data.names)
    model = tltk.assemble(tltk.backbone(MINILM, sequence_length=64), tltk.classification(source.labels))
    tltk.fit(model, source, recipe=recipe, batch_size=batch_size)
    return tltk.evaluate(model, test, batch_size=256).metrics["accuracy"]


def measure(labels: list[int], seeds: int, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, float]]]:
    """Return labels a class → method → mean accuracy, its deviation over draws, and mean seconds."""
    data = real_texts.package_summaries()
    found: dict[str, dict[str, dict[str, float]]] = {}
    for count in labels:
        ours = ("few_shot", tltk.few_shot(), 64) if count < FEW else ("default", None, 32)
        methods: dict[str, Callable[[Drawn], float]] = {
            "tfidf": lambda drawn: by_tfidf(data, drawn),
            "minilm_probe": lambda drawn: by_probe(data, drawn),
            ours[0]: lambda drawn, ours=ours: by_tltk(data, drawn, ours[1], ours[2]),
        }
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
        for seed in range(seeds):
            drawn = data.draw(count, seed=seed)
            for name, judge in methods.items():
                keras.utils.clear_session()
                begun = time.perf_counter()
                accuracy = judge(drawn)
                rows[name].append((accuracy, time.perf_counter() - begun))
                say(f"{count} a class, seed {seed}: {name} {accuracy:.4f} in {rows[name][-1][1]:.0f} s")
        found[str(count)] = {
            name: {
                "accuracy": float(np.mean([accuracy for accuracy, _ in held])),
                "std": float(np.std([accuracy for accuracy, _ in held])),
                "seconds": float(np.mean([seconds for _, seconds in held])),
            }
            for name, held in rows.items()
        }
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--labels", nargs="+", type=int, default=[8, 20, 100], help="texts a class to learn from")
    parser.add_argument("--seeds", type=int, default=3, help="training sets drawn")
    options = parser.parse_args()
    if min(options.labels) < 2 or options.seeds < 1:
        parser.error("--labels must be at least 2, --seeds at least 1")
    found = measure(options.labels, options.seeds, lambda text: print(text, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps({"seeds": options.seeds, "labels": found}))
        return
    for count, methods in found.items():
        print(f"{count} labels a class")
        for name, held in methods.items():
            print(f"  {name:14}{held['accuracy']:.3f} ± {held['deviation']:.3f}{held['seconds']:8.0f} s")


if __name__ == "__main__":
    main()
