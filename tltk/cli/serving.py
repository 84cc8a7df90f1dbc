"""The commands `tltk export` and `tltk verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options
from tltk.cli.options import Debug, InputColumn, Json, LabelColumn, RunFolder, TextColumn
from tltk.foundation.errors import InvalidInput

if TYPE_CHECKING:
    from tltk.data.source import Source
    from tltk.models.transfer_model import TransferModel
    from tltk.serving.certificate import Verification


def export(
    run: RunFolder,
    folder: Annotated[Path, typer.Argument(help="Parent of the version folders, in the layout of TensorFlow Serving.")],
    format: Annotated[  # noqa: A002 - becomes the option --format
        str, typer.Option(help="saved_model, onnx, openvino, litert, litert_float16, litert_int8; or all, with --data.")
    ] = "saved_model",
    version: Annotated[
        int | None, typer.Option(help="Version number; default: one above the highest existing version.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Test set for --format all.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Examples for litert_int8, such as the training set.")
    ] = None,
    warmup: Annotated[bool, typer.Option("--warmup", help="Store warm-up requests for TensorFlow Serving.")] = False,
    fold_batch_norm: Annotated[
        bool, typer.Option("--fold-batch-norm", help="Fold batch norms into convolutions (saved_model).")
    ] = False,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Export the model of a run for serving, and verify the export in a clean process."""
    with console.command(as_json=as_json, debug=debug):
        console.start_tensorflow()
        import tltk
        from tltk.foundation import checks as check
        from tltk.modalities.modality import modality_of
        from tltk.serving.formats import FORMATS

        check.one_of("format", format, (*FORMATS, "all"))
        single_format_options = version is not None or warmup or fold_batch_norm
        _check_comparison(format, data=data, calibration=calibration, single_format_options=single_format_options)
        model = tltk.load_run(run).model
        labels = model.task.labels
        columns: dict[str, Any] = {
            "label": label,
            "input_column": input_column,
            "text": text,
            "label_type": labels.type,
            "labels": labels,
            "modality": modality_of(model.input_spec).name,
        }
        calibration_source = options.source(calibration, **columns) if calibration is not None else None
        if data is not None and calibration_source is not None:
            _compare(model, folder, options.source(data, **columns), calibration_source, as_json=as_json)
            return
        exported = tltk.export(
            model,
            folder,
            format=format,
            version=version,
            calibration=calibration_source,
            warmup=warmup,
            fold_batch_norm=fold_batch_norm,
        )
        _show_export(exported, as_json=as_json)


def _show_export(exported: "Verification", *, as_json: bool) -> None:
    """Print the folder, size and largest differences of an export."""
    sizes = {"size_bytes": exported.size_bytes, "largest_differences": exported.largest_differences}
    if as_json:
        console.show_json({"saved_model": exported.path, **sizes})
        return
    size, difference = f"{exported.size_bytes / 1e6:.1f} MB", max(exported.largest_differences.values())
    console.show(f"{exported.path}  {size}, verified in a clean process: largest difference {difference:.1e}")


def _check_comparison(
    export_format: str, *, data: Path | None, calibration: Path | None, single_format_options: bool
) -> None:
    """Check that `--format all` has the data to measure each format on, and that a single format has none."""
    if export_format == "all" and (data is None or calibration is None or single_format_options):
        raise InvalidInput(
            "`--format all` requires --data and --calibration, and accepts no --version, --warmup or --fold-batch-norm."
        )
    if export_format != "all" and data is not None:
        raise InvalidInput(f"`--data` requires --format all. Received: --format {export_format}")


def _compare(model: "TransferModel", folder: Path, data: "Source", calibration: "Source", *, as_json: bool) -> None:
    """Export and measure every format, and print the table."""
    from tltk.serving.comparison import compare

    rows = compare(model, folder, data, calibration=calibration)
    if as_json:
        console.show_json({"formats": [vars(row) for row in rows]})
        return
    cells = [
        (row.format, row.size_bytes / 1e6, row.score, f"{row.largest_difference:.1e}", *row.latency_ms.values())
        for row in rows
    ]
    headings = ["format", "MB", rows[0].metric, "largest difference", "ms per batch of 1", "ms per batch of 32"]
    console.show_table(headings, cells, title=f"{len(data):,} examples")


def verify(
    folder: Annotated[
        Path, typer.Argument(help="Version folder written by `tltk export`, or the parent of version folders.")
    ],
    c_interface: Annotated[
        bool, typer.Option("--c-interface", help="Use TensorFlow's C interface, as TensorFlow Serving does.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Replay the stored requests of an export in a clean process: differences, size, latency."""
    with console.command(as_json=as_json, debug=debug):
        console.start_tensorflow()
        from tltk.serving import certificate

        verified = certificate.verify(folder, c_interface=c_interface)
        if as_json:
            console.show_json(
                {
                    "saved_model": verified.path,
                    "largest_differences": verified.largest_differences,
                    "size_bytes": verified.size_bytes,
                    "load_seconds": round(verified.load_seconds, 3),
                    "latency_ms": verified.latencies,
                }
            )
            return
        rows = [(name, f"{value:.1e}") for name, value in verified.largest_differences.items()]
        console.show_table(["signature", "largest difference"], rows, title=str(verified.path))
        console.show(f"{verified.size_bytes / 1e6:.1f} MB, loaded in {verified.load_seconds:.1f} s")
        latencies = [(size, row["p50_ms"], row["p99_ms"]) for size, row in verified.latencies.items()]
        console.show_table(["batch", "p50 ms", "p99 ms"], latencies)
