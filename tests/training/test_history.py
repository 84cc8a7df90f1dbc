from tltk.training.history import History


def test_rows_and_files_of_ended_phases_survive(tmp_path):
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before, after = History(tmp_path, tmp_path / "before"), History(tmp_path, tmp_path / "after")
    before.write({"phase": "probe", "epoch": 1, "seconds": 0.5, "loss": 0.1 + 0.2})
    (tmp_path / "before" / "probe.lora.npz").write_bytes(b"lora")
    after.set_state(before.get_state())
    assert after.rows == before.rows
    assert {path.name: path.read_bytes() for path in (tmp_path / "after").iterdir()} == {
        "history.csv": b"phase,epoch,loss\nprobe,1,0.30000000000000004\n",
        "probe.lora.npz": b"lora",
    }


def test_without_a_folder_nothing_is_written():
    history = History(None, None)
    history.write({"epoch": 1})
    assert history.get_state() == {"rows": [{"epoch": 1}], "files": {}}
