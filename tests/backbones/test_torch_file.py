"""Reading .pth files: real tensors, and nothing else."""

import os
import pickle
import sys
import types
from collections import OrderedDict

import numpy as np
import pytest

from tltk.backbones import torch_file

MAGIC = 0x1950A86A20F9469CFC6C


class _Storage:
    def __init__(self, key, values):
        self.key, self.values = key, values


class _Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, OrderedDict())

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, _Storage):
            return ("storage", sys.modules["torch"].FloatStorage, value.key, "cpu", len(value.values), None)
        return None


@pytest.fixture
def torch(monkeypatch):
    """Stand in for the two names that PyTorch's pickles refer to."""
    module, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    module.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})

    def rebuild(*_):
        raise AssertionError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner._rebuild_tensor_v2 = rebuild
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)


def write(path, state, storages, *, magic=MAGIC, little_endian=True):
    with path.open("wb") as file:
        for header in (magic, 1001, {"little_endian": little_endian}):
            pickle.dump(header, file, protocol=2)
        _Pickler(file, protocol=2).dump(state)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(len(storage.values).to_bytes(8, "little") + storage.values.astype("<f4").tobytes())


@pytest.mark.usefixtures("torch")
def test_tensors_are_read_with_their_strides(tmp_path):
    storage = _Storage("7", np.arange(12))
    state = OrderedDict(
        rows=_Tensor(storage, 0, (3, 4), (4, 1)),
        columns=_Tensor(storage, 0, (4, 3), (1, 4)),
        part=_Tensor(storage, 2, (2,), (5,)),
    )
    write(tmp_path / "a.pth", state, [storage])
    tensors = torch_file.read(tmp_path / "a.pth")
    np.testing.assert_array_equal(tensors["rows"], np.arange(12).reshape(3, 4))
    np.testing.assert_array_equal(tensors["columns"], np.arange(12).reshape(3, 4).T)
    np.testing.assert_array_equal(tensors["part"], [2, 7])
    assert tensors["rows"].dtype == np.float32


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(0, (13,), (1,)), (5, (2,), (7,)), (0, (2,), (-1,)), (-1, (1,), (1,))]
)
def test_a_tensor_that_exceeds_its_storage_is_an_error(tmp_path, offset, shape, strides):
    storage = _Storage("7", np.arange(12))
    write(tmp_path / "a.pth", OrderedDict(x=_Tensor(storage, offset, shape, strides)), [storage])
    with pytest.raises(ValueError, match=r"reaches beyond its storage of 12 values"):
        torch_file.read(tmp_path / "a.pth")


@pytest.mark.usefixtures("torch")
def test_a_truncated_file_is_an_error(tmp_path):
    storage = _Storage("7", np.arange(12))
    write(tmp_path / "a.pth", OrderedDict(x=_Tensor(storage, 0, (12,), (1,))), [storage])
    content = (tmp_path / "a.pth").read_bytes()
    (tmp_path / "a.pth").write_bytes(content[:-4])
    with pytest.raises(
        ValueError, match=r"a.pth is not a .pth .*is damaged: it is truncated: storage 7 has 44 of 48 bytes"
    ):
        torch_file.read(tmp_path / "a.pth")
    for length in (0, 3, 20, len(content) - 60):
        (tmp_path / "a.pth").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"a.pth is not a .pth weight file, or is damaged"):
            torch_file.read(tmp_path / "a.pth")


class _Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_code_is_an_error_and_does_not_run(tmp_path):
    for depth in range(4):
        headers = [MAGIC, 1001, {"little_endian": True}][:depth]
        with (tmp_path / "evil.pth").open("wb") as file:
            for header in headers:
                pickle.dump(header, file, protocol=2)
            pickle.dump(_Evil(tmp_path / "ran"), file, protocol=2)
        with pytest.raises(ValueError, match=r"it refers to (posix|nt).mkdir, which is not allowed in weight files"):
            torch_file.read(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_content_other_than_a_state_dict_is_an_error(tmp_path):
    write(tmp_path / "a.pth", {"epoch": 3}, [])
    with pytest.raises(ValueError, match=r"something other than a state_dict of tensors"):
        torch_file.read(tmp_path / "a.pth")
    write(tmp_path / "a.pth", {}, [], magic=1)
    with pytest.raises(ValueError, match=r"its header is wrong"):
        torch_file.read(tmp_path / "a.pth")
    write(tmp_path / "a.pth", {}, [], little_endian=False)
    with pytest.raises(ValueError, match=r"its byte order is big-endian"):
        torch_file.read(tmp_path / "a.pth")


def test_the_newer_format_of_pytorch_is_an_error_with_a_fix(tmp_path):
    (tmp_path / "new.pth").write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError, match=r"was written by PyTorch 1.6 or later.*torch.save"):
        torch_file.read(tmp_path / "new.pth")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth does not exist"):
        torch_file.read(tmp_path / "none.pth")


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(("shape", "strides"), [((10**12,), (0,)), ((3, 4), (1, 1)), ((4, 3), (2, 1))])
def test_a_tensor_that_uses_values_twice_is_an_error_and_takes_no_memory(tmp_path, shape, strides):
    storage = _Storage("7", np.arange(12))
    write(tmp_path / "a.pth", OrderedDict(x=_Tensor(storage, 0, shape, strides)), [storage])
    with pytest.raises(ValueError, match="overlapping strides"):
        torch_file.read(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a place in the memo for which 32 GB would be allocated
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",  # bytes, 2**63 - 1 of them
        b"\x80\x02" + b"]" * 100 + b"(" * 100,
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
    ],
)
def test_sizes_that_no_file_has_are_an_error_and_take_no_memory(tmp_path, content):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a .pth weight file, or is damaged"):
        torch_file.read(tmp_path / "a.pth")


@pytest.mark.usefixtures("torch")
def test_a_storage_that_claims_more_than_there_is_takes_no_memory(tmp_path):
    class Huge(np.ndarray):
        def __len__(self):
            return 2**50

    storage = _Storage("7", np.arange(3).view(Huge))
    write(tmp_path / "a.pth", OrderedDict(x=_Tensor(storage, 0, (3,), (1,))), [storage])
    with pytest.raises(ValueError, match="it is truncated: storage 7 has 12 of"):
        torch_file.read(tmp_path / "a.pth")


def test_the_state_of_a_network_is_read_from_a_checkpoint_that_holds_more(torch, tmp_path):
    storages = [_Storage("a", np.arange(4.0)), _Storage("b", np.ones(2))]
    network = OrderedDict(weight=_Tensor(storages[0], 0, (2, 2), (2, 1)))
    optimizer = {"state": {0: {"mean": _Tensor(storages[1], 0, (2,), (1,))}}, "groups": [{"lr": 0.1}]}
    write(tmp_path / "a.pt", {"step": 3, "model": network, "optimizer": optimizer}, storages)
    assert torch_file.read(tmp_path / "a.pt", member="model")["weight"].tolist() == [[0, 1], [2, 3]]
    for member in (None, "weights"):
        with pytest.raises(ValueError, match="something other than a state_dict of tensors"):
            torch_file.read(tmp_path / "a.pt", member=member)
