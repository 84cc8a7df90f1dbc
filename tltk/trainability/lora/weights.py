"""LoRA through Keras' own `enable_lora`: where it can go, its size, and merging it so that no trace is left."""

import fnmatch
import hashlib
import math
from dataclasses import dataclass, replace

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.trainability.layers import LayerRow, named_parts

PREFIX = "lora_"
# The layers of Keras that have `enable_lora`, with those derived from them.
_LORA_LAYERS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)


@dataclass(frozen=True, eq=False)
class Matrices:
    """The low-rank change of one kernel: kernel + scale · a @ b (Hu et al. 2022, equation 3).

    Args:
        a: float32, the kernel's shape with the rank in place of its last dimension.
        b: float32 [rank, last dimension of the kernel].
        scale: alpha over rank; 1 unless somebody sets another alpha.
        base: SHA-256 of the kernel without the change.
        merged: SHA-256 of the kernel with it.
    """

    a: np.ndarray
    b: np.ndarray
    scale: float
    base: str
    merged: str

    def added_to(self, kernel: np.ndarray) -> np.ndarray:
        """Add the change to a kernel, rounding once."""
        change = self.scale * np.matmul(self.a.astype("float64"), self.b.astype("float64"))
        return (kernel.astype("float64") + change).astype(kernel.dtype)


def able(row: LayerRow) -> dict[str, keras.Layer]:
    """Find what inside a layer can take LoRA: Dense, EinsumDense, Embedding and convolutions, built and plain.

    Args:
        row: a top-level layer.

    Returns:
        Path inside the layer → sublayer.
    """
    return {path: part for path, part in named_parts(row.layer).items() if _is_able(part)}


def chosen(row: LayerRow, target: str) -> dict[str, keras.Layer]:
    """Choose those sublayers of a layer that a target names.

    Args:
        row: a top-level layer.
        target: comma-separated globs; each is tried on the path inside the layer and on the last name of it.

    Returns:
        Path inside the layer → sublayer.
    """
    globs = split_target(target)
    return {path: part for path, part in able(row).items() if any(_names(glob, path) for glob in globs)}


def split_target(target: str) -> list[str]:
    """Split comma-separated globs."""
    return [glob.strip() for glob in target.split(",") if glob.strip()]


def unreached(found: list[LayerRow], target: str) -> str:
    """Say what is wrong with a target for these layers, naming what could take LoRA.

    Args:
        found: the layers that a rule decides.
        target: of the rule.

    Returns:
        A sentence, or "" if every glob of the target reaches something.
    """
    paths = list(dict.fromkeys(path for row in found for path in able(row)))
    if not paths:
        return "none of its layers can take LoRA (Dense, EinsumDense, Embedding and convolutions can)"
    lost = [glob for glob in split_target(target) if not any(_names(glob, path) for path in paths)]
    if not lost:
        return ""
    near = check.did_you_mean(lost[0], [name for path in paths for name in (path.rsplit("/", 1)[-1], path)])
    missing = check.listing(repr(glob) for glob in lost)
    return f"target {missing} reaches nothing.{near} LoRA could go on: {check.listing(paths)}"


def size(part: keras.Layer, rank: int) -> int:
    """Count the parameters that LoRA of this rank would learn in a sublayer."""
    shape = kernel_of(part).shape
    return rank * (math.prod(shape[:-1]) + shape[-1])


def enable(part: keras.Layer, rank: int) -> None:
    """Put LoRA on a sublayer; its output does not change until the matrices have learned (b starts at zero)."""
    part.enable_lora(rank)


def merge(part: keras.Layer) -> Matrices:
    """Add the learned change to the kernel and remove LoRA, so that the layer is as if it had never been there.

    Args:
        part: a sublayer on which `enable` was called.

    Returns:
        The matrices, copied before they go.
    """
    kernel, names = kernel_of(part), _matrix_names(part)
    a, b = (keras.ops.convert_to_numpy(getattr(part, name)).copy() for name in names)
    before = keras.ops.convert_to_numpy(kernel)
    learned = Matrices(a, b, part.lora_alpha / part.lora_rank, base=digest(before), merged="")
    after = learned.added_to(before)
    kernel.assign(after)
    # A function that was traced with LoRA in it may live on, as a model's `predict_function` does: with b at zero
    # it computes what the merged kernel computes, instead of adding the change a second time.
    getattr(part, names[1]).assign(np.zeros_like(b))
    _remove(part, names)
    return replace(learned, merged=digest(after))


def kernel_of(part: keras.Layer) -> keras.Variable:
    """Return the variable that LoRA changes; `layer.kernel` is a sum of tensors while LoRA is on."""
    return private.kernel_variable(part)


def digest(kernel: np.ndarray) -> str:
    """Hash a kernel: its type, shape and bytes."""
    header = f"{kernel.dtype} {kernel.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(kernel).tobytes()).hexdigest()


def _remove(part: keras.Layer, names: tuple[str, str]) -> None:
    for name in names:
        private.remove_weight(part, name)
    part.lora_enabled, part.lora_rank, part.lora_alpha = False, None, None


def _matrix_names(part: keras.Layer) -> tuple[str, str]:
    kind = "embeddings" if isinstance(part, keras.layers.Embedding) else "kernel"
    return f"{PREFIX}{kind}_a", f"{PREFIX}{kind}_b"


def _is_able(part: keras.Layer) -> bool:
    if not isinstance(part, _LORA_LAYERS) or not part.built:
        return False
    constraint = getattr(part, "kernel_constraint", None) or getattr(part, "embeddings_constraint", None)
    return not constraint and part.quantization_mode is None


def _names(glob: str, path: str) -> bool:
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], glob)
