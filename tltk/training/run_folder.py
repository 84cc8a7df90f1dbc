"""The folder of a run: a new run replaces an older one as a whole, or not at all."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput

PREFIX = "unfinished-"  # of the name of a folder inside a run: the files of a training that has not ended
CONFIG = "config.json"
CHECKSUMS = "sha256"  # key in config.json: file name → SHA-256
# Files that tltk changes later, or that are not needed to load a run.
_UNCHECKED = ("report.html", "command.json", files.LOCK, CONFIG)
_STANDARD = (
    *(CONFIG, "model.keras", "history.csv", "metrics.json", "seconds.json", "invalid.csv", "split.csv"),
    *("report.html", "command.json"),
)


@contextlib.contextmanager
def unfinished(folder: Path, *, required_bytes: int = 0) -> Iterator[Path]:
    """Create a temporary folder, inside the folder of a run, for the files of a run that is not complete.

    It is removed at the end. If the process is killed, the next run in the same folder removes it.

    Args:
        folder: Folder of the run, which is created; if it is still empty at the end, it is removed with those of its
            parents that were created.
        required_bytes: Bytes that will be written.

    Yields:
        The temporary folder.

    Raises:
        FileError: If the folder cannot be written, or its disk is too full.
        InvalidInput: If another process is training into the folder.
    """
    _require_unused(folder)
    created = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    files.make_folder(folder, required_bytes=required_bytes)
    try:
        with files.temporary_folder(folder, PREFIX) as temporary:
            yield temporary
    finally:
        with contextlib.suppress(OSError):  # the first one that is not empty, and its parents, stay
            for path in created:
                path.rmdir()


def _require_unused(folder: Path) -> None:
    """Raise if a process is writing a run into a folder: both would replace the checkpoints of the other."""
    files.clear_abandoned(folder, PREFIX)
    running = sorted(lock.parent for lock in folder.glob(f"{PREFIX}*/{files.LOCK}"))
    if running:
        raise InvalidInput(
            f"another process is training into {folder}. Wait until it has ended, or choose another folder. If none is "
            f"running, remove {running[0]}."
        )


def checksums(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of the files that a run is loaded from, and of its configuration.

    Args:
        folder: Folder of the files, without config.json.
        config: The configuration, as JSON values without checksums.
    """
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in _UNCHECKED]
    digests = {path.name: _sha256(path) for path in paths if not path.name.endswith(".lora.npz")}
    return {**digests, CONFIG: _digest_of(config)}


def check_intact(folder: Path, config: dict[str, Any]) -> None:
    """Raise if a file is not the one that was saved; runs of earlier versions have no checksums.

    Raises:
        InvalidInput: With all files that are missing or were changed.
    """
    recorded = config.get(CHECKSUMS)
    if recorded is None:
        return
    if not isinstance(recorded, dict):
        raise InvalidInput(f"{folder / CONFIG} is damaged: `{CHECKSUMS}` must be an object. Received: {recorded!r:.60}")
    changed = []
    for name, digest in recorded.items():
        path = folder / name
        if Path(name).name != name:
            raise InvalidInput(f"{folder / CONFIG} is damaged: {name!r} is not the name of a file in the folder")
        if name == CONFIG:
            rest = {key: value for key, value in config.items() if key != CHECKSUMS}
            changed += [] if _digest_of(rest) == digest else [name]
        elif not path.is_file():
            changed.append(f"{name} (missing)")
        elif _sha256(path) != digest:
            changed.append(name)
    if changed:
        raise InvalidInput(
            f"{folder} is damaged: {check.listing(changed)} changed after the run was saved (SHA-256). Copy the run "
            f"again from where it was trained. If you changed it on purpose, remove `{CHECKSUMS}` from {CONFIG}."
        )


def rewrite(folder: Path, name: str, write: Callable[[Path], object]) -> None:
    """Replace a file of a saved run, and its checksum; whenever the process is killed, the run can be loaded.

    Args:
        folder: Folder of the run.
        name: Name of the file.
        write: Writes the file to a path, atomically.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    recorded = config.get(CHECKSUMS)
    if not isinstance(recorded, dict):  # a run of an earlier version
        write(folder / name)
        return
    config[CHECKSUMS] = {other: digest for other, digest in recorded.items() if other != name}
    files.write_json(folder / CONFIG, config)
    write(folder / name)
    config[CHECKSUMS] = {**recorded, name: _sha256(folder / name)}
    files.write_json(folder / CONFIG, config)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def publish(temporary: Path, folder: Path) -> None:
    """Move the files of a complete run into its folder, in place of those of an older run.

    The older run ends when its config.json is removed, and the new one begins when its own appears, as the last file:
    whenever the process is killed, the folder holds one run as a whole or is not that of a run.

    Args:
        temporary: Folder from `unfinished` with the files of the run, config.json among them.
        folder: Folder of the run.
    """
    new_files = [path for path in temporary.iterdir() if path.name != files.LOCK]
    files.flush(*new_files)
    old_names = _names_of_run(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    for name in old_names:
        (folder / name).unlink(missing_ok=True)
    for path in sorted(new_files, key=lambda path: path.name == CONFIG):
        path.replace(folder / path.name)
    files.flush(folder)


def _names_of_run(folder: Path) -> list[str]:
    """Return the names of the files that belong to the run in a folder; files that a user added do not."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # no run, or a damaged one
        config = {}
    recorded = config.get("files", []) if isinstance(config, dict) else []
    lora_files = [path.name for path in folder.glob("*.lora.npz")]
    return [name for name in (*_STANDARD, *recorded, *lora_files) if Path(name).name == name]


def is_file_of_run(folder: Path, path: Path) -> bool:
    """Tell whether a file belongs to a run; reports, which are not read again, do not."""
    return path.parent.resolve() == folder.resolve() and path.name in {*_names_of_run(folder)} - {"report.html"}


def is_run(folder: Path) -> bool:
    """Tell whether a folder holds a complete run."""
    return (folder / CONFIG).is_file() and (folder / "model.keras").is_file()


def unfinished_training(folder: Path) -> str:
    """Describe the training into a folder that is still running or was killed; "" if there is none."""
    histories = sorted(folder.glob(f"{PREFIX}*/history.csv"))
    if not histories:
        return ""
    epochs = max(histories[-1].read_text(encoding="utf-8").count("\n") - 1, 0)
    return f"a training into {folder} is still running or was killed, after {epochs} epochs"
