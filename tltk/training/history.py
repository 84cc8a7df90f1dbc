"""The history of a training: one row per epoch, on disk from the first epoch on."""

import logging
from pathlib import Path
from typing import Any

from tltk.foundation.paths import in_shell
from tltk.training import checkpoint_file, run_folder
from tltk.training.run import Run, publish_run, write_history

log = logging.getLogger("tltk")


class History:
    """One row per epoch, written after each epoch to a temporary folder until the run is saved.

    Args:
        folder: Folder of the run; None writes nothing.
        temporary: Temporary folder for the files of the run.
    """

    def __init__(self, folder: Path | None, temporary: Path | None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.resumed_rows = 0  # of a training that was resumed, before that
        self.folder, self.temporary = folder, temporary

    def write(self, row: dict[str, Any]) -> None:
        """Add the row of an epoch."""
        self.rows.append(row)
        if self.temporary is not None:
            write_history(self.temporary, self.rows)

    def get_state(self) -> dict[str, Any]:
        """Return the rows, and the files of phases that have ended, such as LoRA weights, for a checkpoint."""
        paths = () if self.temporary is None else self.temporary.glob("*.lora.npz")
        return {"rows": self.rows, "files": {path.name: path.read_bytes() for path in sorted(paths)}}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self.rows = list(state["rows"])
        self.resumed_rows = len(self.rows)
        if self.temporary is not None:
            for name, contents in state["files"].items():
                (self.temporary / Path(name).name).write_bytes(contents)
            write_history(self.temporary, self.rows)

    def save(self, run: Run, *, can_resume: bool = False) -> Run:
        """Save the run in its folder, and say which folder holds what if it was interrupted.

        A fit that is interrupted before its first epoch ends, counted from where it was resumed, does not replace an
        older run. The checkpoints of a complete training are removed.

        Args:
            run: The run.
            can_resume: Whether an interrupted training has a checkpoint from which it can be resumed.
        """
        if self.folder is None or self.temporary is None:
            return run
        is_interrupted = run.config["interrupted"]
        older = f"{self.folder} still holds the previous run" if run_folder.is_run(self.folder) else ""
        how = "A checkpoint is there too: to resume, pass resume=True, or in a shell `tltk train --resume"
        to_resume = f" {how} {in_shell(self.folder)}`." if is_interrupted and can_resume else ""
        if not self.rows or (is_interrupted and len(self.rows) == self.resumed_rows):
            nothing = "No run was saved" if to_resume else "Nothing was saved"
            log.warning("%s, since no epoch was finished%s.%s", nothing, f": {older}" if older else "", to_resume)
            return run
        run = publish_run(run, self.temporary, self.folder)
        if not is_interrupted:
            checkpoint_file.remove(self.folder)
            return run
        replaced = ", in place of the previous run" if older and not self.resumed_rows else ""
        epochs = f"{len(self.rows)} epoch{'s' * (len(self.rows) != 1)}"
        message = "The training did not end: %s holds the best weights so far and the history of %s%s.%s"
        log.warning(message, self.folder, epochs, replaced, to_resume)
        return run
