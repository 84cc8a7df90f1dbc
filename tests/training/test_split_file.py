"""A run records its split, and evaluation warns about examples that were trained on."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

import tltk
from tests.conftest import squares, squares_model
from tltk.training import split_file


def noise(count, seed=0):
    """Images that are all different."""
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 24, 24, 3), "uint8")
    return tltk.from_arrays(pixels, [index % 3 for index in range(count)], labels=squares(6).labels.names)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "noise"
    train, val, _ = tltk.split(noise(24), val=6, test=3)
    return tltk.fit(squares_model(), train, val, recipe=tltk.linear_probe(epochs=1), batch_size=8, out=folder)


def test_the_split_is_stored_in_the_run(run):
    train, val, test = tltk.split(noise(24), val=6, test=3)
    with (run.folder / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = [
        (name, part.id_of(index)) for name, part in (("train", train), ("val", val)) for index in range(len(part))
    ]
    assert [(row["part"], row["example_id"]) for row in rows] == expected
    assert len({row["fingerprint"] for row in rows}) == 21
    assert split_file.trained_on(run.folder, test) == split_file.trained_on(run.folder, val) == []


@pytest.mark.parametrize("form", [lambda run: run, lambda run: run.folder, lambda run: str(run.folder)])
def test_evaluation_warns_of_examples_that_were_trained_on_whatever_their_names(run, form, caplog):
    data = noise(24)
    renamed = replace(data, ids=np.array([f"other {index}" for index in range(24)], object))
    report = tltk.evaluate(form(run), renamed)
    (note,) = report.notes
    assert note.startswith("15 of the 24 examples were trained on (other ")
    assert note in caplog.text
    assert tltk.evaluate(form(run), noise(6, seed=1)).notes == ()


def test_a_dataset_and_a_run_without_a_split_are_evaluated_without_a_note(run, tmp_path):
    dataset = tf.data.Dataset.from_tensors((tf.zeros([3, 24, 24, 3], tf.uint8), tf.constant([0, 1, 2])))
    assert tltk.evaluate(run, dataset).notes == ()
    assert split_file.note(tmp_path, noise(3)) == ""
    split_file.write(tmp_path, {"train": dataset, "val": None})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content", [b"part;example_id\n1;2\n", b"part,example_id,fingerprint\n\xff,b,c\n", b"a,b\n1\n"]
)
def test_a_damaged_file_is_an_error(tmp_path, content):
    (tmp_path / "split.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"split.csv is damaged"):
        split_file.trained_on(tmp_path, squares(6))
