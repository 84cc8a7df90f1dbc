"""The file split.csv of a run: which examples it was trained, validated and tested on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tltk.data.fingerprints import digest, fingerprints
from tltk.data.source import Source
from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput

NAME = "split.csv"


def write(folder: Path, parts: Mapping[str, Any]) -> dict[str, str]:
    """Record the examples of parts in the split of a run, in place of those recorded for the same parts before.

    Args:
        folder: Folder of the run.
        parts: "train", "val" or "test" → its examples. Only those of a `Source` are recorded: a `tf.data.Dataset` has
            no names.

    Returns:
        Part → a hash of its examples, targets and weights, see `tltk.data.fingerprints.digest`; of a `tf.data.Dataset`
        its shapes and length.
    """
    rows = [row for row in _read(folder) if row["part"] not in parts]
    digests: dict[str, str] = {}
    for part, source in parts.items():
        if source is not None and not isinstance(source, Source):
            digests[part] = f"{source.element_spec}, length {int(source.cardinality())}"
        if isinstance(source, Source):
            prints = fingerprints(source) or [""] * len(source)
            digests[part] = digest(source, prints)
            rows += [
                {"part": part, "example_id": source.id_of(index), "fingerprint": fingerprint}
                for index, fingerprint in enumerate(prints)
            ]
    if rows:
        files.write_csv(folder / NAME, rows)
    return digests


def trained_on(folder: Path, source: Source) -> list[str]:
    """Return the ids of the examples of a source that a run was trained on, even if they were renamed."""
    trained = {row["fingerprint"] for row in _read(folder) if row["part"] == "train"} - {""}
    prints = fingerprints(source) if trained else None
    return [source.id_of(index) for index, fingerprint in enumerate(prints or ()) if fingerprint in trained]


def note(folder: Path, source: Source) -> str:
    """Return a warning if examples to evaluate on were trained on; "" if none were."""
    ids = trained_on(folder, source)
    if not ids:
        return ""
    return (
        f"{len(ids):,} of the {len(source):,} examples were trained on ({check.listing(ids, limit=3)}): the result is "
        "better than on new ones"
    )


def _read(folder: Path) -> list[dict[str, str]]:
    rows = files.read_csv(folder / NAME)
    if rows and not {"part", "example_id", "fingerprint"} <= rows[0].keys():
        raise InvalidInput(
            f"{folder / NAME} is damaged: it has the columns {check.listing(rows[0])}, not part, example_id and "
            "fingerprint. Without the file, tltk cannot tell which examples were trained on."
        )
    return rows
