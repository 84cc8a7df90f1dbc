import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.conftest import WithStages, transformer
from tltk.errors import InvalidInput
from tltk.trainability.apply import apply_plan
from tltk.trainability.lora import file as lora_file
from tltk.trainability.plan import Plan, Rule, lora

TOKENS = np.random.default_rng(0).integers(0, 30, (5, 6))
PLAN = lora(2, target="query,value,*_up")


def backbone_like(model, seed=1):
    """The same backbone with a fresh head, as somebody who loads the file has it."""
    keras.utils.set_random_seed(seed)
    fresh = WithStages(keras.models.clone_model(model.keras))
    for layer in fresh.keras.layers:
        if not layer.name.startswith("head"):
            layer.set_weights(model.keras.get_layer(layer.name).get_weights())
    return fresh


def trained(model, plan=PLAN):
    with apply_plan(plan, model) as effect:
        model.keras.compile(keras.optimizers.Adam(0.03), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        model.keras.fit(TOKENS, np.arange(5) % 3, epochs=2, verbose=0)
    return effect.lora_weights


def saved(folder, plan=PLAN, **size):
    model = WithStages(transformer(**size))
    fresh = backbone_like(model)
    before = np.array(model.keras(TOKENS))
    lora_weights = trained(model, plan)
    assert np.abs(np.array(model.keras(TOKENS)) - before).max() > 0.01
    lora_file.save(folder / "lora.npz", model, plan, lora_weights)
    return model, fresh, folder / "lora.npz", lora_weights


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """Return what `saved` returns, for tests that change nothing of it."""
    return saved(tmp_path_factory.mktemp("lora"))


@pytest.fixture
def copied(trained_once, tmp_path):
    """Return the trained model, another one with its backbone to load into, a file, and the weights in it."""
    model, fresh, path, lora_weights = trained_once
    return model, backbone_like(fresh), Path(shutil.copy(path, tmp_path)), lora_weights


def test_loading_a_file_restores_the_outputs_on_the_same_backbone(copied):
    model, fresh, path, _ = copied
    assert np.abs(np.array(fresh.keras(TOKENS)) - np.array(model.keras(TOKENS))).max() > 0.01
    assert lora_file.load(path, fresh) == PLAN
    np.testing.assert_allclose(fresh.keras(TOKENS), model.keras(TOKENS), atol=1e-5)


def test_layers_trained_in_full_are_saved_too(tmp_path):
    plan = Plan((Rule("head", "train"), Rule("block2", "bias"), Rule("*", "lora", rank=2, target="query")))
    model, fresh, path, _ = saved(tmp_path, plan)
    lora_file.load(path, fresh)
    np.testing.assert_allclose(fresh.keras(TOKENS), model.keras(TOKENS), atol=1e-5)


def test_the_statistics_of_the_heads_batch_norm_are_in_the_file(tmp_path):
    def network():
        x = keras.Input((8,))
        body = keras.layers.Dense(8, name="body_dense")(x)
        return WithStages(keras.Model(x, keras.layers.BatchNormalization(name="head_norm")(body)))

    model, fresh = network(), network()
    fresh.keras.set_weights(model.keras.get_weights())
    with apply_plan(lora(1), model) as effect:
        model.keras.compile("sgd", "mse")
        model.keras.fit(np.ones((4, 8)), np.zeros((4, 8)), verbose=0)
    lora_file.save(tmp_path / "a.npz", model, lora(1), effect.lora_weights)
    lora_file.load(tmp_path / "a.npz", fresh)
    for a, b in zip(fresh.keras.get_weights(), model.keras.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_file_is_a_tenth_of_the_model(tmp_path):
    model, _, path, _ = saved(tmp_path, lora(8, target="query,value"), blocks=2, dim=256, heads=4, words=2000)
    model.keras.save(tmp_path / "model.keras")
    weights = sum(np.array(weight).nbytes for weight in model.keras.weights)
    assert path.stat().st_size < weights / 10
    assert path.stat().st_size < (tmp_path / "model.keras").stat().st_size / 10


def test_the_file_is_readable_with_numpy_and_contains_the_plan(trained_once):
    _, _, path, lora_weights = trained_once
    with np.load(path, allow_pickle=False) as stored:
        about = json.loads(stored["about"].tobytes())
        assert stored["block1_attention:query|a"].shape == (16, 2, 2)
    assert about["plan"]["rules"][1]["target"] == "query,value,*_up"
    assert {len(kernel["base"]) for kernel in about["kernels"].values()} == {64}
    assert set(about["kernels"]) == set(lora_weights)


def test_loading_into_another_backbone_is_an_error_and_changes_nothing(copied):
    _, fresh, path, _ = copied
    kernel = fresh.keras.get_layer("block2_up").kernel
    kernel.assign(kernel + 1e-3)
    before = [weight.tobytes() for weight in fresh.keras.get_weights()]
    with pytest.raises(ValueError, match=r"(?s)another model:.*the kernel of block2_up:block2_up has other values"):
        lora_file.load(path, fresh)
    assert [weight.tobytes() for weight in fresh.keras.get_weights()] == before
    with pytest.raises(
        ValueError, match=r"block2_up:block2_up has the shape \(8, 16\) in the model and \(16, 32\) in the file"
    ):
        lora_file.load(path, WithStages(transformer(dim=8)))
    with pytest.raises(ValueError, match=r"the model has no block2_attention:query"):
        lora_file.load(path, WithStages(transformer(blocks=1)))


def test_loading_twice_is_an_error(copied):
    _, fresh, path, _ = copied
    lora_file.load(path, fresh)
    with pytest.raises(ValueError, match="has other values than the one LoRA was trained on"):
        lora_file.load(path, fresh)


def test_a_head_of_another_size_is_an_error(trained_once):
    model, _, path, _ = trained_once
    x = model.keras.get_layer("head_pool").output
    other_head = WithStages(keras.Model(model.keras.input, keras.layers.Dense(7, name="head_output")(x)))
    with pytest.raises(
        ValueError, match=r"head_output:0 has the shape \(16, 7\) in the model and \(16, 3\) in the file"
    ):
        lora_file.load(path, other_head)


def test_saving_weights_that_do_not_match_the_model_is_an_error(tmp_path):
    model = WithStages(transformer())
    start = model.keras.get_weights()
    lora_weights = trained(model)
    model.keras.set_weights(start)
    with pytest.raises(ValueError, match="has changed since LoRA was merged"):
        lora_file.save(tmp_path / "a.npz", model, PLAN, lora_weights)
    with pytest.raises(ValueError, match="`lora_weights` is empty"):
        lora_file.save(tmp_path / "a.npz", model, PLAN, {})
    with pytest.raises(ValueError, match=r"`path` must end with '.npz'"):
        lora_file.save(tmp_path / "a.safetensors", model, PLAN, lora_weights)
    assert not list(tmp_path.iterdir())


def test_missing_damaged_and_outdated_files_are_errors(copied, tmp_path):
    _, fresh, path, _ = copied
    whole = path.read_bytes()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        lora_file.load(tmp_path / "no.npz", fresh)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="is damaged"):
        lora_file.load(path, fresh)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged"):
        lora_file.load(path, fresh)
    np.savez(path, about=np.frombuffer(b'{"format": 9}', dtype="uint8"))
    with pytest.raises(ValueError, match="has format 9; this version reads 2"):
        lora_file.load(path, fresh)
    np.savez(path, other=np.ones(3))
    with pytest.raises(ValueError, match="is damaged, or not a file of LoRA weights"):
        lora_file.load(path, fresh)


def test_automatic_layer_names_do_not_matter(tmp_path):
    class Block(keras.layers.Layer):
        def build(self, shape):
            self.one, self.two = keras.layers.Dense(shape[-1]), keras.layers.Dense(shape[-1])
            self.one.build(shape)
            self.two.build(shape)

        def call(self, x):
            return self.two(keras.ops.tanh(self.one(x)))

    def network():
        x = keras.Input((8,))
        return keras.Model(x, keras.layers.Dense(2, name="top")(Block(name="block")(x)))

    plan = Plan((Rule("top", "train"), Rule("block", "lora", rank=1)))
    model, fresh = network(), network()
    assert model.get_layer("block").one.name != fresh.get_layer("block").one.name
    fresh.set_weights(model.get_weights())
    with apply_plan(plan, model) as effect:
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(np.ones((4, 8)), np.ones((4, 2)), epochs=2, verbose=0)
    lora_file.save(tmp_path / "a.npz", model, plan, effect.lora_weights)
    lora_file.load(tmp_path / "a.npz", fresh)
    np.testing.assert_allclose(fresh(np.ones((1, 8))), model(np.ones((1, 8))), atol=1e-5)


def rewritten(path, edit):
    """Change the arrays of a file; the checksums of the archive fit."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    about = json.loads(arrays["about"].tobytes())
    edit(about, arrays)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), "uint8")
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "edit",
    [
        lambda about, arrays: about["plan"].update(rules=3),
        lambda about, arrays: about["plan"]["rules"][0].update(no_option=1),
        lambda about, arrays: about["kernels"]["block1_up:block1_up"].pop("scale"),
        lambda about, arrays: about.update(kernels=[]),
        lambda about, arrays: arrays.pop("block1_up:block1_up|a"),
        lambda about, arrays: arrays.update({"block1_up:block1_up|b": np.array(["x"])}),
        lambda about, arrays: arrays.update({"head_output:0|weight": np.array(["x"])}),
    ],
)
def test_wrong_entries_are_an_error_and_change_nothing(copied, edit):
    _, fresh, path, _ = copied
    rewritten(path, edit)
    before = [weight.tobytes() for weight in fresh.keras.get_weights()]
    with pytest.raises(InvalidInput, match=r"lora.npz is damaged, or not a file of LoRA weights"):
        lora_file.load(path, fresh)
    assert [weight.tobytes() for weight in fresh.keras.get_weights()] == before


def test_an_array_that_is_a_pickle_is_an_error_and_runs_nothing(copied, tmp_path):
    _, fresh, path, _ = copied

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    arrays = {"about": np.array([Evil()], object)}
    np.savez(path, allow_pickle=True, **arrays)
    with pytest.raises(InvalidInput, match=r"lora.npz is damaged.*allow_pickle=False"):
        lora_file.load(path, fresh)
    assert not (tmp_path / "ran").exists()
