from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import tltk
from tests.conftest import conv_net, squares, squares_model
from tests.tasks.test_objective import Hits
from tests.texts import TOKENIZER
from tltk.recipes import Phase, Recipe
from tltk.specs import TextSpec
from tltk.tasks.classification import Classification
from tltk.tasks.records import Monitor
from tltk.tasks.registry import register_task
from tltk.training.arguments import complete_recipe, metric_names, require_weighted_metrics


def completed(recipe=None, plan=None, *, epochs=None, learning_rate=None, callbacks=(), spec=None):
    model = SimpleNamespace(input_spec=spec or tltk.ImageSpec(8, 8), task=tltk.classification(["a", "b"]))
    return complete_recipe(recipe, plan, model, epochs=epochs, learning_rate=learning_rate, callbacks=callbacks)


def test_epochs_and_learning_rate_apply_to_the_last_phase():
    probe, tuned = completed(epochs=3, learning_rate=1e-5).phases
    assert (probe.epochs, tuned.epochs) == (40, 3)
    assert (probe.optimizer.learning_rate, tuned.optimizer.learning_rate) == (1e-3, 1e-5)
    (phase,) = completed(tltk.linear_probe(), epochs=2).phases
    assert (phase.epochs, phase.optimizer.learning_rate) == (2, 1e-3)
    assert completed(spec=TextSpec(TOKENIZER, 16)).phases[1].optimizer.learning_rate == 1e-4


def test_a_plan_is_one_phase():
    plan = tltk.unfreeze_from("conv3")
    (phase,) = completed(plan=plan, epochs=2, learning_rate=1e-4).phases
    assert (phase.plan, phase.epochs, phase.optimizer.learning_rate) == (plan, 2, 1e-4)
    assert phase.augment == tltk.augment.standard()
    (phase,) = completed(plan=tltk.freeze("backbone")).phases
    assert (phase.name, phase.epochs, phase.augment) == ("probe", 40, ())


@pytest.mark.parametrize("plan", [tltk.train_all(), tltk.freeze("backbone")])
def test_the_phase_of_a_plan_has_a_constant_rate_if_a_callback_changes_it(plan):
    (phase,) = completed(plan=plan, callbacks=[keras.callbacks.ReduceLROnPlateau()]).phases
    assert phase.has_constant_rate
    (phase,) = completed(plan=plan, callbacks=[keras.callbacks.History()]).phases
    assert not phase.has_constant_rate


def test_a_learning_rate_may_be_a_schedule_of_keras():
    rate = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    assert completed(learning_rate=rate).phases[1].optimizer.learning_rate is rate


def test_what_does_not_fit_together_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="pass either `recipe` or `plan`"):
        completed(tltk.fine_tune(), tltk.freeze("backbone"))
    with pytest.raises(TypeError, match=r"`recipe` must be Recipe. Received: Plan. Pass it as plan="):
        completed(tltk.freeze("backbone"))
    with pytest.raises(TypeError, match=r"`plan` must be Plan. Received: str"):
        completed(plan="backbone")
    with pytest.raises(ValueError, match=r"`epochs` must be a whole number above 0. Received: 2.5"):
        completed(epochs=2.5)
    expected = r"`learning_rate` must be a number above 0, or a Keras schedule.*Received: 'fast'"
    with pytest.raises(ValueError, match=expected):
        completed(learning_rate="fast")


def test_options_are_checked_together_before_any_folder_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"(?s)`batch_size` must be.*Received: 0.*`seed` must be.*Received: -1"):
        tltk.fit(squares_model(), squares(), out=tmp_path / "run", batch_size=0, seed=-1)
    assert not (tmp_path / "run").exists()
    with pytest.raises(TypeError, match=r"`out` must be str or Path. Received: int"):
        tltk.fit(squares_model(), squares(), out=5)
    with pytest.raises(ValueError, match=r"`verbose` must be 'auto', 0, 1 or 2. Received: 3"):
        tltk.fit(squares_model(), squares(), verbose=3)


def test_the_metric_that_decides_between_epochs_must_exist(restored_registries):
    for monitor, message in (
        (Monitor("acuracy", "max"), r"`Watched.monitor` must be one of the task's metrics: loss, accuracy.*'accuracy'"),
        (Monitor("accuracy", "up"), r"the mode of `Watched.monitor` must be 'min' or 'max'. Received: 'up'"),
    ):

        @register_task
        @dataclass(frozen=True)
        class Watched(Classification):
            name = f"watched_{monitor.mode}"

        Watched.monitor = monitor
        model = squares_model()
        with pytest.raises(ValueError, match=message):
            tltk.fit(replace(model, task=Watched(model.task.labels)), squares())


class TwoOutputs:
    def training_metrics(self):
        return {"a": "mse", "b": [keras.metrics.Accuracy(name="hits"), keras.losses.mean_absolute_error]}

    def describe_outputs(self):
        return {"a": ("x",), "b": ("y",)}


def test_metrics_of_named_outputs_have_the_names_that_keras_gives_them():
    assert metric_names(TwoOutputs()) == ("loss", "a_loss", "b_loss", "a_mse", "b_hits", "b_mean_absolute_error")


def test_a_recipe_of_one_phase_is_stored_in_the_run(tmp_path):
    run = tltk.fit(
        squares_model(), squares(), plan=tltk.freeze("backbone"), epochs=1, batch_size=8, out=Path(tmp_path) / "run"
    )
    assert tltk.load_run(run.folder).config["recipe"]["phases"][0]["epochs"] == 1
    assert Recipe("one", (Phase("p", tltk.freeze("backbone"), 1, "sgd"),)).phases[0].optimizer.name == "sgd"


def test_numbers_of_numpy_train_and_are_stored(tmp_path):
    options = {"epochs": np.int64(1), "learning_rate": np.float32(0.5), "batch_size": np.int64(4), "seed": np.int64(1)}
    backbone = tltk.backbone(conv_net(), image_size=np.int64(16))
    model = tltk.assemble(backbone, tltk.classification(squares(3)), seed=np.int64(1))
    tltk.fit(model, squares(8), recipe=tltk.linear_probe(), out=tmp_path / "run", **options)
    run = tltk.load_run(tmp_path / "run")
    assert (run.config["seed"], run.config["recipe"]["phases"][0]["epochs"]) == (1, 1)
    assert len(tltk.predict(run, squares(3), batch_size=np.int64(2))) == 3


def test_metrics_without_weights_are_refused_for_weighted_data():
    require_weighted_metrics(tltk.classification(["a", "b"]))
    with pytest.raises(ValueError, match="sample weights, which the metrics 'hits' do not take"):
        require_weighted_metrics(tltk.classification(["a", "b"], metrics=[Hits(name="hits")]))
