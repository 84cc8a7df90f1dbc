"""The lowest versions of dependencies that pyproject.toml allows, for `make test-lowest`.

`python -m tests.lowest` prints them as constraints for pip; `--check` compares them with what is installed.
"""

import re
import sys
import tomllib
from importlib.metadata import version

from tests import ROOT

_REQUIREMENT = re.compile(r"(?P<name>[\w-]+)(\[[\w,-]+\])?>=(?P<lowest>[\w.]+),<(?P<upper>[\w.]+)")


def dependencies() -> list[str]:
    """List the dependencies of the package, without those of its extras."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]


def extras() -> list[str]:
    """List the dependencies of the extras, without the references of one extra to others."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return [requirement for group in groups.values() for requirement in group if not requirement.startswith("tltk[")]


def bounds(requirement: str) -> tuple[str, str, str]:
    """Split a requirement into name, lowest version and upper bound.

    Raises:
        ValueError: If it has no lower or no upper bound.
    """
    match = _REQUIREMENT.fullmatch(requirement)
    if match is None:
        raise ValueError(f"a dependency must have the form 'name>=1.2,<2'. Received: {requirement!r}")
    return match["name"], match["lowest"], match["upper"]


def constraints() -> dict[str, str]:
    """Map the name of each dependency to its lowest version."""
    return {name: lowest for name, lowest, _ in map(bounds, dependencies())}


def same(installed: str, lowest: str) -> bool:
    """Return whether two versions are equal; 3.13 equals 3.13.0."""
    numbers = [[int(part) for part in text.split(".") if part.isdigit()] for text in (installed, lowest)]
    longest = max(map(len, numbers))
    first, second = ([*parts, *[0] * (longest - len(parts))] for parts in numbers)
    return first == second


def main() -> None:
    """Print constraints, or check the installed versions."""
    if "--check" not in sys.argv:
        sys.stdout.write("".join(f"{name}=={lowest}\n" for name, lowest in constraints().items()))
        return
    installed = {name: version(name) for name in constraints()}
    sys.stdout.write("".join(f"{name} {number}\n" for name, number in installed.items()))
    newer = [name for name, lowest in constraints().items() if not same(installed[name], lowest)]
    if newer:
        sys.exit(f"not the lowest version: {', '.join(newer)}")


if __name__ == "__main__":
    main()
