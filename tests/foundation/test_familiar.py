import inspect
import pickle

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import coloured_squares, squares, squares_model
from tltk.errors import InvalidType
from tltk.foundation import familiar


@pytest.fixture(scope="module")
def model():
    return squares_model()


@pytest.fixture(scope="module")
def run(model):
    return tltk.fit(model, squares(), plan=tltk.train_all(), epochs=2, verbose=0)


def test_every_hint_is_about_an_argument_that_the_function_does_not_have():
    for name, ways in familiar.ARGUMENTS.items():
        known = inspect.signature(getattr(tltk, name)).parameters
        assert not set(ways) & set(known), name


def test_every_hint_is_about_an_attribute_that_the_record_does_not_have():
    from tltk.training.run import Epochs

    for name, ways in familiar.ATTRIBUTES.items():
        record = Epochs if name == "Epochs" else getattr(tltk, name)
        fields = getattr(record, "__dataclass_fields__", {})
        assert not [way for way in ways if way in fields or (way != "__call__" and hasattr(record, way))], name


def test_every_hint_names_things_that_exist():
    texts = [
        text for table in (familiar.ARGUMENTS, familiar.ATTRIBUTES) for ways in table.values() for text in ways.values()
    ]
    for text in [*texts, *familiar.NAMES.values()]:
        for word in text.replace("(", " ").replace(",", " ").split():
            if word.startswith("tltk."):
                module, _, name = word.strip(".:;").rpartition(".")
                assert hasattr(__import__(module, fromlist=["_"]), name), word


def test_no_hint_is_about_a_public_name():
    assert not set(familiar.NAMES) & set(tltk.__all__)


def test_signatures_and_docstrings_stay_those_of_the_function():
    assert list(inspect.signature(tltk.fit).parameters)[:4] == ["model", "train", "val", "recipe"]
    assert tltk.fit.__doc__.startswith("Train a model") and tltk.fit.__module__ == "tltk.training.fit"
    assert "def fit(" in inspect.getsource(tltk.fit)
    assert pickle.loads(pickle.dumps(tltk.split)) is tltk.split


def test_every_function_with_hints_explains_them():
    for name in familiar.ARGUMENTS:
        with pytest.raises(InvalidType, match=rf"{name}\(\) has no argument `no_such_thing`"):
            getattr(tltk, name)(no_such_thing=1)


@pytest.mark.parametrize(
    ("call", "fragments"),
    [
        (
            lambda model: tltk.fit(model, squares(), validation_data=squares()),
            ["`validation_data`", "tltk.fit(model, train, val)"],
        ),
        (
            lambda model: tltk.fit(model, squares(), validation_split=0.2, optimizer="adam"),
            ["tltk.split", "`optimizer`", "refine"],
        ),
        (lambda model: tltk.fit(model, x=1, y=2), ["`x`", "`y`", "tltk.from_arrays(x, y)"]),
        (lambda model: tltk.fit(model, squares(), loss="mse"), ["tltk.classification(labels, loss=…)"]),
        (lambda model: tltk.fit(model, squares(), learnin_rate=1), ["Did you mean 'learning_rate'?"]),
        (tltk.fit, ["fit()", "'train'"]),
        (lambda model: tltk.predict(model, squares(), verbose=0), ["`verbose`", "terminals"]),
        (
            lambda model: tltk.evaluate(model, *coloured_squares(4)),
            ["2 arguments by position", "tltk.from_arrays(x, y)"],
        ),
        (lambda model: tltk.evaluate(model, x=1, y=2), ["tltk.from_arrays(x, y)"]),
        (lambda model: tltk.split(squares(), test_size=0.2, random_state=0), ["use `test`", "use `seed`"]),
        (lambda model: tltk.from_folder("photos", image_size=(9, 9), label_mode="int"), ["image_size=…", "label_type"]),
        (lambda model: tltk.backbone("resnet50", include_top=False, input_shape=(9, 9, 3)), ["no top", "`channels`"]),
    ],
)
def test_arguments_of_keras_and_scikit_learn_are_explained(model, call, fragments):
    with pytest.raises(InvalidType) as caught:
        call(model)
    assert not [fragment for fragment in fragments if fragment not in str(caught.value)], str(caught.value)


def test_a_type_error_from_inside_of_a_function_stays_as_it_is(monkeypatch, model):
    from tltk.training import fit as module

    def broken(*_args):
        raise TypeError("a fault")

    monkeypatch.setattr(module, "require_task", broken)
    with pytest.raises(TypeError, match=r"^a fault$") as caught:
        tltk.fit(model, squares())
    assert not isinstance(caught.value, InvalidType)


@pytest.mark.parametrize(
    ("read", "fragment"),
    [
        (lambda run: run.predict, "tltk.predict(run, inputs)"),
        (lambda run: run.get_layer, "run.model.keras.get_layer"),
        (lambda run: run.model.fit, "tltk.fit(model, train, val)"),
        (lambda run: run.model.summary, "model.keras.summary()"),
        (lambda run: run.model.get_weights, "model.keras.get_weights"),
        (lambda run: run.history.history, "row['val_loss'] for row in run.history"),
        (lambda run: run.model.task.no_such, "no_such"),
        (lambda run: squares().class_names, "source.labels.names"),
        (lambda run: squares().shuffle(8), "to_dataset"),
        (lambda run: squares().target, "Did you mean 'targets'?"),
        (lambda run: tltk.evaluate(run, squares()).accuracy, "report.metrics['accuracy']"),
        (lambda run: tltk.predict(run, squares()).argmax(-1), "predictions.labels"),
    ],
)
def test_attributes_of_keras_are_explained(run, read, fragment):
    with pytest.raises(AttributeError) as caught:
        read(run)
    assert fragment in str(caught.value)


def test_setting_what_keras_sets_is_explained(run):
    with pytest.raises(AttributeError, match=r"tltk.freeze"):
        run.model.trainable = False
    with pytest.raises(AttributeError, match="cannot assign to field 'task'"):
        run.model.task = None


def test_calling_a_model_or_a_run_is_explained(run):
    for record in (run, run.model):
        with pytest.raises(InvalidType, match=r"cannot be called. Use .*tltk.predict"):
            record(np.zeros((1, 16, 16, 3)))


def test_a_column_of_the_history_is_explained(run):
    with pytest.raises(InvalidType, match=r"\[row\['loss'\] for row in run.history\]"):
        run.history["loss"]
    assert [row["epoch"] for row in run.history] == [1, 2] and run.history[-1]["epoch"] == 2


def test_predictions_are_no_array(run):
    with pytest.raises(InvalidType, match=r"predictions.probabilities"):
        np.argmax(tltk.predict(run, squares()), axis=-1)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [("load_model", "tltk.load_run"), ("train_top", "tltk.trainability.train_top"), ("refine", "tltk.recipes.refine"),
     ("flip", "tltk.augment.flip"), ("Sequential", "tltk.assemble"), ("predic", "Did you mean 'predict'?")],
)  # fmt: skip
def test_names_that_tltk_does_not_have_are_explained(name, fragment):
    with pytest.raises(AttributeError) as caught:
        getattr(tltk, name)
    assert fragment in str(caught.value)


def test_the_methods_of_a_keras_model_that_have_hints_exist():
    assert {"summary", "fit", "predict", "evaluate", "export", "compile", "save"} <= set(dir(keras.Model))
