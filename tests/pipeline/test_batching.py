import keras
import numpy as np
import pytest

import tltk
from tests.texts import text_model, texts, tiny_preset
from tltk.modalities.batches import batches
from tltk.pipeline.batching import Budget, Order, epoch_size, examples_per_batch, parse_batch_size
from tltk.specs import ImageSpec

LENGTHS = np.random.default_rng(0).integers(3, 40, 300)


def batch_rows(batch_size, seed=None, lengths=LENGTHS, count=None):
    count = len(lengths) if count is None else count
    return [rows for _, rows in Order(batch_size, seed).batches(count, lengths)]


def test_a_batch_size_is_a_number_or_a_budget():
    assert parse_batch_size(8) == 8 and type(parse_batch_size(np.int64(8))) is int
    assert parse_batch_size("512 tokens") == parse_batch_size(Budget(512)) == Budget(512)
    for batch_size in (0, -1, 2.0, True, "512", "0 tokens", "many tokens", None):
        with pytest.raises(ValueError, match=r"`batch_size` must be a whole number above 0, or for texts a budget"):
            parse_batch_size(batch_size)


@pytest.mark.parametrize("seed", [None, 1])
def test_no_batch_exceeds_a_budget_and_every_example_occurs_once(seed):
    rows = batch_rows(Budget(200), seed)
    assert sorted(np.concatenate(rows).tolist()) == list(range(300))
    assert all(len(batch) * LENGTHS[batch].max() <= 200 for batch in rows)
    assert len({len(batch) for batch in rows}) > 2
    assert epoch_size(300, Order(Budget(200), seed), LENGTHS).batches == pytest.approx(len(rows), abs=2)


def test_shuffled_batches_of_a_budget_have_little_padding_and_depend_on_the_seed():
    rows = batch_rows(Budget(400), 1)
    padded_size = sum(len(batch) * LENGTHS[batch].max() for batch in rows)
    assert sum(LENGTHS[batch].sum() for batch in rows) / padded_size > 0.9
    first, again, other = (np.concatenate(batch_rows(Budget(400), seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_text_longer_than_the_budget_is_a_batch_by_itself():
    lengths = np.array([4, 50, 4, 4])
    assert [batch.tolist() for batch in batch_rows(Budget(10), lengths=lengths)] == [[0], [1], [2, 3]]


def test_the_number_of_examples_of_one_length_in_a_budget():
    assert [examples_per_batch(Budget(100), length) for length in (10, 33, 200)] == [10, 3, 1]
    assert examples_per_batch(7, 33) == 7


def test_a_budget_for_images_raises():
    images = tltk.from_arrays(np.zeros((4, 8, 8, 3), "uint8"), [0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"needs examples that differ in length, .* Received: '64 tokens'"):
        batches(images, ImageSpec(8, 8), batch_size="64 tokens")


def test_a_text_model_trains_with_a_budget_with_and_without_a_cache(tmp_path):
    weights, folder = {}, tiny_preset(tmp_path / "preset")
    head = tltk.head(zero_init=False, normalization=None)  # gradients larger than rounding errors
    before = text_model(folder, head=head).keras.get_weights()
    for cache in ("off", "memory"):
        keras.utils.set_random_seed(0)
        model = text_model(folder, head=head)
        recipe = tltk.bert(epochs=2, top_blocks=1, learning_rate=1e-3)
        run = tltk.fit(model, texts(4), recipe=recipe, batch_size="60 tokens", cache=cache)
        weights[cache] = model.keras.get_weights()
        assert run.config["batch_size"] == "60 tokens"
    assert any(not np.array_equal(old, new) for old, new in zip(before, weights["off"], strict=True))
    for uncached, cached in zip(weights["off"], weights["memory"], strict=True):
        np.testing.assert_allclose(uncached, cached, atol=1e-5)


def test_a_budget_includes_padding(tmp_path):
    spec = tltk.backbone(str(tiny_preset(tmp_path / "preset"))).input_spec
    source = tltk.from_arrays(["good " * 15] * 40)  # 17 tokens, padded to 20
    for shuffle in (False, True):
        loader = batches(source, spec, batch_size="64 tokens", shuffle=shuffle)
        assert all(ids.shape[0] * ids.shape[1] <= 64 for ids in loader.dataset())


def test_batches_of_one_text_with_a_batch_norm_raise_before_training(tmp_path):
    folder = tiny_preset(tmp_path / "preset")
    source = tltk.from_arrays(["good film", "bad book " * 8] * 4, ["good", "bad"] * 4, labels=("bad", "good"))
    recipe = tltk.bert(epochs=1, warmup=0)
    with pytest.raises(ValueError, match=r"must be at least '40 tokens'.* Received: '36 tokens'"):
        tltk.fit(text_model(folder), source, recipe=recipe, batch_size="36 tokens")
    with pytest.raises(ValueError, match="`batch_size` must be at least 2: the batch norm of the head outputs zeros"):
        tltk.fit(text_model(folder), source, recipe=recipe, batch_size=1)
    with_layer_norm = text_model(folder, head=tltk.head(normalization="layer"))
    assert tltk.fit(with_layer_norm, source, recipe=recipe, batch_size="36 tokens").history


@pytest.mark.parametrize(("count", "size"), [(33, 32), (9, 4), (3, 2)])
def test_a_shuffled_final_batch_of_one_example_gets_another_one_if_possible(count, size):
    sizes = [len(rows) for rows in batch_rows(size, seed=0, lengths=None, count=count)]
    assert sum(sizes) == count
    assert sizes[-1] == (1 if size == 2 else 2)
    assert len(batch_rows(size, lengths=None, count=count)[-1]) == 1  # unchanged without shuffling


def test_avoiding_a_final_batch_of_one_example_does_not_exceed_a_budget():
    for seed in range(20):
        lengths = np.random.default_rng(seed).integers(1, 9, 30)
        for rows in batch_rows(parse_batch_size("16 tokens"), seed=seed, lengths=lengths, count=30):
            assert len(rows) * lengths[rows].max() <= 16
