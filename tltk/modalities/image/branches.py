"""Conditional execution in a graph that costs only the branch that runs."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def choose(index: tf.Tensor, branches: Sequence[Callable[..., tf.Tensor]], *inputs: tf.Tensor) -> tf.Tensor:
    """Call `branches[index]` without adding the operations of all branches to the caller's graph.

    `tf.switch_case` copies every branch into the graph that calls it, and TensorFlow then visits every node of the
    branches not taken: with five image formats that took longer than decoding the image. The `Case` operation calls
    one function and never visits the others.

    Args:
        index: int32 scalar in [0, number of branches); any other value calls the last branch.
        branches: Functions of `inputs` alone (they capture no tensors), each with one output of the same dtype.
        inputs: Arguments of the branch.

    Returns:
        The output of the branch.

    Examples:
        >>> double_or_half = [lambda x: x * 2.0, lambda x: x / 2.0]
        >>> float(choose(tf.constant(1), double_or_half, tf.constant(8.0)))
        4.0
    """
    if tf.executing_eagerly():
        position = int(index)
        return branches[position if 0 <= position < len(branches) else -1](*inputs)
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    functions = [tf.function(branch, signature, autograph=False).get_concrete_function() for branch in branches]
    output = functions[0].structured_outputs
    shapes = {tuple(function.output_shapes.as_list()) for function in functions if function.output_shapes.rank}
    shape = shapes.pop() if len(shapes) == 1 else None
    return tf.ensure_shape(
        tf.raw_ops.Case(branch_index=index, input=list(inputs), Tout=[output.dtype], branches=functions)[0], shape
    )
