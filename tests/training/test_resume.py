"""Training that resumes from a checkpoint; `tests/stress/kill.py` does the same with processes that are killed."""

import itertools
import json
import os
import signal
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import listening, squares, squares_model
from tltk.errors import InvalidInput, InvalidType
from tltk.recipes import Phase, Recipe
from tltk.training import checkpoint_file
from tltk.training.checkpoint import Checkpoint
from tltk.training.checkpoints import WriteCheckpoints
from tltk.training.resume import differences

EVERY_STEP = Checkpoint("1 step", keep=2)
_seeds = itertools.count(100)


def recipe(**options):
    probe = Phase("probe", tltk.freeze("backbone"), 2, tltk.adamw(1e-2))
    lora = Phase("lora", tltk.lora(2), 1, tltk.adamw(1e-3))
    ema = tltk.adamw(3e-3, ema_momentum=0.7, gradient_accumulation_steps=2, l2_sp=0.01)
    flips = {"augment": tltk.augment.flip(), "patience": 2}
    return Recipe(
        "three", (probe, lora, replace(Phase("tune", tltk.unfreeze_from("conv3"), 3, ema, **flips), **options))
    )


PROBE = Recipe("probe", recipe().phases[:1])  # for interruptions within the first phase


def train(out, *, resume=True, **options):
    keras.utils.set_random_seed(1)
    model = squares_model(dropout=0.2, head=tltk.head(dropout=0.3))
    keras.utils.set_random_seed(next(_seeds))  # every process has another one
    options = {"recipe": recipe(), "batch_size": 8, "seed": 3, "checkpoint": EVERY_STEP, **options}
    return tltk.fit(model, squares(30), squares(12, seed=1), out=out, resume=resume, verbose=0, **options)


class Killed(BaseException):
    """Ends a training as a SIGKILL does: nothing is written afterwards."""


def killed_after(steps, monkeypatch, out, **options):
    """Train, and end after some steps of all phases with the files that a killed process leaves."""
    original, calls = WriteCheckpoints.on_train_batch_end, []

    def on_train_batch_end(self, batch, logs=None):
        original(self, batch, logs)
        calls.append(batch)
        if len(calls) == steps:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(WriteCheckpoints, "on_train_batch_end", on_train_batch_end)
        patch.setattr("tltk.training.history.History.save", lambda self, run, **_: run)
        with pytest.raises(Killed):
            train(out, **options)
    assert len(calls) == steps


def files_of(folder):
    return {name: (folder / name).read_bytes() for name in ("history.csv", "metrics.json", "invalid.csv", "split.csv")}


def assert_same(first, second):
    assert files_of(first.folder) == files_of(second.folder)
    for one, other in zip(first.model.keras.get_weights(), second.model.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed") / "run", resume=False)


@pytest.fixture(scope="module")
def undisturbed_probe(tmp_path_factory):
    return train(tmp_path_factory.mktemp("undisturbed") / "run", resume=False, recipe=PROBE)


# At the end of an epoch of the first phase, in the LoRA phase, in the last one.
@pytest.mark.parametrize("steps", [4, 10, 19])
def test_a_killed_training_goes_on_to_the_same_bytes(steps, undisturbed, monkeypatch, tmp_path):
    killed_after(steps, monkeypatch, tmp_path / "run")
    assert not (tmp_path / "run" / "config.json").exists()
    assert_same(train(tmp_path / "run"), undisturbed)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_training_that_is_killed_twice(undisturbed_probe, monkeypatch, tmp_path):
    killed_after(6, monkeypatch, tmp_path / "run", recipe=PROBE)
    killed_after(1, monkeypatch, tmp_path / "run", recipe=PROBE)
    assert_same(train(tmp_path / "run", recipe=PROBE), undisturbed_probe)


def test_another_machine_is_said(monkeypatch, tmp_path, caplog):
    killed_after(3, monkeypatch, tmp_path / "run", recipe=PROBE)
    described = {"hardware": {"threads": 99}}
    monkeypatch.setattr("tltk.training.resume.how_it_was_run", lambda: described)
    train(tmp_path / "run", recipe=PROBE)
    assert "may round differently" in caplog.text and "99 now" in caplog.text


def test_a_damaged_checkpoint_costs_a_step(undisturbed_probe, monkeypatch, tmp_path, caplog):
    killed_after(6, monkeypatch, tmp_path / "run", recipe=PROBE)
    latest = checkpoint_file.checkpoint_files(tmp_path / "run")[0].path
    latest.write_bytes(latest.read_bytes()[:1000])
    assert_same(train(tmp_path / "run", recipe=PROBE), undisturbed_probe)
    assert f"{latest} is damaged" in caplog.text


def test_a_complete_run_is_returned(undisturbed, tmp_path, monkeypatch):
    weights = undisturbed.model.keras.get_weights()
    monkeypatch.setattr("tltk.training.fit.train_phases", None)
    run = train(undisturbed.folder)
    assert_same(run, undisturbed)
    np.testing.assert_array_equal(run.model.keras.get_weights()[0], weights[0])
    with pytest.raises(InvalidInput, match=r"(?s)other data, options.*seed: 3 before, 4 now.*force"):
        train(undisturbed.folder, seed=4)


def test_ctrl_c_writes_a_checkpoint_between_two_steps(undisturbed_probe, monkeypatch, tmp_path, caplog):
    class PressCtrlC(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    seldom = {"checkpoint": "2 h", "callbacks": [PressCtrlC()], "recipe": PROBE}
    with listening(), pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", **seldom)
    state = checkpoint_file.read_latest(tmp_path / "run")
    assert state["phase"] == 0 and state["during"]["step"] == 3 and "resume=True" in caplog.text
    with pytest.raises(InvalidInput, match="callbacks"):
        train(tmp_path / "run", recipe=PROBE)
    assert_same(train(tmp_path / "run", resume="force", recipe=PROBE), undisturbed_probe)


def test_an_error_of_a_callback_names_the_checkpoint_from_which_the_training_resumes(
    undisturbed_probe, tmp_path, caplog
):
    class Fails(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                raise OSError("the server of the metrics is away")

    folder = tmp_path / "my run"
    with pytest.raises(OSError, match="is away"):
        train(folder, callbacks=[Fails()], recipe=PROBE)
    assert f"tltk train --resume '{folder}'" in caplog.text
    assert_same(train(folder, resume="force", recipe=PROBE), undisturbed_probe)


def test_sigterm_before_the_first_step_of_a_phase_writes_its_start(undisturbed_probe, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        stop = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
        patch.setattr("tltk.training.phase.apply_plan", stop)
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            train(tmp_path / "run", recipe=PROBE)
    state = checkpoint_file.read_latest(tmp_path / "run")
    assert state["phase"] == 0 and state["during"] is None
    assert_same(train(tmp_path / "run", recipe=PROBE), undisturbed_probe)


def test_what_differs_is_refused_and_shown(monkeypatch, tmp_path):
    killed_after(3, monkeypatch, tmp_path / "run")
    with pytest.raises(InvalidInput) as refused:
        train(tmp_path / "run", recipe=recipe(epochs=4), batch_size=10)
    message = str(refused.value)
    assert "recipe.phases.2.epochs: 3 before, 4 now" in message and "batch_size: 8 before, 10 now" in message
    monkeypatch.setattr("tltk.training.resume.code_digest", lambda: "edited")
    with pytest.raises(InvalidInput, match=r'code: ".*" before, "edited" now'):
        train(tmp_path / "run")


def test_other_examples_are_refused(monkeypatch, tmp_path):
    killed_after(3, monkeypatch, tmp_path / "run")
    monkeypatch.setitem(globals(), "squares", lambda count, seed=0: squares_source(count, seed + 5))
    with pytest.raises(InvalidInput, match=r"data\.train: .*30 examples"):
        train(tmp_path / "run")


squares_source = squares


def test_a_position_that_the_training_does_not_have_is_refused_also_with_force(monkeypatch, tmp_path):
    killed_after(10, monkeypatch, tmp_path / "run")
    with pytest.raises(InvalidInput, match=r"epoch 1 at batch 3, which phase 2 does not have.* 1 epochs of 2 batches"):
        train(tmp_path / "run", resume="force", batch_size=16)


def test_a_recipe_without_the_phase_of_the_checkpoint_is_refused_also_with_force(monkeypatch, tmp_path):
    killed_after(10, monkeypatch, tmp_path / "run")
    with pytest.raises(InvalidInput, match=r"in phase 2, and the recipe has 1"):
        train(tmp_path / "run", resume="force", recipe=PROBE)
    assert not (tmp_path / "run" / "config.json").exists()


def test_an_interruption_right_after_resuming_keeps_the_better_run(undisturbed, monkeypatch, tmp_path, caplog):
    class PressCtrlC(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                os.kill(os.getpid(), signal.SIGINT)

    with listening(), pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", callbacks=[PressCtrlC()])
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tltk.training.phase.apply_plan", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        train(tmp_path / "run", resume="force")
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()} == before
    assert_same(train(tmp_path / "run", resume="force"), undisturbed)


def test_without_resume_a_training_starts_anew(undisturbed_probe, monkeypatch, tmp_path, caplog):
    killed_after(3, monkeypatch, tmp_path / "run", recipe=PROBE)
    assert_same(train(tmp_path / "run", resume=False, recipe=PROBE), undisturbed_probe)
    assert "starts anew" in caplog.text


def test_the_callbacks_of_the_user_go_on(monkeypatch, tmp_path):
    class Counting(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.batches, self.numbers = 0, []

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            self.numbers.append(batch)

        def get_state(self):
            return {"batches": self.batches, "numbers": list(self.numbers)}

        def set_state(self, state):
            self.batches, self.numbers = state["batches"], state["numbers"]

    def callbacks(name):
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)
        return [Counting(), stopping, keras.callbacks.CSVLogger(tmp_path / name)]

    whole, parts = callbacks("whole.csv"), callbacks("parts.csv")
    first = train(tmp_path / "whole", callbacks=whole)
    killed = callbacks("parts.csv")
    killed_after(7, monkeypatch, tmp_path / "parts", callbacks=killed)
    killed[2].csv_file.close()
    assert_same(train(tmp_path / "parts", callbacks=parts), first)
    assert parts[0].get_state() == whole[0].get_state()
    assert (parts[1].best, parts[1].best_epoch, parts[1].wait) == (whole[1].best, whole[1].best_epoch, whole[1].wait)
    assert (tmp_path / "parts.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_state_that_no_checkpoint_can_hold_is_refused_before_the_first_step(tmp_path):
    class WithSet(keras.callbacks.Callback):
        def get_state(self):
            return {"seen": {1, 2}}

        def set_state(self, state):
            pass

    with pytest.raises(InvalidInput, match=r"get_state\(\) of WithSet .*cannot hold set"):
        train(tmp_path / "run", callbacks=[WithSet()], checkpoint="2 h")


def test_a_callback_of_unknown_state_is_named(monkeypatch, tmp_path, caplog):
    class Unknown(keras.callbacks.Callback):
        pass

    killed_after(3, monkeypatch, tmp_path / "run", callbacks=[Unknown()], recipe=PROBE)
    train(tmp_path / "run", callbacks=[Unknown()], recipe=PROBE)
    assert "The callback Unknown starts anew" in caplog.text


def test_plain_keras_takes_a_short_first_epoch_for_the_length():
    lengths = iter((1, 3, 3))

    def generate():
        for _ in range(next(lengths)):
            yield np.ones((2, 4), "float32"), np.ones((2, 1), "float32")

    class Count(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            steps.append(0)

        def on_train_batch_end(self, batch, logs=None):
            steps[-1] += 1

    steps = []
    data = tf.data.Dataset.from_generator(
        generate, output_signature=(tf.TensorSpec([None, 4]), tf.TensorSpec([None, 1]))
    )
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(data, epochs=3, callbacks=[Count()], shuffle=False, verbose=0)
    assert steps == [1, 2, 2]  # and not 1, 3, 3


def test_seconds_are_in_a_file_of_their_own(undisturbed):
    assert "seconds" not in (undisturbed.folder / "history.csv").read_text()
    assert "seconds" not in (undisturbed.folder / "metrics.json").read_text()
    loaded = tltk.load_run(undisturbed.folder)
    assert loaded.history == undisturbed.history and loaded.phases == undisturbed.phases
    assert json.loads((undisturbed.folder / "seconds.json").read_text())["phases"] == [
        phase.seconds for phase in undisturbed.phases
    ]


def test_wrong_arguments_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r'`resume` must be True, False or "force".*Did you mean'):
        train(tmp_path / "run", resume="forced")
    with pytest.raises(InvalidInput, match="`resume` needs `out`"):
        train(None)
    with pytest.raises(InvalidType, match="checkpoint"):
        train(tmp_path / "run", checkpoint=5)


def test_differences_name_each_leaf():
    before = {"recipe": {"phases": [{"epochs": 3}]}, "seed": 0}
    assert differences(before, before) == []
    now = {"recipe": {"phases": [{"epochs": 4}, {"epochs": 1}]}, "seed": 0}
    assert differences(before, now) == [
        "recipe.phases.0.epochs: 3 before, 4 now",
        "recipe.phases.1.epochs: not there before, 1 now",
    ]
