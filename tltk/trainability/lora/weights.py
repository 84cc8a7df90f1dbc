"""LoRA with Keras' own `enable_lora`: which layers support it, its parameters, and merging it without a trace."""

import fnmatch
import hashlib
import math
from dataclasses import dataclass, replace

import keras
import numpy as np

from tltk.foundation import checks as check
from tltk.foundation import keras_private as private
from tltk.trainability.layers import LayerRow, sublayers_by_path

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
class LoraWeights:
    """The low-rank change of one kernel: kernel + scale · a @ b (Hu et al. 2022, equation 3).

    Args:
        a: float32, the kernel's shape with the rank in place of its last dimension.
        b: float32 [rank, last dimension of the kernel].
        scale: Alpha divided by the rank; 1 unless another alpha was set.
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


def supported_sublayers(row: LayerRow) -> dict[str, keras.Layer]:
    """Find the sublayers that support LoRA: Dense, EinsumDense, Embedding and convolutions.

    They must be built, and have neither a constraint on the kernel nor a quantized kernel.

    Args:
        row: A top-level layer.

    Returns:
        Path inside the layer → sublayer.
    """
    return {path: sublayer for path, sublayer in sublayers_by_path(row.layer).items() if _supports_lora(sublayer)}


def targeted_sublayers(row: LayerRow, target: str) -> dict[str, keras.Layer]:
    """Find the sublayers that match a target.

    Args:
        row: A top-level layer.
        target: Comma-separated globs; each is tried on the path inside the layer and on the last name of it.

    Returns:
        Path inside the layer → sublayer.
    """
    globs = split_target(target)
    supported = supported_sublayers(row)
    return {path: sublayer for path, sublayer in supported.items() if any(_matches(glob, path) for glob in globs)}


def split_target(target: str) -> list[str]:
    """Split comma-separated globs."""
    return [glob.strip() for glob in target.split(",") if glob.strip()]


def target_problem(rows: list[LayerRow], target: str) -> str:
    """Explain what is wrong with a target for these layers, and list the sublayers that support LoRA.

    Args:
        rows: The layers that a rule decides.
        target: Target of the rule.

    Returns:
        A sentence, or "" if every glob of the target matches a sublayer.
    """
    paths = list(dict.fromkeys(path for row in rows for path in supported_sublayers(row)))
    if not paths:
        return "none of its layers supports LoRA (Dense, EinsumDense, Embedding and convolutions do)"
    unmatched = [glob for glob in split_target(target) if not any(_matches(glob, path) for path in paths)]
    if not unmatched:
        return ""
    near = check.did_you_mean(unmatched[0], [name for path in paths for name in (path.rsplit("/", 1)[-1], path)])
    globs = check.listing(repr(glob) for glob in unmatched)
    return f"target {globs} matches no sublayer.{near} LoRA is supported by: {check.listing(paths)}"


def parameter_count(sublayer: keras.Layer, rank: int) -> int:
    """Count the parameters that LoRA of this rank adds to a sublayer."""
    shape = kernel_of(sublayer).shape
    return rank * (math.prod(shape[:-1]) + shape[-1])


def enable(sublayer: keras.Layer, rank: int, *, seed: int = 0) -> None:
    """Enable LoRA on a sublayer; its output does not change until something is learned, since b starts at zero.

    Args:
        sublayer: Layer that supports LoRA.
        rank: Rank of the product a · b.
        seed: Seed of a, which Keras would draw from the clock.
    """
    sublayer.enable_lora(rank, a_initializer=keras.initializers.HeUniform(seed=seed))


def merge(sublayer: keras.Layer) -> LoraWeights:
    """Add the learned change to the kernel and remove LoRA, which restores a plain layer.

    Args:
        sublayer: A sublayer with LoRA enabled.

    Returns:
        A copy of the weights of LoRA.
    """
    kernel, names = kernel_of(sublayer), _weight_names(sublayer)
    a, b = (keras.ops.convert_to_numpy(getattr(sublayer, name)).copy() for name in names)
    before = keras.ops.convert_to_numpy(kernel)
    learned = LoraWeights(a, b, sublayer.lora_alpha / sublayer.lora_rank, base=digest(before), merged="")
    after = learned.added_to(before)
    kernel.assign(after)
    # A function that was traced with LoRA may live on, as a model's `predict_function` does: with b at zero it computes
    # the same as with the merged kernel, instead of adding the change a second time.
    getattr(sublayer, names[1]).assign(np.zeros_like(b))
    _remove(sublayer, names)
    return replace(learned, merged=digest(after))


def kernel_of(sublayer: keras.Layer) -> keras.Variable:
    """Return the variable that LoRA changes; `layer.kernel` is a sum of tensors while LoRA is enabled."""
    return private.kernel_variable(sublayer)


def digest(kernel: np.ndarray) -> str:
    """Hash a kernel: its dtype, shape and bytes."""
    header = f"{kernel.dtype} {kernel.shape}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(kernel).tobytes()).hexdigest()


def _remove(sublayer: keras.Layer, names: tuple[str, str]) -> None:
    for name in names:
        private.remove_weight(sublayer, name)
    sublayer.lora_enabled, sublayer.lora_rank, sublayer.lora_alpha = False, None, None


def _weight_names(sublayer: keras.Layer) -> tuple[str, str]:
    base = "embeddings" if isinstance(sublayer, keras.layers.Embedding) else "kernel"
    return f"{PREFIX}{base}_a", f"{PREFIX}{base}_b"


def _supports_lora(sublayer: keras.Layer) -> bool:
    if not isinstance(sublayer, _LORA_LAYERS) or not sublayer.built:
        return False
    constraint = getattr(sublayer, "kernel_constraint", None) or getattr(sublayer, "embeddings_constraint", None)
    return not constraint and sublayer.quantization_mode is None


def _matches(glob: str, path: str) -> bool:
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path.rsplit("/", 1)[-1], glob)
