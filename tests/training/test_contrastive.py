import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.texts import text_model, texts, tiny_preset
from tltk.recipes import few_shot
from tltk.training.contrastive import ContrastiveLoss, phase_model


def unit_vectors(generator, count, channels):
    vectors = generator.normal(size=(count, channels))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("float32")


def test_the_loss_agrees_with_the_equation_of_the_paper():
    generator = np.random.default_rng(0)
    features, classes = unit_vectors(generator, 7, 5), np.array([0, 0, 1, 1, 1, 2, 0])
    terms = []
    for i in range(7):
        others = [a for a in range(7) if a != i]
        same = [p for p in others if classes[p] == classes[i]]
        if not same:
            continue
        total = sum(np.exp(features[i] @ features[a] / 0.2) for a in others)
        terms.append(-np.mean([np.log(np.exp(features[i] @ features[p] / 0.2) / total) for p in same]))
    loss = ContrastiveLoss(0.2)(np.eye(3)[classes], features)
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)
    restored = keras.losses.get(keras.losses.serialize(ContrastiveLoss(0.2)))
    assert restored.temperature == 0.2


def test_the_loss_of_a_batch_without_pairs_is_zero():
    features = unit_vectors(np.random.default_rng(0), 3, 4)
    assert float(ContrastiveLoss(0.1)(np.eye(3), features)) == 0


def test_a_contrastive_phase_trains_the_shared_backbone_without_the_head(tmp_path):
    model = text_model(tiny_preset(tmp_path / "preset"))
    contrastive, probe = few_shot().phases
    assert phase_model(model, probe) is model
    backbone = phase_model(model, contrastive)
    assert backbone.keras.output_shape == (None, 16)
    assert not [layer for layer in backbone.keras.layers if layer.name == "head_output"]
    assert {layer for layer in backbone.keras.layers if layer.weights} < set(model.keras.layers)
    lengths = np.linalg.norm(backbone.keras.predict(np.array([[2, 5, 3, 0], [2, 6, 7, 3]]), verbose=0), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)


def test_few_shot_moves_texts_of_one_class_together_and_then_trains_the_head(tmp_path):
    source = texts(4)
    model = text_model(tiny_preset(tmp_path / "preset"))

    def separation():
        features = tltk.embed(model, source).features
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        same = source.targets.values[:, None] == source.targets.values
        return (features @ features.T)[same].mean() - (features @ features.T)[~same].mean()

    before, head = separation(), model.keras.get_layer("head_output").get_weights()
    run = tltk.fit(model, source, recipe=few_shot(epochs=30, probe_epochs=10, learning_rate=1e-2), batch_size=12)
    assert separation() > before + 0.2
    assert [phase.name for phase in run.phases] == ["contrastive", "probe"]
    assert not np.array_equal(head[0], model.keras.get_layer("head_output").get_weights()[0])
    assert tltk.evaluate(model, source).metrics["accuracy"] == 1


def test_scores_of_a_contrastive_phase_and_a_probe_are_not_compared(tmp_path):
    model = text_model(tiny_preset(tmp_path / "preset"))
    recipe = few_shot(epochs=2, probe_epochs=2, learning_rate=1e-3)
    run = tltk.fit(model, texts(2), texts(1), recipe=recipe, batch_size=12, out=tmp_path / "run")
    assert [phase.kept for phase in run.phases] == [True, True]
    assert {"val_loss", "val_accuracy"} <= set(run.history[-1])
    assert tltk.load_run(tmp_path / "run").config["recipe"]["phases"][0]["contrastive_temperature"] == 0.1


def test_few_shot_accepts_images_and_rejects_regression_labels():
    model = squares_model()
    tltk.fit(model, squares(), recipe=few_shot(epochs=2, probe_epochs=1, learning_rate=1e-3), batch_size=12)
    x = np.zeros((4, 16, 16, 3), "uint8")
    numbers = tltk.from_arrays(x, [1.0, 2.0, 3.0, 4.0], label_type="regression")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.regression(numbers.labels))
    with pytest.raises(ValueError, match=r"requires class labels. Received: labels of type 'regression'"):
        tltk.fit(model, numbers, recipe=few_shot())
