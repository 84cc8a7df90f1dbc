"""Is the advice of `tltk.advise` right? Regret of its choice, coverage of its intervals and of its label forecasts.

    python examples/benchmarks/advice.py                    # a table
    python examples/benchmarks/advice.py --json --quick     # three tasks, two draws; one JSON object

`decision_tasks.py` describes the tasks; `patches_25`, whose test examples are of another kind than those for training,
takes part only if `--tasks` names it. Images: EfficientNet-Lite0, Lite2 and a random Lite0 at 64 px, and raw pixels;
texts: MiniLM and TF-IDF. The features of four times the labels are computed once, and training sets are drawn from them
(`--seeds`); `tltk.advise` judges them as in a call of its own, of which there is one for each task. What is true is
measured on up to 5,000 test examples: the accuracy of a tuned probe of all labels of the draw.

- regret: accuracy of the best choice minus that of the recommended one, mean over tasks and draws, in points;
- coverage: share of the 80 % intervals of all choices that hold their test accuracy;
- label_coverage: share of the 80 % intervals for four times the labels that hold the test accuracy with so many;
- slowest: seconds of the slowest call, whose budget is five minutes.
"""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import decision_tasks
import keras
import numpy as np
from decision_tasks import LENGTH, LITE0, MINILM, SIDE, say

import tltk
from tltk.advice.baselines import BASELINES
from tltk.advice.comparison import Candidate, Examples, judge, recommend
from tltk.advice.embedding import Settings, embedder
from tltk.advice.labels import forecasts, learning_curve
from tltk.backbones.connect import connect
from tltk.feature_cache.storage import Cache
from tltk.probes.fit import fit_probe

BUDGET = "5 min"
# Tasks whose pools do not hold four times the labels of the same kind.
NO_MORE = ("docstrings_30", "patches_25", "near_patches_25", "digits_20")
SHIFTED = "patches_25"  # test examples of another kind, which no cross-validation knows; see `tltk.advise(target=…)`


@cache
def random_lite0() -> Any:
    """Return EfficientNet-Lite0 without pretrained weights, as a backbone of its own name; equal weights wherever."""
    keras.utils.set_random_seed(0)
    network = connect(tltk.backbone(LITE0, image_size=SIDE, weights="random")).network
    path = Path(tempfile.mkdtemp(prefix="tltk-random-")) / "random.weights.h5"
    network.save_weights(path)
    return replace(tltk.backbone(LITE0, image_size=SIDE, weights=str(path)), name="random_lite0")


def backbones(modality: str) -> list[Any]:
    """Return the backbones to compare."""
    if modality == "text":
        return [tltk.backbone(MINILM, sequence_length=LENGTH)]
    return [
        tltk.backbone(LITE0, image_size=SIDE),
        tltk.backbone("efficientnet_lite2", image_size=SIDE),
        random_lite0(),
    ]


def baseline_features(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of training and test examples without a network."""
    compute = BASELINES[train.modality].compute
    if train.modality != "text":
        return compute(train)[0], compute(test)[0]
    values, _ = compute(tltk.from_arrays([*train.examples, *test.examples]))  # one vocabulary
    return values[: len(train)], values[len(train) :]


@dataclass(frozen=True, eq=False)
class Pool:
    """Labelled examples to draw from, and the features of each choice.

    Args:
        source: The examples.
        classes: Their classes, int64 [n].
        tested: Classes of the test examples, by the numbers of `source`, int64 [m].
        candidates: Label of a choice → features of the pool and its price.
        test_features: Label of a choice → features of the test examples.
    """

    source: Any
    classes: np.ndarray
    tested: np.ndarray
    candidates: dict[str, Candidate]
    test_features: dict[str, np.ndarray]

    def accuracy(self, label: str, probe: Any) -> float:
        """Return the test accuracy of a probe of a choice."""
        return float((probe.logits(self.test_features[label]).argmax(1) == self.tested).mean())

    def draw(self, labels: int, seed: int) -> np.ndarray:
        """Draw examples of each class, without replacement: their rows, int64 [k]."""
        generator = np.random.default_rng(seed)
        by_class = [np.flatnonzero(self.classes == number) for number in np.unique(self.classes)]
        return np.sort(np.concatenate([generator.permutation(rows)[:labels] for rows in by_class]))


def pool_of(drawn: Any) -> Pool:
    """Compute the features of all choices."""
    train, test = drawn.train, drawn.test
    numbers = {name: number for number, name in enumerate(train.labels.names)}
    tested = np.array([numbers[test.labels.names[label]] for label in np.asarray(test.targets)])
    baseline = BASELINES[train.modality]
    x, test_x = baseline_features(train, test)
    candidates = {baseline.name: Candidate(baseline.name, x, 0.0, 0.0, scalings=baseline.scalings)}
    test_features = {baseline.name: test_x}
    for backbone in backbones(train.modality):
        network = embedder(backbone, Settings(64, "auto", Cache("memory")))
        milliseconds = 1000 * network.seconds_per_example(train)
        candidates[backbone.name] = Candidate(backbone.name, network.features(train)[0], 0.0, milliseconds, backbone)
        test_features[backbone.name] = network.features(test)[0]
    return Pool(train, np.asarray(train.targets), tested, candidates, test_features)


def measure(name: str, draws: int, tested: int) -> list[dict[str, Any]]:
    """Compare the advice for draws of a task with what is true."""
    drawn = decision_tasks.draw(name, seed=0, tested=tested, times=2 if name in NO_MORE else 4)
    pool = pool_of(drawn)
    labels = decision_tasks.TASKS[name][0]
    fitted: dict[str, float] = {}
    rows = []
    for seed in range(draws):
        some = pool.draw(labels, seed)
        examples = Examples(pool.source.subset(some), seed)
        judged = [
            judge(replace(candidate, features=candidate.features[some]), examples, measures=False)
            for candidate in pool.candidates.values()
        ]
        best, reason = recommend(judged, examples)
        true = {one.candidate.name: pool.accuracy(one.candidate.name, one.probe) for one in judged}
        expected = {one.candidate.name: one.choices[0] for one in judged}
        row = {
            "recommended": best.candidate.name,
            "regret": 100 * (max(true.values()) - true[best.candidate.name]),
            "covered": [choice.low <= true[label] <= choice.high for label, choice in expected.items()],
            "expected": {label: (choice.low, choice.accuracy, choice.high) for label, choice in expected.items()},
            "true": true,
            "reason": reason,
        }
        if name not in NO_MORE:
            row["labels"] = label_forecast(pool, best, examples, fitted)
        rows.append(row)
        say(f"{name} draw {seed}: {row}")
    source = pool.source.subset(pool.draw(labels, 0))
    start = time.perf_counter()
    advice = tltk.advise(source, backbones=backbones(source.modality), budget=BUDGET, batch_size=64)
    rows[0] |= {"seconds": time.perf_counter() - start, "recommended_by_the_call": advice.recommended}
    say(f"{name}: {rows[0]['seconds']:.0f} s, {advice.recommended}: {advice.reason}")
    return rows


def label_forecast(pool: Pool, best: Any, examples: Examples, fitted: dict[str, float]) -> dict[str, Any]:
    """Compare the forecast for four times the labels with the accuracy of a probe of the whole pool."""
    label = best.candidate.name
    forecast = forecasts(learning_curve(best, examples), len(examples))[-1]
    if label not in fitted:
        candidate = pool.candidates[label]
        targets = np.eye(len(pool.source.labels.names))[pool.classes]
        fitted[label] = pool.accuracy(label, fit_probe(candidate.features, targets, scalings=candidate.scalings))
    inside = forecast.low <= fitted[label] <= forecast.high
    return {"forecast": vars(forecast), "true": fitted[label], "covered": inside}


def main() -> None:
    """Run the benchmark."""
    parser = decision_tasks.command_line(__doc__.splitlines()[0])
    tasks = [name for name in decision_tasks.TASKS if name != SHIFTED]
    parser.set_defaults(seeds=5, tested=5000, tasks=tasks)  # what is true of a few hundred would itself be uncertain
    options = decision_tasks.with_quick(parser.parse_args())
    draws = 2 if options.quick else options.seeds
    tasks = {name: measure(name, draws, options.tested) for name in options.tasks}
    rows = [row for listed in tasks.values() for row in listed]
    labels = [row["labels"]["covered"] for row in rows if "labels" in row]
    result = {
        "regret": float(np.mean([row["regret"] for row in rows])),
        "coverage": float(np.mean([inside for row in rows for inside in row["covered"]])),
        "label_coverage": float(np.mean(labels)) if labels else None,
        "slowest": max(row.get("seconds", 0.0) for row in rows),
        "tasks": tasks,
    }
    if options.json:
        print(json.dumps(result, default=float))
        return
    for name, listed in tasks.items():
        for row in listed:
            print(f"{name:20}{row['recommended']:24}regret {row['regret']:5.1f}  {row['reason']}")
    print("  ".join(f"{name} {result[name]}" for name in ("regret", "coverage", "label_coverage", "slowest")))


if __name__ == "__main__":
    main()
