from tltk.tasks.worst import Worst


def test_the_worst_of_any_number_are_kept():
    worst = Worst(limit=3)
    for number in range(1000):
        worst.add(f"image {number}", number % 100, str(number % 100))
    assert [row["example_id"] for row in worst.rows()] == ["image 99", "image 199", "image 299"]
    assert worst.count == 1000 and len(worst._heap) == 3
    right = Worst()
    right.add("a", 0.0, "")
    assert right.rows() == ()
