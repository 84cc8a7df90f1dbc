"""Cases that do not hold, to show that the process that runs them is watched."""

import os
import signal
import time

import numpy as np

from tests.stress.damage import Generator
from tests.stress.fuzz import Failed, Place


def hang(generator: Generator, place: Place) -> str:
    """Wait for what never comes."""
    time.sleep(3600)
    return "used"


def crash(generator: Generator, place: Place) -> str:
    """End as native code does that reads where it must not."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return "used"


def bomb(generator: Generator, place: Place) -> str:
    """Allocate more memory than a case may."""
    return "used" if np.ones(2**36, "uint8").any() else ""


def wrong(generator: Generator, place: Place) -> str:
    """Notice a wrong result."""
    raise Failed(str(generator.integers(10**9)))
