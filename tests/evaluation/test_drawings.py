"""The worst predictions are drawn for a report, for every task that names them."""

import io
import json
import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.conftest import squares, squares_model
from tests.tasks.boxes.scenes import masked_source, source
from tests.tasks.test_object_detection import detector
from tests.tasks.test_semantic_segmentation import segmenter
from tltk.errors import InvalidInput
from tltk.tasks.classification import Classification


@pytest.mark.parametrize(("build", "data"), [(detector, source), (segmenter, masked_source)], ids=["boxes", "masks"])
def test_the_page_shows_the_worst_first_and_what_it_measures(build, data, tmp_path):
    model, scenes = build(), data(6)
    report = tltk.evaluate(model, scenes, worst=3)
    names = [row["example_id"] for row in report.worst]
    assert list(report.drawings) == names[:3] and len(names) > 3
    for drawing in report.drawings.values():
        with Image.open(io.BytesIO(drawing)) as picture:
            assert picture.format == "JPEG" and picture.width >= 64 and picture.height >= 48
    text = report.save(tmp_path / "report.html").read_text()
    shown = re.findall(r'<img alt="prediction for ([^"]+)" src="data:image/jpeg;base64,/9j', text)
    assert shown == names[:3] and names[3] in text
    for heading in ("Worst images", *(title.split(":")[0] for title in report.tables)):
        assert f"<h2>{heading}</h2>" in text
    assert json.loads(report.save(tmp_path / "report.json").read_text())["worst"] == list(report.worst)
    assert report._repr_html_().count("data:image/jpeg") == 3 and "drawings" not in repr(report)
    assert not tltk.evaluate(model, scenes, worst=0).drawings
    for wrong in (-1, 1.5, 101):
        with pytest.raises(InvalidInput, match="`worst`"):
            tltk.evaluate(model, scenes, worst=wrong)


def test_an_id_of_several_images_is_not_drawn():
    scenes = replace(source(3), ids=np.array(["a", "b", "a"], object))
    assert set(tltk.evaluate(detector(), scenes).drawings) == {"b"}


class Evaluator:
    """Names every example as bad."""

    def __init__(self):
        self.ids = []

    def update(self, targets, decoded, ids, sample_weight=None):
        self.ids += ids

    def result(self):
        rows = tuple({"example_id": name, "error": "too red"} for name in self.ids)
        tables = {"Colours: of everything": [{"colour": "red", "count": 3}]}
        return tltk.ReportParts({"loss": 0.0}, worst=rows, worst_title="Reddest", tables=tables)


class Greyed(tltk.Prediction):
    """A prediction that is drawn in its own way."""

    def draw(self, image, *, truth=None):
        return Image.fromarray(image).convert("L").resize((32, 16))


@dataclass(frozen=True)
class Reddest(Classification):
    """A classification with an evaluator and drawings of its own."""

    name: ClassVar[str] = "reddest"

    def evaluator(self):
        return Evaluator()

    def predictions(self, decoded, ids):
        return [Greyed(**vars(prediction)) for prediction in super().predictions(decoded, ids)]


def test_a_task_of_the_user_brings_its_own_tables_and_drawings(tmp_path, restored_registries):
    tltk.register_task(Reddest)
    model = squares_model()
    own = replace(model, task=Reddest(model.task.labels, model.task.head))
    report = tltk.evaluate(own, squares(5), worst=2)
    assert list(report.drawings) == ["example 0", "example 1"]
    with Image.open(io.BytesIO(report.drawings["example 0"])) as picture:
        assert picture.size == (32, 16)
    text = report.save(tmp_path / "page.html").read_text()
    assert "<h2>Reddest</h2>" in text and "<h2>Colours</h2>" in text and "Of everything." in text
    weighted = squares(5).with_sample_weight([1, 0, 2, 1, 1])
    assert list(tltk.evaluate(own, weighted, worst=2).drawings) == ["example 0", "example 2"]
