"""Damage to bytes, as disks, transfers, editors and attackers do it; all of it drawn from one generator."""

import numpy as np

Generator = np.random.Generator
_SIZES = (2, 4, 8)  # bytes of the numbers in headers
_EXTREMES = (b"\xff", b"\x00", b"\x7f")


def flipped(data: bytes, generator: Generator) -> bytes:
    """Flip one to eight bits anywhere."""
    return _flip(data, generator, len(data))


def flipped_in_header(data: bytes, generator: Generator) -> bytes:
    """Flip one to eight bits in the first 64 bytes."""
    return _flip(data, generator, min(len(data), 64))


def _flip(data: bytes, generator: Generator, end: int) -> bytes:
    changed = bytearray(data)
    for position in generator.integers(0, end, int(generator.integers(1, 9))):
        changed[position] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def overwritten(data: bytes, generator: Generator) -> bytes:
    """Overwrite a number of two, four or eight bytes, mostly in the header, by the largest, smallest or any one."""
    size = int(generator.choice(_SIZES))
    end = max(1, (min(len(data), 256) if generator.random() < 0.7 else len(data)) - size)
    position = int(generator.integers(end))
    extreme = [
        _EXTREMES[0] * size,
        _EXTREMES[1] * size,
        _EXTREMES[2] + _EXTREMES[0] * (size - 1),
        generator.bytes(size),
    ]
    return data[:position] + extreme[int(generator.integers(4))] + data[position + size :]


def truncated(data: bytes, generator: Generator) -> bytes:
    """Cut the file off."""
    return data[: int(generator.integers(len(data)))]


def shortened(data: bytes, generator: Generator) -> bytes:
    """Take a block out."""
    start = int(generator.integers(len(data)))
    return data[:start] + data[start + int(generator.integers(1, 200)) :]


def repeated(data: bytes, generator: Generator) -> bytes:
    """Write a block twice."""
    start = int(generator.integers(len(data)))
    end = start + int(generator.integers(1, 200))
    return data[:end] + data[start:end] + data[end:]


def filled(data: bytes, generator: Generator) -> bytes:
    """Fill a block with zeros or random bytes: a sector that could not be read."""
    start, size = int(generator.integers(len(data))), int(generator.integers(1, 600))
    block = data[start : start + size]
    block = bytes(len(block)) if generator.random() < 0.5 else generator.bytes(len(block))
    return data[:start] + block + data[start + size :]


def inserted(data: bytes, generator: Generator) -> bytes:
    """Insert random bytes."""
    start = int(generator.integers(len(data)))
    return data[:start] + generator.bytes(int(generator.integers(1, 40))) + data[start:]


def with_text_in_front(data: bytes, generator: Generator) -> bytes:
    """Put text in front, as a web server with an error message does."""
    texts = (b"\n", b"\xef\xbb\xbf", b"<br />\n<b>Warning</b>: ", b"HTTP/1.1 200 OK\r\n\r\n", b"#!/bin/sh\n", b"{}\n")
    return texts[int(generator.integers(len(texts)))] + data


def followed_by_more(data: bytes, generator: Generator) -> bytes:
    """Append bytes, or the file itself again."""
    return data + (data if generator.random() < 0.5 else generator.bytes(int(generator.integers(1, 300))))


def replaced(data: bytes, generator: Generator) -> bytes:
    """Replace the whole file by nothing, zeros, text or random bytes."""
    contents = (b"", bytes(len(data)), b"<!doctype html><title>404</title>", generator.bytes(len(data)))
    return contents[int(generator.integers(4))]


ALL = (
    flipped,
    flipped_in_header,
    overwritten,
    truncated,
    shortened,
    repeated,
    filled,
    inserted,
    with_text_in_front,
    followed_by_more,
    replaced,
)


def damage(data: bytes, generator: Generator, kinds: tuple = ALL) -> tuple[bytes, str]:
    """Damage a file in one way.

    Args:
        data: Content of the file, not empty.
        generator: Chooses the way and the place.
        kinds: Ways to choose from.

    Returns:
        Other content, and the name of the way.
    """
    while True:
        kind = kinds[int(generator.integers(len(kinds)))]
        changed = kind(data, generator)
        if changed != data:
            return changed, kind.__name__


def spliced(first: bytes, second: bytes, generator: Generator) -> bytes:
    """Return the beginning of one file and the end of another."""
    return first[: int(generator.integers(1, len(first)))] + second[int(generator.integers(len(second))) :]
