"""What to do if the memory of a device does not suffice for a training step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tltk.foundation.errors import OutOfMemory


@contextmanager
def explain_out_of_memory(describe: Callable[[], str]) -> Iterator[None]:
    """Turn TensorFlow's error about memory into an `OutOfMemory` that says what takes less.

    Args:
        describe: Returns a description of the batch and the model, see `describe_step`.

    Raises:
        OutOfMemory: If TensorFlow raises a ResourceExhaustedError within the context.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if not any(word in str(error) for word in ("OOM", "memory")):  # such as too many open files
            raise
        raise OutOfMemory(f"{describe()} TensorFlow says: {str(error).splitlines()[0][:300]}") from error


def describe_step(batch: Any, batch_size: int, *, precision: str, accumulate: int, trainable: int) -> str:
    """Say what a training step holds in memory, and what would take less.

    Args:
        batch: Specs of the inputs and targets of a batch.
        batch_size: Examples per batch.
        precision: dtype policy of the model.
        accumulate: Batches whose gradients make one step.
        trainable: Number of trainable parameters.

    Examples:
        >>> spec = tf.TensorSpec([None, 224, 224, 3])
        >>> print(describe_step(spec, 32, precision="float32", accumulate=1, trainable=23_000_000))
        a training step does not fit into memory: batches of 32, inputs of 224×224×3 numbers, float32, ...
        Try batch_size=16 with gradient_accumulation_steps=2 in the optimizer (in a shell --accumulate 2), ...
    """
    inputs = batch[0] if isinstance(batch, tuple) else batch
    shape = "×".join("?" if size is None else str(size) for size in inputs.shape[1:]) or "1"
    lower = "" if precision != "float32" else ', precision="mixed_bfloat16"'
    fewer, more = batch_size // 2, 2 * accumulate
    same_steps = (
        f"batch_size={fewer} with gradient_accumulation_steps={more} in the optimizer (in a shell --accumulate "
        f"{more}), which takes the same steps, except in layers of batch norm; "
    )
    return (
        f"a training step does not fit into memory: batches of {batch_size}, inputs of {shape} numbers, {precision}, "
        f"{trainable:,} trainable parameters.\nTry {same_steps if fewer else ''}smaller images or a shorter "
        f"sequence_length{lower}; or freeze more layers."
    )
