"""A SavedModel called through TensorFlow's C interface returns the same outputs, without TensorFlow's Python code."""

import json
import subprocess
import sys
from pathlib import Path

import tensorflow as tf

from tltk.serving import certificate
from tltk.serving.replay import c_interface

SCRIPT = """
import json, sys
sys.path.append(sys.argv[1])
import numpy as np, c_interface
tensors = json.loads(sys.argv[4])
call = c_interface.load(sys.argv[2], sys.argv[3], tensors)
outputs = call("serve", {"numbers": np.array([[1.5], [2.0]], "float32"), "words": [b"a\\0b", b""]})
plain = {name: [x.hex() if isinstance(x, bytes) else x for x in value.tolist()] for name, value in outputs.items()}
print(json.dumps({name: [str(outputs[name].dtype), value] for name, value in plain.items()}))
try:
    call("serve", {"numbers": np.zeros([2, 3], "float32"), "words": [b"a", b"b"]})
except RuntimeError as error:
    print(str(error).splitlines()[0])
print([name for name in sys.modules if name.startswith("tensorflow")])
"""


class Served(tf.Module):
    @tf.function(
        input_signature=[tf.TensorSpec([None, 1], tf.float32, "numbers"), tf.TensorSpec([None], tf.string, "words")]
    )
    def serve(self, numbers, words):
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(numbers)[1], 1)]):
            twice = 2 * numbers
        return {
            "twice": twice, "joined": words + b"!", "long": tf.strings.length(words) > 1,
            "count": tf.cast(tf.strings.length(words), tf.int64), "none": tf.zeros([0], tf.string),
        }  # fmt: skip


def test_floats_integers_strings_and_booleans_are_passed_and_returned(tmp_path):
    module = Served()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serve": module.serve})
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serve"]
    names = {key: f"serve_{key}:0" for key in ("numbers", "words")}
    outputs = sorted(signature.structured_outputs)
    tensors = {
        "serve": {"inputs": names, "outputs": {key: f"StatefulPartitionedCall:{i}" for i, key in enumerate(outputs)}}
    }
    folder = str(Path(c_interface.__file__).parent)
    arguments = [folder, str(certificate._tensorflow_library()), str(tmp_path / "saved"), json.dumps(tensors)]
    process = subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    *_, returned, error, imported = process.stdout.strip().splitlines()
    assert json.loads(returned) == {
        "twice": ["float32", [[3.0], [4.0]]],
        "joined": ["object", [b"a\0b!".hex(), b"!".hex()]],
        "long": ["bool", [True, False]],
        "count": ["int64", [3, 0]],
        "none": ["object", []],
    }
    assert "assertion failed" in error or "ncompatible" in error or "shape" in error
    assert imported == "[]"
