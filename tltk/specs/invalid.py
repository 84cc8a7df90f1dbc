"""The record of an example that cannot be used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InvalidExample:
    """An example that could not be read, and the reason.

    Args:
        example_id: Path of its file, or a position such as "file.csv, row 12".
        reason: What is wrong, such as "0 bytes", "truncated or damaged JPEG" or "100.0 megapixels (limit 89.5)".
    """

    example_id: str
    reason: str
