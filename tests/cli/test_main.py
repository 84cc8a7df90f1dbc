import json
import subprocess
import sys
import time

import pytest
from PIL import Image

from tests.conftest import coloured_squares, listening
from tltk.cli import console
from tltk.cli import main as cli


def tltk(*arguments, cwd=None, timeout=300):
    command = [sys.executable, "-m", "tltk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=timeout)


def test_glibc_is_told_before_tensorflow_is_there(monkeypatch):
    order = (
        "import sys; from tltk.foundation import hardware; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", order], check=False, timeout=60).returncode == 0
    called = []
    monkeypatch.setattr("tltk.foundation.hardware.keep_freed_memory", lambda: called.append("glibc"))
    monkeypatch.setattr("tltk.cli.console.quiet_tensorflow", lambda: called.append("tensorflow"))
    console.start_tensorflow()
    assert called == ["glibc", "tensorflow"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    x, y = coloured_squares(36, size=24)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        place = folder / ("red", "green", "blue")[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(place / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    options = ["--backbone", "mobilenet_v2", "--weights", "random", "--image-size", 32, "--recipe", "linear_probe"]
    done = tltk("train", photos, *options, "--epochs", 2, "--batch-size", 8, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, done


def test_training_prints_one_json_object_and_leaves_a_run(trained):
    out, done = trained
    result = json.loads(done.stdout)
    assert result["run"] == str(out)
    assert "accuracy" in result["test"]
    assert (out / "report.html").is_file()
    assert "probe 2/2" in done.stderr


def test_a_command_writes_nothing_but_its_own_words(trained):
    _, done = trained
    assert "oneDNN" not in done.stderr
    assert "cuda" not in done.stderr.lower()
    assert "Warning" not in done.stderr


def test_evaluating_predicting_and_exporting_a_run(trained, photos, tmp_path):
    out, _ = trained
    done = tltk("evaluate", out, photos, "--report", tmp_path / "report.html", "--json")
    assert json.loads(done.stdout)["examples"] == 36
    assert (tmp_path / "report.html").is_file()
    picture = next((photos / "red").glob("*.png"))
    (tmp_path / "broken.png").write_bytes(b"")
    done = tltk("predict", out, picture, tmp_path / "broken.png", "--json")
    result = json.loads(done.stdout)
    assert result["predictions"][0]["example_id"] == str(picture)
    assert len(result["invalid"]) == 1
    assert "left out" in done.stderr
    done = tltk("export", out, tmp_path / "serving", "--json")
    assert json.loads(done.stdout)["saved_model"] == str(tmp_path / "serving" / "1")
    text = tltk("predict", out, picture).stdout
    assert "example" in text
    assert picture.name in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "no/such/folder"], "no/such/folder"),
        (["evaluate", "no/run", "photos"], "no/run is not the folder of a run"),
        (["export", "no/run", "serving"], "no/run is not the folder of a run"),
        (["train", ".", "--recipe", "fine-tune"], "Did you mean 'fine_tune'?"),
        (["train", ".", "--recipe", "full", "--unfreeze", "conv5"], "`--unfreeze` goes with --recipe fine_tune"),
        (["weights", "get", "efficientnet"], "efficientnet_lite0"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments, said, tmp_path):
    done = tltk(*arguments, "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert said in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


def test_backbones_and_weights_are_listed():
    rows = {row["name"]: row for row in json.loads(tltk("backbones", "--json").stdout)["backbones"]}
    assert rows["resnet50"]["top1"] == pytest.approx(0.749)
    assert rows["efficientnet_lite0"]["weights"] in ("tltk cache", "registry")
    assert "resnet50" in tltk("backbones").stdout
    assert "all_minilm_l6_v2_en" in tltk("weights", "list").stdout


def test_help_imports_no_tensorflow():
    done = tltk("--help")
    assert done.returncode == 0
    assert "train" in done.stdout
    code = "import sys; sys.argv = ['tltk', '--help']\n"
    code += "try:\n    import tltk.cli.main; tltk.cli.main.main()\nexcept SystemExit:\n    pass\n"
    code += "print(sorted({'tensorflow', 'keras', 'numpy', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_the_version_is_printed():
    assert tltk("--version").stdout.startswith("tltk 0.")


def test_every_command_of_the_issue_is_there():
    names = {command.callback.__name__ for command in cli.app.registered_commands}
    assert names >= {"train", "evaluate", "predict", "export", "backbones", "demo"}


def test_ctrl_c_ends_with_130_and_a_run(photos, tmp_path):
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
    # A shell's background jobs are deaf to Ctrl-C, and so are their children: this one shall not be.
    with listening():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    history = tmp_path / "run" / "history.csv"
    deadline = time.monotonic() + 120
    while not history.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    process.send_signal(2)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert json.loads((tmp_path / "run" / "config.json").read_text())["interrupted"] is True


def test_what_was_typed_wrong_is_one_json_object_too(tmp_path):
    done = tltk("train", tmp_path, "--json", "--epochs", "abc")
    assert done.returncode == 2
    assert "--epochs" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
