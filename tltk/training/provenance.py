"""How a run was made: code, machine and command, which are recorded with it."""

import hashlib
import os
import platform
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf


@cache
def code_digest() -> str:
    """Return a hash of the source code of tltk, which changes with every edit."""
    package = Path(__file__).parents[1]
    hasher = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        hasher.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()[:16]


def how_it_was_run() -> dict[str, Any]:
    """Return the machine and the command of this process, as JSON values."""
    devices = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    hardware = {
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
        "gpus": [device.get("device_name", "GPU") for device in devices],
    }
    return {"hardware": hardware, "command": shlex.join(sys.argv), "working_folder": str(Path.cwd())}
