import json
import subprocess
import sys
from pathlib import Path

from tltk.serving import certificate


def test_replay_imports_nothing_of_tltk():
    text = (Path(certificate.__file__).parent / "replay" / "replay.py").read_text()
    assert "from tltk" not in text
    assert "import tltk" not in text


def test_a_missing_model_is_an_error_with_words(tmp_path):
    script = Path(certificate.__file__).parent / "replay" / "replay.py"
    command = [sys.executable, "-I", str(script), str(tmp_path / "none"), str(tmp_path / "none.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "none" in json.loads(done.stdout)["error"]
