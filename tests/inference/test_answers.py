import numpy as np

import tltk
from tests.conftest import squares, squares_model
from tests.texts import text_model, texts, tiny_preset
from tltk.inference.answers import _whole_examples, answers


def collected(model, data, **options):
    invalid = []
    how = {"batch_size": 3, "max_invalid_fraction": 1.0, "title": "asking", **options}
    parts = list(answers(model, data, invalid=invalid, **how))
    return [example_id for part in parts for example_id in part.ids], parts, invalid


def test_images_are_answered_batch_by_batch_in_their_order():
    model, source = squares_model(head=tltk.head(zero_init=False)), squares(8)
    ids, parts, invalid = collected(model, source)
    assert ids == [source.id_of(row) for row in range(8)] and invalid == []
    assert [len(part.ids) for part in parts] == [3, 3, 2]
    assert np.concatenate([part.targets for part in parts]).tolist() == source.targets.tolist()


def test_texts_of_any_length_come_back_in_the_order_of_the_source(tmp_path):
    model = text_model(tiny_preset(tmp_path / "tiny"), head=tltk.head(zero_init=False))
    source = texts(5)
    ids, parts, _ = collected(model, source)
    assert ids == [source.id_of(row) for row in range(len(source))]
    each_alone = [tltk.predict(model, [text])[0][0].probability for text in source.examples]
    together = np.concatenate([part.decoded["probability"] for part in parts])
    np.testing.assert_allclose(together, each_alone, atol=1e-6)


def test_whole_examples_are_decoded_together_and_gaps_part_them():
    owners = np.array([0, 0, 1, 3, 3, 4])
    found = [(part.tolist(), rows.tolist()) for part, rows in _whole_examples(owners, np.array([0, 1, 3, 4]))]
    assert found == [([0, 1], [0, 1, 2]), ([3, 4], [3, 4, 5])]
    long = np.repeat([0, 1, 2], [300, 200, 100])
    assert [part.tolist() for part, _ in _whole_examples(long, np.arange(3))] == [[0], [1], [2]]
