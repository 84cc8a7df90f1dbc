"""The text demo learns topics and exports the model."""

import pytest
import tensorflow as tf

from tltk.demo import texts


@pytest.mark.slow
@pytest.mark.optimized
def test_the_text_demo_beats_tfidf_and_serves_its_predictions(tmp_path, monkeypatch, replay_here):
    monkeypatch.setattr(texts, "EPOCHS", 2)
    lines: list[str] = []
    result = texts.run_text_demo(tmp_path, max_per_topic=14, say=lines.append)
    assert len(lines) == 4
    tfidf, probe, tuned = (accuracy for _, accuracy, _ in result.rows())
    assert min(probe, tuned) > tfidf + 0.05, "a pretrained network is better than TF-IDF"
    serve = tf.saved_model.load(str(result.saved_model)).signatures["serving_default"]
    assert serve(tf.constant([result.answer["text"]]))["label"][0].numpy().decode() == result.answer["label"]
    assert (result.run / "report.html").is_file()
    assert result.to_json()["test_accuracy"] == tuned
