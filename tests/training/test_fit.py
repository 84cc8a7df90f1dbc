import contextlib
import csv
import gc
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.python.framework.func_graph import FuncGraph

import tltk
from tests.conftest import STAGES, coloured_squares, conv_net, listening, squares, squares_model
from tltk.recipes import Phase, Recipe
from tltk.specs import LabelSpec
from tltk.training.history import History
from tltk.training.stop_request import TrainingStopped


def probe(epochs=1):
    return tltk.linear_probe(epochs=epochs)


def rows_of(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def photo_folder(folder, count=6, size=20):
    x, y = coloured_squares(count * 3, size=size)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        class_folder = folder / ("red", "green", "blue")[label]
        class_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(class_folder / f"{index}.png")
    return folder


def test_a_fit_learns_and_reports_every_epoch():
    model = squares_model()
    run = tltk.fit(
        model, squares(96), squares(24, seed=1), recipe=tltk.linear_probe(epochs=12, learning_rate=3e-2), batch_size=8
    )
    assert run.model is model
    assert [row["epoch"] for row in run.history] == list(range(1, 13))
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert run.phases[0].score[0] > 0.8
    assert run.folder is None


def test_equal_seeds_give_equal_weights():
    first, same_seed, other_seed = (squares_model() for _ in range(3))
    for model in (same_seed, other_seed):
        model.keras.set_weights(first.keras.get_weights())
    for model, seed in ((first, 1), (same_seed, 1), (other_seed, 2)):
        tltk.fit(model, squares(), recipe=tltk.fine_tune(epochs=1, probe_epochs=1), batch_size=8, seed=seed)
    models = (first, same_seed, other_seed)
    weights = [np.concatenate([w.ravel() for w in model.keras.get_weights()]) for model in models]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert np.any(weights[0] != weights[2])


def test_unreadable_images_are_left_out_and_listed(tmp_path):
    folder = photo_folder(tmp_path / "photos", count=12)
    (folder / "red" / "broken.jpg").write_bytes(b"")
    source = tltk.from_folder(folder)
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))
    run = tltk.fit(model, source, recipe=probe(), out=tmp_path / "run", batch_size=8)
    assert len(run.invalid) == 1
    rows = rows_of(tmp_path / "run" / "invalid.csv")
    assert "broken.jpg" in rows[0]["example_id"]
    with pytest.raises(ValueError, match=r"broken.jpg"):
        tltk.fit(model, source, recipe=probe(), max_invalid_fraction=0.0)


def test_a_tf_dataset_can_be_trained_and_validated_on(caplog):
    x, y = coloured_squares(24)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    run = tltk.fit(squares_model(), dataset, dataset, recipe=probe(2))
    assert run.phases[0].score is not None
    assert caplog.text.count("transparent pixels become white") == 1


def dataset_of(targets, *, batch=4, scale=1.0):
    x, _ = coloured_squares(len(targets))
    return tf.data.Dataset.from_tensor_slices((x * np.float32(scale), targets)).batch(batch)


@pytest.mark.parametrize(
    ("dataset", "match"),
    [
        (dataset_of([0, 1, 2, -1]), r"`train`, batch 0: row 3 has the target -1\. .*class numbers from 0 to 2"),
        (dataset_of([0.0] * 4 + [0.7]), r"`train`, batch 1: row 0 has the target 0\.7.*tltk\.regression"),
        (dataset_of(["red", "gren"]), r"'gren'.*Did you mean 'green'"),
        (dataset_of([[1.0, 0.0]]), r"shape \(1, 2\)"),
        (dataset_of([0, 1], scale=1 / 255), r"pixels lie between 0 and 0\.\d+, but the model expects \[0, 255\]"),
        (
            dataset_of([0, 1]).map(lambda image, label: image),
            r"`train` has no targets: it must yield \(inputs, targets",
        ),
    ],
)
def test_a_dataset_that_does_not_fit_the_model_is_rejected_before_training(dataset, match):
    with pytest.raises(ValueError, match=match):
        tltk.fit(squares_model(), dataset, recipe=probe())


def test_a_wrong_target_is_named_when_training_reaches_it():
    with pytest.raises(ValueError, match=r"`train`, batch 3: row 1 has the target 5"):
        tltk.fit(squares_model(), dataset_of([0, 1, 2, 0] * 3 + [1, 5]), recipe=probe())
    with pytest.raises(ValueError, match=r"`val`, batch 2: row 0 has the target nan"):
        tltk.fit(squares_model(), dataset_of([0, 1]), dataset_of([0.0] * 8 + [np.nan]), recipe=probe())


def test_class_names_of_a_keras_dataset_must_have_the_order_of_the_task():
    dataset = dataset_of([0, 1])
    dataset.class_names = ["blue", "green", "red"]
    with pytest.raises(ValueError, match=r"(?s)another order: blue, green, red.*of the model: red, green, blue"):
        tltk.fit(squares_model(), dataset, recipe=probe())


def test_class_names_as_targets_and_sample_weights_train():
    x, y = coloured_squares(8)
    names = np.array(["red", "green", "blue"])[y]
    dataset = tf.data.Dataset.from_tensor_slices((x, names, np.ones(8, "float32"))).batch(4)
    model, same_model = squares_model(), squares_model()
    same_model.keras.set_weights(model.keras.get_weights())
    tltk.fit(model, dataset, dataset, recipe=probe())
    tltk.fit(same_model, tf.data.Dataset.from_tensor_slices((x, y)).batch(4), recipe=probe())
    for weight, same in zip(model.keras.get_weights(), same_model.keras.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, same)


def test_regression_and_multilabel_models_train_by_the_same_call():
    x, y = coloured_squares(24)
    regression = tltk.from_arrays(x, y.astype("float32") * 10, label_type="regression")
    backbone = tltk.backbone(conv_net(), stages=STAGES)
    run = tltk.fit(
        tltk.assemble(backbone, tltk.regression(regression.labels)),
        regression,
        regression,
        recipe=probe(),
        batch_size=8,
    )
    assert {"mae", "rmse", "val_mae"} <= set(run.history[0])
    multilabel = tltk.from_arrays(
        x, np.eye(3, dtype="float32")[y], labels=("red", "green", "blue"), label_type="multilabel"
    )
    run = tltk.fit(
        tltk.assemble(backbone, tltk.classification(multilabel.labels)),
        multilabel,
        multilabel,
        recipe=probe(),
        batch_size=8,
    )
    assert {"macro_f1", "val_macro_f1"} <= set(run.history[0])


def test_ctrl_c_saves_the_best_weights_so_far(tmp_path, monkeypatch):
    from tltk.training import callbacks

    original = callbacks.ReportProgress.on_epoch_end

    def interrupt(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(callbacks.ReportProgress, "on_epoch_end", interrupt)
    with listening(), pytest.raises(KeyboardInterrupt):
        tltk.fit(squares_model(), squares(), squares(12), recipe=probe(5), out=tmp_path / "run", batch_size=8)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["interrupted"] is True
    assert len(rows_of(tmp_path / "run" / "history.csv")) == 2
    assert tltk.load_run(tmp_path / "run").model.keras.output_shape == (None, 3)


def test_a_signal_while_the_run_is_saved_stops_after_it(tmp_path, monkeypatch):
    save = History.save

    def interrupted(self, run, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return save(self, run, **options)

    monkeypatch.setattr(History, "save", interrupted)
    with pytest.raises(TrainingStopped, match="SIGTERM"):
        tltk.fit(squares_model(), squares(), recipe=tltk.linear_probe(epochs=1), out=tmp_path / "run", verbose=0)
    assert len(tltk.load_run(tmp_path / "run").history) == 1


def test_wrong_arguments_are_rejected_before_training(tmp_path):
    model = squares_model()
    with pytest.raises(TypeError, match=r"`model` must be TransferModel. Received: Functional"):
        tltk.fit(model.keras, squares())
    with pytest.raises(TypeError, match=r"`train` must be Source. Received: str. Pass a source"):
        tltk.fit(model, "photos")
    with pytest.raises(TypeError, match=r"`recipe` must be Recipe. Received: str"):
        tltk.fit(model, squares(), recipe="fine_tune")
    other_labels = tltk.from_arrays(*coloured_squares(6), labels=("red", "green", "pink"))
    with pytest.raises(ValueError, match=r"(?s)`val`.*does not know: pink.*lacks labels that the model knows: blue"):
        tltk.fit(model, squares(), other_labels)
    with pytest.raises(ValueError, match=r"`train` has no labels"):
        tltk.fit(model, tltk.from_arrays(coloured_squares(6)[0]))
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        tltk.fit(model, squares(), out=tmp_path / "file")


def test_a_full_disk_is_noticed_before_training(tmp_path, monkeypatch):
    from collections import namedtuple

    from tltk.foundation import files

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage(1, 1, 1_000_000))
    with pytest.raises(OSError, match="no space left"):
        tltk.fit(squares_model(), squares(), out=tmp_path / "run")


def test_class_names_keep_the_order_in_which_they_are_passed():
    assert squares().labels == LabelSpec(("red", "green", "blue"))


def test_a_fit_that_fails_before_its_first_epoch_does_not_change_an_older_run(tmp_path):
    tltk.fit(squares_model(), squares(), recipe=probe(), out=tmp_path / "run", batch_size=8)
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    with pytest.raises(ValueError, match=r"phase 'fine_tune': `conv9..` matches no layer"):
        tltk.fit(squares_model(), squares(), recipe=tltk.fine_tune(unfreeze="conv9"), out=tmp_path / "run")
    for wrong in (0, 2.5, "x"):
        with pytest.raises(ValueError, match=r"`batch_size` must be a whole number above 0, or for texts a budget"):
            tltk.fit(squares_model(), squares(), recipe=probe(), out=tmp_path / "run", batch_size=wrong)
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_seeds_are_whole_numbers_below_2_to_the_31():
    tltk.fit(squares_model(), squares(), recipe=tltk.fine_tune(epochs=1, probe_epochs=1), batch_size=8, seed=20240501)
    for wrong in (-1, "a", 2**31):
        with pytest.raises(ValueError, match=r"`seed` must be a whole number in \[0, 2\*\*31\). Received"):
            tltk.fit(squares_model(), squares(), recipe=probe(), seed=wrong)


def test_ctrl_c_in_a_worse_later_phase_keeps_the_weights_of_the_phase_before(tmp_path, monkeypatch):
    from dataclasses import replace

    from tltk.optimizers.spec import adamw, sgd
    from tltk.recipes import Phase, Recipe
    from tltk.training import callbacks

    good = Phase("good", tltk.freeze("backbone"), epochs=6, optimizer=adamw(3e-2))
    worse = Phase("worse", tltk.train_all(), 3, sgd(5.0, momentum=0.0), schedule="constant", warmup=0.0)
    original = callbacks.ReportProgress.on_train_batch_end
    saved_weights = []

    def interrupt(self, batch, logs=None):
        original(self, batch, logs)
        if self.phase == "worse" and batch == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(callbacks.ReportProgress, "on_train_batch_end", interrupt)
    start = squares_model().keras.get_weights()
    for phases in ((good,), (good, worse), (good, replace(worse, wise_ft=True))):
        model = squares_model()
        model.keras.set_weights(start)
        data = squares(48), squares(12, seed=1)
        interrupted = pytest.raises(KeyboardInterrupt) if len(phases) == 2 else contextlib.nullcontext()
        with listening(), interrupted:
            tltk.fit(model, *data, recipe=Recipe("r", phases), batch_size=8, out=tmp_path / "run")
        saved_weights.append(tltk.load_run(tmp_path / "run").model.keras.get_weights())
    good_weights, *weights_after_worse = saved_weights
    for weights in weights_after_worse:
        for expected, weight in zip(good_weights, weights, strict=True):
            np.testing.assert_array_equal(weight, expected)


def test_data_without_a_readable_image_is_rejected_with_the_file_names(tmp_path):
    from tests.images import damaged_png

    for number in range(4):
        damaged_png(tmp_path / "set" / ("cat", "dog")[number % 2] / f"{number}.png")
    source = tltk.from_folder(tmp_path / "set")
    model = tltk.assemble(tltk.backbone(conv_net(), stages=STAGES), tltk.classification(source.labels))
    for cache in ("off", "memory"):
        with pytest.raises(ValueError, match=r"none of the 4 examples could be decoded: cat/0.png"):
            tltk.fit(model, source, recipe=probe(2), cache=cache)
    predictions = tltk.predict(model, source)
    assert (len(predictions), len(predictions.invalid)) == (0, 4)
    assert predictions.probabilities.shape == (0, 2) and predictions.labels == ()


def test_l2_sp_has_pretrained_weights_for_the_backbone_only():
    from tltk.training.phases import _pretrained_weights

    model = squares_model()
    head = {
        weight.path for layer in model.keras.layers if model.stages[layer.name] == "head" for weight in layer.weights
    }
    backbone = set(_pretrained_weights(model))
    assert head and backbone
    assert backbone == {weight.path for weight in model.keras.weights} - head


def test_no_graph_of_a_finished_fit_stays_in_memory():
    def graphs():
        gc.collect()
        return {id(graph) for graph in gc.get_objects() if isinstance(graph, FuncGraph) and "one_step" in graph.name}

    others = graphs()  # those of plain Keras stay
    tltk.fit(squares_model(), squares(), plan=tltk.train_all(), epochs=1, batch_size=8)
    assert graphs() <= others


def test_accumulated_batches_take_the_steps_of_larger_ones():
    weights = []
    for batch_size, accumulate in ((8, 1), (4, 2)):
        keras.utils.set_random_seed(0)
        model = squares_model(head=tltk.head(dropout=0.0, normalization="layer"))
        optimizer = tltk.adamw(1e-2, weight_decay=0.1, gradient_accumulation_steps=accumulate)
        phase = Phase("p", tltk.train_all(), 2, optimizer, schedule="constant", warmup=0.0)
        tltk.fit(model, squares(24), recipe=Recipe("r", (phase,)), batch_size=batch_size, verbose=0)
        weights.append(model.keras.get_weights())
    for larger, accumulated in zip(*weights, strict=True):
        np.testing.assert_allclose(accumulated, larger, rtol=2e-4, atol=2e-5)
