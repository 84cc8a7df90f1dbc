"""Spoken words for the demo: espeak-ng in many voices, so that those of the test were never heard in training."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tltk.foundation import files
from tltk.foundation.errors import FileError, NotFound

ESPEAK = "espeak-ng"
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "seven", "marvin")
ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-029")
CLIPS_PER_WORD = 3  # of each voice in training
TWICE = {"RicishayMax", "RicishayMax2", "RicishayMax3"}  # their echo, later than 0.1 s, is louder than the word
SPEEDS, PITCHES = (120, 230), (25, 76)  # words per minute; of 0 to 99
_MISSING = (
    f"the words are spoken by {ESPEAK}, and neither it nor apt-get, which could download it, is installed. Install it "
    f"(Debian, Ubuntu: apt-get install {ESPEAK}; macOS: brew install {ESPEAK}; others: github.com/espeak-ng), or train "
    "on recordings of your own, a folder for each word: tltk train FOLDER"
)


class Espeak(NamedTuple):
    """The command of espeak-ng.

    Attributes:
        command: Its path.
        environment: Variables of its process.
        voices: Names of its variants of voices, sorted, without those that say every word twice.
    """

    command: str
    environment: dict[str, str]
    voices: tuple[str, ...]


class Order(NamedTuple):
    """A word to speak.

    Attributes:
        word: The word.
        voice: Variant of the voice.
        accent: Language and accent.
        speed: Words per minute.
        pitch: From 0 to 99.
        file: WAV file to write.
    """

    word: str
    voice: str
    accent: str
    speed: int
    pitch: int
    file: Path


def espeak(folder: Path) -> Espeak:
    """Find espeak-ng (GPL-3); download and unpack Debian's package, without installing it, if it is not installed.

    Args:
        folder: Folder that it is unpacked in.

    Raises:
        NotFound: If neither espeak-ng nor apt-get is installed.
        FileError: If it cannot be downloaded.
    """
    installed = shutil.which(ESPEAK)
    if installed:
        data = Path(_run(installed, "--version", cwd=Path.cwd()).rpartition("Data at: ")[2].strip())
        return _with_voices(installed, {**os.environ, "ESPEAK_DATA_PATH": str(data.parent)})
    if not shutil.which("apt-get"):
        raise NotFound(_MISSING)
    root = files.make_folder(folder / ESPEAK)
    if not (root / "usr/bin" / ESPEAK).exists():
        plan = _run("apt-get", "install", "-s", "--no-install-recommends", ESPEAK, cwd=root)
        packages = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
        _run("apt-get", "download", *(packages or [ESPEAK]), cwd=root)
        for package in root.glob("*.deb"):
            _run("dpkg-deb", "-x", package.name, ".", cwd=root)
            package.unlink()
    libraries = next((path.parent for path in root.glob("usr/lib/*-linux-gnu/espeak-ng-data")), None)
    if libraries is None:
        raise FileError(
            f"{root} has no data of {ESPEAK}: apt-get downloads only what is not installed. "
            f"Install the rest: apt-get install {ESPEAK}"
        )
    paths = [str(libraries), str(libraries / "pulseaudio")]
    environment = {**os.environ, "ESPEAK_DATA_PATH": str(libraries), "LD_LIBRARY_PATH": ":".join(paths)}
    return _with_voices(str(root / "usr/bin" / ESPEAK), environment)


def speak(speaker: Espeak, order: Order) -> bytes:
    """Return a spoken word as a WAV file.

    Raises:
        FileError: If espeak-ng fails.
    """
    options = ["-v", f"{order.accent}+{order.voice}", "-s", str(order.speed), "-p", str(order.pitch), "--stdout"]
    process = subprocess.run(
        [speaker.command, *options, order.word], env=speaker.environment, capture_output=True, check=False
    )
    if process.returncode or not process.stdout:
        raise FileError(f"{ESPEAK} failed to say {order.word!r}: {process.stderr.decode('utf-8', 'replace')[-300:]}")
    return process.stdout


def make_clips(
    folder: Path, speaker: Espeak, *, words: tuple[str, ...] = WORDS, train: int = 10, test: int = 20, seed: int = 0
) -> Path:
    """Write spoken words to train/ and test/ with one sub-folder per word.

    Speed, pitch and accent are random. A clip is named after its voice, "m3-0.wav"; no voice is in both parts.

    Args:
        folder: Folder to write to; clips of an earlier call are replaced.
        speaker: From `espeak`.
        words: Words to speak.
        train: Number of voices for training, each of which says every word three times.
        test: Number of voices for the test, each of which says every word once.
        seed: Seed of the voices and of everything else that is random.

    Returns:
        The folder.

    Raises:
        FileError: If there are too few voices, espeak-ng fails, or the folder cannot be written.
    """
    if train + test > len(speaker.voices):
        raise FileError(f"{ESPEAK} has {len(speaker.voices)} voices, and {train + test} are needed: update it.")
    for part in ("train", "test"):
        shutil.rmtree(folder / part, ignore_errors=True)
        for word in words:
            files.make_folder(folder / part / word)
    orders = list(_orders(folder, speaker.voices, words, {"train": train, "test": test}, seed))

    def write(order: Order) -> None:
        order.file.write_bytes(speak(speaker, order))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, orders))
    return folder


def voice_of(name: str) -> str:
    """Return the voice of a clip by its name.

    Examples:
        >>> voice_of("train/yes/m3-0.wav")
        'm3'
    """
    return Path(name).stem.rpartition("-")[0]


def _orders(
    folder: Path, voices: tuple[str, ...], words: tuple[str, ...], counts: dict[str, int], seed: int
) -> Iterator[Order]:
    generator = np.random.default_rng(seed)
    shuffled = iter([voices[index] for index in generator.permutation(len(voices))])
    for part, count in counts.items():
        for voice in [next(shuffled) for _ in range(count)]:
            for word in words:
                for number in range(CLIPS_PER_WORD if part == "train" else 1):
                    accent = str(generator.choice(ACCENTS))
                    speed, pitch = int(generator.integers(*SPEEDS)), int(generator.integers(*PITCHES))
                    yield Order(word, voice, accent, speed, pitch, folder / part / word / f"{voice}-{number}.wav")


def _with_voices(command: str, environment: dict[str, str]) -> Espeak:
    data = Path(environment["ESPEAK_DATA_PATH"]) / "espeak-ng-data"
    names = sorted(path.name for path in data.glob("voices/!v/*"))
    if not names:
        raise FileError(f"{data} has no variants of voices: reinstall {ESPEAK}.")
    return Espeak(command, environment, tuple(name for name in names if name not in TWICE))


def _run(*command: str, cwd: Path) -> str:
    try:
        process = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise FileError(f"{' '.join(command[:3])} failed: {reason[-300:]}") from error
    return process.stdout
