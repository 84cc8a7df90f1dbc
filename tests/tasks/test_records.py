from tltk.tasks.records import Monitor, Prediction, ReportParts


def test_records_have_defaults_and_short_texts():
    assert ReportParts({"loss": 1.0}).confusion is None
    assert Monitor("loss", "min").mode == "min"
    prediction = Prediction("a.jpg", "cat", 0.5, {f"class {number}": 0.0 for number in range(1000)})
    assert "cat" in repr(prediction) and len(repr(prediction)) < 500
