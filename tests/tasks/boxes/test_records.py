"""The predictions of object detection."""

from tltk.tasks.boxes.records import DetectedObject, DetectionPrediction


def test_an_object_has_a_box():
    cat = DetectedObject("cat", 0.9, 1, 2, 3, 4)
    assert cat.box == (1, 2, 3, 4)
    prediction = DetectionPrediction("a.jpg", "1 cat", None, {"cat": 0.9}, objects=(cat,))
    assert prediction.spans == () and "1 cat" in repr(prediction)
