import json
from dataclasses import asdict

import numpy as np
import pytest

from tltk.specs import AudioSpec


def test_an_audio_spec_counts_its_samples():
    spec = AudioSpec(sample_rate=8000, seconds=0.5)
    assert spec.shape == (4000,)
    assert spec.describe() == "0.5 s at 8 kHz"


def test_the_fields_of_an_audio_spec_can_be_stored():
    spec = AudioSpec(np.int64(8000), np.float32(0.5), trim_silence=np.float32(60))
    assert json.loads(json.dumps(asdict(spec))) == asdict(AudioSpec(8000, 0.5, trim_silence=60))


def test_invalid_fields_of_an_audio_spec_raise():
    with pytest.raises(ValueError, match="`seconds` must be a number above 0"):
        AudioSpec(seconds=0)
    with pytest.raises(ValueError, match=r"`sample_rate` must be at least 1000 and at most 384000. Received: 16"):
        AudioSpec(sample_rate=16)
    with pytest.raises(ValueError, match=r"`crop` must be one of .*Did you mean 'center'"):
        AudioSpec(crop="centre")
    with pytest.raises(ValueError, match=r"`trim_silence` must be a number above 0\. Received: 0"):
        AudioSpec(trim_silence=0)
    with pytest.raises(ValueError, match=r"1 to 67,108,864 samples. Received: `seconds`=1e-05"):
        AudioSpec(seconds=1e-5)
    for overlap in (-0.1, 0.95, "half"):
        with pytest.raises(ValueError, match=r"`overlap` must be at least 0 and at most 90% of a window of 1 s"):
            AudioSpec(overlap=overlap)
