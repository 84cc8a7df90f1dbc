"""Real texts that a Debian or Ubuntu machine carries: one-line summaries of packages, and their section as the label.

    python examples/benchmarks/real_texts.py                # says what there is

`apt-cache dumpavail` prints them after `apt-get update`: about 60,000 summaries such as "GNU C compiler" in 57 sections
such as "devel". The sections with at least 500 summaries are used, 27 of them; equal summaries count once.
"""

import argparse
import json
import subprocess
from collections import Counter
from dataclasses import dataclass

import numpy as np

LEAST = 500  # summaries a section


@dataclass(frozen=True)
class Texts:
    """A pool to draw training sets from, and a test set that stays the same.

    Args:
        names: of the classes.
        x: object [n], the pool.
        y: int [n], its classes.
        test_x: object [m].
        test_y: int [m].
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def draw(self, labels: int, *, seed: int) -> tuple[list[str], np.ndarray]:
        """Draw a training set of `labels` texts a class; equal seeds give equal ones."""
        order = np.random.default_rng(seed)
        each = [
            order.choice(np.flatnonzero(self.y == label), labels, replace=False) for label in range(len(self.names))
        ]
        chosen = np.concatenate(each)
        return self.x[chosen].tolist(), self.y[chosen]


def summaries() -> list[tuple[str, str]]:
    """Ask apt for (summary, section) of every package, each summary once.

    Raises:
        SystemExit: if there is no apt-cache, or its lists are empty.
    """
    try:
        said = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"apt-cache gives no list of packages ({error}): this needs Debian or Ubuntu.") from error
    found: dict[str, str] = {}
    for package in said.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in package.split("\n") if ": " in line and line[0] != " ")
        text = fields.get("Description", fields.get("Description-en", "")).strip()
        section = fields.get("Section", "").rsplit("/", 1)[-1]
        if text and section:
            found.setdefault(text, section)
    if not found:
        raise SystemExit("apt knows no packages: run `apt-get update` first.")
    return list(found.items())


def package_summaries(*, tested: int = 100, seed: int = 0) -> Texts:
    """Split the summaries of the large sections into a pool and a test set of `tested` a class."""
    rows = sorted(summaries())
    counts = Counter(section for _, section in rows)
    names = tuple(sorted(name for name, count in counts.items() if count >= LEAST))
    kept = [(text, names.index(section)) for text, section in rows if section in names]
    x = np.array([text for text, _ in kept], object)
    y = np.array([label for _, label in kept])
    order = np.random.default_rng(seed).permutation(len(x))
    test = np.concatenate([order[y[order] == label][:tested] for label in range(len(names))])
    pool = np.setdiff1d(order, test)
    return Texts(names, x[pool], y[pool], x[test], y[test])


def main() -> None:
    """Say what there is."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    found = package_summaries()
    print(json.dumps({"classes": len(found.names), "pool": len(found.x), "test": len(found.test_x)}))
    for text, label in list(zip(found.test_x, found.test_y, strict=True))[:: len(found.test_x) // 10]:
        print(f"{found.names[label]:15} {text}")


if __name__ == "__main__":
    main()
