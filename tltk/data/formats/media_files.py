"""Lists image and sound files below folders, and counts other files."""

import logging
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from tltk.foundation import checks as check
from tltk.foundation.errors import FileError
from tltk.foundation.paths import local_path
from tltk.specs import InvalidExample

log = logging.getLogger("tltk")

MISSING = "does not exist"
# Folders that operating systems, network storage and programs create beside the user's own, in lower case. Those that
# start with a dot, such as .thumbnails, .Trash-1000 and .ipynb_checkpoints, are hidden anyway.
_SYSTEM_FOLDERS = (
    *("@eadir", "__macosx", "#recycle", "@recycle", "$recycle.bin", "system volume information"),
    *("lost+found", "thumbnails", "thumbs", "__pycache__"),
)
# First bytes of the formats. Of containers, whose bytes 4 to 7 are a size, they are the container and the content.
_IMAGE_MARKS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"RIFFWEBP")
_SOUND_MARKS = (
    *(b"RIFFWAVE", b"FORMAIFF", b"FORMAIFC", b"fLaC", b"OggS", b".snd", b"caff"),
    *(b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),  # MP3
)
_CONTAINERS = (b"RIFF", b"FORM")


@dataclass(frozen=True)
class FileKind:
    """A kind of files, which folders hold.

    Args:
        modality: Modality of their sources.
        noun: What they are called in messages.
        suffixes: Suffixes of files that can be read, in lower case.
        unreadable: Suffixes of files of this kind that cannot be read.
        convert_to: Formats to convert those to.
        marks: First bytes of files that may lack a suffix; of RIFF and FORM, without the size in bytes 4 to 7.
    """

    modality: str
    noun: str
    suffixes: tuple[str, ...]
    unreadable: tuple[str, ...]
    convert_to: str
    marks: tuple[bytes, ...]


IMAGES = FileKind(
    "image",
    "images",
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"),
    (".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".svg", ".psd", ".dng", ".nef", ".cr2"),
    "PNG or JPEG",
    _IMAGE_MARKS,
)
SOUNDS = FileKind(
    "audio",
    "sounds",
    (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aiff", ".aif", ".au", ".caf"),
    (".m4a", ".aac", ".wma", ".opus", ".amr", ".ape", ".wv", ".ac3"),
    "WAV or FLAC",
    _SOUND_MARKS,
)
_LOOKED_AT = 1000  # files, to tell what a folder holds


@dataclass
class FileListing:
    """Files below a folder.

    Args:
        paths: Paths of the images, or of the sounds, sorted.
        unreadable: Paths of those in formats that cannot be read, sorted.
        others: Suffix → number of other files.
        kind: Whether these are images or sounds.
    """

    paths: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    kind: FileKind = IMAGES

    def invalid(self, root: Path | None) -> tuple[InvalidExample, ...]:
        """Return the files of this kind that cannot be read, with paths relative to `root`."""
        return tuple(
            InvalidExample(
                readable(path if root is None else os.path.relpath(path, root)),
                f"{os.path.splitext(path)[1].lower()} {self.kind.noun} cannot be read: "  # noqa: PTH122
                f"convert it to {self.kind.convert_to}",
            )
            for path in self.unreadable
        )

    def hint(self) -> str:
        """Return the files that exist instead, for an error; "" if the folder is empty."""
        counts = Counter(os.path.splitext(path)[1].lower() for path in self.unreadable) + self.others  # noqa: PTH122
        if not counts:
            return f" ({', '.join(self.kind.suffixes)})"
        return f", but {_listing(counts)}; supported are {', '.join(self.kind.suffixes)}"

    def log_ignored(self, root: Path) -> None:
        """Log how many files were ignored."""
        if self.others:
            log.info("%s: files that are not %s are ignored: %s", root, self.kind.noun, _listing(self.others))


def find_files(*folders: Path, kind: FileKind = IMAGES) -> FileListing:
    """Find the images, or sounds, at any depth below folders. Links are followed; a folder is read once.

    Raises:
        FileError: If a folder cannot be listed.
    """
    listing = FileListing(kind=kind)
    for path, name in _files(folders):
        _add(listing, path, name)
    return listing


def kind_of(folder: Path) -> FileKind:
    """Tell whether a folder holds images or sounds: the majority of its first 1,000 files, by their suffixes.

    If none of these has a suffix of either, files without a suffix count by their first bytes.

    Raises:
        FileError: If it cannot be listed.
    """
    files = [(path, os.path.splitext(name)[1].lower()) for path, name in islice(_files([folder]), _LOOKED_AT)]  # noqa: PTH122
    suffixes = Counter(suffix for _, suffix in files)
    counts = {kind: sum(suffixes[suffix] for suffix in (*kind.suffixes, *kind.unreadable)) for kind in (IMAGES, SOUNDS)}
    if not any(counts.values()):
        unnamed = [path for path, suffix in files if not suffix]
        counts = {kind: sum(_begins_with(path, kind.marks) for path in unnamed) for kind in counts}
    return max(counts, key=counts.__getitem__)  # images if there is neither


def _files(folders: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield path and name of every file below folders, sorted."""
    visited: set[str] = set()
    for folder in folders:
        for top, names, files in os.walk(folder, followlinks=True, onerror=_raise):
            names[:] = sorted(name for name in names if not is_ignored(name) and not _leads_back(top, name, visited))
            for name in sorted(files):
                yield os.path.join(top, name), name  # noqa: PTH118 - a million Path objects are slow


def is_ignored(name: str) -> bool:
    """Tell whether a file or folder is hidden or created by a system."""
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def readable(name: str) -> str:
    """Return a file name as text that can be printed and compared.

    Characters with accents are composed; bytes that are not UTF-8 are written as "\\xe9".
    """
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))


def existing_path(root: Path, text: str) -> Path:
    """Return the path that a cell of a table names.

    Args:
        root: Folder of relative paths.
        text: Path as people write it, also with the backslashes of Windows, with accents in the other Unicode form, or
            without the suffix of an image or a sound.

    Returns:
        The first spelling that exists; the first one if none does.
    """
    spellings = [text, text.replace("\\", "/")]
    spellings += [unicodedata.normalize(form, spelling) for form in ("NFC", "NFD") for spelling in spellings[:2]]
    if not os.path.splitext(text)[1]:  # noqa: PTH122
        suffixes = (*IMAGES.suffixes, *SOUNDS.suffixes)
        spellings += [spelling + suffix for spelling in spellings[:2] for suffix in suffixes]
    paths = [root / local_path(spelling) for spelling in dict.fromkeys(spellings)]
    return next((path for path in paths if is_file(path)), paths[0])


def is_file(path: Path) -> bool:
    """Tell whether a path, which may be any text of a table, is that of a file; a name that is too long is not."""
    return os.path.isfile(path)  # noqa: PTH113 - the method of Path raises for names that are too long


def outside(root: Path, paths: Iterable[str]) -> list[str]:
    """Return the paths that lead out of a folder: by "..", as absolute paths, or through links."""
    real_root = os.path.join(os.path.realpath(root), "")  # noqa: PTH118
    real_folders: dict[str, str] = {}  # a table has many files of few folders
    outside_paths = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(folder)
        is_link = os.path.islink(path)  # noqa: PTH114
        real = os.path.realpath(path) if is_link else os.path.join(real_folders[folder], name)  # noqa: PTH118
        if not real.startswith(real_root):
            outside_paths.append(path)
    return outside_paths


def why_missing(path: Path) -> str:
    """Return why a path is not that of a file; "" if it is."""
    if is_file(path):
        return ""
    if str(path).find(":/") > 0:
        return f"{path} is an address: download the file. It {MISSING}"
    is_folder = os.path.isdir(path)  # noqa: PTH112 - as above
    return f"{path} is a folder" if is_folder else f"{path} {MISSING}"


def _raise(error: OSError) -> None:
    raise FileError(f"{error.filename} cannot be listed: {error.strerror}") from error


def _leads_back(top: str, name: str, visited: set[str]) -> bool:
    """Tell whether a folder was visited under another name, or is a link to a folder that contains it."""
    real_top = os.path.realpath(top)
    real = os.path.realpath(os.path.join(top, name))  # noqa: PTH118
    leads_back = real in visited or os.path.join(real_top, "").startswith(os.path.join(real, ""))  # noqa: PTH118
    visited.add(real)
    return leads_back


def _add(listing: FileListing, path: str, name: str) -> None:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    if is_ignored(name):
        return
    if suffix in listing.kind.suffixes or (not suffix and _begins_with(path, listing.kind.marks)):
        listing.paths.append(path)
    elif suffix in listing.kind.unreadable:
        listing.unreadable.append(path)
    else:
        listing.others[suffix or "no suffix"] += 1


def _begins_with(path: str, marks: tuple[bytes, ...]) -> bool:
    if not os.path.isfile(path):  # noqa: PTH113 - a pipe or device, which may never end, or a link to nothing
        return False
    with open(path, "rb") as file:  # noqa: PTH123
        head = file.read(12)
    return (head[:4] + head[8:] if head.startswith(_CONTAINERS) else head).startswith(marks)


def _listing(counts: Counter[str]) -> str:
    return check.listing(f"{count} {suffix}" for suffix, count in counts.most_common())
