"""Kills trainings at random moments and resumes them: the result must be that of a training that was never killed.

    python -m tests.stress.kill --times 50 [--seed 0] [--kind image|text]

Each time a training is started in a folder of its own, killed with SIGKILL up to three times, each at a random moment
(in a step, while a checkpoint is written, renamed, while features are computed, while the run is published or the
report is written), and resumed to its end. Weights, history.csv, metrics.json, invalid.csv and the report's metrics are
compared with those of a training without kills. The last line says how many were equal; the exit code is 0 if all were.
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

from tests.stress.training import KINDS, write_data
from tltk.cli.console import show

_TIMEOUT = 600  # seconds for a process
_COMPARED = ("history.csv", "metrics.json", "invalid.csv", "split.csv", "report.npz")
# Moment → how often it comes in a whole training, at least.
_MOMENTS = {"step": 25, "checkpoint": 12, "rename": 16, "fill": 2, "publish": 1, "report": 1}


def start(kind: str, data: Path, out: Path, *die: str) -> int:
    """Run a training in a process of its own; return its exit code."""
    command = [sys.executable, "-m", "tests.stress.training", kind, str(data), str(out)]
    command += ["--die", *die] if die else []
    done = subprocess.run(command, timeout=_TIMEOUT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, -9):
        raise SystemExit(f"the training failed with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.returncode


def contents(out: Path) -> dict[str, bytes]:
    """Return what must be equal: the bytes of the compared files, and of the weights and architecture of the model."""
    result = {name: (out / name).read_bytes() for name in _COMPARED if name != "report.npz"}
    for archive_name in ("model.keras", "report.npz"):
        with zipfile.ZipFile(out / archive_name) as archive:
            for name in archive.namelist():
                if name != "metadata.json":  # has the date
                    # Keras identifies shared objects by their address in memory.
                    result[f"{archive_name}/{name}"] = re.sub(rb'"shared_object_id": \d+', b"", archive.read(name))
    return result


def attempt(kind: str, data: Path, out: Path, generator: random.Random) -> list[str]:
    """Train with up to three kills; return the moments of those that happened."""
    kills = []
    for _ in range(generator.randint(1, 3)):
        moment = generator.choice(list(_MOMENTS))
        count, delay = generator.randint(1, _MOMENTS[moment]), generator.uniform(0.0, 0.08)
        if start(kind, data, out, moment, str(count), f"{delay:.4f}") == 0:
            break  # the moment did not come, or the training ended before the delay was over
        kills.append(f"{moment} {count} +{1000 * delay:.0f} ms")
    start(kind, data, out)
    return kills


def main() -> None:
    """Run all attempts, and exit with 1 unless all results were equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS)
    given = parser.parse_args()
    kinds = (given.kind,) if given.kind else KINDS
    equal = kills_in_all = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_data(folder)
        expected = {}
        for kind in kinds:
            start(kind, folder, folder / f"undisturbed-{kind}")
            expected[kind] = contents(folder / f"undisturbed-{kind}")
        for number in range(given.times):
            generator, kind = random.Random(f"{given.seed} {number}"), kinds[number % len(kinds)]
            started_at = time.monotonic()
            kills = attempt(kind, folder, folder / f"run-{number}", generator)
            result = contents(folder / f"run-{number}")
            differing = [name for name in expected[kind] if result.get(name) != expected[kind][name]]
            equal += not differing
            kills_in_all += len(kills)
            outcome = f"DIFFERENT: {', '.join(differing)}" if differing else "equal"
            seconds = time.monotonic() - started_at
            show(f"{number:3} {kind:5} {outcome}; killed at {'; '.join(kills) or 'no moment'} ({seconds:.0f} s)")
    show(f"{equal} of {given.times} killed trainings ended as the undisturbed one, after {kills_in_all} kills")
    sys.exit(equal < given.times)


if __name__ == "__main__":
    main()
