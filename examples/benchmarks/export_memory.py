"""Peak memory of `tltk export --format all`: of its own process, and of the largest of the processes per format.

    python examples/benchmarks/export_memory.py runs/pets photos/test photos/train    # one line of JSON

Further arguments go to `tltk export`, such as --text text. Resident memory is sampled ten times a second.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import psutil

SECONDS = 0.1  # between two samples


def main() -> None:
    """Read the command line, export in a new process, and print the peaks in megabytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("data", help="test set")
    parser.add_argument("calibration", help="examples such as the training set")
    options, others = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tltk", "export", options.run, folder, "--format", "all"]
        command += ["--data", options.data, "--calibration", options.calibration, *others]
        print(json.dumps(peaks(command)))


def peaks(command: list[str]) -> dict[str, int]:
    """Run a command, and return the largest resident memory seen, in megabytes, and the seconds it took."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    parent = psutil.Process(process.pid)
    largest = {"parent": 0, "largest child": 0, "all at once": 0}
    while process.poll() is None:
        sizes = memory([parent])
        children = memory(parent.children(recursive=True) if parent.is_running() else [])
        now = {"parent": sum(sizes), "largest child": max(children, default=0), "all at once": sum(sizes + children)}
        largest = {name: max(size, now[name]) for name, size in largest.items()}
        time.sleep(SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {process.returncode}")
    return {**{name: size // 1_000_000 for name, size in largest.items()}, "seconds": round(time.monotonic() - start)}


def memory(processes: list[psutil.Process]) -> list[int]:
    """Return the resident memory of processes in bytes; those that have just ended have none."""
    sizes = []
    for process in processes:
        try:
            sizes.append(process.memory_info().rss)
        except psutil.Error:
            continue
    return sizes


if __name__ == "__main__":
    main()
