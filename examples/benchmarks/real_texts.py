"""Real texts of a Debian or Ubuntu machine: one-line summaries of packages, labelled with their section.

    python examples/benchmarks/real_texts.py                # prints the size of the data and some examples

`apt-cache dumpavail` prints them after `apt-get update`: about 60,000 summaries such as "GNU C compiler" in 57 sections
such as "devel". The 27 sections with at least 500 summaries are used; duplicates are dropped.
"""

import argparse
import json
import subprocess
from collections import Counter
from dataclasses import dataclass

import numpy as np

MIN_SUMMARIES = 500  # per section


@dataclass(frozen=True)
class Texts:
    """A pool to draw training sets from, and a fixed test set.

    Args:
        names: Names of the classes.
        x: Texts of the pool, object [n].
        y: Classes of the pool, int [n].
        test_x: Test texts, object [m].
        test_y: Test classes, int [m].
    """

    names: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def draw(self, labels: int, *, seed: int) -> tuple[list[str], np.ndarray]:
        """Draw a training set with `labels` texts per class; equal seeds draw equal sets."""
        generator = np.random.default_rng(seed)
        rows = np.concatenate(
            [
                generator.choice(np.flatnonzero(self.y == label), labels, replace=False)
                for label in range(len(self.names))
            ]
        )
        return self.x[rows].tolist(), self.y[rows]


def summaries() -> list[tuple[str, str]]:
    """Return the summary and section of every package that apt knows, each summary once.

    Raises:
        SystemExit: If apt-cache is missing, or its lists are empty.
    """
    try:
        output = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"apt-cache failed ({error}): this benchmark needs Debian or Ubuntu.") from error
    section_of: dict[str, str] = {}
    for package in output.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in package.split("\n") if ": " in line and line[0] != " ")
        text = fields.get("Description", fields.get("Description-en", "")).strip()
        section = fields.get("Section", "").rsplit("/", 1)[-1]
        if text and section:
            section_of.setdefault(text, section)
    if not section_of:
        raise SystemExit("apt knows no packages: run `apt-get update` first.")
    return list(section_of.items())


def package_summaries(*, tested: int = 100, seed: int = 0) -> Texts:
    """Split the summaries of the large sections into a pool and a test set of `tested` per class."""
    rows = sorted(summaries())
    counts = Counter(section for _, section in rows)
    names = tuple(sorted(name for name, count in counts.items() if count >= MIN_SUMMARIES))
    examples = [(text, names.index(section)) for text, section in rows if section in names]
    x = np.array([text for text, _ in examples], object)
    y = np.array([label for _, label in examples])
    order = np.random.default_rng(seed).permutation(len(x))
    test = np.concatenate([order[y[order] == label][:tested] for label in range(len(names))])
    pool = np.setdiff1d(order, test)
    return Texts(names, x[pool], y[pool], x[test], y[test])


def main() -> None:
    """Print the size of the data and some examples."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    data = package_summaries()
    print(json.dumps({"classes": len(data.names), "pool": len(data.x), "test": len(data.test_x)}))
    for text, label in list(zip(data.test_x, data.test_y, strict=True))[:: len(data.test_x) // 10]:
        print(f"{data.names[label]:15} {text}")


if __name__ == "__main__":
    main()
