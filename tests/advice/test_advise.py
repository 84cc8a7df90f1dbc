"""Tests of `tltk.advise`."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, squares
from tests.texts import texts, tiny_preset
from tltk.advice.embedding import Embedder
from tltk.errors import InvalidInput, InvalidType

NAMES = ("red", "green", "blue")


@pytest.fixture(scope="module")
def backbone():
    return tltk.backbone(conv_net(), stages=STAGES)


@pytest.fixture(scope="module")
def noisy():
    """Squares with some wrong labels."""
    x, y = coloured_squares(120)
    return tltk.from_arrays(x, np.where(np.arange(120) % 6 == 0, (y + 1) % 3, y), labels=NAMES)


@pytest.fixture(scope="module")
def advice(noisy, backbone):
    target = tltk.from_arrays(255 - coloured_squares(60, seed=2)[0], np.zeros(60, int), labels=NAMES)
    return tltk.advise(noisy, backbones=[backbone], target=target, measures=True, budget=None)


def test_backbones_and_pixels_are_compared(advice):
    assert {choice.name for choice in advice.choices} == {"raw pixels", "conv_net"}
    assert {choice.method for choice in advice.choices} == {"probe", "k-NN"}
    for choice in advice.choices:
        assert choice.low <= choice.accuracy <= choice.high
        assert choice.milliseconds > 0
    assert advice["raw pixels"].parameters == 0 < advice["conv_net"].parameters
    assert advice["conv_net"].h_score is not None
    assert advice["raw pixels"].accuracy > 0.6
    with pytest.raises(InvalidInput, match="Did you mean 'conv_net'"):
        advice["convnet"]


def test_the_cheaper_is_recommended_if_it_is_as_good(advice):
    assert advice.recommended == "raw pixels"
    text = advice.describe()
    assert "raw pixels" in text
    assert "120 more labels bring" in text
    assert "H-score" in text


def test_labels_and_shift_are_forecast(advice):
    assert [forecast.labels for forecast in advice.labels] == [120, 240, 480]
    assert all(forecast.low <= forecast.accuracy <= forecast.high for forecast in advice.labels)
    assert advice.shift.is_labelled
    assert advice.shift.prior_p_value < 0.01
    assert advice.shift.kind in ("label", "covariate")
    as_json = json.loads(json.dumps(advice.to_dict()))
    assert as_json["shift"]["kind"] == advice.shift.kind
    assert as_json["choices"][0]["megabytes"] == advice.choices[0].megabytes
    assert (as_json["examples"], as_json["total"], as_json["invalid"]) == (120, 120, [])
    assert "raw pixels" in advice._repr_html_()


def test_a_budget_that_is_too_small_compares_fewer_examples_and_backbones(backbone, monkeypatch):
    monkeypatch.setattr(Embedder, "seconds_per_example", lambda *_: 60.0)  # two hours for all of them
    advice = tltk.advise(
        squares(150),
        backbones=[backbone, replace(backbone, name="slower"), replace(backbone, name="third")],
        budget="90 min",
    )
    assert (advice.examples, advice.total) == (99, 150)
    assert "compared on 99 of 150 examples" in advice.describe()
    assert [forecast.labels for forecast in advice.labels] == [150, 300, 600]
    assert "with all 150" in advice.label_advice
    assert advice.not_tried[0].startswith("slower: it takes about 99 min, more than is left")
    assert len(advice.not_tried) == 2


def test_the_test_part_and_its_shift_are_reported(backbone):
    source = replace(squares(60), parts=np.repeat(["train", "test"], [45, 15]))
    advice = tltk.advise(source, backbones=backbone)
    assert advice.total == 45
    assert advice.shift.kind == "none"


def test_recordings_stay_together_and_few_examples_are_enough(backbone):
    source = replace(squares(24), groups=np.arange(24) // 6)
    assert tltk.advise(source, backbones=[backbone]).examples == 24
    smallest = tltk.advise(squares(6), backbones=[backbone])
    assert smallest["raw pixels"].high - smallest["raw pixels"].low > 0.1


def test_texts_are_compared_with_tf_idf(tmp_path):
    advice = tltk.advise(texts(4), backbones=tltk.backbone(str(tiny_preset(tmp_path / "tiny"))))
    assert advice.recommended == "TF-IDF"
    assert len(advice.choices) == 4


def test_examples_that_cannot_be_read_are_reported(backbone, tmp_path):
    x, y = coloured_squares(30, size=40)
    for number, pixels in enumerate(x):
        folder = tmp_path / NAMES[y[number]]
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "red" / "empty.jpg").touch()
    damaged = tmp_path / "red" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    advice = tltk.advise(tltk.from_folder(tmp_path), backbones=[backbone])
    assert {example.example_id for example in advice.invalid} == {"red/empty.jpg", "red/0.png"}
    assert (advice.examples, advice.total) == (29, 29)


def test_labels_must_be_classes_with_two_examples(backbone):
    x, y = coloured_squares(6)
    with pytest.raises(InvalidInput, match="labels of the type 'regression'"):
        tltk.advise(tltk.from_arrays(x, y * 1.5, label_type="regression"))
    with pytest.raises(InvalidInput, match="unlabelled"):
        tltk.advise(tltk.from_arrays(x))
    for targets, fragment in (([0, 1, 0, 1, 2], "one of 'blue'"), ([0] * 5, "two classes are needed.*only 'red'")):
        with pytest.raises(InvalidInput, match=fragment):
            tltk.advise(tltk.from_arrays(x[:5], targets, labels=NAMES), backbones=[backbone])
    for groups, depth in ((1, False), (3, True)):
        with pytest.raises(InvalidInput, match=rf"at least {2 * (1 + depth)} groups.*Received: {groups}"):
            tltk.advise(replace(squares(6), groups=np.arange(6) % groups), backbones=[backbone], depth=depth)


def test_a_small_test_part_is_no_error(backbone):
    source = replace(squares(60), parts=np.repeat(["train", "test"], [55, 5]))
    advice = tltk.advise(source, backbones=backbone)
    assert (
        advice.shift is None
        and "shift: 10 examples of the target or test part are needed, and it has 5" in advice.not_tried
    )


def test_wrong_arguments_are_refused(backbone):
    with pytest.raises(InvalidInput, match="budget"):
        tltk.advise(squares(), budget="5 steps")
    with pytest.raises(InvalidInput, match="batch_size"):
        tltk.advise(squares(), batch_size=0)
    with pytest.raises(InvalidType, match="folds"):
        tltk.advise([1, 2])
    with pytest.raises(InvalidInput, match="`target` holds texts"):
        tltk.advise(squares(), target=texts())
    with pytest.raises(InvalidInput, match="at least 10 examples"):
        tltk.advise(squares(), target=squares(6))
