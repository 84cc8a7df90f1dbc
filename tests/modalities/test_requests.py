from tltk.modalities.modality import named_modality
from tltk.modalities.requests import Request
from tltk.specs import ImageSpec


def test_every_reader_of_requests_returns_one_row_a_request():
    images = named_modality("image")
    spec = ImageSpec(8, 8)
    read, tables = images.request_reader(spec)
    requests = images.sample_requests(spec, count=2, seed=0)
    found = read([data for (data,) in requests])
    assert isinstance(found, Request) and tables == []
    assert found.valid.numpy().tolist() == [True, True, False, False]
    assert found.inputs.shape == (4, 8, 8, 3) and int(found.context.count) == 4
    assert [bool(error) for error in found.error.numpy()] == [False, False, True, True]
