"""The methods of the image modality."""

import numpy as np
import pytest

import tltk
from tests.images import class_folder
from tltk.modalities.modality import drop_invalid, named_modality
from tltk.specs import ImageSpec

IMAGES, SPEC = named_modality("image"), ImageSpec(16, 12)


def test_a_spec_is_rebuilt_from_its_config(tmp_path):
    assert IMAGES.from_config(IMAGES.to_config(SPEC, tmp_path), tmp_path) == SPEC
    assert IMAGES.describe_input(SPEC)["shape"] == [None, 16, 12, 3]


def test_files_that_are_not_images_are_dropped_and_too_many_raise_an_error(tmp_path):
    class_folder(tmp_path / "set", count=4)
    damaged = sorted((tmp_path / "set").rglob("*.*"))[0]
    damaged.write_bytes(b"not an image")
    source = tltk.from_folder(tmp_path / "set")
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.5)
    assert len(valid) == len(source) - 1 and invalid[0].example_id.endswith(damaged.name)
    assert drop_invalid(valid, max_invalid_fraction=0.0)[1] == ()
    with pytest.raises(ValueError, match=rf"(?s)1 of {len(source)} examples cannot be used.*{damaged.name}"):
        drop_invalid(source, max_invalid_fraction=0.01)


@pytest.mark.parametrize("count", [1, 3])
def test_sample_requests_are_written_to_files_that_validation_accepts(tmp_path, count):
    requests = IMAGES.sample_requests(SPEC, count=count, seed=1)
    source = IMAGES.from_requests(requests, SPEC, tmp_path)
    valid, invalid = drop_invalid(source, max_invalid_fraction=1.0)
    assert valid.ids.tolist() == ["0", "1", "2"][:count] and len(invalid) == 2


def test_images_have_no_mask():
    assert IMAGES.mask(None, SPEC) is None and IMAGES.without_windows(SPEC) is SPEC
    with pytest.raises(TypeError, match="augment"):
        IMAGES.check_augmentation(("flip",), SPEC)
    assert isinstance(IMAGES.source(np.zeros((1, 8, 8, 3), "uint8"), SPEC), tltk.Source)
