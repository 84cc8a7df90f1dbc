from dataclasses import dataclass
from typing import ClassVar

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import STAGES, conv_net, squares, squares_model
from tests.tasks.test_base import COUNTING, Counting
from tests.texts import LABELS, TEXTS, asked, marked
from tltk import tasks
from tltk.specs import LabelSpec


def test_an_unregistered_task_is_refused_everywhere(tmp_path):
    from dataclasses import replace

    data, match = squares(6), r"task 'counting' is not registered: register it with tltk.register_task\(Counting\)"
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    model = replace(squares_model(), task=COUNTING)
    for call in (
        lambda: tltk.assemble(backbone, COUNTING),
        lambda: tltk.adopt(conv_net(), COUNTING),
        lambda: tltk.fit(model, data),
        lambda: tltk.evaluate(model, data),
        lambda: tltk.predict(model, data),
        lambda: tltk.export(model, tmp_path / "export"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    assert not (tmp_path / "export").exists()
    with pytest.raises(ValueError, match=r"no task 'counting'.*Register your own with tltk.register_task\(MyTask\)"):
        tasks.from_config(COUNTING.to_config())


def test_objects_that_are_no_tasks_are_refused():
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    with pytest.raises(TypeError, match=r"such as tltk.classification\(labels\).*Received: LabelSpec"):
        tltk.assemble(backbone, LabelSpec(("a", "b")))
    with pytest.raises(TypeError, match=r"derives from tltk.tasks.Task. Received: <class 'object'>"):
        tltk.register_task(object)


@pytest.mark.usefixtures("restored_registries")
def test_a_registered_task_is_built_from_its_config():
    assert tltk.register_task(Counting) is Counting
    assert tasks.from_config(COUNTING.to_config()) == COUNTING
    assert tltk.register_task(Counting) is Counting, "registering a class twice has no effect"
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), COUNTING)
    assert model.keras.output_shape == (None, 2)
    predictions = tltk.predict(model, np.zeros((2, 16, 16, 3), "uint8"))
    assert list(predictions[0].scores) == ["apples", "pears"]


@pytest.mark.usefixtures("restored_registries")
def test_classes_that_cannot_be_stored_are_refused():
    @dataclass
    class Mutable(tasks.Task):
        name: ClassVar[str] = "mutable"

        def outputs(self, features, *, mask=None, seed=0):
            return features

        def loss(self):
            return keras.losses.MeanSquaredError()

    class Incomplete(tasks.Task):
        name = "incomplete"

    with pytest.raises(TypeError, match="Mutable must be a frozen dataclass"):
        tltk.register_task(Mutable)
    with pytest.raises(TypeError, match="Incomplete must define loss, outputs"):
        tltk.register_task(Incomplete)

    @dataclass(frozen=True)
    class SameName(tasks.Classification):
        pass

    with pytest.raises(ValueError, match="task 'classification' is registered already"):
        tltk.register_task(SameName)


@pytest.mark.usefixtures("restored_registries")
def test_a_task_defined_again_replaces_the_earlier_class_whose_instances_must_be_created_again():
    def run_cell():
        names = {"__name__": "__main__", "base": Counting}
        exec("from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Cell(base):\n    name = 'cell'", names)
        return tltk.register_task(names["Cell"])

    earlier = run_cell()(COUNTING.labels)
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    tltk.assemble(backbone, run_cell()(COUNTING.labels))
    with pytest.raises(ValueError, match=r"class Cell has been defined again.*create the task"):
        tltk.assemble(backbone, earlier)


def test_every_task_of_tltk_is_restored_from_json():
    import json

    for task in (
        tltk.classification(["cat", "dog"], head=tltk.head(hidden=(3,)), label_smoothing=0.1),
        tltk.classification(LabelSpec(("red", "round"), "multilabel"), threshold=0.2, pairs=True),
        tltk.regression(LabelSpec(("age",), "regression", (4.0,), (2.0,))),
        tltk.token_classification(["city"], scheme="bilou"),
        tltk.question_answering(no_answer=False, threshold=0.5, max_answer_tokens=7),
    ):
        assert tasks.from_config(json.loads(json.dumps(task.to_config()))) == task


def test_configs_of_version_0_1_0_are_read():
    config = tltk.classification(["cat", "dog"]).to_config()
    del config["pairs"]
    assert tasks.from_config(config) == tltk.classification(["cat", "dog"])


def test_the_default_task_follows_the_labels():
    texts = list(TEXTS)
    assert tasks.for_source(tltk.from_arrays(texts, list(LABELS))).name == "classification"
    assert tasks.for_source(tltk.from_arrays(texts, list(range(6)), label_type="regression")).name == "regression"
    several = tltk.from_arrays(texts, [["a"], ["b"]] * 3, label_type="multilabel")
    assert tasks.for_source(several).name == "multilabel_classification"
    pairs = tltk.from_arrays([(text, text) for text in texts], list(LABELS))
    assert tasks.for_source(pairs).pairs
    assert tasks.for_source(marked(2)).name == "token_classification"
    assert tasks.for_source(asked(8)).no_answer
    assert not tasks.for_source(asked(8).subset([1, 2])).no_answer
    with pytest.raises(ValueError, match="training needs labels"):
        tasks.for_source(tltk.from_arrays(texts))


def test_an_error_names_how_to_register_a_default_task():
    from types import SimpleNamespace

    with pytest.raises(ValueError, match=r"labels of type 'ranks'.*tltk.tasks.register_default"):
        tasks.for_source(SimpleNamespace(labels=SimpleNamespace(type="ranks")))
