import tensorflow as tf

from tltk.serving.blanked import blanked


def test_answers_to_what_cannot_be_read_are_empty_and_constants_stay():
    valid = tf.constant([True, False])
    answers = {
        "label": tf.constant(["a", "b"]), "starts": tf.constant([[1, 2], [3, 4]]),
        "probability": tf.constant([0.5, 0.6]), "chosen": tf.constant([[True], [True]]),
        "labels": tf.constant([["a"], ["a"]]), "logits": tf.ones([2, 3, 2]),
    }  # fmt: skip
    found = {name: value.numpy().tolist() for name, value in blanked(answers, valid, keep=("labels",)).items()}
    assert found["label"] == [b"a", b""] and found["labels"] == [[b"a"], [b"a"]]
    assert found["starts"] == [[1, 2], [-1, -1]] and found["chosen"] == [[True], [False]]
    assert found["probability"] == [0.5, 0.0]
    assert found["logits"] == [[[1.0, 1.0]] * 3, [[0.0, 0.0]] * 3]
