"""Public exceptions, as `tltk.errors`. Every exception that tltk raises on purpose is a `TltkError`.

Each also is the built-in exception that a Python user expects, so that `except ValueError` works as well. Any other
exception is a bug in tltk.
"""


class TltkError(Exception):
    """Base class of the exceptions that tltk raises on purpose."""


class InvalidInput(TltkError, ValueError):
    """An argument, a file or a column has an invalid value; the message names it and says what is expected."""

    __init__ = Exception.__init__  # in a tf.function, AutoGraph re-raises only exceptions with this very initializer


class InvalidType(TltkError, TypeError):
    """An argument has the wrong type."""

    __init__ = Exception.__init__  # as above


class FileError(TltkError, OSError):
    """A file cannot be read or written, or weights cannot be downloaded."""


class NotFound(FileError, FileNotFoundError):
    """A file or folder does not exist, or no pretrained weights are found."""


class OutOfMemory(TltkError, MemoryError):
    """What is to be stored does not fit into memory."""


class TrainingDiverged(TltkError, FloatingPointError):
    """The training loss became NaN or infinite."""


class AuditError(TltkError, RuntimeError):
    """Weights changed that were frozen, or did not change although they are trainable."""


class ServingError(TltkError, RuntimeError):
    """A served model cannot be called, or is not the model that was trained."""


class MissingExtra(TltkError, ModuleNotFoundError):
    """An optional dependency is not installed; the message names the extra that installs it."""


class IncompatibleKeras(TltkError, RuntimeError):
    """Keras has another backend than TensorFlow, or the installed version lacks what tltk relies on."""

    @classmethod
    def backend(cls, name: str) -> "IncompatibleKeras":
        """Return the error for a backend of Keras, such as "jax"."""
        return cls(
            f"tltk needs Keras with the TensorFlow backend. Received: KERAS_BACKEND={name!r}. Set the environment "
            "variable KERAS_BACKEND to 'tensorflow' before Keras is imported."
        )


class ExtensionError(TltkError, RuntimeError):
    """An installed package that adds to tltk could not be loaded; the message names the package."""


for _error in (TltkError, *TltkError.__subclasses__(), NotFound):
    _error.__module__ = "tltk.errors"  # the public name, which tracebacks show
