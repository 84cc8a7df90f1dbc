"""What a user's `tf.data.Dataset` raised while it was read, with its exception type, message and line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from tltk.foundation.errors import InvalidInput

# TensorFlow puts the exception of a Python function into the text of its own: "KeyError: 'x'\nTraceback (most …".
_EXCEPTION = re.compile(
    r"(?:^|\}\} |\n)([A-Za-z_][\w.]*): ((?:(?!\nTraceback)[\s\S])*)\nTraceback \(most recent call last\)"
)
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_OPERATIONS = ("IteratorGetNext", "ReduceDataset")  # that read a dataset
_NOT_OF_DATA = (tf.errors.ResourceExhaustedError, tf.errors.CancelledError, tf.errors.AbortedError)


def failure(error: tf.errors.OpError) -> str:
    """Return what a user's dataset raised, as a sentence; "" if the error is not one of reading a dataset.

    Args:
        error: Error of TensorFlow.

    Examples:
        >>> text = "{{node PyFunc}} KeyError: 'x'\\nTraceback (most recent call last):\\n[Op:IteratorGetNext]"
        >>> failure(tf.errors.UnknownError(None, None, text))
        "your tf.data.Dataset raised KeyError: 'x'"
    """
    text = str(error)
    if isinstance(error, _NOT_OF_DATA) or not any(operation in text for operation in _OPERATIONS):
        return ""
    raised = _EXCEPTION.search(text)
    if raised:
        frames = _FRAME.findall(text[raised.end() :])
        place = f" (line {frames[-1][1]} of {frames[-1][0]}, in {frames[-1][2]})" if frames else ""
        return f"your tf.data.Dataset raised {raised[1]}: {raised[2].strip()}{place}"
    reason = next((line for line in text.splitlines() if line.strip()), "").rpartition("}} ")[2]
    return f"your tf.data.Dataset cannot be read. TensorFlow says: {reason.partition(' [Op:')[0].strip()}"


@contextmanager
def reading(argument: str) -> Iterator[None]:
    """Explain what a user's dataset raises while it is read within the context; its traceback is chained.

    Args:
        argument: Argument that holds the dataset, for messages.

    Raises:
        InvalidInput: If the dataset raises an error.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not failure(error):
            raise
        raise InvalidInput(f"`{argument}`: {failure(error)}.") from error
