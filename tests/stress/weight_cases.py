"""Damaged weight files: refused, or the weights in them are those of the file."""

import io
import pickle
import sys
import types
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from tests.backbones import test_torch_file as torch_writer
from tests.conftest import WithStages, conv_net, transformer
from tests.stress.damage import ALL, Generator, damage
from tests.stress.fuzz import Failed, Place
from tltk.backbones import torch_file, weights
from tltk.trainability.apply import apply_plan
from tltk.trainability.lora import file as lora_file
from tltk.trainability.plan import lora as lora_plan

_SHAPES = {"conv.weight": (4, 3, 2, 2), "conv.bias": (4,), "linear.weight": (5, 4), "steps": (1,)}


def prepare(place: Place, kinds: tuple[str, ...]) -> None:
    """Make the undamaged files before memory is limited."""
    _weights_h5_path(place)
    _keras_path(place)
    _lora_path(place)


@cache
def _torch_bytes() -> tuple[bytes, int]:
    """Return a .pth file, and the position where its values begin."""
    module, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    module.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]

    def rebuild(*_: Any) -> None:
        raise AssertionError

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    inner._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    previous = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": module, "torch._utils": inner})
    try:
        storages, state = [], OrderedDict()
        for number, (name, shape) in enumerate(_SHAPES.items()):
            storage = torch_writer._Storage(str(number), np.random.default_rng(number).normal(size=np.prod(shape)))
            strides = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
            state[name] = torch_writer._Tensor(storage, 0, shape, strides)
            storages.append(storage)
        path = _Memory()
        torch_writer.write(path, state, storages)
    finally:
        for name, old in previous.items():
            sys.modules.pop(name)
            if old is not None:
                sys.modules[name] = old
    keys = pickle.dumps([storage.key for storage in storages], protocol=2)
    return path.content, path.content.index(keys) + len(keys)


class _Memory:
    """A path that stores what is written to it."""

    content = b""

    def open(self, _: str) -> Any:
        memory = self

        class File(io.BytesIO):
            def close(self) -> None:
                memory.content = self.getvalue()
                super().close()

        return File()


def torch_weights(generator: Generator, place: Place) -> str:
    """Damage a .pth file; if it is read, every tensor that has its name and shape has the values of the file."""
    original, start = _torch_bytes()
    data, how = damage(original, generator)
    path = place.folder / "weights.pth"
    path.write_bytes(data)
    tensors = torch_file.read(path)
    if {name: tensor.shape for name, tensor in tensors.items()} != _SHAPES:
        return "refused"  # by the network that needs these names and shapes
    path.write_bytes(original)
    expected = torch_file.read(path)
    if data[:start] == original[:start]:  # the values themselves are damaged: those of the file are right
        return "used"
    for name, tensor in tensors.items():
        if tensor.dtype == expected[name].dtype and not np.array_equal(tensor, expected[name]):
            raise Failed(f"{how} at {_first_difference(data, original)} of {start}: {name} has other values")
    return "used"


def _first_difference(data: bytes, original: bytes) -> int:
    pairs = enumerate(zip(data, original, strict=False))
    return next((position for position, (one, other) in pairs if one != other), min(len(data), len(original)))


@cache
def _network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return conv_net()


def _weights_h5_path(place: Place) -> Path:
    return place.made_once("net.weights.h5", lambda path: _network().save_weights(path))


def _keras_path(place: Place) -> Path:
    return place.made_once("net.keras", lambda path: _network().save(path))


def _values(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.get_weights()]


@cache
def _original_values() -> list[np.ndarray]:
    return _values(_network())


@cache
def _payload(path: Path) -> list[tuple[int, int]]:
    """Return (start, end) of the values of each dataset of an HDF5 file: they have no checksum."""
    found: list[tuple[int, int]] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
            start = item.id.get_offset()
            found.append((start, start + item.id.get_storage_size()))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def weights_h5(generator: Generator, place: Place) -> str:
    """Damage an HDF5 weight file outside of its values, which have no checksum: refused, or the same weights."""
    original_path = _weights_h5_path(place)
    original = original_path.read_bytes()
    while True:
        data, how = damage(original, generator)
        changed = [p for p in range(min(len(data), len(original))) if data[p] != original[p]]
        if not any(start <= position < end for position in changed for start, end in _payload(original_path)):
            break
    return _load_into(place.folder / "damaged.weights.h5", data, how)


def keras_file(generator: Generator, place: Place) -> str:
    """Damage a .keras file that weights are read from: refused, or the same weights."""
    original = _keras_path(place).read_bytes()
    if generator.random() < 0.3:
        data, how = _damaged_member(original, generator)
    else:
        data, how = damage(original, generator)
    return _load_into(place.folder / "damaged.keras", data, how)


def _damaged_member(archive: bytes, generator: Generator) -> tuple[bytes, str]:
    """Damage one member of a zip archive but for HDF5 values; the checksums of the archive fit."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(target, "w") as written:
        names = source.namelist()
        hurt = names[int(generator.integers(len(names)))]
        how = "none"
        for name in names:
            content = source.read(name)
            if name == hurt:
                kinds = ALL if name.endswith(".json") else ALL[3:4] + ALL[-1:]
                content, how = damage(content, generator, kinds)
            written.writestr(name, content)
    return target.getvalue(), f"{how} {hurt}"


def _load_into(path: Path, data: bytes, how: str) -> str:
    path.write_bytes(data)
    _original_values()
    keras.utils.set_random_seed(2)
    model = keras.models.clone_model(_network())
    weights.read_into(model, str(path))
    for index, (one, other) in enumerate(zip(_values(model), _original_values(), strict=True)):
        if not np.array_equal(one, other, equal_nan=True):
            raise Failed(f"{how}: weight {index} has other values, and nothing said so")
    return "used"


@cache
def _lora_model() -> tuple[WithStages, list[np.ndarray]]:
    keras.utils.set_random_seed(3)
    model = WithStages(transformer())
    return model, model.keras.get_weights()


_TOKENS = np.random.default_rng(0).integers(0, 30, (5, 6))


def _lora_path(place: Place) -> Path:
    return place.made_once("lora.npz", _write_lora)


def _write_lora(path: Path) -> None:
    model, start = _lora_model()
    plan = lora_plan(2, target="query,value,*_up")
    with apply_plan(plan, model) as effect:
        model.keras.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.keras.fit(_TOKENS, np.arange(5) % 3, verbose=0)
    lora_file.save(path, model, plan, effect.lora_weights)
    model.keras.set_weights(start)


@cache
def _lora_outputs(path: Path) -> np.ndarray:
    model, start = _lora_model()
    lora_file.load(path, model)
    outputs = np.asarray(model.keras(_TOKENS))
    model.keras.set_weights(start)
    return outputs


def lora(generator: Generator, place: Place) -> str:
    """Damage a LoRA file: refused, with the model unchanged, or the same outputs."""
    original = _lora_path(place).read_bytes()
    deliberate = (
        generator.random() < 0.5
    )  # with checksums that fit: the values are those of the file, whatever they are
    data, how = _damaged_array(original, generator) if deliberate else damage(original, generator)
    expected = _lora_outputs(_lora_path(place))
    path = place.folder / "damaged.npz"
    path.write_bytes(data)
    model, start = _lora_model()
    try:
        lora_file.load(path, model)
    except Exception:
        if not all(np.array_equal(one, other) for one, other in zip(model.keras.get_weights(), start, strict=True)):
            raise Failed(f"{how}: refused, but the model is changed") from None
        raise
    else:
        outputs = np.asarray(model.keras(_TOKENS))
    finally:
        model.keras.set_weights(start)
    if not deliberate and not np.allclose(outputs, expected, atol=1e-6):
        raise Failed(f"{how}: other outputs, and nothing said so")
    return "used"


def _damaged_array(archive: bytes, generator: Generator) -> tuple[bytes, str]:
    """Damage the header of one array, or the description; the checksums of the archive fit."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(target, "w") as written:
        names = source.namelist()
        hurt = "about.npy" if generator.random() < 0.5 else names[int(generator.integers(len(names)))]
        how = ""
        for name in names:
            content = source.read(name)
            if name == hurt and name == "about.npy":
                content, how = damage(content, generator)
            elif name == hurt:
                header, how = damage(content[:128], generator)
                content = header + content[128:]
            written.writestr(name, content)
    return target.getvalue(), f"{how} {hurt}"
