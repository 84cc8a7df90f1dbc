"""`tltk predict --draw`: a picture of every input, in its own size, beside the inputs and not over them."""

import json
import os

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.commands import command
from tests.modalities.image.test_pictures import turned_jpeg
from tests.tasks.boxes.scenes import source
from tests.tasks.test_object_detection import detector, phases
from tltk.cli.pictures import picture_names
from tltk.tasks.boxes.records import DetectionPrediction


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawing") / "run"
    tltk.fit(detector(), source(4), recipe=phases(tltk.freeze("backbone"), epochs=1), out=folder, verbose=0)
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((30, 50, 3), 90, "uint8")).save(folder / name / "1.png")
    Image.fromarray(np.full((30, 50, 3), 90, "uint8")).save(folder / "b" / "1.webp")
    turned_jpeg(folder / "turned.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_input_gets_a_picture_of_its_size(run, photos, tmp_path):
    before, out = contents(photos), tmp_path / "new" / "out"
    process = command("predict", run, photos, "--threshold", "0", "--draw", out, "--json")
    assert process.returncode == 0, process.stderr
    assert "left out: 1 example" in process.stderr and contents(photos) == before
    sizes = {}
    for path in contents(out):
        with Image.open(out / path) as picture:
            sizes[path.as_posix()] = picture.size
    assert sizes == {"a/1.png": (50, 30), "b/1.png": (50, 30), "b/1.webp.png": (50, 30), "turned.jpg": (12, 20)}
    rows = json.loads(process.stdout)["predictions"]
    assert sorted(row["drawing"] for row in rows) == sorted(str(out / name) for name in sizes)
    assert contents(out)[next(iter(contents(out)))] not in before.values()  # boxes of any score are drawn

    again = command("predict", run, photos, "--draw", out)
    assert again.returncode == 2 and "is not empty" in again.stderr and "--overwrite" in again.stderr
    (out / "notes.txt").write_text("mine")
    again = command("predict", run, photos / "a", photos / "turned.jpg", "--draw", out, "--overwrite")
    assert again.returncode == 0 and f"{out}: 2 pictures" in again.stdout, again.stderr
    assert (out / "notes.txt").read_text() == "mine"


def test_inputs_are_never_replaced(run, photos, tmp_path):
    before = contents(photos)
    (tmp_path / "linked").mkdir()
    os.link(photos / "a" / "1.png", tmp_path / "linked" / "1.png")
    one = photos / "a" / "1.png"
    for arguments, message in (
        ((photos, "--draw", photos / "drawn"), "would write into the input"),
        ((photos, "--draw", photos), "would write into the input"),
        ((one, "--draw", photos / "a"), "is not empty"),
        ((one, "--draw", photos / "a", "--overwrite"), "would overwrite the input"),
        ((one, "--draw", tmp_path / "linked", "--overwrite"), "would overwrite the input"),
        ((one, "--draw", one), "must be a folder"),
        ((one, "--overwrite"), "only used with --draw"),
        ((photos / "broken.jpg", "--draw", tmp_path / "out"), "none of the examples can be used"),
        ((tmp_path / "nowhere", "--draw", tmp_path / "out"), "does not exist"),
    ):
        process = command("predict", run, *arguments)
        assert process.returncode == 2 and message in process.stderr, (arguments, process.stderr)
        assert contents(photos) == before
    assert not (tmp_path / "out").exists()


def test_after_ctrl_c_the_pictures_so_far_are_whole(run, photos, tmp_path, monkeypatch):
    draw, count = DetectionPrediction.draw, iter(range(9))

    def interrupted(self, image, **options):
        if next(count) == 2:
            raise KeyboardInterrupt
        return draw(self, image, **options)

    monkeypatch.setattr(DetectionPrediction, "draw", interrupted)
    process = command("predict", run, photos, "--draw", tmp_path / "out")
    assert process.returncode == 130 and "2 of 4 pictures are complete" in process.stderr
    written = sorted(path.name for path in contents(tmp_path / "out"))
    assert len(written) == 2 and not any(name.startswith(".") for name in written)


def test_names_are_kept_apart():
    assert picture_names([]) == []
    assert picture_names(["a/1.JPG"]) == ["1.JPG"]
    names = picture_names(["p/a.png", "p/a.png", "p/A.png", "p/a-2.png", "q/a.png", "q/b.gif", "q/b.gif.png"])
    assert len({name.casefold() for name in names}) == len(names) == 7
    assert names[0] == "p/a.png" and names[3] == "p/a-2.png" and names[4] == "q/a.png"
