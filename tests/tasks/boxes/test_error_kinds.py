"""Kinds of error, and what they cost, on scenes with one error each."""

import numpy as np
import pytest

from tests.tasks.boxes.test_evaluator import NAMES, as_batch
from tltk.tasks.boxes.error_kinds import KINDS
from tltk.tasks.boxes.evaluator import DetectionEvaluator

BOX = [0, 0, 40, 40]


def evaluated(*detections, true=((0, BOX),)):
    """Evaluate one image; `detections` and `true` have (class, box), highest score first."""

    def columns(objects):
        return np.array([box for _, box in objects], "float32").reshape(-1, 4), np.array(
            [number for number, _ in objects], int
        )

    boxes, classes = columns(true)
    truth = boxes, classes, np.zeros(len(true), bool), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    predicted = (*columns(detections), np.linspace(0.9, 0.5, len(detections)).astype("float32"))
    evaluator = DetectionEvaluator(NAMES)
    evaluator.update(*as_batch([(truth, predicted)]), ["a.jpg"])
    return evaluator.result()


def lost(parts):
    return {
        kind: round(parts.metrics[f"lost_{kind}"], 6)
        for kind in (*KINDS, "missed")
        if parts.metrics[f"lost_{kind}"] > 1e-6
    }


def test_right_boxes_lose_nothing():
    parts = evaluated((0, BOX))
    assert lost(parts) == {} and parts.mistakes == ()


@pytest.mark.parametrize(
    ("detection", "kind"),
    [
        ((1, BOX), "class"),
        ((0, [0, 0, 40, 15]), "box"),
        ((1, [0, 0, 40, 15]), "both"),
        ((0, [90, 90, 99, 99]), "background"),
    ],
    ids=["class", "box", "both", "background"],
)
def test_each_kind_is_recognized(detection, kind):
    parts = evaluated(detection)
    (mistake,) = parts.mistakes
    assert mistake["error"] == kind and mistake["predicted"] == NAMES[detection[0]] and mistake["example_id"] == "a.jpg"
    assert mistake["true"] == ("cat" if kind in ("class", "box") else "nothing")
    # Corrected, a box of the wrong class or place finds the object; a dropped one leaves it missed.
    assert lost(parts) == ({kind: 1.0} if kind in ("class", "box") else {"missed": 1.0})


def test_duplicates_cost_only_what_is_behind_them():
    other = (0, [50, 50, 90, 90])
    parts = evaluated((0, BOX), (0, [1, 1, 40, 40]), other, true=((0, BOX), other))
    assert [mistake["error"] for mistake in parts.mistakes] == ["duplicate"]
    assert lost(parts) == {"duplicate": round(1 - (51 + 50 * 2 / 3) / 101, 6)}


def test_a_poor_box_of_a_detected_object_is_dropped():
    parts = evaluated((0, [0, 0, 40, 15]), (0, BOX))
    assert lost(parts) == {"box": 0.5}


def test_mistakes_with_the_highest_scores_are_listed():
    detections = [(0, [100 + number, 100, 102 + number, 102]) for number in range(80)]
    parts = evaluated(*detections)
    assert len(parts.mistakes) == 50 and parts.mistakes[0]["probability"] == pytest.approx(0.9)
