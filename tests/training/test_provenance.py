import json
import re

from tltk.training.provenance import code_digest, how_it_was_run


def test_the_code_has_a_digest():
    assert re.fullmatch("[0-9a-f]{16}", code_digest())


def test_machine_and_command_are_json_values():
    described = json.loads(json.dumps(how_it_was_run()))
    assert described["hardware"]["cores"] >= 1 and described["command"] and described["working_folder"]
