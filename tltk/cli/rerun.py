"""The command `tltk rerun`: train again as before, and compare the numbers."""

import inspect
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from tltk.cli import command_file, console, training
from tltk.cli.options import Debug, Json, RunFolder
from tltk.cli.train import train
from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidInput, NotFound
from tltk.foundation.paths import in_shell

DIFFERENT = 1


def rerun(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option(help="Folder to keep the second run in; default: none.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Train again with the options of a run, and say whether the numbers agree: exit code 0 if they do, else 1."""
    with console.command(as_json=as_json, debug=debug):
        stored = command_file.read(run, of_run=True)
        _require_complete(run)
        if out is not None and out.exists():
            raise InvalidInput(f"`--out` must be a new folder. Received: {out}, which exists.")
        first, second_folder = run.absolute(), None if out is None else out.absolute()
        working_folder = command_file.in_working_folder(stored, fix="Restore it, or make a link of that name.")
        with tempfile.TemporaryDirectory() as temporary, working_folder:
            second = second_folder or Path(temporary) / "run"
            options = {**_default_options(), **stored["options"]}
            options |= {"out": second, "overwrite": False, "resume": None, "force": False}
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


def _require_complete(run: Path) -> None:
    """Raise if a folder holds no run, or one whose training was interrupted."""
    for name in ("config.json", "model.keras"):
        if not (run / name).is_file():
            raise NotFound(f"{run} is not the folder of a complete run: {name} is missing.")
    try:
        config: Any = json.loads((run / "config.json").read_text(encoding="utf-8"))
        is_interrupted = config.get("interrupted", False)
    except (ValueError, AttributeError) as error:
        raise InvalidInput(f"{run / 'config.json'} is damaged: {error}") from error
    if is_interrupted:
        raise InvalidInput(
            f"{run} is not the folder of a complete run: its training was interrupted. Resume it with "
            f"`tltk train --resume {in_shell(run)}` if it has checkpoints, or train anew."
        )


def _default_options() -> dict[str, Any]:
    """Return the defaults of `tltk train`, for options that did not exist when the run was made."""
    parameters = inspect.signature(train).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}
