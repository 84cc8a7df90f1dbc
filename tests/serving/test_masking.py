import tensorflow as tf

from tltk.serving.masking import mask_invalid


def test_outputs_of_invalid_requests_are_masked_and_constants_are_kept():
    valid = tf.constant([True, False])
    outputs = {
        "label": tf.constant(["a", "b"]), "starts": tf.constant([[1, 2], [3, 4]]),
        "probability": tf.constant([0.5, 0.6]), "chosen": tf.constant([[True], [True]]),
        "labels": tf.constant([["a"], ["a"]]), "logits": tf.ones([2, 3, 2]),
    }  # fmt: skip
    masked = {name: value.numpy().tolist() for name, value in mask_invalid(outputs, valid, keep=("labels",)).items()}
    assert masked["label"] == [b"a", b""] and masked["labels"] == [[b"a"], [b"a"]]
    assert masked["starts"] == [[1, 2], [-1, -1]] and masked["chosen"] == [[True], [False]]
    assert masked["probability"] == [0.5, 0.0]
    assert masked["logits"] == [[[1.0, 1.0]] * 3, [[0.0, 0.0]] * 3]
