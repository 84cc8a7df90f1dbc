"""Feed damaged files to tltk: `python -m tests.stress.fuzz --count 2000 --seed 0`.

Every case is a function of (seed, number); `--only N` repeats one. A case holds if what is damaged is refused by an
error of `tltk.errors`, or is left out and listed, or gives the right result all the same, and everything that is not
damaged is used unchanged. Cases run in a process of their own that stays alive, with a limit of time for each case and
of memory: a crash of native code, a hang or a decompression bomb is noticed, and the process is started again.

Kinds of files are in `SCHEDULE`: to add one, write a function `case(generator, place)` in a module of this package and
enter it there. It returns how the case ended ("used", "left out", "refused") and raises if it does not hold. It gets a
`Place`: an empty folder for its files, and a folder that keeps what is expensive to make between the cases.

Exits with 0 only if all cases hold, and ends with one line that says how many.
"""

import argparse
import collections
import contextlib
import importlib
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tltk.errors import TltkError

SECONDS = 60.0  # of processor time for one case; a full export takes about 10
_WAITING = 10  # times as long may pass in which the process is not running: other programs need the processor
START_SECONDS = 1200.0  # for the process to import TensorFlow and to make the undamaged files
MEMORY = 4 * 2**30  # bytes that the process may allocate beyond what it has after its start

# Kind → its module here, the name of its function there, and how often it comes in a round.
SCHEDULE: dict[str, tuple[str, str, int]] = {
    "image": ("image_cases", "image", 12),
    "csv": ("table_cases", "csv_table", 7),
    "jsonl": ("table_cases", "jsonl_table", 6),
    "conll": ("table_cases", "conll", 5),
    "squad": ("table_cases", "squad", 5),
    "pth": ("weight_cases", "torch_weights", 4),
    "lora": ("weight_cases", "lora", 3),
    "weights_h5": ("weight_cases", "weights_h5", 2),
    "keras": ("weight_cases", "keras_file", 3),
    "run": ("run_cases", "image_run", 6),
    "text_run": ("run_cases", "text_run", 3),
    "export": ("run_cases", "export", 1),
    "checkpoint": ("run_cases", "checkpoint", 6),
    # Not in a round: they show that the process is watched.
    "hang": ("watched_cases", "hang", 0),
    "crash": ("watched_cases", "crash", 0),
    "bomb": ("watched_cases", "bomb", 0),
    "wrong": ("watched_cases", "wrong", 0),
}
HEAVY = ("text_run", "export")  # kinds whose undamaged files take most of the time of a short run
ROUND = tuple(kind for kind, (_, _, times) in SCHEDULE.items() for _ in range(times))


class Failed(AssertionError):  # noqa: N818 - what a case has
    """A case that does not hold."""


@dataclass(frozen=True)
class Place:
    """Where a case has its files.

    Args:
        folder: Empty folder for the case.
        shared: Folder that all cases share.
    """

    folder: Path
    shared: Path

    def made_once(self, name: str, make: Callable[[Path], Any]) -> Path:
        """Return a path in the shared folder; `make` writes it if it is missing."""
        path = self.shared / name
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=self.shared) as unfinished:
                make(Path(unfinished) / name)
                (Path(unfinished) / name).rename(path)
        return path


@dataclass(frozen=True)
class Result:
    """How a case ended.

    Args:
        number: Number of the case.
        kind: Kind of file.
        outcome: "used", "left out", "refused"; or "failed", "crashed", "hung".
        detail: Traceback of a case that does not hold.
        seconds: Time that it took.
    """

    number: int
    kind: str
    outcome: str
    detail: str
    seconds: float

    @property
    def held(self) -> bool:
        """Whether the case holds."""
        return self.outcome not in ("failed", "crashed", "hung")


def kind_of(seed: int, number: int) -> str:
    """Return the kind of a case: every round has all kinds, in an order of its own."""
    round_number, place = divmod(number, len(ROUND))
    return ROUND[np.random.default_rng([seed, round_number]).permutation(len(ROUND))[place]]


def run_case(seed: int, number: int, kind: str, shared: Path) -> Result:
    """Run one case in this process."""
    start = time.perf_counter()
    module, function, _ = SCHEDULE[kind]
    case = getattr(importlib.import_module(f"tests.stress.{module}"), function)
    detail = ""
    with tempfile.TemporaryDirectory(prefix="case-", dir=shared) as folder:
        try:
            outcome = case(np.random.default_rng([seed, number]), Place(Path(folder), shared))
        except TltkError:
            outcome = "refused"
        except Exception:  # noqa: BLE001 - any other exception is what is searched for
            outcome, detail = "failed", traceback.format_exc()
    return Result(number, kind, outcome, detail, time.perf_counter() - start)


def limit_memory(extra: int) -> None:
    """Let this process allocate `extra` bytes more than now; only where the system has such a limit."""
    if not Path("/proc/self/statm").is_file():
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, hard))


def _work(connection: Any, seed: int, shared: str, kinds: tuple[str, ...]) -> None:
    """Run the cases whose numbers arrive; the body of the process."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # libraries print what they think of damaged files
    for kind in kinds:
        module = importlib.import_module(f"tests.stress.{SCHEDULE[kind][0]}")
        prepare = getattr(module, "prepare", None)
        if prepare is not None:
            prepare(Place(Path(shared), Path(shared)), kinds)
    limit_memory(MEMORY)
    connection.send("ready")
    while True:
        connection.send(run_case(seed, *connection.recv(), Path(shared)))


class Worker:
    """A process that runs cases, started again after a crash or a hang."""

    def __init__(self, seed: int, shared: Path, kinds: tuple[str, ...], seconds: float) -> None:
        self.arguments = (seed, str(shared), kinds)
        self.seconds = seconds
        self.process: Any = None

    def run(self, number: int, kind: str) -> Result:
        """Run a case; a crash or a hang of the process is its result."""
        if self.process is None:
            self._start()
        start = time.perf_counter()
        try:
            self.connection.send((number, kind))
            if self._finished():
                return self.connection.recv()
            outcome, detail = "hung", f"no result after {time.perf_counter() - start:.0f} seconds"
        except (EOFError, OSError):
            self.process.join(10)
            outcome, detail = "crashed", f"exit code {self.process.exitcode}"
        self.stop()
        return Result(number, kind, outcome, detail, time.perf_counter() - start)

    def _finished(self) -> bool:
        """Wait for the result of a case; return whether it came in time."""
        process = psutil.Process(self.process.pid)
        limit = sum(process.cpu_times()[:2]) + self.seconds
        latest = time.perf_counter() + _WAITING * self.seconds
        while not self.connection.poll(0.25 if self.seconds > 1 else 0.05):
            if not self.process.is_alive():
                return self.connection.poll(0)
            if sum(process.cpu_times()[:2]) > limit or time.perf_counter() > latest:
                return False
        return True

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, *self.arguments), daemon=False)
        self.process.start()
        other.close()
        if not self.connection.poll(START_SECONDS):
            self.stop()
            raise RuntimeError("the process that runs the cases did not start")
        self.connection.recv()

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
            self.process = None


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Make a temporary folder, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="tltk-fuzz-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(numbers: list[int], *, seed: int, seconds: float = SECONDS) -> Iterator[Result]:
    """Run cases and yield their results in order.

    Args:
        numbers: Numbers of the cases.
        seed: Seed of all cases.
        seconds: Limit for one case.
    """
    kinds = tuple(sorted({kind_of(seed, number) for number in numbers}))
    with shared_folder() as shared:
        worker = Worker(seed, shared, kinds, seconds)
        try:
            for number in numbers:
                yield worker.run(number, kind_of(seed, number))
        finally:
            worker.stop()


def summary(results: list[Result]) -> str:
    """Return how many cases held, in one line."""
    held = sum(result.held for result in results)
    outcomes = collections.Counter(result.outcome for result in results)
    counted = ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))
    return f"fuzz: {held} of {len(results)} cases held ({counted})"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.fuzz", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=2000, help="number of cases")
    parser.add_argument("--seed", type=int, default=0, help="seed of all cases")
    parser.add_argument("--start", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="run this case only, and print what it did")
    parser.add_argument("--kind", choices=sorted(SCHEDULE), help="run the cases of one kind only")
    parser.add_argument("--light", action="store_true", help=f"leave out the kinds {' and '.join(HEAVY)}")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit of time for one case")
    options = parser.parse_args(arguments)
    numbers = [options.only] if options.only is not None else range(options.start, options.start + options.count)
    numbers = [number for number in numbers if options.kind in (None, kind_of(options.seed, number))]
    numbers = [number for number in numbers if not (options.light and kind_of(options.seed, number) in HEAVY)]
    results = []
    for result in run(numbers, seed=options.seed, seconds=options.seconds):
        results.append(result)
        if not result.held or options.only is not None:
            print(f"case {result.number} ({result.kind}) {result.outcome}: {result.detail}", flush=True)  # noqa: T201
    by_kind = collections.Counter((result.kind, result.outcome) for result in results)
    for kind in sorted({result.kind for result in results}):
        counts = ", ".join(f"{count} {outcome}" for (name, outcome), count in sorted(by_kind.items()) if name == kind)
        slowest = max(result.seconds for result in results if result.kind == kind)
        print(f"{kind}: {counts}; slowest {slowest:.1f} s")  # noqa: T201
    print(summary(results))  # noqa: T201
    return 0 if all(result.held for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
