"""One small file for what LoRA has learned: its weights, the head, the plan, and hashes of the kernels they fit."""

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.archives import check_members
from tltk.foundation.errors import InvalidInput, NotFound, TltkError
from tltk.trainability.effects import effects
from tltk.trainability.layers import HasStages, LayerRow, layer_rows
from tltk.trainability.lora import weights as lora
from tltk.trainability.lora.weights import LoraWeights
from tltk.trainability.plan import Plan
from tltk.trainability.rules import Rule

FORMAT = 2


def save(path: str | Path, model: keras.Model | HasStages, plan: Plan, lora_weights: dict[str, LoraWeights]) -> None:
    """Save what a phase with LoRA has learned, without the backbone.

    The file contains the weights of LoRA (float32), the weights of every layer that was trained in full (the head,
    moving statistics included), the plan, and a SHA-256 of each kernel as it was before.

    Args:
        path: File name that ends with ".npz"; NumPy's format, readable without tltk.
        model: The model as the phase left it.
        plan: Plan of the phase.
        lora_weights: `AppliedPlan.lora_weights`, after the plan was left.

    Raises:
        InvalidInput: If there are no LoRA weights, or the model's kernels are not the ones that were merged.
        FileError: If the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from tltk.trainability import Plan, Rule, apply_plan
        >>> model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(9, name="a"), keras.layers.Dense(1)])
        >>> plan = Plan((Rule("a", "lora", rank=1), Rule("*", "train")))
        >>> with apply_plan(plan, model) as effect:
        ...     pass  # compile and fit here
        >>> save(Path(tempfile.mkdtemp()) / "small.npz", model, plan, effect.lora_weights)
    """
    path = _checked_path(path)
    rows = layer_rows(model)
    sublayers = _sublayers(rows)
    problems = check.Problems()
    if not lora_weights:
        problems.add("`lora_weights` is empty: leave `apply_plan` first, and use a plan with LoRA")
    for name, learned in lora_weights.items():
        if name not in sublayers:
            problems.add(f"the model has no {name}")
        elif _digest(sublayers[name]) != learned.merged:
            problems.add(f"{name} has changed since LoRA was merged; save before you train on or undo the phase")
    problems.raise_if_any()
    arrays = {f"{name}|{side}": getattr(learned, side) for name, learned in lora_weights.items() for side in ("a", "b")}
    trained = _trained_in_full(rows, plan, model)
    arrays |= {f"{name}|weight": keras.ops.convert_to_numpy(variable) for name, variable in trained}
    kernels = {name: {"scale": learned.scale, "base": learned.base} for name, learned in lora_weights.items()}
    about = json.dumps({"format": FORMAT, "plan": asdict(plan), "kernels": kernels})
    arrays["about"] = np.frombuffer(about.encode(), dtype="uint8")
    files.write_atomically(path, lambda temporary: _write(temporary, arrays))


def load(path: str | Path, model: keras.Model | HasStages) -> Plan:
    """Load what LoRA has learned into the same backbone.

    Args:
        path: File written by `save`.
        model: A model like the one that was trained, with the backbone's weights as before the phase and a head of the
            same shape.

    Returns:
        The plan it was trained with.

    Raises:
        NotFound: If there is no such file.
        InvalidInput: If the file is damaged or has another format, or the model differs: every difference is listed,
            and the model is unchanged.

    Examples:
        >>> load("nowhere.npz", keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        Traceback (most recent call last):
        ...
        tltk.errors.NotFound: nowhere.npz does not exist
    """
    path = _checked_path(path)
    plan, lora_weights, weights = _read(path)
    rows = layer_rows(model)
    sublayers, variables = _sublayers(rows), _variables(rows)
    _check_same(path, lora_weights, weights, sublayers=sublayers, variables=variables)
    for name, learned in lora_weights.items():
        kernel = lora.kernel_of(sublayers[name])
        kernel.assign(learned.added_to(keras.ops.convert_to_numpy(kernel)))
    for name, array in weights.items():
        variables[name].assign(array)
    return plan


def _check_same(
    path: Path,
    lora_weights: dict[str, LoraWeights],
    weights: dict[str, np.ndarray],
    *,
    sublayers: dict[str, keras.Layer],
    variables: dict[str, keras.Variable],
) -> None:
    problems = check.Problems()
    for name, learned in lora_weights.items():
        shape = (*learned.a.shape[:-1], learned.b.shape[-1])
        if name not in sublayers:
            problems.add(f"the model has no {name}")
        elif lora.kernel_of(sublayers[name]).shape != shape:
            own_shape = lora.kernel_of(sublayers[name]).shape
            problems.add(f"the kernel of {name} has the shape {own_shape} in the model and {shape} in the file")
        elif _digest(sublayers[name]) != learned.base:
            problems.add(f"the kernel of {name} has other values than the one LoRA was trained on")
    for name, array in weights.items():
        if name not in variables:
            problems.add(f"the model has no weight {name}")
        elif tuple(variables[name].shape) != array.shape:
            shape = tuple(variables[name].shape)
            problems.add(f"{name} has the shape {shape} in the model and {array.shape} in the file")
    problems.raise_if_any(f"{path} belongs to another model:")


def _sublayers(rows: list[LayerRow]) -> dict[str, keras.Layer]:
    return {f"{row.name}:{path}": sublayer for row in rows for path, sublayer in lora.supported_sublayers(row).items()}


def _variables(rows: list[LayerRow]) -> dict[str, keras.Variable]:
    """Name every weight by its layer and its position there: paths may contain names that Keras has numbered."""
    return {
        f"{row.name}:{index}": weight for row in rows for index, weight in enumerate(getattr(row.layer, "weights", ()))
    }


def _trained_in_full(
    rows: list[LayerRow], plan: Plan, model: keras.Model | HasStages
) -> list[tuple[str, keras.Variable]]:
    """List the weights that the plan lets change directly, and not by LoRA."""
    decisions = plan.resolve(model)
    changing_ids = {
        id(variable)
        for row in rows
        for effect in effects(row, decisions[row.name], plan.batch_norm)
        for variable in effect.changing_variables
    }
    return [(name, variable) for name, variable in _variables(rows).items() if id(variable) in changing_ids]


def _digest(sublayer: keras.Layer) -> str:
    return lora.digest(keras.ops.convert_to_numpy(lora.kernel_of(sublayer)))


def _checked_path(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix != ".npz":
        raise InvalidInput(f"`path` must end with '.npz'. Received: {str(path)!r}")
    return path


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]


def _read(path: Path) -> tuple[Plan, dict[str, LoraWeights], dict[str, np.ndarray]]:
    """Return the plan, the weights of LoRA, and the other weights."""
    if not path.is_file():
        raise NotFound(f"{path} does not exist")
    try:
        # An open file instead of a path: NumPy leaves the file of a path open if it is damaged.
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            check_members(archive, path)
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
        about = json.loads(arrays.pop("about").tobytes())
        if about.get("format") == FORMAT:
            return _parsed(path, about, arrays)
    except TltkError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy's parser of headers raise many types
        raise InvalidInput(f"{path} is damaged, or not a file of LoRA weights: {error}") from error
    raise InvalidInput(f"{path} has format {about.get('format')!r}; this version reads {FORMAT}.")


def _parsed(
    path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[Plan, dict[str, LoraWeights], dict[str, np.ndarray]]:
    plan = Plan(**{**about["plan"], "rules": tuple(Rule(**rule) for rule in about["plan"]["rules"])})
    lora_weights = {}
    for name, kernel in about["kernels"].items():
        a, b = arrays[f"{name}|a"], arrays[f"{name}|b"]
        if a.ndim < 1 or b.ndim < 1 or a.shape[-1] != b.shape[0] or b.dtype.kind != "f" or a.dtype.kind != "f":
            factors = f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
            raise InvalidInput(f"{path} is damaged, or not a file of LoRA weights: {name} has factors of {factors}")
        lora_weights[name] = LoraWeights(a, b, float(kernel["scale"]), str(kernel["base"]), "")
    weights = {name.removesuffix("|weight"): array for name, array in arrays.items() if name.endswith("|weight")}
    wrong = [name for name, array in weights.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise InvalidInput(f"{path} is damaged, or not a file of LoRA weights: {check.listing(wrong)} are not numbers")
    return plan, lora_weights, weights
