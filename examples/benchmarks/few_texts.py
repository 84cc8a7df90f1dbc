"""Accuracy of the default text recipes: summaries of Debian packages with 8, 20 and 100 labelled examples per class.

    apt-get update                                          # once, if the lists of apt are empty
    tltk weights get all_minilm_l6_v2_en                    # once
    python examples/benchmarks/few_texts.py                 # a table
    python examples/benchmarks/few_texts.py --json          # one JSON object, nothing else on standard output

The summaries are single lines from 27 sections; 2,700 of them are the test set. Three training sets are drawn. There is
no validation part: all labels are used for training, and nothing is selected by validation scores.

- tfidf: scikit-learn's TfidfVectorizer (sublinear) and LogisticRegression (C=10) on words;
- minilm_probe: scikit-learn's LogisticRegression (C=10) on frozen MiniLM's mean-pooled vectors, scaled to length 1;
- fine_tune: `tltk.fine_tune(learning_rate=1e-4)`, for 20 labelled examples per class and more;
- few_shot: `tltk.few_shot()` in batches of 64, for fewer labels.
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
TUNED = tltk.fine_tune(learning_rate=1e-4)
Drawn = tuple[list[str], np.ndarray]


def by_tfidf(data: Texts, drawn: Drawn) -> float:
    """Return the accuracy of TF-IDF."""
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    return float(model.fit(*drawn).score(data.test_x, data.test_y))


def by_probe(data: Texts, drawn: Drawn) -> float:
    """Return the accuracy of a probe of frozen MiniLM."""
    backbone = tltk.backbone(MINILM, sequence_length=64)

    def vectors(texts: list[str]) -> np.ndarray:
        values = tltk.embed(backbone, texts).features
        return values / np.linalg.norm(values, axis=1, keepdims=True)

    model = LogisticRegression(C=10, max_iter=2000).fit(vectors(drawn[0]), drawn[1])
    return float(model.score(vectors(data.test_x.tolist()), data.test_y))


def by_tltk(data: Texts, drawn: Drawn, recipe: Recipe | None, batch_size: int) -> float:
    """Return the accuracy of a recipe."""
    source = tltk.from_arrays(*drawn, labels=data.names)
    test = tltk.from_arrays(data.test_x.tolist(), data.test_y, labels=data.names)
    model = tltk.assemble(tltk.backbone(MINILM, sequence_length=64), tltk.classification(source.labels))
    tltk.fit(model, source, recipe=recipe, batch_size=batch_size)
    return tltk.evaluate(model, test, batch_size=256).metrics["accuracy"]


def measure(labels: list[int], seeds: int, say: Callable[[str], None]) -> dict[str, dict[str, dict[str, float]]]:
    """Map labelled examples per class to method → mean accuracy, deviation over training sets, mean seconds."""
    data = real_texts.package_summaries()
    results: dict[str, dict[str, dict[str, float]]] = {}
    for count in labels:
        recipe = ("few_shot", tltk.few_shot(), 64) if count < FEW else ("fine_tune", TUNED, 32)
        methods: dict[str, Callable[[Drawn], float]] = {
            "tfidf": lambda drawn: by_tfidf(data, drawn),
            "minilm_probe": lambda drawn: by_probe(data, drawn),
            recipe[0]: lambda drawn, recipe=recipe: by_tltk(data, drawn, recipe[1], recipe[2]),
        }
        rows: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
        for seed in range(seeds):
            drawn = data.draw(count, seed=seed)
            for name, accuracy_of in methods.items():
                keras.utils.clear_session()
                start = time.perf_counter()
                accuracy = accuracy_of(drawn)
                rows[name].append((accuracy, time.perf_counter() - start))
                say(f"{count} per class, seed {seed}: {name} {accuracy:.4f} in {rows[name][-1][1]:.0f} s")
        results[str(count)] = {
            name: {
                "accuracy": float(np.mean([accuracy for accuracy, _ in runs])),
                "std": float(np.std([accuracy for accuracy, _ in runs])),
                "seconds": float(np.mean([seconds for _, seconds in runs])),
            }
            for name, runs in rows.items()
        }
    return results


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--labels", nargs="+", type=int, default=[8, 20, 100], help="training texts per class")
    parser.add_argument("--seeds", type=int, default=3, help="number of training sets")
    options = parser.parse_args()
    if min(options.labels) < 2 or options.seeds < 1:
        parser.error("--labels must be at least 2, --seeds at least 1")
    results = measure(options.labels, options.seeds, lambda text: print(text, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps({"seeds": options.seeds, "labels": results}))
        return
    for count, methods in results.items():
        print(f"{count} labelled examples per class")
        for name, row in methods.items():
            print(f"  {name:14}{row['accuracy']:.3f} ± {row['std']:.3f}{row['seconds']:8.0f} s")


if __name__ == "__main__":
    main()
