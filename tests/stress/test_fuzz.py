"""A short fuzz, and that the process which runs the cases is watched; `python -m tests.stress.fuzz` runs many more."""

import re

import pytest

from tests.stress import fuzz


def test_damaged_files_are_refused_or_left_out_or_read_right(capsys):
    assert fuzz.main(["--count", "40", "--seed", "12", "--light"]) == 0, capsys.readouterr().out
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"fuzz: (3[0-9]) of \1 cases held \(", lines[-1])  # the export is not among the light ones
    kinds = {kind for kind, (_, _, times) in fuzz.SCHEDULE.items() if times} - set(fuzz.HEAVY)
    assert {line.split(":")[0] for line in lines[:-1]} == kinds


def test_a_crash_a_hang_a_bomb_and_a_wrong_result_are_noticed_and_the_next_case_runs():
    with fuzz.shared_folder() as shared:
        worker = fuzz.Worker(0, shared, (), seconds=1.0)
        try:
            results = [worker.run(7, kind) for kind in ("wrong", "hang", "bomb", "crash", "wrong")]
        finally:
            worker.stop()
    assert [result.outcome for result in results] == ["failed", "hung", "failed", "crashed", "failed"]
    assert "MemoryError" in results[2].detail and "exit code -11" in results[3].detail
    assert results[0].detail == results[4].detail, "a case is a function of seed and number"
    assert fuzz.summary(results) == "fuzz: 0 of 5 cases held (1 crashed, 3 failed, 1 hung)"


def test_every_round_has_every_kind_and_the_order_depends_on_the_seed():
    first = [fuzz.kind_of(0, number) for number in range(len(fuzz.ROUND))]
    assert sorted(first) == sorted(fuzz.ROUND)
    assert first == [fuzz.kind_of(0, number) for number in range(len(fuzz.ROUND))]
    assert first != [fuzz.kind_of(1, number) for number in range(len(fuzz.ROUND))]


def test_the_command_line_ends_with_1_if_a_case_does_not_hold(monkeypatch, capsys):
    results = [fuzz.Result(0, "csv", "used", "", 0.1), fuzz.Result(1, "csv", "failed", "why", 0.1)]
    monkeypatch.setattr(fuzz, "run", lambda *_, **__: iter(results))
    assert fuzz.main(["--count", "2"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "fuzz: 1 of 2 cases held (1 failed, 1 used)"


@pytest.mark.parametrize("kind", sorted(fuzz.SCHEDULE))
def test_every_kind_has_a_function(kind):
    module, function, _ = fuzz.SCHEDULE[kind]
    text = (fuzz.Path(fuzz.__file__).parent / f"{module}.py").read_text()
    assert f"def {function}(generator: Generator, place: Place) -> str:" in text
