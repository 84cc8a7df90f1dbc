import keras
import numpy as np
import pytest

import tltk
from tests.texts import text_model, texts, tiny_preset
from tltk.modalities.batches import batches
from tltk.pipeline.batching import Budget, Order, count_batches, examples_a_step, size_of
from tltk.specs import ImageSpec

LENGTHS = np.random.default_rng(0).integers(3, 40, 300)


def grouped(batch_size, seed=None, lengths=LENGTHS, count=None):
    count = len(lengths) if count is None else count
    return [rows for _, rows in Order(batch_size, seed).batches(count, lengths)]


def test_a_number_and_a_budget_are_read_and_nothing_else():
    assert size_of(8) == 8
    assert size_of("512 tokens") == size_of(Budget(512)) == Budget(512)
    for wrong in (0, -1, 2.0, True, "512", "0 tokens", "many tokens", None):
        with pytest.raises(ValueError, match=r"`batch_size` must be a whole number above 0, or for texts a budget"):
            size_of(wrong)


@pytest.mark.parametrize("seed", [None, 1])
def test_by_a_budget_no_batch_holds_more_and_every_example_comes_once(seed):
    found = grouped(Budget(200), seed)
    assert sorted(np.concatenate(found).tolist()) == list(range(300))
    assert all(len(batch) * LENGTHS[batch].max() <= 200 for batch in found)
    assert len({len(batch) for batch in found}) > 2
    assert count_batches(300, Order(Budget(200), seed), LENGTHS) == pytest.approx(len(found), abs=2)


def test_a_shuffled_budget_leaves_little_room_and_is_another_each_epoch():
    found = grouped(Budget(400), 1)
    used = sum(LENGTHS[batch].sum() for batch in found) / sum(len(batch) * LENGTHS[batch].max() for batch in found)
    assert used > 0.9
    first, again, other = (np.concatenate(grouped(Budget(400), seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_text_longer_than_the_budget_is_a_batch_of_its_own():
    lengths = np.array([4, 50, 4, 4])
    assert [batch.tolist() for batch in grouped(Budget(10), lengths=lengths)] == [[0], [1], [2, 3]]


def test_examples_of_one_width_fill_a_budget():
    assert [examples_a_step(Budget(100), width) for width in (10, 33, 200)] == [10, 3, 1]
    assert examples_a_step(7, 33) == 7


def test_pictures_have_no_tokens():
    pictures = tltk.from_arrays(np.zeros((4, 8, 8, 3), "uint8"), [0, 1, 0, 1])
    with pytest.raises(ValueError, match="a budget of tokens needs examples that have a length"):
        batches(pictures, ImageSpec(8, 8), batch_size="64 tokens")


def test_a_model_of_texts_trains_by_a_budget_with_and_without_a_cache(tmp_path):
    found, folder = {}, tiny_preset(tmp_path / "preset")
    head = tltk.head(zero_init=False, normalization=None)  # with gradients that are more than rounding
    before = text_model(folder, head=head).keras.get_weights()
    for cache in ("off", "memory"):
        keras.utils.set_random_seed(0)
        model = text_model(folder, head=head)
        recipe = tltk.bert(epochs=2, blocks=1, learning_rate=1e-3)
        run = tltk.fit(model, texts(4), recipe=recipe, batch_size="60 tokens", cache=cache)
        found[cache] = model.keras.get_weights()
        assert run.config["batch_size"] == "60 tokens"
    assert any(not np.array_equal(one, other) for one, other in zip(before, found["off"], strict=True))
    for one, other in zip(found["off"], found["memory"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_budget_holds_the_padding_too(tmp_path):
    spec = tltk.backbone(str(tiny_preset(tmp_path / "preset"))).input
    source = tltk.from_arrays(["good " * 15] * 40)  # 17 tokens, padded to 20
    for shuffle in (False, True):
        made = batches(source, spec, batch_size="64 tokens", shuffle=shuffle)
        assert all(ids.shape[0] * ids.shape[1] <= 64 for ids in made.dataset())


def test_a_text_that_would_stand_alone_under_a_batch_norm_is_told_before_training(tmp_path):
    folder = tiny_preset(tmp_path / "preset")
    source = tltk.from_arrays(["good film", "bad book " * 8] * 4, ["good", "bad"] * 4, labels=("bad", "good"))
    recipe = tltk.bert(epochs=1, warmup=0)
    with pytest.raises(ValueError, match=r"examples of more than 18 tokens alone .* at least '40 tokens'"):
        tltk.fit(text_model(folder), source, recipe=recipe, batch_size="36 tokens")
    with pytest.raises(ValueError, match="`batch_size` must be at least 2: the batch norm of the head outputs zeros"):
        tltk.fit(text_model(folder), source, recipe=recipe, batch_size=1)
    other = text_model(folder, head=tltk.head(normalization="layer"))
    assert tltk.fit(other, source, recipe=recipe, batch_size="36 tokens").history


@pytest.mark.parametrize(("count", "size"), [(33, 32), (9, 4), (3, 2)])
def test_a_last_example_is_not_alone_where_another_can_be_spared(count, size):
    found = [len(held) for held in grouped(size, seed=0, lengths=None, count=count)]
    assert sum(found) == count
    assert found[-1] == (1 if size == 2 else 2)
    assert [len(held) for held in grouped(size, lengths=None, count=count)][-1] == 1  # in order, nothing is changed


def test_company_does_not_exceed_a_budget():
    for seed in range(20):
        lengths = np.random.default_rng(seed).integers(1, 9, 30)
        for held in grouped(size_of("16 tokens"), seed=seed, lengths=lengths, count=30):
            assert len(held) * lengths[held].max() <= 16
