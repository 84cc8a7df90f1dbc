"""Fixtures of all tests, and small models and images that they share."""

import contextlib
import gc
import io
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core: more threads would only compete
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras
import numpy as np
import pytest
import tensorflow as tf

gc.freeze()  # imported modules are never freed: leave them out of every collection
gc.set_threshold(200_000, 50, 100)  # tracing creates many objects: fewer collections save a tenth of the time


def pytest_collection_modifyitems(items):
    """Move the files with slow tests to the front: with `--dist loadfile`, what starts last ends alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def optimize_graphs(enabled: bool) -> None:
    """Choose whether TensorFlow optimizes graphs before their first step: a quarter of the time of a tiny training."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not enabled})


optimize_graphs(False)  # also in the fixtures of modules


@pytest.fixture(autouse=True)
def _fresh_keras_state(request):
    """Start every test with the same random state and without the graphs of the previous test.

    Tests that are marked as `optimized`, and the processes that tests start, optimize graphs as usual.
    """
    optimize_graphs(request.node.get_closest_marker("optimized") is not None)
    # Without it, a process of the whole suite takes 11 GB; a garbage collection before each test takes minutes.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(autouse=True, scope="module")
def _collect_garbage():
    """Free the memory of a module's tests when they have run."""
    yield
    keras.utils.clear_session(free_memory=False)
    gc.collect()
    gc.freeze()  # what is still alive, such as newly imported modules, stays: later collections need not visit it


@contextmanager
def replaying_here():
    """Replay certificates in this process: the same comparison, without the seconds in which a new one starts.

    For tests whose subject is not the clean process; tests/serving/test_certificate.py and others start it.
    """
    from tltk.serving import certificate
    from tltk.serving.replay import replay

    def run(command, **_):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            replay.main(*command[3:])
        result = {**json.loads(printed.getvalue()), "imported": []}
        return subprocess.CompletedProcess(command, 0, json.dumps(result), "")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "subprocess", SimpleNamespace(run=run))
        patch.setenv("TF_USE_LEGACY_KERAS", "")  # restored afterwards: the replay sets it for its own process
        yield


@pytest.fixture
def replay_here():
    """Replay the certificates of a test's exports in this process, see `replaying_here`."""
    with replaying_here():
        yield


@pytest.fixture
def restored_registries(monkeypatch):
    """Restore all registries after the test, so that it can register what it likes."""
    from tltk.backbones.catalog import CATALOG
    from tltk.data.formats.registry import FORMATS
    from tltk.data.targets import TARGETS
    from tltk.modalities.augmentation import AUGMENTATIONS
    from tltk.modalities.modality import MODALITIES
    from tltk.tasks.registry import DEFAULTS, TASKS

    for registry in (CATALOG, TASKS, DEFAULTS, MODALITIES, AUGMENTATIONS, TARGETS, FORMATS):
        list(registry)  # load the built-in values first: they are registered only once
        monkeypatch.setattr(registry, "_values", dict(registry._values))


@contextmanager
def listening():
    """Handle SIGINT as KeyboardInterrupt, even in a background job of a shell, which ignores it by default."""
    previous_handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous_handler)


def conv_net(*, size: int = 16, dropout: float = 0.0, channels: int = 3) -> keras.Model:
    """Build a functional model with batch norm and three resolutions: stem (16 px), conv2 (8 px), conv3 (4 px)."""
    x = pixels = keras.Input((size, size, channels), name="pixels")
    for index, (name, filters) in enumerate((("stem", 4), ("conv2", 8), ("conv3", 8))):
        x = keras.layers.Conv2D(filters, 3, strides=1 if index == 0 else 2, padding="same", name=f"{name}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
        if dropout:
            x = keras.layers.Dropout(dropout, seed=index, name=f"{name}_drop")(x)
    return keras.Model(pixels, x, name="conv_net")


STAGES = {"stem": "stem_relu", "conv2": "conv2_relu", "conv3": "conv3_relu"}


def coloured_squares(count: int, *, classes: int = 3, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images whose class is the brightest channel: uint8 [n, size, size, 3] and int32 [n]."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % classes
    x = generator.integers(0, 120, (count, size, size, 3))
    x[np.arange(count), :, :, y] += 100
    return x.astype("uint8"), y.astype("int32")


def squares_model(*, head=None, dropout: float = 0.0, precision: str = "float32", classes: int = 3):
    """Build a small classifier of coloured squares, with stages stem, conv2, conv3, head."""
    import tltk
    from tltk.specs import LabelSpec

    backbone = tltk.backbone(conv_net(dropout=dropout), stages=STAGES)
    task = tltk.classification(LabelSpec(("red", "green", "blue")[:classes]), head=head)
    return tltk.assemble(backbone, task, precision=precision)


def squares(count: int = 24, seed: int = 0):
    """Build a source of coloured squares."""
    import tltk

    x, y = coloured_squares(count, seed=seed)
    return tltk.from_arrays(x, y, labels=("red", "green", "blue"))


def weights_as_bytes(model: keras.Model, *names: str) -> dict[str, bytes]:
    """Return the weights, statistics included, of the layers whose names contain one of `names`, as bytes."""
    weights = {}
    for layer in model.layers:
        if any(name in layer.name for name in names):
            for index, weight in enumerate(layer.get_weights()):
                weights[f"{layer.name}/{index}"] = weight.tobytes()
    return weights


def transformer(*, blocks: int = 2, dim: int = 16, heads: int = 2, words: int = 30, length: int = 6) -> keras.Model:
    """Build a functional transformer of Keras layers: embedding, blocks of attention and feed-forward, head."""
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(words, dim, name="embedding")(tokens)
    for number in range(1, blocks + 1):
        name = f"block{number}"
        normed = keras.layers.LayerNormalization(name=f"{name}_norm1")(x)
        attended = keras.layers.MultiHeadAttention(heads, dim // heads, name=f"{name}_attention")(normed, normed)
        x = keras.layers.Add(name=f"{name}_skip1")([x, attended])
        hidden = keras.layers.LayerNormalization(name=f"{name}_norm2")(x)
        hidden = keras.layers.Dense(2 * dim, activation="gelu", name=f"{name}_up")(hidden)
        hidden = keras.layers.EinsumDense("abc,cd->abd", (None, dim), bias_axes="d", name=f"{name}_down")(hidden)
        x = keras.layers.Add(name=f"{name}_skip2")([x, hidden])
    x = keras.layers.GlobalAveragePooling1D(name="head_pool")(x)
    return keras.Model(tokens, keras.layers.Dense(3, dtype="float32", name="head_output")(x), name="transformer")


class WithStages:
    """A model and its stages, as returned by `assemble`; the stage of a layer is its name up to the first "_"."""

    def __init__(self, model: keras.Model):
        self.keras = model
        self.stages = {layer.name: layer.name.split("_")[0] for layer in model.layers}
