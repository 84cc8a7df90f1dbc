"""Run one of several parts of a graph without paying for the others."""

from collections.abc import Callable, Sequence

import tensorflow as tf


def choose(index: tf.Tensor, branches: Sequence[Callable[..., tf.Tensor]], *inputs: tf.Tensor) -> tf.Tensor:
    """Call the branch with the number `index`, and build nothing of the others into the caller's graph.

    `tf.switch_case` copies every branch into the graph that calls it, and TensorFlow then visits every node of the
    branches not taken: with five picture formats that took longer than decoding the picture. The `Case` op on its
    own runs one function and never looks at the rest.

    Args:
        index: int32 scalar in [0, number of branches); a number outside calls the last branch.
        branches: functions of `inputs` alone (no tensor from around them), all with one output of the same type.
        inputs: the tensors that the branches get.

    Returns:
        What the branch returned.

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
