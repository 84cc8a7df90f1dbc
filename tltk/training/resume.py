"""Resuming a training from its checkpoint: what must be the same as before, and what is refused."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tltk.foundation import checks as check
from tltk.foundation import files
from tltk.foundation.errors import InvalidInput
from tltk.models.transfer_model import TransferModel
from tltk.training import checkpoint_file, run_folder, split_file
from tltk.training.checkpoints import State
from tltk.training.provenance import code_digest, how_it_was_run
from tltk.training.run import Run, describe_model, load_run_into, read_config

log = logging.getLogger("tltk")

FORCE = "force"
_SHOWN = 12  # differences
_ABSENT = "not there"


def check_resume(resume: Any, folder: Path | None) -> None:
    """Check the argument `resume` of `fit`.

    Raises:
        InvalidInput: If it is not True, False or "force", or there is no folder to resume from.
    """
    if resume not in (True, False, FORCE):
        suggestion = check.did_you_mean(resume, (FORCE,))
        raise InvalidInput(f'`resume` must be True, False or "force". Received: {resume!r}.{suggestion}')
    if resume and folder is None:
        raise InvalidInput("`resume` needs `out`, the folder with the checkpoints of the training to resume.")


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Args:
        identity: Data, options, code and versions, as JSON values; not the machine, nor what files hold beyond 64 KB
            and their size. Empty if no run is saved.
        state: State of the checkpoint to resume from; None for the beginning.
        complete_run: Run that is complete, so that nothing is left to train; else None.
    """

    identity: dict[str, Any]
    state: State | None = None
    complete_run: Run | None = None


def find_start(
    model: TransferModel,
    parts: Mapping[str, Any],
    config: dict[str, Any],
    folder: Path | None,
    temporary: Path | None,
    *,
    resume: bool | str,
) -> Start:
    """Find out where a training starts, and record its examples in the split of the run.

    Args:
        model: The model; gets the weights of the run if that is complete.
        parts: "train" and "val" → examples.
        config: Options of the training; gets the hash of data and code, machine and command.
        folder: Folder of the run; None if it is not saved.
        temporary: Temporary folder for the files of the run.
        resume: See `fit`.

    Raises:
        InvalidInput: If data, options or versions differ from those before, unless `resume` is "force".
    """
    if folder is None or temporary is None:
        return Start({})
    config |= {"data": split_file.write(temporary, parts), "code": code_digest()}
    identity = files.as_json_values({**config, **describe_model(model, temporary)})
    run = _complete_run(folder, model, identity, resume=resume)
    config |= how_it_was_run()
    state = None if run else _find_state(folder, identity, resume=resume)
    changes = differences(state["hardware"], config["hardware"]) if state else []
    if changes:
        log.warning("Another machine may round differently, in the last digits: %s.", "; ".join(changes))
    return Start(identity, state, run)


def _find_state(folder: Path, identity: Mapping[str, Any], *, resume: bool | str) -> State | None:
    """Return the state that a training resumes from.

    Args:
        folder: Folder of the run.
        identity: What decides the result, see `differences`.
        resume: See `fit`.

    Returns:
        The state of the latest checkpoint; None to start anew.

    Raises:
        InvalidInput: If data, options or versions differ from those before and `resume` is not "force"; or if all
            checkpoints are damaged.
    """
    if not resume:
        if checkpoint_file.checkpoint_files(folder):
            log.warning(
                "%s has checkpoints of a training that did not end. This one starts anew, and its first checkpoint "
                "replaces them; pass resume=True to resume that one.",
                folder,
            )
        return None
    state = checkpoint_file.read_latest(folder)
    if state is None:
        log.warning("%s has no checkpoint: the training starts at the beginning.", folder)
        return None
    _require_same(state["identity"], identity, folder, is_forced=resume == FORCE)
    during = state["during"]
    position = f"epoch {during['epoch'] + 1}, after step {during['step']}" if during else "its beginning"
    log.info("The training resumes in phase %d, %s.", state["phase"] + 1, position)
    return state


def _complete_run(folder: Path, model: TransferModel, identity: Mapping[str, Any], *, resume: bool | str) -> Run | None:
    """Return the run in a folder if it is complete and without checkpoints, so that nothing is left to train.

    Args:
        folder: Folder of the run.
        model: Gets the weights of the run.
        identity: See `differences`.
        resume: See `fit`.

    Raises:
        InvalidInput: If the run was made from other data, options or versions, or was interrupted without a checkpoint.
    """
    if not resume or checkpoint_file.checkpoint_files(folder) or not run_folder.is_run(folder):
        return None
    config = read_config(folder)
    _require_same({name: config.get(name) for name in identity}, identity, folder, is_forced=resume == FORCE)
    if config.get("interrupted"):
        raise InvalidInput(
            f"the training of {folder} did not end, and left no checkpoint to resume from. Train anew without resume; "
            "with checkpoint='1 min' one is written every minute."
        )
    log.info("%s is complete: nothing is left to train.", folder)
    return load_run_into(model, folder)


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, *, is_forced: bool) -> None:
    changes = differences(before, now)
    if not changes:
        return
    more = [f"… and {len(changes) - _SHOWN} more"] if len(changes) > _SHOWN else []
    text = "\n  ".join([f"{folder} was trained with other data, options or versions:", *changes[:_SHOWN], *more])
    if is_forced:
        log.warning("%s\nThe result is not that of a training that was never stopped.", text)
        return
    raise InvalidInput(
        f'{text}\nPass the same values as before; or resume="force" (in a shell --force) to resume with these.'
    )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe what differs between two nested mappings of JSON values.

    Examples:
        >>> differences({"seed": 0, "recipe": {"epochs": 3}}, {"seed": 1, "recipe": {"epochs": 3}})
        ['seed: 0 before, 1 now']
    """
    old, new = _flat(files.as_json_values(dict(before))), _flat(files.as_json_values(dict(now)))
    return [
        f"{name}: {old.get(name, _ABSENT)} before, {new.get(name, _ABSENT)} now"
        for name in dict.fromkeys((*old, *new))
        if old.get(name, _ABSENT) != new.get(name, _ABSENT)
    ]


def _flat(value: Any, name: str = "") -> dict[str, str]:
    """Return the leaves of nested values: "recipe.phases.0.epochs" → JSON."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None:
        return {name: json.dumps(value)}
    leaves: dict[str, str] = {}
    for key, child in children:
        leaves |= _flat(child, f"{name}.{key}" if name else str(key))
    return leaves
