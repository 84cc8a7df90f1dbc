"""A user's own dataset of waveforms."""

import numpy as np
import pytest
import tensorflow as tf

from tltk.modalities.audio.dataset import from_dataset
from tltk.specs import AudioSpec

SPEC = AudioSpec(sample_rate=8000, seconds=0.01)


def test_waveforms_are_batched_and_batches_kept():
    x = np.zeros((5, 80), "float64")
    single = from_dataset(tf.data.Dataset.from_tensor_slices((x, range(5))), SPEC, batch_size=2)
    assert [len(waveforms) for waveforms, _ in single.dataset] == [2, 2, 1] and single.steps_per_epoch == 3
    batched = from_dataset(tf.data.Dataset.from_tensor_slices(x).batch(5), SPEC, batch_size=2)
    ((waveforms,),) = batched.dataset
    assert waveforms.shape == (5, 80) and waveforms.dtype == tf.float32


def test_other_lengths_and_types_are_refused():
    for x in (np.zeros((5, 81)), np.zeros((5, 80), "int16"), np.zeros((5, 8, 80, 1))):
        with pytest.raises(ValueError, match=r"must yield waveforms \[80\]"):
            from_dataset(tf.data.Dataset.from_tensor_slices(x), SPEC, batch_size=2)
