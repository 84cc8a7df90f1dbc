"""Comparison of two runs: whether they have the same weights, history and metrics."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tltk.training.resume import differences
from tltk.training.run import Run, load_run

_CIRCUMSTANCES = ("versions", "hardware", "code", "data", "weights", "recipe", "seed", "batch_size")


@dataclass(frozen=True)
class Comparison:
    """How two runs differ.

    Args:
        differences: What differs in weights, history and metrics, a line each; empty if all is equal to the byte.
        circumstances: What differs in versions, hardware, code, data and options.
    """

    differences: tuple[str, ...]
    circumstances: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether weights, history and metrics are equal to the byte."""
        return not self.differences


def compare_runs(first: Path, second: Path) -> Comparison:
    """Compare two runs.

    Args:
        first: Folder of a run.
        second: Folder of another one.

    Returns:
        The differences.

    Raises:
        NotFound: If a folder holds no run.
    """
    runs = load_run(first), load_run(second)
    lines = [*_weight_differences(*runs)]
    for name in ("history.csv", "metrics.json"):  # not invalid.csv: `tltk train` adds those of the test part
        if (first / name).read_bytes() != (second / name).read_bytes():
            lines.append(f"{name} differs")
    lines += _metric_differences(*runs)
    configs = [{name: run.config.get(name) for name in _CIRCUMSTANCES} for run in runs]
    return Comparison(tuple(lines), tuple(differences(*configs)))


def _weight_differences(first: Run, second: Run) -> list[str]:
    weights = [run.model.keras.get_weights() for run in (first, second)]
    if [value.shape for value in weights[0]] != [value.shape for value in weights[1]]:
        return ["the models have weights of different shapes"]
    unequal = [(one, other) for one, other in zip(*weights, strict=True) if one.tobytes() != other.tobytes()]
    if not unequal:
        return []
    largest = max(float(np.abs(one.astype("float64") - other).max()) for one, other in unequal)
    return [f"{len(unequal)} of {len(weights[0])} weights differ, at most by {largest:.3g}"]


def _metric_differences(first: Run, second: Run) -> list[str]:
    """Compare the last epoch, in which a person looks first."""
    if not first.history or not second.history:
        return []
    rows = [{name: value for name, value in run.history[-1].items() if name != "seconds"} for run in (first, second)]
    return [
        f"last epoch, {name}: {rows[0][name]} and {rows[1].get(name)}"
        for name in rows[0]
        if rows[0][name] != rows[1].get(name)
    ]
