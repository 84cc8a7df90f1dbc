"""The replay script is independent of tltk and reports errors as JSON."""

import json
import subprocess
import sys
from pathlib import Path

from tltk.serving import certificate


def test_the_replay_does_not_import_tltk():
    text = (Path(certificate.__file__).parent / "replay" / "replay.py").read_text()
    assert "from tltk" not in text
    assert "import tltk" not in text


def test_a_missing_model_is_reported_with_a_message(tmp_path):
    script = Path(certificate.__file__).parent / "replay" / "replay.py"
    command = [sys.executable, "-I", str(script), str(tmp_path / "missing"), str(tmp_path / "missing.npz")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "missing.npz" in json.loads(process.stdout)["error"]
