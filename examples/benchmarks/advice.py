"""Is the advice of `tltk.advise` right? Regret of its choice, coverage of its intervals and of its label forecasts.

    python examples/benchmarks/advice.py                    # a table
    python examples/benchmarks/advice.py --json --quick     # three tasks, one seed; one JSON object

`decision_tasks.py` describes the tasks. Images: EfficientNet-Lite0, Lite2 and a random Lite0 at 64 px, and raw pixels;
texts: MiniLM and TF-IDF. What is true is measured on the test set: the accuracy of a tuned probe of all labels.

- regret: accuracy of the best choice minus that of the recommended one, mean over tasks and draws, in points;
- coverage: share of the 80 % intervals of all choices that hold their test accuracy;
- label_coverage: share of the 80 % intervals for four times the labels that hold the test accuracy with so many;
- slowest: seconds of the slowest call, whose budget is five minutes.
"""

import json
import time
from dataclasses import replace
from typing import Any

import decision_tasks
import keras
import numpy as np
from decision_tasks import LENGTH, LITE0, MINILM, SIDE, say

import tltk
from tltk.advice.baselines import BASELINES
from tltk.probes.fit import SCALINGS, fit_probe

BUDGET = "5 min"
# Tasks whose pools do not hold four times the labels of the same kind.
NO_MORE = ("docstrings_30", "patches_25", "digits_20")


def random_lite0(*, weights: str = "random") -> Any:
    """Return EfficientNet-Lite0 without pretrained weights, as a backbone of its own name."""
    return replace(tltk.backbone(LITE0, image_size=SIDE, weights=weights), name="random_lite0")


def backbones(modality: str) -> list[Any]:
    """Return the backbones to compare."""
    if modality == "text":
        return [tltk.backbone(MINILM, sequence_length=LENGTH)]
    return [
        tltk.backbone(LITE0, image_size=SIDE),
        tltk.backbone("efficientnet_lite2", image_size=SIDE),
        random_lite0(),
    ]


def _embedded(backbone: Any, source: Any) -> np.ndarray:
    """Return the features of a backbone; equal random weights in each call."""
    keras.utils.set_random_seed(0)
    return tltk.embed(backbone, source, batch_size=64).features


def features(choice: Any, train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of training and test examples, of a backbone or of a baseline (None)."""
    if choice is not None:
        return tuple(_embedded(choice, part) for part in (train, test))
    compute = BASELINES[train.modality].compute
    if train.modality != "text":
        return compute(train)[0], compute(test)[0]
    values, _ = compute(tltk.from_arrays([*train.examples, *test.examples]))  # one vocabulary
    return values[: len(train)], values[len(train) :]


def true_accuracy(choice: Any, train: Any, test: Any) -> float:
    """Return the test accuracy of a tuned probe of all training labels."""
    x, test_x = features(choice, train, test)
    names = {name: number for number, name in enumerate(train.labels.names)}
    numbers = np.array([names[test.labels.names[label]] for label in np.asarray(test.targets)])
    scalings = SCALINGS if choice is not None else BASELINES[train.modality].scalings
    probe = fit_probe(x, np.eye(len(names))[np.asarray(train.targets)], scalings=scalings)
    return float((probe.predict(test_x).argmax(1) == numbers).mean())


def measure(name: str, seed: int, tested: int) -> dict[str, Any]:
    """Compare the advice for one draw of a task with what is true."""
    drawn = decision_tasks.draw(name, seed=seed, tested=tested)
    candidates = backbones(drawn.train.modality)
    start = time.perf_counter()
    advice = tltk.advise(drawn.train, backbones=candidates, budget=BUDGET, batch_size=64, seed=seed)
    seconds = time.perf_counter() - start
    baseline = BASELINES[drawn.train.modality].name
    choices = {baseline: None, **{candidate.name: candidate for candidate in candidates}}
    true = {label: true_accuracy(choice, drawn.train, drawn.test) for label, choice in choices.items()}
    probes = {one.name: one for one in advice.choices if one.method == "probe"}
    covered = [probes[label].low <= true[label] <= probes[label].high for label in probes]
    row = {
        "recommended": advice.recommended,
        "regret": 100 * (max(true.values()) - true[advice.recommended]),
        "covered": covered,
        "true": true,
        "reason": advice.reason,
        "seconds": seconds,
    }
    if name not in NO_MORE:
        more = decision_tasks.draw(name, seed=seed + 100, tested=tested, times=4)
        forecast = advice.labels[-1]
        accuracy = true_accuracy(choices[advice.recommended], more.train, more.test)
        inside = forecast.low <= accuracy <= forecast.high
        row["labels"] = {"forecast": vars(forecast), "true": accuracy, "covered": inside}
    say(f"{name} seed {seed}: {row}")
    return row


def main() -> None:
    """Run the benchmark."""
    options = decision_tasks.with_quick(decision_tasks.command_line(__doc__.splitlines()[0]).parse_args())
    tasks = {name: [measure(name, seed, options.tested) for seed in range(options.seeds)] for name in options.tasks}
    rows = [row for listed in tasks.values() for row in listed]
    labels = [row["labels"]["covered"] for row in rows if "labels" in row]
    result = {
        "regret": float(np.mean([row["regret"] for row in rows])),
        "coverage": float(np.mean([inside for row in rows for inside in row["covered"]])),
        "label_coverage": float(np.mean(labels)) if labels else None,
        "slowest": max(row["seconds"] for row in rows),
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
