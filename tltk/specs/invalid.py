"""Examples that cannot be used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class InvalidExample:
    """One example that could not be read, and why.

    Args:
        example_id: Its path, or "file.csv, row 12".
        reason: What is wrong: "0 bytes", "truncated or damaged JPEG", "100.0 megapixels (limit 89.5)".
    """

    example_id: str
    reason: str
