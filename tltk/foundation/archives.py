"""Checks of untrusted archives, .keras, .npz and HDF5 files, before they are read."""

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    import h5py

_MAX_EXPANSION = 100  # a member that claims more bytes per stored byte is a bomb: weights hardly compress
_SMALL = 64 * 2**20  # bytes that any member may have


def check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Check that an archive is undamaged, and that reading it takes no more memory than its size suggests.

    Keras reads a member whose checksum is wrong a second time without looking at the checksum, so that changed weights
    could be loaded silently.

    Args:
        archive: The opened archive.
        path: Its path, for messages.

    Raises:
        InvalidInput: If a member is a decompression bomb, is encrypted, or does not have its checksum.
    """
    for member in archive.infolist():
        if member.file_size > max(_SMALL, _MAX_EXPANSION * member.compress_size):
            raise InvalidInput(
                f"{path} is refused: {member.filename!r} has {member.compress_size:,} bytes that would expand to "
                f"{member.file_size:,}, which is not plausible for weights"
            )
        if member.flag_bits & 1:
            raise InvalidInput(f"{path} is refused: {member.filename!r} is encrypted")
    damaged = archive.testzip()
    if damaged is not None:
        raise InvalidInput(f"{path} is damaged: the checksum of {damaged!r} is wrong")


def check_archive(path: Path) -> None:
    """Check a zip archive by `check_members`.

    Raises:
        InvalidInput: If it is not a zip archive, or see `check_members`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(archive, path)
    except InvalidInput:
        raise
    except Exception as error:  # zipfile and zlib raise many types for damaged archives
        raise InvalidInput(f"{path} is damaged: {error or type(error).__name__}") from error


def check_hdf5(path: Path) -> None:
    """Check that an HDF5 file holds all of its values itself, and takes no more memory than its size suggests.

    HDF5 follows links to other files, and stores can name any file of the system as the place of their values.

    Args:
        path: Path of the file.

    Raises:
        InvalidInput: If it is not an HDF5 file, is damaged, refers to other files, or is a decompression bomb.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            problem = _hdf5_problem(file, path.stat().st_size)
    except Exception as error:  # h5py raises many types for damaged files
        raise InvalidInput(f"{path} is not an HDF5 file, or is damaged: {error}") from error
    if problem:
        raise InvalidInput(f"{path} is refused: {problem}")


def _hdf5_problem(group: "h5py.Group", file_size: int) -> str:
    """Return why a group must not be read; "" if it may be. Links are not followed."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        where = f"{group.name.rstrip('/')}/{name}"
        if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
            return f"{where} is a link to {getattr(link, 'filename', '')}{link.path}"
        item = group[name]
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                return f"the values of {where} are in other files"
            declared = math.prod(item.shape) * item.dtype.itemsize
            if declared > max(_SMALL, _MAX_EXPANSION * min(item.id.get_storage_size(), file_size)):
                return f"{where} claims {declared:,} bytes in a file of {file_size:,}"
        elif problem := _hdf5_problem(item, file_size):
            return problem
    return ""
