import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.texts import text_model, texts, tiny_preset
from tltk.recipes import few_shot
from tltk.training.contrastive import ContrastiveLoss, phase_model


def unit(generator, count, channels):
    made = generator.normal(size=(count, channels))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype("float32")


def test_the_loss_is_that_of_the_paper_written_out():
    generator = np.random.default_rng(0)
    features, classes = unit(generator, 7, 5), np.array([0, 0, 1, 1, 1, 2, 0])
    terms = []
    for i in range(7):
        others = [a for a in range(7) if a != i]
        same = [p for p in others if classes[p] == classes[i]]
        if not same:
            continue
        total = sum(np.exp(features[i] @ features[a] / 0.2) for a in others)
        terms.append(-np.mean([np.log(np.exp(features[i] @ features[p] / 0.2) / total) for p in same]))
    found = ContrastiveLoss(0.2)(np.eye(3)[classes], features)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-5)
    again = keras.losses.get(keras.losses.serialize(ContrastiveLoss(0.2)))
    assert again.temperature == 0.2


def test_a_batch_without_a_pair_asks_for_nothing():
    features = unit(np.random.default_rng(0), 3, 4)
    assert float(ContrastiveLoss(0.1)(np.eye(3), features)) == 0


def test_the_view_shares_the_layers_and_leaves_the_head_out(tmp_path):
    model = text_model(tiny_preset(tmp_path / "preset"))
    contrastive, probe = few_shot().phases
    assert phase_model(model, probe) is model
    view = phase_model(model, contrastive)
    assert view.keras.output_shape == (None, 16)
    assert not [layer for layer in view.keras.layers if layer.name == "head_output"]
    assert {layer for layer in view.keras.layers if layer.weights} < set(model.keras.layers)
    lengths = np.linalg.norm(view.keras.predict(np.array([[2, 5, 3, 0], [2, 6, 7, 3]]), verbose=0), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_texts_of_one_class_move_together_and_the_head_follows(tmp_path):
    source = texts(4)
    model = text_model(tiny_preset(tmp_path / "preset"))

    def spread():
        features = tltk.embed(model, source).values
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        same = source.targets.values[:, None] == source.targets.values
        return (features @ features.T)[same].mean() - (features @ features.T)[~same].mean()

    before, head = spread(), model.keras.get_layer("head_output").get_weights()
    run = tltk.fit(model, source, recipe=few_shot(epochs=30, probe_epochs=10, learning_rate=1e-2), batch_size=12)
    assert spread() > before + 0.2
    assert [phase.name for phase in run.phases] == ["contrastive", "probe"]
    assert not np.array_equal(head[0], model.keras.get_layer("head_output").get_weights()[0])
    assert tltk.evaluate(model, source).metrics["accuracy"] == 1


def test_with_validation_the_scores_of_the_two_phases_are_not_compared(tmp_path):
    model = text_model(tiny_preset(tmp_path / "preset"))
    recipe = few_shot(epochs=2, probe_epochs=2, learning_rate=1e-3)
    run = tltk.fit(model, texts(2), texts(1), recipe=recipe, batch_size=12, out=tmp_path / "run")
    assert [phase.kept for phase in run.phases] == [True, True]
    assert {"val_loss", "val_accuracy"} <= set(run.history[-1])
    assert tltk.load_run(tmp_path / "run").config["recipe"]["phases"][0]["contrastive_temperature"] == 0.1


def test_it_works_on_images_and_refuses_numbers():
    model = squares_model()
    tltk.fit(model, squares(), recipe=few_shot(epochs=2, probe_epochs=1, learning_rate=1e-3), batch_size=12)
    x = np.zeros((4, 16, 16, 3), "uint8")
    numbers = tltk.from_arrays(x, [1.0, 2.0, 3.0, 4.0], label_type="regression")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(numbers.labels))
    with pytest.raises(ValueError, match="a contrastive phase needs classes; the labels are of type 'regression'"):
        tltk.fit(model, numbers, recipe=few_shot())
