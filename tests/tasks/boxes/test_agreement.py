"""Which differences between the objects of two models count."""

import numpy as np

from tltk.tasks.boxes.agreement import boxes_difference, changed_boxes
from tltk.tasks.boxes.objects import DetectedObject


def answer(*objects):
    columns = {"boxes": np.zeros((100, 4), "float32"), "scores": np.zeros(100, "float32")}
    columns["labels"] = np.full(100, "", object)
    for row, (label, score, *box) in enumerate(objects):
        columns["boxes"][row], columns["scores"][row], columns["labels"][row] = box, score, label
    return {**columns, "count": np.int32(len(objects))}


CAT, DOG = ("cat", 0.9, 0, 0, 10, 10), ("dog", 0.9, 50, 50, 70, 90)


def difference(one, other):
    return boxes_difference(answer(*one), answer(*other), tolerance=1e-5, min_score=0.05)


def test_the_order_of_objects_and_objects_at_the_limit_do_not_count():
    assert difference([CAT, DOG], [DOG, CAT]) == ""
    assert difference([CAT, ("dog", 0.0501, 0, 0, 9, 9)], [CAT]) == ""


def test_a_box_without_area_or_a_very_thin_one_is_that_of_the_other():
    for box, other in (((0, 3, 0, 9), (0, 3, 0, 9)), ((0, 3, 0.001, 9), (0, 3, 0.0012, 9))):
        assert difference([CAT, ("dog", 0.5, *box)], [CAT, ("dog", 0.5, *other)]) == ""
    assert "`boxes`" in difference([("dog", 0.5, 0, 3, 0, 9)], [("dog", 0.5, 0, 4, 0, 9)])


def test_missing_additional_and_moved_objects_and_scores_count():
    assert "'dog' with the score 0.9000 is not among those of the other" in difference([CAT, DOG], [CAT])
    assert "not among those of the first" in difference([CAT], [CAT, DOG])
    assert "`boxes`" in difference([CAT], [("cat", 0.9, 0, 0, 10, 11)])
    assert "`scores` differs by 1.0e-03" in difference([CAT], [("cat", 0.901, 0, 0, 10, 10)])
    assert boxes_difference(answer(CAT), {}, tolerance=1, min_score=0) == "`boxes` is missing"


def test_an_answer_changes_with_its_sure_objects():
    cat, dog = DetectedObject(*CAT), DetectedObject(*DOG)
    assert not changed_boxes([cat, dog], [dog, cat._replace(score=0.2, x_max=10.3)], 0.5)
    assert changed_boxes([cat, dog], [cat], 0.5)
    assert changed_boxes([cat], [cat._replace(label="dog")], 0.5)
    assert not changed_boxes([cat, dog._replace(score=0.4)], [cat], 0.5)
