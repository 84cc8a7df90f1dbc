"""Run one of several branches of a graph without the cost of the others."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def choose(index: tf.Tensor, branches: Sequence[Callable[..., tf.Tensor]], *inputs: tf.Tensor) -> tf.Tensor:
    """Call the branch with the number `index`, as a function that is not inlined into the caller's graph.

    `tf.switch_case` copies every branch into the graph that calls it, and TensorFlow then visits every node of the
    branches not taken: with five image formats that took longer than decoding the image. The `Case` operation runs
    one function and never visits the others.

    Args:
        index: int32 scalar in [0, number of branches); any other number calls the last branch.
        branches: Functions of `inputs` alone (they capture no tensors), each with one output of the same dtype.
        inputs: Tensors that the branch is called with.

    Returns:
        The output of the branch.

    Example:
        >>> double_or_half = [lambda x: x * 2.0, lambda x: x / 2.0]
        >>> float(choose(tf.constant(1), double_or_half, tf.constant(8.0)))
        4.0
    """
    if tf.executing_eagerly():
        number = int(index)
        return branches[number if 0 <= number < len(branches) else -1](*inputs)
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    functions = [tf.function(branch, signature, autograph=False).get_concrete_function() for branch in branches]
    output = functions[0].structured_outputs
    shapes = {tuple(function.output_shapes.as_list()) for function in functions if function.output_shapes.rank}
    shape = shapes.pop() if len(shapes) == 1 else None
    return tf.ensure_shape(
        tf.raw_ops.Case(branch_index=index, input=list(inputs), Tout=[output.dtype], branches=functions)[0], shape
    )
