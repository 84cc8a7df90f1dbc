"""Stores: round trips, resuming after a kill, sharing between processes, truncated files."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from tests import ROOT
from tltk.pipeline import store

LAYOUT = store.Layout(((3,), (2, 2), ()), ("float32", "bfloat16", "uint8"))


def values(rows):
    rows = np.asarray(rows)
    first = rows[:, None] + np.arange(3, dtype="float32")
    return first.astype("float32"), np.full((len(rows), 2, 2), 0.5, ml_dtypes.bfloat16), (rows % 7).astype("uint8")


def filler(log, *, batch=4, invalid=(), stop_after=None):
    def fill(missing, write):
        for start in range(0, len(missing), batch):
            if stop_after is not None and start >= stop_after:
                raise KeyboardInterrupt
            rows = missing[start : start + batch]
            log.extend(rows.tolist())
            valid = np.array([row for row in rows if row not in invalid], np.int64)
            write(valid, values(valid), {int(row): "truncated" for row in rows if row in invalid})

    return fill


def open_store(where, count, fill, folder):
    if where == "memory":
        return store.in_memory(LAYOUT, count, fill, noun="rows")
    return store.on_disk(folder / "s", LAYOUT, count, fill, noun="rows")


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_records_are_read_in_any_order(where, tmp_path):
    records = open_store(where, 11, filler([], invalid=(3,)), tmp_path)
    assert records.invalid == {3: "truncated"}
    rows = np.array([10, 0, 7, 7])
    for tensor, expected in zip(records.read(rows), values(rows), strict=True):
        assert tensor.dtype == expected.dtype
        np.testing.assert_array_equal(tensor, expected)


def test_a_layout_has_a_size_and_a_description():
    assert LAYOUT.record_bytes == 12 + 8 + 1
    assert LAYOUT.describe() == "3 float32 + 2×2 bfloat16 + 1 uint8"


def test_a_finished_store_is_not_filled_again(tmp_path):
    open_store("disk", 8, filler([]), tmp_path)
    log = []
    records = open_store("disk", 8, filler(log), tmp_path)
    assert log == []
    np.testing.assert_array_equal(records.read(np.array([5]))[0], values([5])[0])


def test_an_interrupted_fill_is_resumed(tmp_path):
    first = []
    with pytest.raises(KeyboardInterrupt):
        open_store("disk", 20, filler(first, invalid=(2,), stop_after=12), tmp_path)
    second = []
    records = open_store("disk", 20, filler(second), tmp_path)
    assert first == list(range(12))
    assert second == list(range(12, 20))
    assert records.invalid == {2: "truncated"}
    rows = np.array([0, 11, 12, 19])
    np.testing.assert_array_equal(records.read(rows)[0], values(rows)[0])


def test_records_that_a_killed_process_did_not_flush_are_written_again(tmp_path):
    code = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}]
from pathlib import Path
from tests.pipeline.test_store import LAYOUT, values, store
store._FLUSH_SECONDS = -1.0
def fill(missing, write):
    for row in missing[:9]:
        write(missing[row:row + 1], values([row]), {{}})
    os._exit(9)
store.on_disk(Path({str(tmp_path / "s")!r}), LAYOUT, 20, fill, noun="rows")
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 9
    log = []
    records = open_store("disk", 20, filler(log), tmp_path)
    assert log == list(range(9, 20))
    np.testing.assert_array_equal(records.read(np.arange(20))[0], values(np.arange(20))[0])


def test_a_truncated_file_is_filled_again(tmp_path):
    records = open_store("disk", 8, filler([]), tmp_path)
    with records.data.open("r+b") as file:
        file.truncate(30)
    log = []
    refilled = open_store("disk", 8, filler(log), tmp_path)
    assert log == list(range(8))
    np.testing.assert_array_equal(refilled.read(np.arange(8))[0], values(np.arange(8))[0])


def test_two_processes_share_one_store(tmp_path):
    code = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}]
from pathlib import Path
from tests.pipeline.test_store import LAYOUT, values, store
import numpy as np
def fill(missing, write):
    Path({str(tmp_path / "begun")!r}).touch()
    time.sleep(3)
    write(missing, values(missing), {{}})
store.on_disk(Path({str(tmp_path / "s")!r}), LAYOUT, 8, fill, noun="rows")
"""
    other = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        log = []
        records = open_store("disk", 8, filler(log), tmp_path)
    finally:
        other.wait(timeout=120)
    assert other.returncode == 0
    assert log == []
    np.testing.assert_array_equal(records.read(np.arange(8))[0], values(np.arange(8))[0])


def test_a_waiting_process_fills_the_store_if_the_first_one_fails(tmp_path):
    begun = threading.Event()

    def full(missing, write):
        begun.set()
        time.sleep(0.5)  # the main thread waits for the lock by now
        raise OSError(errno.ENOSPC, "No space left on device")

    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(open_store, "disk", 8, full, tmp_path)
        assert begun.wait(timeout=60)
        records = open_store("disk", 8, filler([]), tmp_path)
        with pytest.raises(OSError, match="cannot store rows: No space left"):
            failed.result()
    np.testing.assert_array_equal(records.read(np.arange(8))[0], values(np.arange(8))[0])


def test_a_finished_store_has_an_index_and_no_progress_file(tmp_path):
    open_store("disk", 8, filler([], invalid=(1,)), tmp_path)
    assert {path.name for path in (tmp_path / "s").iterdir()} <= {"records.bin", "index.json", "lock"}
    index = json.loads((tmp_path / "s" / "index.json").read_text())
    assert index["count"] == 8
    assert index["invalid"] == {"1": "truncated"}
    assert os.path.getsize(tmp_path / "s" / "records.bin") == 8 * LAYOUT.record_bytes  # noqa: PTH202


def test_a_truncated_file_is_not_complete_after_an_interrupted_refill(tmp_path):
    records = open_store("disk", 12, filler([]), tmp_path)
    with records.data.open("r+b") as file:
        file.truncate(30)
    with pytest.raises(KeyboardInterrupt):
        open_store("disk", 12, filler([], stop_after=4), tmp_path)
    log = []
    refilled = open_store("disk", 12, filler(log), tmp_path)
    assert log == list(range(4, 12))
    np.testing.assert_array_equal(refilled.read(np.arange(12))[0], values(np.arange(12))[0])


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_a_final_batch_of_invalid_records_is_recorded(where, tmp_path):
    records = open_store(where, 9, filler([], invalid=(8,)), tmp_path)
    assert records.invalid == {8: "truncated"}


def test_a_truncated_unfinished_file_is_filled_from_the_start(tmp_path):
    first, second = [], []
    with pytest.raises(KeyboardInterrupt):
        open_store("disk", 20, filler(first, stop_after=12), tmp_path)
    with (tmp_path / "s" / "records.bin").open("r+b") as file:
        file.truncate(64)
    records = open_store("disk", 20, filler(second), tmp_path)
    assert second == list(range(20)), "its remaining records would be zeros"
    np.testing.assert_array_equal(records.read(np.arange(20))[0], values(np.arange(20))[0])
