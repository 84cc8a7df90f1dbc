"""The command `tltk rerun`: train again as before, and compare the numbers."""

import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Annotated

import typer

from tltk.cli import command_file, console, training
from tltk.cli.options import Debug, Json, RunFolder
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound

DIFFERENT = 1


def rerun(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the second run in; default: none.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train again with the options of a run, and say whether the numbers agree: exit code 0 if they do, else 1."""
    with console.command(as_json=as_json, debug=debug):
        stored = command_file.read(run)
        if not (run / "model.keras").is_file():
            raise NotFound(f"{run} is not the folder of a complete run: model.keras is missing.")
        if out is not None and out.exists():
            raise InvalidInput(f"`--out` must be a new folder. Received: {out}, which exists.")
        first, second_parent = run.absolute(), None if out is None else out.absolute()
        with tempfile.TemporaryDirectory() as temporary, chdir(stored["working_folder"]):
            second = second_parent or Path(temporary) / "run"
            options = {**stored["options"], "out": second, "overwrite": False, "resume": None, "force": False}
            training.run(options, as_json=False, quiet=True)
            from tltk.training.compare import compare_runs

            comparison = compare_runs(first, second)
        if as_json:
            console.show_json({"run": run, "equal": comparison.is_equal, "differences": comparison.differences})
        elif comparison.is_equal:
            console.show(f"{run}: the numbers agree to the byte: weights, history, metrics.")
        else:
            console.show(f"{run}: the numbers differ.")
            for line in comparison.differences:
                console.show(f"  {line}")
            if comparison.circumstances:
                console.show(f"What else differs: {check.listing(comparison.circumstances, limit=12)}")
        if not comparison.is_equal:
            raise SystemExit(DIFFERENT)
