"""An export is judged by its answers, however near its probabilities are to those of the model."""

import numpy as np
import pytest

import tltk
from tests.conftest import conv_net, squares, squares_model
from tltk.serving import formats
from tltk.serving.answers import require_same_answers
from tltk.serving.certificate import Answers
from tltk.serving.replay import runtimes


@pytest.fixture(scope="module")
def trained():
    """A model of coloured squares with an accuracy above 0.9."""
    return tltk.fit(squares_model(), squares(60), recipe=tltk.linear_probe(epochs=20, learning_rate=0.1)).model


@pytest.fixture(scope="module")
def nearly_uniform(trained):
    """The same model with logits near 0: all labels are right, and all probabilities within 0.001 of 1/3."""
    model = squares_model()
    model.keras.set_weights(trained.keras.get_weights())
    output = model.keras.get_layer("head_output")
    output.set_weights([weight / 10_000 for weight in output.get_weights()])
    return model


def test_answers_and_scores_of_calibration_examples_are_stored_with_the_export(trained, tmp_path):
    exported = tltk.export(trained, tmp_path / "x", format="litert_int8", calibration=squares(60))
    stored = exported.answers
    assert tltk.verify(tmp_path / "x", measure_latency=False).answers == stored
    assert (stored.examples, stored.max_changed, stored.metric) == (60, 0.05, "accuracy")
    assert stored.model_score == tltk.evaluate(trained, squares(60)).metrics["accuracy"] > 0.9
    assert stored.score >= stored.model_score - 0.017 and stored.changed <= 0.05
    assert "of 60 answers changed" in stored.describe() and f"accuracy {stored.model_score:.4g}" in stored.describe()


def test_without_calibration_examples_are_generated(trained, tmp_path):
    exported = tltk.export(trained, tmp_path / "x", format="litert")
    assert exported.answers == Answers(24, 0.0, 0.0)


def test_labels_that_change_are_refused_although_probabilities_are_nearly_uniform(nearly_uniform, tmp_path):
    data = squares(60)
    assert tltk.evaluate(nearly_uniform, data).metrics["accuracy"] == 1
    with pytest.raises(
        tltk.errors.ServingError, match=r"40 of 60 answers changed .*accuracy 1 before and 0\.3333 after"
    ):
        tltk.export(nearly_uniform, tmp_path / "x", format="litert_int8", calibration=data)
    assert not list((tmp_path / "x").iterdir())
    assert tltk.export(nearly_uniform, tmp_path / "x", format="litert", calibration=data).answers.changed == 0


def test_a_user_can_accept_changed_answers(nearly_uniform, tmp_path):
    exported = tltk.export(
        nearly_uniform, tmp_path / "x", format="litert_int8", calibration=squares(60), max_changed=0.7
    )
    assert exported.answers.changed > 0.6 and exported.answers.max_changed == 0.7


def test_one_changed_label_is_refused_in_float32(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(runtimes, "load", lambda file: one_changed(trained, file))
    with pytest.raises(tltk.errors.ServingError, match=r"1 of 60 answers changed .*at most 0\.0% may change"):
        tltk.export(trained, tmp_path / "x", format="litert", calibration=squares(60))


def one_changed(model, file):
    """Run a model, and change the first answer of its second call: the first one tries whether the file can be run."""
    calls = []

    def run(tensor):
        outputs = model.keras(tensor, training=False).numpy()
        if len(calls) == 1:
            outputs[0] = np.roll(outputs[0], 1)
        calls.append(file)
        return model.task.named_outputs(outputs)

    return run


def test_values_of_regression_are_compared_with_their_spread(tmp_path, monkeypatch):
    data = tltk.from_arrays(squares().examples, np.arange(24.0), label_type="regression")
    backbone = tltk.backbone(conv_net(), stages={"stem": "stem_relu", "conv2": "conv2_relu", "conv3": "conv3_relu"})
    model = tltk.assemble(backbone, tltk.regression(data.labels, head=tltk.head(zero_init=False)))
    exported = tltk.export(model, tmp_path / "x", format="litert", calibration=data)
    assert exported.answers.changed == 0 and exported.answers.metric == "mae"

    def doubled(tensor):
        return model.task.named_outputs(model.keras(tensor).numpy() * 2)

    monkeypatch.setattr(runtimes, "load", lambda file: doubled)
    with pytest.raises(tltk.errors.ServingError, match="answers changed"):
        tltk.export(model, tmp_path / "x", format="litert", calibration=data)


@pytest.mark.parametrize(
    ("answers", "is_refused"),
    [
        (Answers(500, 0.05, 0.05, "accuracy", 0.9, 0.89), False),
        (Answers(500, 0.052, 0.05, "accuracy", 0.9, 0.9), True),
        (Answers(500, 0.02, 0.05, "accuracy", 0.9, 0.888), True),
        (Answers(500, 0.02, 0.05, "accuracy", 0.9, 0.93), False),
        (Answers(500, 0.02, 0.05, "accuracy", 0.9, float("nan")), True),
        (Answers(10, 0.1, 0.05, "accuracy", 0.9, 0.8), False),  # one example
        (Answers(10, 0.2, 0.05, "accuracy", 0.9, 0.9), True),
        (Answers(10, 0.1, 0.0), True),
    ],
)
def test_the_limits_are_those_of_the_docs(trained, answers, is_refused):
    if is_refused:
        with pytest.raises(tltk.errors.ServingError, match="answers differently"):
            require_same_answers(answers, trained, "litert_int8", check_score=True)
    else:
        require_same_answers(answers, trained, "litert_int8", check_score=True)


def test_calibration_examples_with_other_labels_are_an_error(trained, tmp_path):
    data = tltk.from_arrays(squares().examples, squares().targets.values, labels=("red", "green", "purple"))
    with pytest.raises(tltk.errors.InvalidInput, match="`calibration` has labels that the model does not know: purple"):
        tltk.export(trained, tmp_path / "x", format="litert", calibration=data)


def test_every_file_format_has_a_limit():
    from tltk.serving.answers import MAX_CHANGED

    assert ("saved_model", *MAX_CHANGED) == formats.FORMATS
