import pytest

from tltk.specs import ImageSpec


def test_invalid_fields_of_an_image_spec_raise():
    assert ImageSpec(224, 200).shape == (224, 200, 3)
    with pytest.raises(ValueError, match=r"`height` must be a number above 0"):
        ImageSpec(0, 224)
    with pytest.raises(ValueError, match=r"`resize` must be one of .*Did you mean 'stretch'"):
        ImageSpec(224, 224, resize="strech")
    with pytest.raises(ValueError, match=r"`crop_fraction` must be at least 0 and at most 1"):
        ImageSpec(224, 224, resize="crop", crop_fraction=1.5)


def test_an_image_has_at_most_as_many_pixels_as_a_file_may_have():
    with pytest.raises(ValueError, match=r"at most 89\.5 megapixels\. Received: 100000×100000"):
        ImageSpec(100_000, 100_000)
