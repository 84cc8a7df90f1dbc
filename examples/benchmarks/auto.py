"""What `recipe="auto"` decides, against the fixed recipes, chosen in hindsight: accuracy and time on eight tasks.

    python examples/benchmarks/real_images.py               # once; and `tltk weights get efficientnet_lite0`
    python examples/benchmarks/auto.py                      # a table
    python examples/benchmarks/auto.py --json --quick       # three tasks, one seed; one JSON object

`decision_tasks.py` describes the tasks; `summaries_40`, which takes long, and `near_patches_25` take part only if
`--tasks` names them. Every method gets the same labels, all of them for training. The fixed recipes are
`linear_probe()`, `fine_tune()` with the learning rate of the modality and, for texts with fewer than 20 examples of a
class, `few_shot()` in batches of 64. Keras' guide is that of `few_shot.py`. Seconds are those of `tltk.fit` alone.

- mean_gap_to_best: accuracy of auto minus that of the best fixed recipe of each task, mean over tasks, in points;
- worst_gap_to_probe: smallest difference to the tuned probe over tasks (means of the seeds), in points;
- time_ratio: median over tasks of the seconds of auto over those of the best fixed recipe;
- worst_gap_to_guide: with `--guide`, smallest difference to Keras' guide over tasks of images, in points.
"""

import argparse
import json
import time
from typing import Any

import decision_tasks
import keras
import numpy as np
from decision_tasks import Drawn, say

import tltk

LEFT_OUT = ("summaries_40", "near_patches_25")  # tasks that take no part unless they are named
FEW = 20  # examples of a class below which few_shot takes part


def fixed_recipes(name: str, drawn: Drawn) -> dict[str, dict[str, Any]]:
    """Return the options of `tltk.fit` for each fixed recipe that suits a task."""
    is_text = drawn.train.modality == "text"
    recipes: dict[str, dict[str, Any]] = {
        "linear_probe": {"recipe": tltk.linear_probe()},
        "fine_tune": {"recipe": tltk.fine_tune(learning_rate=1e-4) if is_text else tltk.fine_tune()},
    }
    if is_text and decision_tasks.TASKS[name][0] < FEW:
        recipes["few_shot"] = {"recipe": tltk.few_shot(), "batch_size": 64}
    return recipes


def run(drawn: Drawn, seed: int, options: dict[str, Any]) -> tuple[float, float, str]:
    """Train and return test accuracy, seconds and the reason of auto."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = tltk.assemble(drawn.backbone, tltk.classification(drawn.train.labels), seed=seed)
    start = time.perf_counter()
    trained = tltk.fit(model, drawn.train, seed=seed, verbose=0, **options)
    seconds = time.perf_counter() - start
    accuracy = tltk.evaluate(trained, drawn.test, batch_size=128).metrics["accuracy"]
    return accuracy, seconds, trained.config.get("auto", {}).get("reason", "")


def guide(drawn: Drawn, seed: int) -> tuple[float, float, str]:
    """Train as Keras' guide does."""
    import few_shot

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    x, y = np.asarray(drawn.train.examples), np.asarray(drawn.train.targets)
    resized, tested = (
        np.asarray(keras.ops.image.resize(part, (decision_tasks.SIDE,) * 2)) for part in (x, drawn.test.examples)
    )
    start = time.perf_counter()
    *_, (_, predict, _) = few_shot.keras_guide(drawn.backbone, drawn.train.labels.names, resized, y, seed)
    seconds = time.perf_counter() - start
    return float((predict(tested) == np.asarray(drawn.test.targets)).mean()), seconds, ""


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return method → mean accuracy and seconds of a task, and the reasons of auto."""
    rows: dict[str, list[tuple[float, float]]] = {}
    reasons = []
    for seed in range(options.seeds):
        drawn = decision_tasks.draw(name, seed=seed, tested=options.tested)
        methods = {"auto": {"recipe": "auto"}, "tuned_probe": {"recipe": tltk.recipes.tuned_probe()}}
        for method, arguments in {**methods, **fixed_recipes(name, drawn)}.items():
            accuracy, seconds, reason = run(drawn, seed, arguments)
            rows.setdefault(method, []).append((accuracy, seconds))
            reasons += [reason] if reason else []
            say(f"{name} seed {seed}: {method} {accuracy:.4f} in {seconds:.0f} s {reason}")
        if options.guide and drawn.train.storage == "arrays" and drawn.train.modality == "image":
            accuracy, seconds, _ = guide(drawn, seed)
            rows.setdefault("keras_guide", []).append((accuracy, seconds))
            say(f"{name} seed {seed}: keras_guide {accuracy:.4f} in {seconds:.0f} s")
    methods_of = {
        method: {"accuracy": float(np.mean([r[0] for r in runs])), "seconds": float(np.mean([r[1] for r in runs]))}
        for method, runs in rows.items()
    }
    return {"methods": methods_of, "reasons": reasons}


def summary(tasks: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the numbers that the page of the module explains."""
    gaps, to_probe, ratios, to_guide = [], [], [], []
    for result in tasks.values():
        methods = result["methods"]
        fixed = [name for name in methods if name not in ("auto", "tuned_probe", "keras_guide")]
        best = max(fixed, key=lambda name: methods[name]["accuracy"])
        gaps.append(100 * (methods["auto"]["accuracy"] - methods[best]["accuracy"]))
        to_probe.append(100 * (methods["auto"]["accuracy"] - methods["tuned_probe"]["accuracy"]))
        ratios.append(methods["auto"]["seconds"] / methods[best]["seconds"])
        if "keras_guide" in methods:
            to_guide.append(100 * (methods["auto"]["accuracy"] - methods["keras_guide"]["accuracy"]))
    numbers = {"mean_gap_to_best": np.mean(gaps), "worst_gap_to_probe": min(to_probe), "time_ratio": np.median(ratios)}
    numbers |= {"worst_gap_to_guide": min(to_guide)} if to_guide else {}
    return {name: round(float(value), 3) for name, value in numbers.items()}


def main() -> None:
    """Run the benchmark."""
    parser = decision_tasks.command_line(__doc__.splitlines()[0])
    parser.add_argument("--guide", action="store_true", help="also train as Keras' guide does")
    parser.set_defaults(tasks=[name for name in decision_tasks.TASKS if name not in LEFT_OUT])
    options = decision_tasks.with_quick(parser.parse_args())
    tasks = {name: measure(name, options) for name in options.tasks}
    result = {**summary(tasks), "seeds": options.seeds, "tasks": tasks}
    if options.json:
        print(json.dumps(result))
        return
    for name, task in tasks.items():
        print(name)
        for method, row in task["methods"].items():
            print(f"  {method:14}{row['accuracy']:.3f}{row['seconds']:8.0f} s")
    print("  ".join(f"{name} {value:g}" for name, value in summary(tasks).items()))


if __name__ == "__main__":
    main()
