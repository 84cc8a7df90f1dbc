"""One small file for what LoRA learned: matrices, head, plan, and hashes of the kernels that they belong to."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.trainability.effects import effects
from tltk.trainability.layers import HasStages, LayerRow, rows
from tltk.trainability.lora import weights as low_rank
from tltk.trainability.lora.weights import Matrices
from tltk.trainability.plan import Plan
from tltk.trainability.rules import Rule

FORMAT = 1


def save(path: str | Path, model: keras.Model | HasStages, plan: Plan, matrices: dict[str, Matrices]) -> None:
    """Save what a phase with LoRA learned, without the backbone.

    The file holds the low-rank matrices (float32), the weights of every layer that learned in full (the head, its
    statistics included), the plan, and a SHA-256 of each kernel as it was before.

    Args:
        path: ends with ".npz"; NumPy's format, readable without tltk.
        model: as the phase left it.
        plan: of the phase.
        matrices: `Applied.matrices`, after the plan was left.

    Raises:
        ValueError: if there are no matrices, or the model's kernels are not those that the matrices led to.
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> from tltk.trainability import Plan, Rule, applied
        >>> model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(9, name="a"), keras.layers.Dense(1)])
        >>> plan = Plan((Rule("a", "lora", rank=1), Rule("*", "train")))
        >>> with applied(plan, model) as found:
        ...     pass  # compile and fit here
        >>> save(Path(tempfile.mkdtemp()) / "small.npz", model, plan, found.matrices)
    """
    path = _checked_path(path)
    found = rows(model)
    parts = _parts(found)
    problems = check.Problems()
    if not matrices:
        problems.add("`matrices` are empty: leave `applied` first, and use a plan with LoRA")
    for name, learned in matrices.items():
        if name not in parts:
            problems.add(f"the model has no {name}")
        elif _digest(parts[name]) != learned.merged:
            problems.add(f"{name} has changed since LoRA was merged; save before training on or undoing the phase")
    problems.raise_if_any()
    arrays = {f"{name}|{side}": getattr(learned, side) for name, learned in matrices.items() for side in ("a", "b")}
    arrays |= {f"{name}|weight": keras.ops.convert_to_numpy(weight) for name, weight in _full(found, plan, model)}
    kernels = {name: {"scale": one.scale, "base": one.base} for name, one in matrices.items()}
    about = json.dumps({"format": FORMAT, "plan": asdict(plan), "kernels": kernels})
    arrays["about"] = np.frombuffer(about.encode(), dtype="uint8")
    files.write_atomically(path, lambda temporary: _write(temporary, arrays))


def load(path: str | Path, model: keras.Model | HasStages) -> Plan:
    """Put what LoRA learned onto the same backbone.

    Args:
        path: what `save` wrote.
        model: built like the one that was trained, with the backbone's weights as they were before the phase and a
            head of the same shape.

    Returns:
        The plan it was trained with.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or of a newer format, or the model is another one: every difference is
            listed, and nothing is changed.

    Example:
        >>> load("nowhere.npz", keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        Traceback (most recent call last):
        ...
        FileNotFoundError: nowhere.npz does not exist
    """
    path = _checked_path(path)
    about, arrays = _read(path)
    plan = Plan(**{**about["plan"], "rules": tuple(Rule(**rule) for rule in about["plan"]["rules"])})
    found = rows(model)
    learned = {
        name: Matrices(arrays[f"{name}|a"], arrays[f"{name}|b"], kernel["scale"], kernel["base"], "")
        for name, kernel in about["kernels"].items()
    }
    weights = {name.removesuffix("|weight"): array for name, array in arrays.items() if name.endswith("|weight")}
    parts, variables = _parts(found), _variables(found)
    _check_same(path, learned, weights, parts=parts, variables=variables)
    for name, one in learned.items():
        kernel = low_rank.kernel_of(parts[name])
        kernel.assign(one.added_to(keras.ops.convert_to_numpy(kernel)))
    for name, array in weights.items():
        variables[name].assign(array)
    return plan


def _check_same(
    path: Path,
    learned: dict[str, Matrices],
    weights: dict[str, np.ndarray],
    *,
    parts: dict[str, keras.Layer],
    variables: dict[str, keras.Variable],
) -> None:
    problems = check.Problems()
    for name, one in learned.items():
        if name not in parts:
            problems.add(f"the model has no {name}")
        elif low_rank.kernel_of(parts[name]).shape != (*one.a.shape[:-1], one.b.shape[-1]):
            shapes = low_rank.kernel_of(parts[name]).shape, (*one.a.shape[:-1], one.b.shape[-1])
            problems.add(f"the kernel of {name} is {shapes[0]} in the model and {shapes[1]} in the file")
        elif _digest(parts[name]) != one.base:
            problems.add(f"the kernel of {name} has other values than the one LoRA was trained on")
    for name, array in weights.items():
        if name not in variables:
            problems.add(f"the model has no weight {name}")
        elif tuple(variables[name].shape) != array.shape:
            problems.add(f"{name} is {tuple(variables[name].shape)} in the model and {array.shape} in the file")
    problems.raise_if_any(f"{path} belongs to another model:")


def _parts(found: list[LayerRow]) -> dict[str, keras.Layer]:
    return {f"{row.name}:{path}": part for row in found for path, part in low_rank.able(row).items()}


def _variables(found: list[LayerRow]) -> dict[str, keras.Variable]:
    """Name every weight by its layer and its place there: paths hold names that a counter made."""
    return {
        f"{row.name}:{index}": weight for row in found for index, weight in enumerate(getattr(row.layer, "weights", ()))
    }


def _full(found: list[LayerRow], plan: Plan, model: keras.Model | HasStages) -> list[tuple[str, keras.Variable]]:
    """List the weights that the plan lets change as they are, not by LoRA."""
    decided = plan.resolve(model)
    changing = {
        id(variable)
        for row in found
        for effect in effects(row, decided[row.name], plan.batch_norm)
        for variable in effect.changing
    }
    return [(name, variable) for name, variable in _variables(found).items() if id(variable) in changing]


def _digest(part: keras.Layer) -> str:
    return low_rank.digest(keras.ops.convert_to_numpy(low_rank.kernel_of(part)))


def _checked_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"`path` must end with '.npz'. Received: {str(path)!r}")
    return path


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        # An open file, not a path: NumPy leaves a path's file open if it is damaged.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(arrays.pop("about").tobytes())
    except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged, or no file of LoRA matrices: {error}") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{path} is of format {about.get('format')!r}; this version reads {FORMAT}.")
    return about, arrays
