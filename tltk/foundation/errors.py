"""Public exceptions. Every exception that tltk raises on purpose is a `TltkError`; any other one is a bug."""


class TltkError(Exception):
    """Base class of the exceptions that tltk raises on purpose."""


class IncompatibleKeras(TltkError, RuntimeError):
    """The installed Keras or KerasHub lacks a private attribute that tltk relies on; the message names it."""
