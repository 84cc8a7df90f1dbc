"""The commands on images: training in a shell, the others in this process."""

import inspect
import json
import subprocess
import sys

import pytest

from tests.commands import command, shell
from tltk.backbones import catalog
from tltk.cli import console
from tltk.cli import main as cli


def test_the_memory_allocator_is_configured_before_tensorflow_is_imported(monkeypatch):
    code = (
        "import sys; from tltk.foundation import hardware; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    called = []
    monkeypatch.setattr("tltk.foundation.hardware.keep_freed_memory", lambda: called.append("glibc"))
    monkeypatch.setattr("tltk.cli.console.quiet_tensorflow", lambda: called.append("tensorflow"))
    console.start_tensorflow()
    assert called == ["glibc", "tensorflow"]


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "run"
    options = ["--backbone", "vgg16", "--weights", "random", "--image-size", 32, "--recipe", "linear_probe"]
    process = shell("train", photos, *options, "--epochs", 2, "--batch-size", 8, "--out", out, "--json")
    assert process.returncode == 0, process.stderr
    return out, process


def test_training_prints_one_json_object_and_leaves_a_run(trained):
    out, process = trained
    result = json.loads(process.stdout)
    assert result["run"] == str(out)
    assert "accuracy" in result["test"]
    assert (out / "report.html").is_file()
    assert "probe 2/2" in process.stderr


def test_a_command_prints_no_messages_of_tensorflow(trained):
    _, process = trained
    assert "oneDNN" not in process.stderr
    assert "cuda" not in process.stderr.lower()
    assert "Warning" not in process.stderr


def test_a_run_is_evaluated_predicts_and_is_exported(trained, photos, tmp_path, replay_here):
    out, _ = trained
    process = command("evaluate", out, photos, "--report", tmp_path / "report.html", "--json")
    assert json.loads(process.stdout)["example_count"] == 36
    assert (tmp_path / "report.html").is_file()
    image = next((photos / "red").glob("*.png"))
    (tmp_path / "broken.png").write_bytes(b"")
    process = command("predict", out, image, tmp_path / "broken.png", "--json")
    result = json.loads(process.stdout)
    assert result["predictions"][0]["example_id"] == str(image)
    assert len(result["invalid"]) == 1
    assert "left out" in process.stderr
    process = command("export", out, tmp_path / "serving", "--json")
    assert json.loads(process.stdout)["saved_model"] == str(tmp_path / "serving" / "1")
    table = command("predict", out, image).stdout
    assert "example" in table
    assert image.name in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "no/such/folder"], "no/such/folder"),
        (["evaluate", "no/run", "photos"], "no/run is not the folder of a run"),
        (["export", "no/run", "serving"], "no/run is not the folder of a run"),
        (["train", ".", "--recipe", "fine-tune"], "Did you mean 'fine_tune'?"),
        (["train", ".", "--label-type", "multilable"], "`label_type` must be one of"),
        (["train", ".", "--seed", "-1"], "`seed` must be a whole number in [0, 2**31)"),
        (["train", ".", "--recipe", "full", "--unfreeze", "conv5"], "`--unfreeze` requires --recipe fine_tune"),
        (["weights", "get", "efficientnet"], "efficientnet_lite0"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments, message, tmp_path):
    process = command(*arguments, "--json", cwd=tmp_path)
    assert process.returncode == 2
    assert message in json.loads(process.stdout)["error"]
    assert "Traceback" not in process.stderr


def test_backbones_and_weights_are_listed():
    rows = {row["name"]: row for row in json.loads(command("backbones", "--json").stdout)["backbones"]}
    assert rows["resnet50"]["top1"] == pytest.approx(0.749)
    assert rows["efficientnet_lite0"]["weights"] in ("tltk cache", "registry")
    assert "resnet50" in command("backbones").stdout
    assert "all_minilm_l6_v2_en" in shell("weights", "list").stdout


@pytest.mark.usefixtures("restored_registries")
def test_a_backbone_of_a_registered_modality_is_listed_without_a_unit(capsys):
    catalog.CATALOG.register("small_wave_net", catalog.Entry("audio", lambda *, weights: None, size=16_000))
    cli.backbones()
    (row,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("small_wave_net"))
    assert row.split() == ["small_wave_net", "–", "16000", "–", "registered"]


def test_help_imports_no_tensorflow():
    process = shell("--help")
    assert process.returncode == 0
    assert "train" in process.stdout
    code = "import sys; sys.argv = ['tltk', '--help']\n"
    code += "try:\n    import tltk.cli.main; tltk.cli.main.main()\nexcept SystemExit:\n    pass\n"
    code += "print(sorted({'tensorflow', 'keras', 'numpy', 'sklearn'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip().endswith("[]")


def test_the_version_is_printed():
    assert shell("--version").stdout.startswith("tltk 0.")


def test_the_commands_are_registered():
    names = {command.callback.__name__ for command in cli.app.registered_commands}
    assert names >= {"train", "evaluate", "predict", "export", "backbones", "demo"}


@pytest.mark.parametrize("error", ["ValueError", "TypeError", "KeyError"])
def test_a_defect_keeps_its_traceback_and_ends_with_exit_code_1(error):
    code = (
        "import tltk.backbones.weight_packages as packages, tltk.cli.main as cli\n"
        "def defect(package):\n"
        f"    raise {error}('deep inside')\n"
        "packages.is_complete = defect\n"
        "cli.main(['weights', 'list', '--json'])"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 1
    assert "Traceback" in process.stderr and "in listing" in process.stderr
    assert f"{error}: " in process.stderr and "deep inside" in process.stderr
    assert process.stdout == ""


def test_every_command_has_the_option_debug(tmp_path, capsys):
    commands = [*cli.app.registered_commands, *cli.weights_app.registered_commands]
    assert all("debug" in inspect.signature(command.callback).parameters for command in commands)
    with pytest.raises(SystemExit) as caught:
        cli.main(["evaluate", str(tmp_path), str(tmp_path), "--debug"])
    assert caught.value.code == 2
    messages = capsys.readouterr().err
    assert "Traceback" in messages and f"Error: {tmp_path} is not the folder of a run" in messages


def test_a_usage_error_is_one_json_object_too(tmp_path):
    process = shell("train", tmp_path, "--json", "--epochs", "abc")
    assert process.returncode == 2
    assert "--epochs" in json.loads(process.stdout)["error"]
    assert "Traceback" not in process.stderr
