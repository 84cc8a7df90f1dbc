"""Every example runs offline with --tiny, leaves a run, and says what is missing instead of a traceback."""

import ast
import csv
import gzip
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import ROOT

EXAMPLES = ROOT / "examples"
TRAINING = ("cifar10", "medical", "full_fine_tuning", "two_classes")
CLASSES = {"cifar10": 10, "medical": 3, "full_fine_tuning": 4, "two_classes": 2}
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "benchmarks")]

TEXTS = {  # example → what its last line says, and the least and the most that it may
    "text_sentiment": (r"test accuracy (\d\.\d{4}) on 24 texts", 0.9, 1),
    "text_topics": (r"test accuracy (\d\.\d{4}) on \d+ texts", 0.35, 1),
    "text_pairs": (r"test MAE (\d\.\d{4}), R² -?\d\.\d{4} on 27 pairs", 0, 0.5),
    "text_entities": (r"test F1 (\d\.\d{4}) on 60 texts", 0.8, 1),
    "text_questions": (r"test EM (\d\.\d{4}), F1 \d\.\d{4} on 60 questions", 0.1, 1),
}

import real_pictures  # noqa: E402
import tiny  # noqa: E402


def launch(
    script: str, *arguments: object, cwd: Path, timeout: int = 300, **environment: str
) -> subprocess.CompletedProcess:
    """Run an example as a user does, in another folder."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=quiet, cwd=cwd, timeout=timeout)


def no_weights(folder: Path) -> dict[str, str]:
    """Point every cache of weights at an empty folder, and every hub at a port where nobody listens."""
    caches = dict.fromkeys(("KERAS_HOME", "KAGGLEHUB_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HOME"), str(folder))
    nobody = dict.fromkeys(("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
    return {**caches, **nobody, "NO_PROXY": "", "no_proxy": ""}


def says(done: subprocess.CompletedProcess, text: str) -> bool:
    """Whether an example ended as bad input does: exit code 2 and one message without a traceback."""
    return done.returncode == 2 and re.search(text, done.stderr) is not None and "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run an example with --tiny, each only once: name → its folder and what it printed."""

    @cache
    def run(name: str) -> tuple[Path, subprocess.CompletedProcess]:
        folder = tmp_path_factory.mktemp(name)
        return folder, launch(f"{name}.py", "--tiny", "--out", "run", cwd=folder)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_an_example_on_texts_runs_tiny_and_learns(name, finished):
    folder, done = finished(name)
    assert done.returncode == 0, done.stderr
    line, least, most = TEXTS[name]
    found = re.match(line, done.stdout.splitlines()[-1])
    assert found, done.stdout
    assert least <= float(found[1]) <= most
    assert "Warning" not in done.stderr, done.stderr
    assert (folder / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_an_example_runs_tiny_and_leaves_a_run(name, finished):
    folder, done = finished(name)
    assert done.returncode == 0, done.stderr
    assert "random weights" in done.stdout.splitlines()[0]
    found = re.fullmatch(
        r"test accuracy (\d\.\d{4}) on (\d+) images; (run|report): run\S*", done.stdout.splitlines()[-1]
    )
    assert found, done.stdout
    assert "Warning" not in done.stderr, done.stderr
    assert 0 <= float(found[1]) <= 1
    assert int(found[2]) == pytest.approx(0.2 * 12 * CLASSES[name], abs=1)
    for file in ("config.json", "model.keras", "history.csv", "metrics.json", "report.html"):
        assert (folder / "run" / file).is_file(), file
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["weights"]["kind"] == "random"
    assert config["batch_size"] == (64 if name == "cifar10" else 32)


@pytest.mark.slow
def test_cifar10_trains_the_head_alone_with_plain_sgd(finished):
    folder, _ = finished("cifar10")
    (phase,) = json.loads((folder / "run" / "config.json").read_text())["recipe"]["phases"]
    assert phase["optimizer"]["name"] == "sgd"
    assert (phase["optimizer"]["learning_rate"], phase["optimizer"]["momentum"]) == (1e-3, 0.9)
    assert (phase["schedule"], phase["warmup"]) == ("constant", 0)


@pytest.mark.slow
def test_medical_keeps_the_pictures_of_a_patient_on_one_side(tmp_path):
    done = launch("medical.py", table(tmp_path), "--patient", "patient", "--tiny", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"digit_\d: recall \d\.\d{3}", done.stdout)) == 2


def test_medical_names_the_columns_that_there_are(tmp_path):
    done = launch("medical.py", table(tmp_path), "--patient", "pateint", "--tiny", cwd=tmp_path)
    assert says(done, r"has no column 'pateint'\. Columns: path, label, patient")


def test_medical_takes_patients_from_a_table_alone(tmp_path):
    folder = tiny.digit_images(tmp_path / "images", classes=2)
    assert says(launch("medical.py", folder, "--patient", "patient", cwd=tmp_path), r"names a column of a \.csv file")


def test_two_classes_refuses_three(tmp_path):
    folder = tiny.digit_images(tmp_path / "images", classes=3)
    done = launch("two_classes.py", folder, cwd=tmp_path)
    assert says(done, r"must contain two classes\. Received 3: digit_0, digit_1, digit_2")


@pytest.mark.parametrize("name", ["medical", "full_fine_tuning", "two_classes"])
def test_a_folder_that_is_not_there_is_named(name, tmp_path):
    assert says(launch(f"{name}.py", "nowhere", cwd=tmp_path), "nowhere")


@pytest.mark.parametrize("name", ["medical", "full_fine_tuning", "two_classes"])
def test_data_is_asked_for(name, tmp_path):
    assert says(launch(f"{name}.py", cwd=tmp_path), "or --tiny")


def test_cifar10_says_how_to_get_the_pictures(tmp_path):
    done = launch("cifar10.py", "--data-dir", tmp_path, cwd=tmp_path)
    assert says(done, "cifar10.*download")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["medical", "full_fine_tuning", "two_classes"])
def test_weights_out_of_reach_are_an_error_with_ways_out(name, tmp_path):
    folder = tiny.digit_images(tmp_path / "images", classes=2)
    done = launch(f"{name}.py", folder, cwd=tmp_path, **no_weights(tmp_path / "empty"))
    assert says(done, r"(?s)no pretrained weights found for .*Tried:.*Ways out:"), done.stderr
    assert "test accuracy" not in done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_its_docstring_launches_it(path):
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text))
    assert text.count("\n") < 200
    if path.stem not in ("tiny", "tiny_texts"):
        assert f"python {path.relative_to(ROOT)}" in doc


@pytest.mark.slow
def test_precision_prints_one_object_and_nothing_else(tmp_path):
    small = ("--image-size", 32, "--batch-size", 2, "--rounds", 1)
    done = launch("benchmarks/precision.py", "--json", "--backbones", "mobilenet_v2", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    measured = found["backbones"]["mobilenet_v2"]
    assert set(measured["images_per_second"]) == {"float32", "bfloat16", "float32 jit"}
    assert all(value > 0 for setting in measured["ratios"].values() for value in setting.values())
    assert measured["compile_seconds"]["float32 jit"]["train"] > 0


def test_precision_answers_a_misspelt_backbone_as_json_too(tmp_path):
    done = launch("benchmarks/precision.py", "--json", "--backbones", "mobilnet_v2", cwd=tmp_path)
    assert says(done, "Did you mean 'mobilenet_v2'")
    assert "mobilenet_v2" in json.loads(done.stdout)["error"]


@pytest.mark.slow
def test_few_shot_prints_one_object_with_every_method_and_claim(tmp_path):
    made = made_pictures(tmp_path / "made")
    small = ("--data", "emoji", "--labels", 4, "--seeds", 1, "--tested", 20)
    done = launch("benchmarks/few_shot.py", "--json", "--emoji", made, *small, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["data"]) == {"emoji"}
    result = found["data"]["emoji"]["4"]
    methods = result["methods"]
    assert set(methods) == {"logistic_regression", "linear_probe", "fine_tune", "keras_guide", "keras_guide_frozen"}
    assert all(0 <= each["accuracy"] <= 1 and each["seconds"] > 0 for each in methods.values())
    accuracy = {name: each["accuracy"] for name, each in methods.items()}
    assert result["fine_tune_minus_probe"] == pytest.approx(accuracy["fine_tune"] - accuracy["linear_probe"])
    assert result["fine_tune_minus_guide"] == pytest.approx(accuracy["fine_tune"] - accuracy["keras_guide"])
    assert result["guide_seconds_over_fine_tune"] > 0
    assert result["tested"] == 20


@pytest.mark.slow
def test_frozen_prefix_prints_one_object_with_every_ratio(tmp_path):
    small = ("--pictures", 12, "--epochs", 2, "--image-size", 32)
    done = launch("benchmarks/frozen_prefix.py", "--json", *small, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ratios = ("head_float32", "conv5_float32", "head_1_epoch_float32", "fill_over_bare_loop")
    assert all(found[name] > 0 for name in ratios)
    assert all(found[name] is None or found[name] > 0 for name in ("head_bfloat16", "conv5_bfloat16"))


def test_few_shot_says_how_to_get_the_pictures(tmp_path):
    done = launch("benchmarks/few_shot.py", "--json", "--data", "emoji", "--emoji", tmp_path, cwd=tmp_path)
    assert says(done, r"emoji was not found: .*apt-get and npm.*pass the folder")
    assert "emoji was not found" in json.loads(done.stdout)["error"]


def test_emoji_come_in_groups_on_white_without_tones_of_skin(tmp_path):
    found = real_pictures.load("emoji", made_pictures(tmp_path), side=32)
    assert found.names == ("Food", "Smileys")
    assert len(found.y) == 2 * real_pictures.POOL["emoji"]
    assert len(found.test_y) == 2 * 70 - len(found.y), "what is left, without components and other tones"
    assert found.x.shape[1:] == (32, 32, 3)
    assert (found.x[:, 0, 0] == 255).all(), "the corner is transparent"
    assert set(found.x[found.y == 0][:, 16, 16, 0]) == {200}


def test_fashion_mnist_is_read_from_its_four_files(tmp_path):
    found = real_pictures.load("fashion_mnist", made_pictures(tmp_path), side=28)
    assert len(found.names) == 10
    assert found.x.shape == (100, 28, 28, 3)
    assert (found.x[:, 3, 4, 1] == found.y).all(), "pictures and labels belong together"
    assert (found.test_x[:, 0, 0, 0] == found.test_y + 100).all()


def test_a_draw_has_as_many_of_each_class_and_its_seed_decides(tmp_path):
    pictures = real_pictures.load("emoji", made_pictures(tmp_path), side=8)
    x, y = pictures.draw(5, seed=1)
    assert np.bincount(y).tolist() == [5, 5]
    assert (pictures.draw(5, seed=1)[0] == x).all()
    assert len(np.unique(pictures.draw(60, seed=1)[1])) == 2
    assert not np.array_equal(pictures.draw(5, seed=2)[0], x)


def made_pictures(folder: Path) -> Path:
    """Write pictures in the formats of Fashion-MNIST and of the emoji: a few, and plain."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, base, each in (("train", 0, 10), ("t10k", 100, 3)):
        labels = np.tile(np.arange(10), each).astype(np.uint8)
        pixels = np.broadcast_to(labels[:, None, None] + base, (len(labels), 28, 28)).astype(np.uint8)
        for kind, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    pictures = folder / "img" / "twitter" / "64"
    pictures.mkdir(parents=True)
    rows = []
    for group, grey in (("Smileys", 100), ("Food", 200), ("Component", 0)):
        for number in range(70):
            image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
            image.paste((grey, grey, number, 255), (16, 16, 48, 48))
            name = f"{group}{number}.png"
            image.save(pictures / name)
            tones = {"1F3FB": {"image": "not-there.png"}}
            rows.append(
                {"unified": name, "category": group, "image": name, "has_img_twitter": True, "skin_variations": tones}
            )
    (folder / "emoji.json").write_text(json.dumps(rows))
    return folder


def table(folder: Path) -> Path:
    """Write a table of digits of two kinds and eight patients."""
    pictures = sorted(tiny.digit_images(folder / "images", classes=2, per_class=16).rglob("*.png"))
    path = folder / "scans.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        writer.writerows([picture, picture.parent.name, f"p{int(picture.stem) // 2}"] for picture in pictures)
    return path
