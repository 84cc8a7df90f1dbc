"""The part of the command line that leaves Python: `tltk export` and `tltk verify`."""

from pathlib import Path
from typing import Annotated

import typer

from tltk import console
from tltk.options import Json, RunFolder


def export(
    run: RunFolder,
    folder: Annotated[Path, typer.Argument(help="Parent of the version folders, as TensorFlow Serving reads it.")],
    version: Annotated[int | None, typer.Option(help="Default: one above the highest there is.")] = None,
    as_json: Json = False,
) -> None:
    """Write a run's model as a SavedModel (image bytes or texts in, labels out) and check it in a clean process."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk

        done = tltk.export(tltk.load_run(run).model, folder, version=version)
        worst = max(done.largest.values())
        if as_json:
            console.show_json({"saved_model": done.path, "bytes": done.bytes, "differences": done.largest})
        else:
            console.show(
                f"{done.path}  {done.bytes / 1e6:.1f} MB, checked in a clean process: largest difference {worst:.1e}"
            )


def verify(
    folder: Annotated[Path, typer.Argument(help="A version that `tltk export` wrote, or the parent of versions.")],
    as_json: Json = False,
) -> None:
    """Replay an export's stored requests in a process with tensorflow alone: differences, size, time."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        from tltk.serving import certificate

        found = certificate.verify(folder)
        if as_json:
            console.show_json(
                {
                    "saved_model": found.path,
                    "differences": found.largest,
                    "bytes": found.bytes,
                    "load_seconds": round(found.load_seconds, 3),
                    "latency_ms": found.latency,
                }
            )
            return
        rows = [(name, f"{value:.1e}") for name, value in found.largest.items()]
        console.show_table(["signature", "largest difference"], rows, title=str(found.path))
        console.show(f"{found.bytes / 1e6:.1f} MB, loaded in {found.load_seconds:.1f} s")
        times = [(size, each["p50_ms"], each["p99_ms"]) for size, each in found.latency.items()]
        console.show_table(["batch", "p50 ms", "p99 ms"], times)
