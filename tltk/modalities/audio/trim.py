"""Silence at the beginning and the end of sounds, of TensorFlow operations: `librosa.effects.trim`."""

import tensorflow as tf

FRAME, HOP = 2048, 512  # samples, the defaults of librosa
_SMALLEST_POWER = 1e-10  # of a frame: quieter ones count as equally loud


def trim(samples: tf.Tensor, decibels: float) -> tf.Tensor:
    """Cut off the silence before and after a sound.

    The loudness of a sound is measured in frames of 2,048 samples, one each 512 samples and centered there; beyond the
    ends, a sound is silent. The result begins with the first frame that is not silent, and ends with the last one.

    Args:
        samples: float32 [n], at any rate.
        decibels: Frames that are at least this much quieter than the loudest one are silent.

    Returns:
        float32 [m]. A sound that is silent all along has no frame louder than others, and is returned unchanged.

    Examples:
        >>> sound = tf.concat([tf.zeros([5120]), tf.ones([5120]), tf.zeros([5120])], 0)
        >>> trim(sound, 60.0).shape
        TensorShape([6656])
    """
    count = tf.size(samples)
    squares = tf.pad(samples * samples, [[0, -count % HOP]])
    blocks = tf.reduce_sum(tf.reshape(squares, [-1, HOP]), 1)  # energies between two centers of frames
    frames, per_frame = 1 + count // HOP, FRAME // HOP
    padded = tf.pad(blocks, [[per_frame // 2, per_frame]])
    energies = tf.add_n([padded[block : block + frames] for block in range(per_frame)])
    power = tf.maximum(energies / FRAME, _SMALLEST_POWER)
    loudest = tf.reduce_max(power)
    is_loud = (power > loudest * 10 ** (-decibels / 10)) | (power == loudest)
    loud = tf.cast(tf.where(is_loud)[:, 0], tf.int32)
    return samples[loud[0] * HOP : (loud[-1] + 1) * HOP]
