"""Every example runs offline with --tiny and writes a run; errors are one message without a traceback.

One example of each kind runs in a process of its own, as a user starts it; the others save the import of TensorFlow.
Examples with small networks show that their code runs; that it learns is shown by the others, and by tests/demo/.
"""

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

import keras
import numpy as np
import pytest
from PIL import Image

from tests import ROOT
from tests.commands import script
from tests.conftest import replaying_here
from tests.small_networks import use_small_networks
from tests.test_docs import quick_recipes
from tltk.demo import docstrings

EXAMPLES = ROOT / "examples"
SMALL_NETWORKS = {  # example → blocks of its MiniLM, counted up to the lowest block that it trains
    "text_topics": 2, "text_pairs": 5, "text_questions": 4, "medical": 2, "full_fine_tuning": 2, "two_classes": 2,
    "detection": 2, "segmentation": 2,
}  # fmt: skip
OWN_PROCESS = ("cifar10",)
PARTS = {  # of large packages, whose docstrings take seconds to collect
    "arrays": ("numpy.lib",), "machine learning": ("sklearn.linear_model",), "networks": ("keras.src.layers",),
    "plots": ("matplotlib.axes",),
}  # fmt: skip
TRAINING = ("cifar10", "medical", "full_fine_tuning", "two_classes")
CLASSES = {"cifar10": 10, "medical": 3, "full_fine_tuning": 4, "two_classes": 2}
sys.path[:0] = [str(EXAMPLES), str(EXAMPLES / "benchmarks")]

TEXTS = {  # example → pattern of its last line, smallest and largest accepted score; of a small network any
    "text_sentiment": (r"test accuracy (\d\.\d{4}) on 24 texts", 0.9, 1),
    "text_topics": (r"test accuracy (\d\.\d{4}) on \d+ texts", 0, 1),
    "text_pairs": (r"test MAE (\d\.\d{4}), R² -?\d\.\d{4} on 27 pairs", 0, 1),
    "text_entities": (r"test F1 (\d\.\d{4}) on 60 texts", 0.8, 1),
    "text_questions": (r"test EM (\d\.\d{4}), F1 \d\.\d{4} on 60 questions", 0, 1),
}

import real_images  # noqa: E402
import tiny  # noqa: E402


def launch(*arguments: object, cwd: Path, timeout: int = 300, **environment: str) -> subprocess.CompletedProcess:
    """Run Python as a user does, in another folder."""
    command = [sys.executable, *map(str, arguments)]
    variables = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables, cwd=cwd, timeout=timeout)


def example(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run an example in this process, in another folder."""
    return script(EXAMPLES / name, *arguments, cwd=cwd)


def no_weights(folder: Path) -> dict[str, str]:
    """Return an environment with empty caches of weights, and a proxy that refuses connections."""
    caches = dict.fromkeys(("KERAS_HOME", "KAGGLEHUB_CACHE", "XDG_CACHE_HOME", "HF_HOME", "HOME"), str(folder))
    proxies = dict.fromkeys(("https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY"), "http://127.0.0.1:9")
    return {**caches, **proxies, "NO_PROXY": "", "no_proxy": ""}


def says(process: subprocess.CompletedProcess, pattern: str) -> bool:
    """Return whether an example reported invalid input: exit code 2 and a message without a traceback."""
    error = process.stderr
    return process.returncode == 2 and re.search(pattern, error) is not None and "Traceback" not in error


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a function that runs an example with --tiny, once: name → its folder and the finished process."""

    @cache
    def run(name: str) -> tuple[Path, subprocess.CompletedProcess]:
        folder = tmp_path_factory.mktemp(name)
        if name in OWN_PROCESS:
            return folder, launch(EXAMPLES / f"{name}.py", "--tiny", "--out", "run", cwd=folder)
        with pytest.MonkeyPatch.context() as patch, replaying_here():
            patch.setattr(docstrings, "TOPICS", {**docstrings.TOPICS, **PARTS})
            if name in SMALL_NETWORKS:
                use_small_networks(patch, blocks=SMALL_NETWORKS[name])
            return folder, example(f"{name}.py", "--tiny", "--out", "run", cwd=folder)

    return run


@pytest.fixture
def small_networks(monkeypatch):
    """Replace the networks of the catalog during the test."""
    use_small_networks(monkeypatch)


def losses_of(run: Path) -> dict[str, list[float]]:
    """Return the losses of the epochs of each phase of a run."""
    losses: dict[str, list[float]] = {}
    with (run / "history.csv").open() as file:
        for row in csv.DictReader(file):
            losses.setdefault(row["phase"], []).append(float(row["loss"]))
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_an_example_on_texts_runs_tiny_and_learns(name, finished):
    folder, process = finished(name)
    assert process.returncode == 0, process.stderr
    pattern, smallest, largest = TEXTS[name]
    match = re.match(pattern, process.stdout.splitlines()[-1])
    assert match, process.stdout
    assert smallest <= float(match[1]) <= largest
    if name in SMALL_NETWORKS:
        first, *_, last = next(iter(losses_of(folder / "run").values()))
        assert last < first
    assert "Warning" not in process.stderr, process.stderr
    assert (folder / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_an_example_runs_tiny_and_writes_a_run(name, finished):
    folder, process = finished(name)
    assert process.returncode == 0, process.stderr
    assert "random weights" in process.stdout.splitlines()[0]
    match = re.fullmatch(
        r"test accuracy (\d\.\d{4}) on (\d+) images; (run|report): run\S*", process.stdout.splitlines()[-1]
    )
    assert match, process.stdout
    assert "Warning" not in process.stderr, process.stderr
    assert 0 <= float(match[1]) <= 1
    assert int(match[2]) == pytest.approx(0.2 * 12 * CLASSES[name], abs=1)
    for file in ("config.json", "model.keras", "history.csv", "metrics.json", "report.html"):
        assert (folder / "run" / file).is_file(), file
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["weights"]["kind"] == "random"
    assert config["batch_size"] == (64 if name == "cifar10" else 32)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "metric"), [("detection", "AP50"), ("segmentation", "mean IoU")])
def test_an_example_with_annotated_images_runs_tiny_and_writes_a_run(name, metric, finished):
    folder, process = finished(name)
    assert process.returncode == 0, process.stderr
    assert "random weights" in process.stdout.splitlines()[0]
    match = re.fullmatch(rf"test {metric} (\d\.\d{{4}}) on 5 images; run: run", process.stdout.splitlines()[-1])
    assert match and 0 <= float(match[1]) <= 1, process.stdout
    assert "Warning" not in process.stderr, process.stderr
    assert (folder / "run" / "report.html").is_file()
    assert len(list((folder / "run" / "scenes" / "masks").iterdir())) == 24


@pytest.mark.slow
def test_the_example_of_sounds_runs_tiny_and_exports(tmp_path, small_networks, replay_here):
    process = example("spoken_words.py", "--tiny", "--out", "run", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    last = process.stdout.splitlines()[-1]
    assert re.fullmatch(r"test accuracy \d\.\d{4} on \d clips; SavedModel: run/serving/1", last), process.stdout
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
def test_the_example_of_long_recordings_runs_tiny_and_lists_windows(tmp_path, small_networks):
    process = example("sounds.py", "--tiny", "--out", "run", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    *_, window, last = process.stdout.splitlines()
    assert re.fullmatch(r"test mAP \d\.\d{4} on 5 recordings; run: run", last), process.stdout
    assert re.match(r" \d\.\d\d to  \d\.\d\d s   bearing \d\.\d\d  fan \d\.\d\d  leak \d\.\d\d   \w+", window), window
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # Keras, of plain Keras code
def test_the_guide_of_keras_is_shorter_and_no_worse_with_tltk_and_its_callbacks_write_the_same_files(finished):
    folders, accuracies, columns, lengths = {}, {}, {}, {}
    for name in ("from_keras_plain", "from_keras"):
        folder, process = finished(name)
        assert process.returncode == 0, process.stderr
        accuracies[name] = float(re.search(r"validation accuracy (\d\.\d{4})$", process.stdout.strip())[1])
        folders[name] = {path.name for path in (folder / "run").iterdir()}
        with (folder / "run" / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["0", "1", "2"]
        columns[name] = set(rows[0])
        assert keras.models.load_model(folder / "run" / "best.keras").count_params() > 3e6
        source = (EXAMPLES / f"{name}.py").read_text()
        lengths[name] = len([line for line in source.splitlines() if line.strip()])
    assert folders["from_keras"] == folders["from_keras_plain"] >= {"history.csv", "best.keras"}
    assert columns["from_keras"] >= columns["from_keras_plain"]
    assert accuracies["from_keras"] >= accuracies["from_keras_plain"]
    assert lengths["from_keras"] < lengths["from_keras_plain"]


@pytest.mark.slow
def test_cifar10_trains_only_the_head_with_sgd(finished):
    folder, _ = finished("cifar10")
    (phase,) = json.loads((folder / "run" / "config.json").read_text())["recipe"]["phases"]
    assert phase["optimizer"]["name"] == "sgd"
    assert (phase["optimizer"]["learning_rate"], phase["optimizer"]["momentum"]) == (1e-3, 0.9)
    assert (phase["schedule"], phase["warmup"]) == ("constant", 0)


@pytest.mark.slow
def test_medical_keeps_the_images_of_a_patient_in_one_split(tmp_path, small_networks):
    process = example("medical.py", table(tmp_path), "--patient", "patient", "--tiny", "--out", "run", cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    assert len(re.findall(r"digit_\d: recall \d\.\d{3}", process.stdout)) == 2


def test_the_error_of_medical_for_an_unknown_column_lists_the_columns(tmp_path):
    process = example("medical.py", table(tmp_path), "--patient", "pateint", "--tiny", cwd=tmp_path)
    assert says(process, r"has no column 'pateint'\. Columns: path, label, patient")


def test_medical_refuses_patients_without_a_table(tmp_path):
    folder = tiny.digit_images(tmp_path / "images", classes=2)
    assert says(example("medical.py", folder, "--patient", "patient", cwd=tmp_path), r"names a column of a \.csv file")


def test_two_classes_refuses_three(tmp_path):
    folder = tiny.digit_images(tmp_path / "images", classes=3)
    process = example("two_classes.py", folder, cwd=tmp_path)
    assert says(process, r"must contain two classes\. Received 3: digit_0, digit_1, digit_2")


@pytest.mark.parametrize("name", ["medical", "full_fine_tuning", "two_classes"])
def test_the_error_for_a_missing_folder_names_it(name, tmp_path):
    assert says(example(f"{name}.py", "nowhere", cwd=tmp_path), "nowhere")


@pytest.mark.parametrize("name", ["medical", "full_fine_tuning", "two_classes"])
def test_the_error_without_data_suggests_tiny(name, tmp_path):
    assert says(example(f"{name}.py", cwd=tmp_path), "or --tiny")


def test_the_error_of_an_example_on_texts_without_data_suggests_tiny(tmp_path):
    assert says(launch(EXAMPLES / "text_sentiment.py", cwd=tmp_path), "or --tiny")


def test_cifar10_says_how_to_get_the_images(tmp_path):
    process = example("cifar10.py", "--data-dir", tmp_path, cwd=tmp_path)
    assert says(process, "cifar10.*download")


@pytest.mark.slow
def test_missing_weights_are_an_error_with_suggestions(tmp_path):
    code = """
import runpy, sys
examples, sys.argv[1:] = sys.argv[2:], sys.argv[1:2]  # sys.argv is that of an example, with the images
sys.path.insert(0, "{folder}")
for example in examples:
    try:
        runpy.run_path(example, run_name="__main__")
    except SystemExit as error:
        print(error.code)
"""
    images = tiny.digit_images(tmp_path / "images", classes=2)
    names = ("medical", "full_fine_tuning", "two_classes")
    paths = [EXAMPLES / f"{name}.py" for name in names]
    code = code.format(folder=EXAMPLES)
    process = launch("-c", code, images, *paths, cwd=tmp_path, **no_weights(tmp_path / "empty"))
    assert process.stdout.split() == ["2"] * 3, process.stderr
    assert len(re.findall(r"no pretrained weights found for ", process.stderr)) == 3
    assert process.stderr.count("Tried:") == process.stderr.count("Ways out:") == 3
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short_and_its_docstring_shows_the_command(path):
    text = path.read_text()
    doc = ast.get_docstring(ast.parse(text))
    assert text.count("\n") < 200
    if path.stem not in ("tiny", "tiny_texts", "dense_training", "decision_tasks"):  # imported only
        assert f"python {path.relative_to(ROOT)}" in doc


@pytest.mark.slow
def test_precision_prints_only_one_json_object(tmp_path, small_networks):
    small = ("--image-size", 32, "--batch-size", 2, "--rounds", 1)
    process = example("benchmarks/precision.py", "--json", "--backbones", "vgg16", *small, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    measured = json.loads(process.stdout)["backbones"]["vgg16"]
    assert set(measured["images_per_second"]) == {"float32", "bfloat16", "float32 jit"}
    assert all(value > 0 for setting in measured["ratios"].values() for value in setting.values())
    assert measured["compile_seconds"]["float32 jit"]["train"] > 0


def test_precision_reports_a_misspelt_backbone_as_json_too(tmp_path):
    process = example("benchmarks/precision.py", "--json", "--backbones", "mobilnet_v2", cwd=tmp_path)
    assert says(process, "Did you mean 'mobilenet_v2'")
    assert "mobilenet_v2" in json.loads(process.stdout)["error"]


@pytest.mark.slow
def test_few_shot_prints_one_json_object_with_all_methods_and_differences(tmp_path, small_networks, monkeypatch):
    quick_recipes(monkeypatch)
    folder = synthetic_images(tmp_path / "emoji")
    small = ("--data", "emoji", "--labels", 4, "--seeds", 1, "--tested", 20)
    process = example("benchmarks/few_shot.py", "--json", "--emoji", folder, *small, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    data = json.loads(process.stdout)["data"]
    assert set(data) == {"emoji"}
    result = data["emoji"]["4"]
    methods = result["methods"]
    assert set(methods) == {"logistic_regression", "linear_probe", "fine_tune", "keras_guide", "keras_guide_frozen"}
    assert all(0 <= method["accuracy"] <= 1 and method["seconds"] > 0 for method in methods.values())
    accuracy = {name: method["accuracy"] for name, method in methods.items()}
    assert result["fine_tune_minus_probe"] == pytest.approx(accuracy["fine_tune"] - accuracy["linear_probe"])
    assert result["fine_tune_minus_guide"] == pytest.approx(accuracy["fine_tune"] - accuracy["keras_guide"])
    assert result["guide_seconds_over_fine_tune"] > 0
    assert result["tested"] == 20


@pytest.mark.slow
def test_imbalance_ends_with_the_gain_and_the_regret_of_auto(tmp_path, small_networks):
    folder = synthetic_images(tmp_path / "fashion")
    small = ("--data", "fashion_mnist", "--methods", "crt", "--epochs", 1, "--quick")
    process = example("benchmarks/imbalance.py", "--json", "--fashion-mnist", folder, *small, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    final = json.loads(process.stdout.splitlines()[-1])
    methods = final["data"]["fashion_mnist"]["methods"]
    assert list(methods) == ["nothing", "auto", "crt"]
    scores = {name: 100 * method["balanced_accuracy"] for name, method in methods.items()}
    assert final["gain_balanced_accuracy"] == pytest.approx(scores["auto"] - scores["nothing"])
    assert final["regret"] == pytest.approx(max(scores["crt"], scores["nothing"]) - scores["auto"])


@pytest.mark.slow
def test_inspection_finds_planted_faults_and_prints_one_json_object(tmp_path, small_networks):
    folder = synthetic_images(tmp_path / "emoji")
    small = ("--data", "emoji", "--count", 60, "--weights", "random", "--image-size", 32)
    process = example("benchmarks/inspection.py", "--json", "--emoji", folder, *small, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)["data"]["emoji"]
    for fault in ("exact copies recall", "leaks recall", "broken recall", "broken precision", "scaling recall"):
        assert result[fault] == 1, fault
    assert result["scaling false alarms"] == 0
    assert 0 <= result["near duplicates recall"] <= 1
    assert result["images per CPU second beside the embedding"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # Keras, of plain Keras code
def test_frozen_prefix_prints_one_json_object_with_the_ratios_of_a_part(tmp_path, small_networks, monkeypatch):
    monkeypatch.setattr(keras.applications, "ResNet50", lambda **_: conv5_net())  # of plain Keras
    small = ("--images", 12, "--epochs", 2, "--image-size", 32, "--parts", "conv5")
    process = example("benchmarks/frozen_prefix.py", "--json", *small, cwd=tmp_path)
    assert process.returncode == 0, process.stderr
    ratios = json.loads(process.stdout)
    assert all(ratios[name] > 0 for name in ("conv5_float32", "conv5_keras_seconds", "fill_over_bare_loop"))
    assert ratios["conv5_bfloat16"] is None or ratios["conv5_bfloat16"] > 0


def test_few_shot_says_how_to_get_the_images(tmp_path):
    process = example("benchmarks/few_shot.py", "--json", "--data", "emoji", "--emoji", tmp_path, cwd=tmp_path)
    assert says(process, r"emoji was not found: .*apt-get and npm.*pass the folder")
    assert "emoji was not found" in json.loads(process.stdout)["error"]


def test_emoji_are_grouped_on_white_without_skin_tones(tmp_path):
    emoji = real_images.load("emoji", synthetic_images(tmp_path), side=32)
    assert emoji.names == ("Food", "Smileys")
    assert len(emoji.y) == 2 * real_images.POOL["emoji"]
    assert len(emoji.test_y) == 2 * 70 - len(emoji.y), "the rest, without components and skin tones"
    assert emoji.x.shape[1:] == (32, 32, 3)
    assert (emoji.x[:, 0, 0] == 255).all(), "the corner is transparent"
    assert set(emoji.x[emoji.y == 0][:, 16, 16, 0]) == {200}


def test_fashion_mnist_is_read_from_its_four_files(tmp_path):
    fashion = real_images.load("fashion_mnist", synthetic_images(tmp_path), side=28)
    assert len(fashion.names) == 10
    assert fashion.x.shape == (100, 28, 28, 3)
    assert (fashion.x[:, 3, 4, 1] == fashion.y).all(), "images and labels have the same order"
    assert (fashion.test_x[:, 0, 0, 0] == fashion.test_y + 100).all()


def test_a_draw_is_balanced_and_depends_on_its_seed(tmp_path):
    emoji = real_images.load("emoji", synthetic_images(tmp_path), side=8)
    x, y = emoji.draw(5, seed=1)
    assert np.bincount(y).tolist() == [5, 5]
    assert (emoji.draw(5, seed=1)[0] == x).all()
    assert len(np.unique(emoji.draw(60, seed=1)[1])) == 2
    assert not np.array_equal(emoji.draw(5, seed=2)[0], x)


def conv5_net() -> keras.Model:
    """Build a network with a stage conv5, in place of ResNet50."""
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, name="conv4_conv")(pixels)
    return keras.Model(pixels, keras.layers.Conv2D(8, 3, name="conv5_conv")(x))


def synthetic_images(folder: Path) -> Path:
    """Write a few uniform images in the formats of Fashion-MNIST and of the emoji."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, base, count in (("train", 0, 10), ("t10k", 100, 3)):
        labels = np.tile(np.arange(10), count).astype(np.uint8)
        pixels = np.broadcast_to(labels[:, None, None] + base, (len(labels), 28, 28)).astype(np.uint8)
        for content, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
            (folder / f"{part}-{content}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    images = folder / "img" / "twitter" / "64"
    images.mkdir(parents=True)
    rows = []
    for group, grey in (("Smileys", 100), ("Food", 200), ("Component", 0)):
        for number in range(70):
            image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
            image.paste((grey, grey, number, 255), (16, 16, 48, 48))
            name = f"{group}{number}.png"
            image.save(images / name)
            tones = {"1F3FB": {"image": "not-there.png"}}
            rows.append(
                {"unified": name, "category": group, "image": name, "has_img_twitter": True, "skin_variations": tones}
            )
    (folder / "emoji.json").write_text(json.dumps(rows))
    return folder


def table(folder: Path) -> Path:
    """Write a table of images of two digits and eight patients."""
    images = sorted(tiny.digit_images(folder / "images", classes=2, per_class=16).rglob("*.png"))
    path = folder / "scans.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        writer.writerows([image, image.parent.name, f"p{int(image.stem) // 2}"] for image in images)
    return path
