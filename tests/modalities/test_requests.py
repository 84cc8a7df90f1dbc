from tltk.modalities.modality import named_modality
from tltk.modalities.requests import Request
from tltk.specs import ImageSpec


def test_a_request_reader_returns_one_row_per_request():
    images = named_modality("image")
    spec = ImageSpec(8, 8)
    read, tables = images.request_reader(spec)
    requests = images.sample_requests(spec, count=2, seed=0)
    request = read([data for (data,) in requests])
    assert isinstance(request, Request) and tables == []
    assert request.valid.numpy().tolist() == [True, True, False, False]
    assert request.inputs.shape == (4, 8, 8, 3) and int(request.context.count) == 4
    assert [bool(error) for error in request.error.numpy()] == [False, False, True, True]
