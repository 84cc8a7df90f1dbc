import json
import re
import subprocess
import sys

from tltk.training.provenance import code_digest, how_it_was_run


def test_the_code_has_a_digest():
    assert re.fullmatch("[0-9a-f]{16}", code_digest())


def test_machine_and_command_are_json_values():
    described = json.loads(json.dumps(how_it_was_run()))
    assert described["hardware"]["threads"] >= 1 and described["hardware"]["onednn"]
    assert described["hardware"]["cores"] >= 1 and described["command"] and described["working_folder"]


def test_operations_are_deterministic_if_asked_for():
    code = (
        "import numpy as np, tltk\n"
        "from tests.conftest import squares, squares_model\n"
        "options = {'recipe': tltk.full(epochs=1), 'batch_size': 8, 'deterministic': True}\n"
        "tltk.fit(squares_model(dropout=0.1), squares(), squares(12), **options)\n"
        "from tensorflow.python.framework.config import is_op_determinism_enabled\n"
        "assert is_op_determinism_enabled()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
