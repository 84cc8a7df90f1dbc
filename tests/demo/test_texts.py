import pytest
import tensorflow as tf

from tltk.demo.texts import run_text_demo


@pytest.mark.slow
def test_the_demo_on_texts_learns_and_serves_the_topic(tmp_path):
    said: list[str] = []
    result = run_text_demo(tmp_path, most=30, say=said.append)
    assert len(said) == 4
    words, probe, tuned = (accuracy for _, accuracy, _ in result.rows())
    assert min(probe, tuned) > words + 0.05, "a pretrained model knows more than words"
    serve = tf.saved_model.load(str(result.saved_model)).signatures["serving_default"]
    assert serve(tf.constant([result.answer["text"]]))["label"][0].numpy().decode() == result.answer["label"]
    assert (result.run / "report.html").is_file()
    assert result.to_json()["test_accuracy"] == tuned
