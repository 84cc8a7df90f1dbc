"""Exceptions of tltk; `TltkError` is the base class of all."""

from tltk.foundation.errors import (
    AuditError,
    ExtensionError,
    FileError,
    IncompatibleKeras,
    InvalidInput,
    InvalidType,
    MissingExtra,
    NotFound,
    OutOfMemory,
    ServingError,
    TltkError,
    TrainingDiverged,
)

__all__ = [
    "AuditError",
    "ExtensionError",
    "FileError",
    "IncompatibleKeras",
    "InvalidInput",
    "InvalidType",
    "MissingExtra",
    "NotFound",
    "OutOfMemory",
    "ServingError",
    "TltkError",
    "TrainingDiverged",
]
