"""The part of the command line that leaves Python: `tltk export` and `tltk verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options
from tltk.cli.options import InputColumn, Json, LabelColumn, RunFolder, TextColumn

if TYPE_CHECKING:
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel


def export(
    run: RunFolder,
    folder: Annotated[Path, typer.Argument(help="Parent of the version folders, as TensorFlow Serving reads it.")],
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(help="saved_model, onnx, openvino, litert, litert_float16, litert_int8; or all, with --data.")
    ] = "saved_model",
    version: Annotated[int | None, typer.Option(help="Default: one above the highest there is.")] = None,
    data: Annotated[Path | None, typer.Option(help="Test set that --format all measures each format on.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Training set that litert_int8 measures the ranges of layers on.")
    ] = None,
    warmup: Annotated[
        bool, typer.Option("--warmup", help="Store requests that TensorFlow Serving replays while it loads.")
    ] = False,
    fold_batch_norm: Annotated[
        bool, typer.Option("--fold-batch-norm", help="Fold batch norms into convolutions (saved_model).")
    ] = False,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    as_json: Json = False,
) -> None:
    """Write a run's model for serving (image bytes or texts in, labels out) and check it in a clean process."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        import tltk
        from tltk.foundation import checks as check
        from tltk.modalities.modality import modality_of
        from tltk.serving.formats import FORMATS

        check.one_of("format", format, (*FORMATS, "all"))
        for_one_format = version is not None or warmup or fold_batch_norm
        _check_comparison(format, data=data, calibration=calibration, for_one_format=for_one_format)
        model = tltk.load_run(run).model
        held = model.task.labels
        columns: dict[str, Any] = {
            "label": label,
            "input_column": input_column,
            "text": text,
            "label_type": held.type,
            "labels": held,
            "takes": modality_of(model.input).name,
        }
        ranges = options.source(calibration, **columns) if calibration is not None else None
        if data is not None and ranges is not None:
            _compare(model, folder, options.source(data, **columns), ranges, as_json=as_json)
            return
        done = tltk.export(
            model,
            folder,
            format=format,
            version=version,
            calibration=ranges,
            warmup=warmup,
            fold_batch_norm=fold_batch_norm,
        )
        worst = max(done.largest.values())
        if as_json:
            console.show_json({"saved_model": done.path, "bytes": done.bytes, "differences": done.largest})
        else:
            console.show(
                f"{done.path}  {done.bytes / 1e6:.1f} MB, checked in a clean process: largest difference {worst:.1e}"
            )


def _check_comparison(export_format: str, *, data: Path | None, calibration: Path | None, for_one_format: bool) -> None:
    """Check that `--format all` has the data to measure each format on, and that a single format has none."""
    if export_format == "all" and (data is None or calibration is None or for_one_format):
        raise ValueError(
            "`--format all` needs --data and --calibration, and takes no --version, --warmup or --fold-batch-norm."
        )
    if export_format != "all" and data is not None:
        raise ValueError(f"`--data` goes with --format all. Received: --format {export_format}")


def _compare(model: "TransferModel", folder: Path, data: "Source", calibration: "Source", *, as_json: bool) -> None:
    from tltk.serving.comparison import compare

    rows = compare(model, folder, data, calibration=calibration)
    if as_json:
        console.show_json({"formats": [vars(row) for row in rows]})
        return
    cells = [
        (row.format, row.bytes / 1e6, row.score, f"{row.difference:.1e}", *row.milliseconds.values()) for row in rows
    ]
    heads = ["format", "MB", rows[0].metric, "largest difference", "ms a batch of 1", "ms a batch of 32"]
    console.show_table(heads, cells, title=f"{len(data):,} examples")


def verify(
    folder: Annotated[Path, typer.Argument(help="A version that `tltk export` wrote, or the parent of versions.")],
    c_interface: Annotated[
        bool, typer.Option("--c-interface", help="Through TensorFlow's C interface, as TensorFlow Serving does.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Replay an export's stored requests in a process with its runtime alone: differences, size, time."""
    with console.command(as_json=as_json):
        console.start_tensorflow()
        from tltk.serving import certificate

        found = certificate.verify(folder, c_interface=c_interface)
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
