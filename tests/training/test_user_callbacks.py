import csv
import http.server
import json
import re
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tltk.foundation.errors import InvalidInput
from tltk.optimizers.spec import adamw
from tltk.recipes import Phase, Recipe
from tltk.trainability.plan import freeze, train_all
from tltk.training.user_callbacks import _REFUSED


def two_phases(epochs=2):
    """The first phase trains on cached features, the second one on images."""
    options = {"epochs": epochs, "optimizer": adamw(1e-2), "schedule": "constant", "warmup": 0}
    return Recipe("two", (Phase("head", freeze("backbone"), **options), Phase("all", train_all(), **options)))


def fit(callbacks, recipe=None, model=None, **options):
    model = model or squares_model()
    run = tltk.fit(
        model, squares(), squares(12), recipe=recipe or two_phases(), batch_size=8, callbacks=callbacks, **options
    )
    return run, model


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.events, self.epochs, self.logs, self.models, self.weights = [], [], [], set(), []

    def on_train_begin(self, logs=None):
        self.events.append("begin")

    def on_train_end(self, logs=None):
        self.events.append("end")

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        self.logs.append(dict(logs))
        self.models.add(id(self.model))
        self.weights.append(self.model.get_weights())
        assert self.model.optimizer.built


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A fit of two phases: its run, its model, two callbacks, and the folder to which three others wrote."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("recorded")
    recorder, history = Recorder(), keras.callbacks.History()
    writers = [
        keras.callbacks.TensorBoard(folder / "tensorboard"),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.ModelCheckpoint(folder / "{epoch}.keras"),
    ]
    run, model = fit([recorder, history, *writers])
    return run, model, recorder, history, folder


def test_callbacks_see_all_phases_as_one_training_of_the_whole_model(recorded):
    run, model, recorder, history, _ = recorded
    assert recorder.events == ["begin", "end"]
    assert recorder.epochs == [0, 1, 2, 3]
    assert recorder.models == {id(model.keras)}
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(recorder.logs[3])
    assert history.history["loss"] == pytest.approx([row["loss"] for row in run.history])
    assert recorder.params["epochs"] == 4
    assert not model.keras.compiled


KERAS_CALLBACKS = {
    "Callback": lambda folder, url: keras.callbacks.Callback(),
    "CallbackList": lambda folder, url: keras.callbacks.CallbackList([keras.callbacks.History()]),
    "CSVLogger": lambda folder, url: keras.callbacks.CSVLogger(folder / "log.csv"),
    "EarlyStopping": lambda folder, url: keras.callbacks.EarlyStopping(patience=3),
    "History": lambda folder, url: keras.callbacks.History(),
    "LambdaCallback": lambda folder, url: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "LearningRateScheduler": lambda folder, url: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
    "ModelCheckpoint": lambda folder, url: keras.callbacks.ModelCheckpoint(
        folder / "{epoch}.keras", monitor="val_accuracy"
    ),
    "ProgbarLogger": lambda folder, url: keras.callbacks.ProgbarLogger(),
    "ReduceLROnPlateau": lambda folder, url: keras.callbacks.ReduceLROnPlateau(patience=1),
    "RemoteMonitor": lambda folder, url: keras.callbacks.RemoteMonitor(url, send_as_json=True),
    "TensorBoard": lambda folder, url: keras.callbacks.TensorBoard(folder / "logs", histogram_freq=1),
    "TerminateOnNaN": lambda folder, url: keras.callbacks.TerminateOnNaN(),
}
REFUSED = {"BackupAndRestore", "OrbaxCheckpoint", "SwapEMAWeights"}


@pytest.fixture
def monitor():
    """Return a server that collects the JSON posted to it, and its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.received = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_every_callback_of_keras_is_tried_or_refused():
    names = {name for name in dir(keras.callbacks) if name[0].isupper()}
    assert set(_REFUSED) == REFUSED
    assert set(KERAS_CALLBACKS) <= names <= set(KERAS_CALLBACKS) | REFUSED  # Keras 3.13 has no OrbaxCheckpoint


def test_the_callbacks_of_keras_go_through_a_cached_and_an_uncached_phase(tmp_path, monitor):
    recorder = Recorder()
    fit([*(make(tmp_path, monitor[1]) for make in KERAS_CALLBACKS.values()), recorder])
    assert recorder.epochs == [0, 1, 2, 3]
    assert [post["epoch"] for post in monitor[0].received] == [0, 1, 2, 3]
    assert {path.name for path in tmp_path.iterdir()} == {"log.csv", "logs", *(f"{n}.keras" for n in range(1, 5))}


def test_tensorboard_has_a_curve_over_all_phases(recorded):
    run, *_, folder = recorded
    for part, name in (("train", "loss"), ("validation", "val_loss")):
        (file,) = (folder / "tensorboard" / part).iterdir()
        curve = {}
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == "epoch_loss":
                    curve[event.step] = float(tf.make_ndarray(value.tensor))
        assert list(curve) == [0, 1, 2, 3]
        assert list(curve.values()) == pytest.approx([row[name] for row in run.history])


def test_a_csv_log_has_a_row_per_epoch(recorded):
    *_, folder = recorded
    rows = list(csv.DictReader((folder / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]


def test_checkpoints_are_whole_models_that_keras_alone_can_load(recorded):
    _, _, recorder, _, folder = recorded
    for epoch, weights in enumerate(recorder.weights, 1):
        loaded = keras.models.load_model(folder / f"{epoch}.keras")
        assert not loaded.compiled
        for expected, weight in zip(weights, loaded.get_weights(), strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_the_learning_rate_is_really_changed_and_logged():
    recorder = Recorder()
    run, _ = fit([keras.callbacks.LearningRateScheduler(lambda epoch, rate: 10.0**-epoch), recorder])
    assert [logs["learning_rate"] for logs in recorder.logs] == pytest.approx([1, 0.1, 0.01, 0.001])
    assert run.history[3]["learning_rate"] == pytest.approx(0.001)
    frozen = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.0)
    _, model = fit([frozen], recipe=Recipe("r", two_phases().phases[:1]))
    assert not model.keras.get_layer("head_output").kernel.numpy().any()  # a head starts at zero


def test_stop_training_ends_the_phase_and_the_next_one_runs():
    class StopFirst(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 0

    recorder = Recorder()
    run, _ = fit([StopFirst(), recorder], recipe=two_phases(3))
    assert recorder.epochs == [0, 1, 2, 3]
    assert [phase.epochs for phase in run.phases] == [1, 3]


def test_early_stopping_restores_its_own_best_epoch_of_each_phase():
    recorder = Recorder()
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=5, restore_best_weights=True)  # the worst epoch
    run, model = fit([recorder, stop], recipe=Recipe("r", two_phases(4).phases[:1]))
    worst = int(np.argmax([logs["loss"] for logs in recorder.logs]))
    assert run.phases[0].best_epoch == worst + 1
    for expected, weight in zip(recorder.weights[worst], model.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_what_makes_no_sense_is_refused_with_the_way_out(tmp_path):
    for callback, message in (
        (keras.callbacks.BackupAndRestore(tmp_path), "BackupAndRestore cannot be used.*Pass out="),
        (keras.callbacks.SwapEMAWeights(), r"SwapEMAWeights cannot be used.*ema_momentum"),
    ):
        with pytest.raises(ValueError, match=message):
            fit([callback])
    with pytest.raises(
        ValueError, match=r"ReduceLROnPlateau.*have a schedule.*'probe', 'fine_tune'.*refine\(tltk.fine_tune\(\)"
    ):
        fit([keras.callbacks.ReduceLROnPlateau()], recipe=tltk.fine_tune())
    with pytest.raises(TypeError, match=r"`callbacks` must be Callback. Received: str"):
        fit(["early_stopping"])
    with pytest.raises(TypeError, match=r"`callbacks` must be list or tuple. Received: History"):
        fit(keras.callbacks.History())


class Evaluate(keras.callbacks.Callback):
    def __init__(self, data):
        super().__init__()
        self.data, self.losses, self.expected = data, [], []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(self.model.evaluate(self.data, verbose=0))
        self.expected.append(logs["val_loss"])


def test_a_callback_can_evaluate_the_model_in_every_phase():
    model = squares_model()
    evaluate = Evaluate(squares(12).to_dataset(model))
    fit([evaluate], model=model)
    assert len(evaluate.losses) == 4
    np.testing.assert_allclose([loss for loss, _ in evaluate.losses], evaluate.expected, rtol=1e-4)


def test_a_model_that_was_compiled_before_stays_as_it_was_and_its_checkpoints_can_be_loaded(tmp_path):
    model = squares_model()
    model.keras.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    config, optimizer = model.keras.get_compile_config(), model.keras.optimizer
    fit([keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")], model=model)
    for epoch in range(1, 5):
        assert not keras.models.load_model(tmp_path / f"{epoch}.keras").compiled
    assert model.keras.get_compile_config() == config
    assert model.keras.optimizer is optimizer
    assert model.keras.compiled


@pytest.mark.parametrize(("verbose", "expected"), [(0, 0), (1, 1), (2, 2), ("auto", 1)])
def test_callbacks_are_told_how_much_to_show(verbose, expected, capsys):
    recorder = Recorder()
    fit([recorder, keras.callbacks.ProgbarLogger()], recipe=Recipe("r", two_phases(1).phases[:1]), verbose=verbose)
    assert recorder.params["verbose"] == expected
    assert bool(capsys.readouterr().out) == bool(verbose)


class HalveRate(keras.callbacks.Callback):
    def __init__(self, event):
        super().__init__()
        setattr(self, event, self.halve)

    def halve(self, *arguments, **logs):
        self.model.optimizer.learning_rate = 0.5 * float(self.model.optimizer.learning_rate)


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_end"])
def test_a_callback_of_the_user_that_sets_the_rate_needs_a_constant_one(event):
    scheduled = tltk.recipes.one_phase(freeze("backbone")).with_last_phase(epochs=1)
    with pytest.raises(InvalidInput, match=r"HalveRate set the learning rate.*has a schedule.*refine\(") as caught:
        fit([HalveRate(event)], recipe=scheduled)
    (advice,) = re.findall(r"recipe=(.*?\)), with your own", str(caught.value))
    constant = eval(advice.replace("tltk.fine_tune()", "scheduled"), {"tltk": tltk, "scheduled": scheduled})
    run, _ = fit([HalveRate(event)], recipe=constant)
    assert len(run.history) == 1


def test_other_errors_of_a_callback_of_the_user_are_raised_as_they_are():
    wrong = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch + "1")
    with pytest.raises(TypeError, match="unsupported operand"):
        fit([wrong], recipe=Recipe("r", two_phases(1).phases[:1]))


def test_with_a_plan_the_rate_can_be_changed():
    recorder = Recorder()
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)
    options = {"plan": freeze("backbone"), "epochs": 2, "learning_rate": 1e-2, "batch_size": 8}
    tltk.fit(squares_model(), squares(), squares(12), callbacks=[halve, recorder], **options)
    assert [logs["learning_rate"] for logs in recorder.logs] == pytest.approx([5e-3, 2.5e-3])
    options["learning_rate"] = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    with pytest.raises(ValueError, match=r"LearningRateScheduler.*'probe'.*numbers as learning rates"):
        tltk.fit(squares_model(), squares(), callbacks=[halve], **options)
