import pytest

from tltk.specs import AudioSpec


def test_an_audio_spec_counts_its_samples():
    spec = AudioSpec(sample_rate=8000, seconds=0.5)
    assert spec.shape == (4000,)
    assert spec.describe() == "0.5 s at 8 kHz"


def test_invalid_fields_of_an_audio_spec_raise():
    with pytest.raises(ValueError, match="`seconds` must be a number above 0"):
        AudioSpec(seconds=0)
    with pytest.raises(ValueError, match=r"`sample_rate` must be at least 1000 and at most 384000. Received: 16"):
        AudioSpec(sample_rate=16)
    with pytest.raises(ValueError, match=r"`crop` must be one of .*Did you mean 'center'"):
        AudioSpec(crop="centre")
    with pytest.raises(ValueError, match=r"1 to 67,108,864 samples. Received: `seconds`=1e-05"):
        AudioSpec(seconds=1e-5)
