"""Compare tokenizers and exports with their references on fuzzed texts: `python -m tests.stress.texts --count 2000`.

`make test` runs the same tests with 300 texts. The exit code is that of pytest.
"""

import argparse
import os
import subprocess
import sys

from tests import ROOT

FILES = ("modalities/text/tokenizers", "serving/test_signatures.py", "tasks/test_span_decoders.py")


def main() -> int:
    """Read the command line and run the tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress.texts", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=2000, help="number of texts in each test")
    options = parser.parse_args()
    paths = [str(ROOT / "tests" / name) for name in FILES]
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--dist", "loadfile", "-k", "fuzzed", *paths]
    environment = {**os.environ, "TLTK_FUZZED_TEXTS": str(options.count)}
    return subprocess.run(command, env=environment, check=False, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
