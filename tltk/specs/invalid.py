"""The record of an example that cannot be used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InvalidExample:
    """An example that could not be read, and the reason.

    Args:
        example_id: Path of its file, or a position such as "file.csv, row 12".
        reason: What is wrong, such as "0 bytes", "truncated or damaged JPEG" or "100.0 megapixels (limit 89.5)".
        is_annotation: Whether only one of its annotations, such as a box without area, is left out, and the example is
            used without it.
    """

    example_id: str
    reason: str
    is_annotation: bool = False
