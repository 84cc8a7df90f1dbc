"""The commands `tltk export` and `tltk verify`."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tltk.cli import console, options
from tltk.cli.options import Colors, Debug, Images, InputColumn, Json, LabelColumn, Masks, RunFolder, TextColumn
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
        Path | None,
        typer.Option(
            help="Examples such as the training set: litert_int8 needs them, other formats are judged on them."
        ),
    ] = None,
    max_changed: Annotated[
        float | None,
        typer.Option(help="Largest accepted share of changed answers; default: 0 to 0.05, depending on the format."),
    ] = None,
    warmup: Annotated[bool, typer.Option("--warmup", help="Store warm-up requests for TensorFlow Serving.")] = False,
    fold_batch_norm: Annotated[
        bool, typer.Option("--fold-batch-norm", help="Fold batch norms into convolutions (saved_model).")
    ] = False,
    label: LabelColumn = "label",
    input_column: InputColumn = "path",
    text: TextColumn = None,
    images: Images = None,
    masks: Masks = None,
    colors: Colors = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Export the model of a run for serving, and verify the export in a clean process."""
    with console.command(as_json=as_json, debug=debug):
        from tltk.foundation import checks as check
        from tltk.serving import FORMATS

        check.one_of("format", format, (*FORMATS, "all"))
        single_format_options = version is not None or warmup or fold_batch_norm or max_changed is not None
        _check_comparison(format, data=data, calibration=calibration, single_format_options=single_format_options)
        beside = {"images": images, "masks": masks, "colors": colors}
        _check_beside(beside, has_data=calibration is not None)
        columns: dict[str, Any] = {"label": label, "input_column": input_column, "text": text}
        columns |= beside
        if data is not None and calibration is not None:
            _compare(run, folder, data, calibration, columns, as_json=as_json)
            return
        console.start_tensorflow()
        import tltk

        model = tltk.load_run(run).model
        exported = tltk.export(
            model,
            folder,
            format=format,
            version=version,
            calibration=None if calibration is None else _source(model, calibration, columns),
            max_changed=max_changed,
            warmup=warmup,
            fold_batch_norm=fold_batch_norm,
        )
        _show_export(exported, as_json=as_json)


def _source(model: "TransferModel", path: Path, columns: dict[str, Any]) -> "Source":
    """Read examples as those of a model; `columns` are the options that name columns, or files beside them."""
    from tltk.modalities.modality import modality_of

    labels, modality = model.task.labels, modality_of(model.input_spec).name
    return options.source(path, **columns, label_type=labels.type, labels=labels, modality=modality)


def _show_export(exported: "Verification", *, as_json: bool) -> None:
    """Print the folder, size, largest differences and changed answers of an export."""
    sizes = {"size_bytes": exported.size_bytes, "largest_differences": exported.largest_differences}
    if as_json:
        answers = None if exported.answers is None else vars(exported.answers)
        console.show_json({"saved_model": exported.path, **sizes, "answers": answers})
        return
    size, difference = f"{exported.size_bytes / 1e6:.1f} MB", max(exported.largest_differences.values())
    console.show(f"{exported.path}  {size}, verified in a clean process: largest difference {difference:.1e}")
    if exported.answers is not None:
        console.show(exported.answers.describe())


def _check_comparison(
    export_format: str, *, data: Path | None, calibration: Path | None, single_format_options: bool
) -> None:
    """Check that `--format all` has the data to measure each format on, and that a single format has none."""
    if export_format == "all" and (data is None or calibration is None or single_format_options):
        raise InvalidInput(
            "`--format all` requires --data and --calibration, and accepts no --version, --max-changed, --warmup or "
            "--fold-batch-norm."
        )
    if export_format != "all" and data is not None:
        raise InvalidInput(f"`--data` requires --format all. Received: --format {export_format}")


def _check_beside(beside: dict[str, Path | None], *, has_data: bool) -> None:
    """Check that files beside annotations are given only with annotations."""
    given = [f"`--{name}`" for name, path in beside.items() if path is not None]
    if given and not has_data:
        raise InvalidInput(f"{' and '.join(given)}: for the examples of --calibration, which is missing.")


def _compare(run: Path, folder: Path, data: Path, calibration: Path, columns: dict[str, Any], *, as_json: bool) -> None:
    """Export and measure every format, each in a process of its own, and print the table.

    This process does not import TensorFlow, whose memory would add to that of the process that measures.
    """
    from tltk.serving import FORMATS, KERAS

    rows = []
    for name in (KERAS, *FORMATS):
        console.say(f"measuring {name}")
        row = _in_own_process(_measure, run, folder, data, calibration, columns, name)
        rows.append(SimpleNamespace(**row))
    if as_json:
        console.show_json({"formats": [vars(row) for row in rows]})
        return
    _show_comparison(rows, title=str(data))


def _in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, whose memory is returned to the system afterwards."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _measure(
    run: Path, folder: Path, data: Path, calibration: Path, columns: dict[str, Any], file_format: str
) -> dict[str, Any]:
    """Load a run and measure one format of its model; the fields of `FormatComparison`, which needs no TensorFlow."""
    console.start_tensorflow()
    import tltk
    from tltk.serving.comparison import measure

    model = tltk.load_run(run).model
    examples, test_set = (_source(model, path, columns) for path in (calibration, data))
    return vars(measure(model, folder, test_set, calibration=examples, file_format=file_format))


def _show_comparison(rows: Sequence[Any], *, title: str) -> None:
    """Print the table of all formats, and why an export was refused; rows have the fields of `FormatComparison`."""
    cells = []
    for row in rows:
        size = None if row.size_bytes is None else row.size_bytes / 1e6
        difference = None if row.largest_difference is None else f"{row.largest_difference:.1e}"
        changed = "refused" if row.changed is None else f"{row.changed:.1%}"
        latencies = (row.latency_ms.get(batch_size) for batch_size in ("1", "32"))
        cells.append((row.format, size, row.score, changed, difference, *latencies))
    headings = ["format", "MB", rows[0].metric, "changed answers", "largest difference", "ms per batch of 1"]
    console.show_table([*headings, "ms per batch of 32"], cells, title=title)
    for row in rows:
        if row.refused:
            console.show(f"{row.format}: {row.refused}")


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
                    "answers": None if verified.answers is None else vars(verified.answers),
                }
            )
            return
        rows = [(name, f"{value:.1e}") for name, value in verified.largest_differences.items()]
        console.show_table(["signature", "largest difference"], rows, title=str(verified.path))
        if verified.answers is not None:
            console.show(f"when it was exported: {verified.answers.describe()}")
        console.show(f"{verified.size_bytes / 1e6:.1f} MB, loaded in {verified.load_seconds:.1f} s")
        latencies = [(size, row["p50_ms"], row["p99_ms"]) for size, row in verified.latencies.items()]
        console.show_table(["batch", "p50 ms", "p99 ms"], latencies)
