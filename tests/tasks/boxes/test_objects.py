from tltk.tasks.boxes.objects import DetectedObject


def test_an_object_has_a_box():
    assert DetectedObject("cat", 0.9, 1, 2, 3, 4).box == (1, 2, 3, 4)
