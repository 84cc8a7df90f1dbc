"""The command `tltk train`."""

import json
import subprocess
import sys
import time

from tests.conftest import listening


def test_ctrl_c_ends_training_with_exit_code_130_and_leaves_a_run(photos, tmp_path):
    options = ["--backbone", "mobilenet_v2", "--weights", "random", "--image-size", "32", "--recipe", "linear_probe"]
    command = [
        sys.executable,
        "-m",
        "tltk",
        "train",
        str(photos),
        *options,
        "--epochs",
        "500",
        "--out",
        str(tmp_path / "run"),
    ]
    # Background jobs of a shell ignore Ctrl-C, and their children inherit that.
    with listening():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run" / "history.csv"
    deadline = time.monotonic() + 120
    while not history.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(2)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Interrupted" in stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["interrupted"] is True
