"""`tltk.fit`: train a model on data by a recipe."""

import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tltk.balancing.record import Balance
from tltk.data import short_check
from tltk.data.invalid import Invalid
from tltk.data.sample_weight import require_weight
from tltk.data.source import Source
from tltk.feature_cache.storage import Cache
from tltk.foundation import checks as check
from tltk.foundation import familiar, progress
from tltk.foundation import keras_private as private
from tltk.foundation.errors import InvalidInput, TltkError
from tltk.modalities.modality import drop_invalid, modality_of
from tltk.models.transfer_model import TransferModel
from tltk.recipes.automatic import AUTO
from tltk.recipes.recipe import Phase, Recipe
from tltk.specs import InvalidExample
from tltk.tasks.base import Task
from tltk.tasks.registry import require_task
from tltk.tasks.sources import require_labels, with_labels_of
from tltk.trainability.lora import file as lora_file
from tltk.trainability.plan import Plan
from tltk.training import auto, run_folder
from tltk.training.arguments import (
    BUDGET,
    budget_seconds,
    check_options,
    complete_recipe,
    is_automatic,
    require_weighted_metrics,
    warn_without_validation,
)
from tltk.training.balancing import Balancing, check_balance, decide, finish, without_decision
from tltk.training.checkpoint import Checkpoint, as_checkpoint
from tltk.training.checkpoints import Checkpoints, State
from tltk.training.history import History
from tltk.training.phase import TrainedPhase
from tltk.training.phase_data import Data, Feed
from tltk.training.phases import earlier_results, train_phases
from tltk.training.prepared_data import PreparedSource
from tltk.training.resume import Start, check_resume, find_start
from tltk.training.run import Run, model_bytes
from tltk.training.stop_request import StopRequest, stop_requests
from tltk.training.tell import tell_if_guessing, tell_invalid
from tltk.training.user_callbacks import UserCallbacks, check_callbacks

log = logging.getLogger("tltk")

_DATA_HINT = (
    "Pass a source, such as tltk.from_folder(…) or tltk.from_arrays(x, y), or a tf.data.Dataset; of a generator: "
    "tf.data.Dataset.from_generator(…)."
)


@familiar.arguments
def fit(
    model: TransferModel,
    train: Data,
    val: Data | None = None,
    *,
    recipe: Recipe | str | None = None,
    budget: str | None = BUDGET,
    plan: Plan | None = None,
    epochs: int | None = None,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    batch_size: int | str = 32,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    class_weight: Mapping[int | str, float] | str | None = None,
    balance: str | Balance | None = None,
    verbose: int | str = "auto",
    out: str | Path | None = None,
    checkpoint: str | Checkpoint | None = "5 min",
    resume: bool | str = False,
    seed: int = 0,
    deterministic: bool = False,
    cache: str | Path | Cache = "auto",
    max_invalid_fraction: float = 0.1,
) -> Run:
    """Train a model by a recipe, phase by phase, and keep the weights that are best on validation.

    Args:
        model: From `assemble`, `adopt` or a run; trained in place.
        train: Training examples: a source, or a `tf.data.Dataset` of (inputs, targets) or (inputs, targets, weights).
            Sample weights weigh loss and metrics, as the `weighted_metrics` of Keras.
        val: Validation examples, by which epochs and phases are compared. Without them every phase runs all its epochs
            and keeps its last weights.
        recipe: A recipe, or "auto": a tuned, calibrated probe first, then fine-tuning, unless held-out training
            examples (or `val`) say that the probe is better, see docs/auto.md. None means "auto" where the head has a
            linear probe, `train` is a source, and none of `epochs`, `learning_rate`, `callbacks`, `plan`, `balance` is
            passed; elsewhere `fine_tune()`, for texts `fine_tune(learning_rate=1e-4)`.
        budget: Time limit of recipe="auto": a time such as "5 min", None for no limit, or "auto" for 10 minutes. Too
            little time means no fine-tuning. An error with any other recipe.
        plan: Train one phase with this plan, instead of a recipe; see `recipes.one_phase`. With ReduceLROnPlateau or
            LearningRateScheduler in `callbacks`, its learning rate is constant, without warm-up.
        epochs: Epochs of the last phase; None keeps those of the recipe.
        learning_rate: Peak learning rate of the last phase, which its schedule scales; or a Keras schedule, used
            instead of that of the phase. None keeps that of the recipe.
        batch_size: Examples per batch; for texts also a budget such as "2048 tokens", padding included.
        callbacks: Keras callbacks; they see the epochs of all phases as one training, and `model.keras`. A phase
            ends if one sets `stop_training`.
        class_weight: For classification with one label per example: {class index or name: weight in the training loss},
            as in Keras, or "balanced", as in scikit-learn: classes with few examples weigh more. Metrics and the
            validation loss are not weighted. Sample weights are multiplied with it. A contrastive phase ignores it.
        balance: What is done about uneven classes: "auto", the name of another method, or `tltk.balance(…)`; see
            docs/balance.md. `run.config["balance"]` has what was done.
        verbose: 0 shows nothing; 1 or "auto" progress bars on terminals and in notebooks, elsewhere one line per epoch;
            2 one line per epoch.
        out: Folder to save the run in; None saves nothing.
        checkpoint: With `out`, time or steps between two checkpoints, such as "5 min" or "500 steps", or a
            `tltk.Checkpoint`; None writes none. With checkpoints, Ctrl-C and SIGTERM end the step under way, write one,
            and then raise KeyboardInterrupt.
        resume: True resumes from the latest checkpoint in `out`, with the same result to the byte as a training that
            was never stopped; starts anew if there is none; and returns the run if it is complete. Pass the same
            arguments as before: other data, options or versions are refused. "force" resumes with them.
        seed: Seed of shuffling, augmentation and dropout, in [0, 2**31); equal seeds give equal weights on CPU.
        deterministic: True also gives equal weights on GPU, more slowly: TensorFlow then uses operations that add in a
            fixed order, in the whole process from here on (`tf.config.experimental.enable_op_determinism`).
        cache: Where the outputs of the frozen prefix are stored, so that they are computed once: "auto", "memory",
            "disk", "off", a folder, or a `tltk.Cache`. Phases with new augmentations every epoch or without a frozen
            prefix store decoded images instead. The trained weights are the same. "auto" leaves no files behind.
        max_invalid_fraction: Largest accepted fraction of unreadable examples, in [0, 1].

    Returns:
        The run; `run.invalid` lists the examples that could not be read.

    Raises:
        InvalidType: If an argument has the wrong type.
        InvalidInput: If the data does not fit the model, too many examples are unreadable, or a value is out of range.
        FileError: If `out` cannot be written, or its disk has no room for the model.
        TrainingDiverged: If the training loss becomes NaN or infinite.
        TrainingStopped: After Ctrl-C or SIGTERM; a KeyboardInterrupt.
        IncompatibleKeras: If Keras has another backend than TensorFlow.
    """
    private.require_tensorflow()
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    check.instance_of("model", model, TransferModel, hint="Pass what tltk.assemble or tltk.adopt returned.")
    require_task(model.task)
    model = without_decision(model)
    options_of_phases = {"epochs": epochs, "learning_rate": learning_rate, "callbacks": callbacks}
    is_auto = is_automatic(recipe, plan, model, train, budget=budget, balance=balance, **options_of_phases)
    recipe = complete_recipe(recipe, plan, model, **options_of_phases)
    size = check_options(model, recipe, batch_size=batch_size, seed=seed, out=out)
    seed, folder = int(seed), None if out is None else Path(out)
    check_resume(resume, folder)
    checkpoint = as_checkpoint(checkpoint)
    user_callbacks = _user_callbacks(callbacks, recipe, model)
    cache = cache if isinstance(cache, Cache) else Cache(cache)
    config = _options(recipe, callbacks, seed=seed, batch_size=batch_size, feature_dtype=cache.dtype)
    with progress.verbosity(verbose), _unfinished(folder, model) as temporary:
        invalid = Invalid()
        train = _valid_data(train, model, "train", max_invalid_fraction, invalid)
        val = None if val is None else _valid_data(val, model, "val", max_invalid_fraction, invalid)
        if val is None:
            warn_without_validation(recipe)
        tell_invalid(tuple(invalid))
        short_check.tell(train, val, is_balanced=balance is not None or class_weight is not None)
        uneven = check_balance(balance, model, train, val, class_weight)
        weights = _class_weights(model.task, class_weight, train, config, uneven)
        feed = Feed(model, train, val, batch_size=size, seed=seed, cache=cache, folder=folder, class_weights=weights)
        feed.check_batches()
        if feed.has_weights:
            require_weighted_metrics(model.task)
        with _stop_request(folder, checkpoint) as stop_request, feed:
            if is_auto:
                recipe = _automatic_recipe(recipe, feed, config, folder if resume else None, budget)
            start = find_start(model, {"train": train, "val": val}, config, folder, temporary, resume=resume)
            if start.complete_run is not None:
                return start.complete_run
            _initialize(model, train, start)
            feed.balancing = _decide(model, uneven, feed, recipe, start)
            training = _Training(model, recipe, feed, History(folder, temporary), user_callbacks)
            return _run(training, start, stop_request, checkpoint, invalid=invalid, config=config)


def _stop_request(folder: Path | None, checkpoint: Checkpoint | None) -> AbstractContextManager[StopRequest]:
    """Return the context in which Ctrl-C and SIGTERM are handled if there is a checkpoint to write."""
    return stop_requests() if folder and checkpoint else nullcontext(StopRequest())


def _user_callbacks(callbacks: Any, recipe: Recipe, model: TransferModel) -> UserCallbacks | None:
    return UserCallbacks(check_callbacks(callbacks, recipe), model.keras, recipe.epochs) if callbacks else None


def _options(recipe: Recipe, callbacks: Sequence[keras.callbacks.Callback], **options: Any) -> dict[str, Any]:
    """Return the options of a training for the record of its run."""
    names = [type(callback).__name__ for callback in callbacks]
    return {"recipe": recipe.to_config(), **options, "callbacks": names}


def _automatic_recipe(
    fixed: Recipe, feed: Feed, config: dict[str, Any], resumed: Path | None, budget: str | None
) -> Recipe:
    """Return the recipe that "auto" decides on, or decided on before the training was stopped; add it to the config."""
    model, decision = feed.model, auto.stored_decision(resumed)
    why_not = auto.why_not_auto(model, feed.train.source) if isinstance(feed.train, PreparedSource) else ""
    if why_not:  # once unreadable examples are left out
        log.warning("The fixed recipe is used: %s.", why_not)
        return fixed
    if decision is None:
        try:
            decision = auto.decide(model, feed, seconds=budget_seconds(budget))
        except KeyboardInterrupt:
            log.warning('Stopped before "auto" had decided: nothing was saved. Train again, without resume.')
            raise
    recipe = decision.recipe.with_augmentation(model.task.default_augmentation(model.input_spec))
    config |= {"recipe": recipe.to_config(), AUTO: decision.to_config()}
    return recipe


@dataclass(frozen=True)
class _Training:
    """What takes part in a training."""

    model: TransferModel
    recipe: Recipe
    feed: Feed
    history: History
    user_callbacks: UserCallbacks | None

    def state(self) -> State:
        """Return what every checkpoint holds, whatever the phase."""
        invalid = [(example.example_id, example.reason) for example in self.feed.invalid()]
        outcome = None if self.feed.balancing is None else self.feed.balancing.outcome
        return {"history": self.history.get_state(), "invalid": invalid, "balance": json.dumps(outcome)}

    def restore(self, state: State) -> None:
        """Restore it from a checkpoint.

        Raises:
            InvalidInput: If the recipe does not have the phase of the checkpoint, as with resume="force".
        """
        if state["phase"] >= len(self.recipe.phases):
            raise InvalidInput(
                f"the checkpoint is in phase {state['phase'] + 1}, and the recipe has {len(self.recipe.phases)}. Pass "
                "the previous recipe, or train anew, without resume."
            )
        self.history.set_state(state["history"])
        self.feed.undecodable.extend(InvalidExample(*example) for example in state["invalid"])
        if self.user_callbacks:
            epochs = state["during"]["epoch"] if state["during"] else 0
            self.user_callbacks.resume(state["before"]["user_callbacks"], epochs_in_phase=epochs)


def _unfinished(folder: Path | None, model: TransferModel) -> AbstractContextManager[Path | None]:
    """Return the context of the folder for the files of a run until it is saved; None if it is not to be saved."""
    return nullcontext() if folder is None else run_folder.unfinished(folder, required_bytes=model_bytes(model))


def _initialize(model: TransferModel, train: Data, start: Start) -> None:
    """Set the weights of the head that depend on the training examples, unless the training is resumed."""
    if start.state is not None:
        return
    head = [layer for layer in model.keras.layers if model.stages.get(layer.name) == "head"]
    model.task.initialize(head, train.targets if isinstance(train, Source) else None)


def _decide(
    model: TransferModel, balance: Balance | None, feed: Feed, recipe: Recipe, start: Start
) -> Balancing | None:
    """Return what is done about uneven classes: what a resumed training did before, if it is one."""
    if balance is None:
        return None
    previous = json.loads(start.state.get("balance", "null")) if start.state is not None else None
    return decide(model, balance, feed.balancing_parts(recipe), previous=previous)


def _finish(
    model: TransferModel, feed: Feed, recipe: Recipe, config: dict[str, Any], *, is_kept: bool
) -> TransferModel:
    """Balance the trained model, and add what was done to the config of the run, and whether "auto" was right."""
    if AUTO in config and feed.val is not None:
        config[AUTO] = auto.outcome(config[AUTO], is_kept=is_kept)
    if feed.balancing is None:
        return model
    model, config["balance"] = finish(model, feed.balancing, feed.balancing_parts(recipe))
    return model


def _class_weights(
    task: Task, class_weight: Any, train: Data, config: dict[str, Any], balance: Balance | None
) -> np.ndarray | None:
    """Return the weight of each class, float32 [classes], and add the weights by name to the config of the run."""
    config |= {} if balance is None else {"balance_options": balance.to_config()}
    if class_weight is None:
        return None
    weights = task.class_weights(class_weight, train.targets if isinstance(train, Source) else None)
    config["class_weight"] = dict(zip(task.labels.names, weights.tolist(), strict=True))
    return weights


def _run(
    training: _Training,
    start: Start,
    stop_request: StopRequest,
    checkpoint: Checkpoint | None,
    *,
    invalid: Invalid,
    config: dict[str, Any],
) -> Run:
    """Train all phases, and save the run in its folder, also after an interruption."""
    model, recipe, feed, history = training.model, training.recipe, training.feed, training.history
    user_callbacks = training.user_callbacks
    if start.state is not None:
        training.restore(start.state)
    checkpoints = Checkpoints(
        *(history.folder, checkpoint, stop_request),
        shared=lambda: {"identity": start.identity, "hardware": config["hardware"], **training.state()},
        resumed=start.state,
    )
    already_invalid, results = tuple(invalid), earlier_results(start.state)
    phases = train_phases(model, recipe, feed, history.write, user_callbacks, checkpoints)
    is_stopped = False
    try:
        for trained in phases:
            _save_lora(model, recipe.phases[len(results)], trained, history.temporary)
            results.append(trained.result)
        model = _finish(model, feed, recipe, config, is_kept=results[-1].kept)
        if user_callbacks:
            user_callbacks.end()
    except TltkError:  # such as a loss that diverges: the same would happen again
        raise
    except BaseException:
        is_stopped = True
        raise
    finally:
        if user_callbacks:
            user_callbacks.close()
        # Also after Ctrl-C: the model has the best weights so far, which are saved.
        config["interrupted"] = len(results) < len(recipe.phases)
        config["checkpoints"] = {"written": checkpoints.count, "seconds": round(checkpoints.seconds, 3)}
        undecodable = [example for example in feed.invalid() if example not in already_invalid]
        invalid.extend(undecodable)
        run = Run(model, tuple(results), tuple(history.rows), tuple(invalid), config)
        with stop_request.postponed():
            can_resume = is_stopped and (checkpoints.count > 0 or start.state is not None)
            run = history.save(run, can_resume=can_resume)
    stop_request.raise_if_any()
    tell_invalid(undecodable)
    tell_if_guessing(model.task, history.rows, is_weighted="class_weight" in config or feed.balancing is not None)
    return run


def _save_lora(model: TransferModel, phase: Phase, trained: TrainedPhase, folder: Path | None) -> None:
    """Save the LoRA weights of a phase right after it: a later phase may change the weights that they are added to."""
    if trained.lora_weights and folder is not None:
        lora_file.save(folder / f"{phase.name}.lora.npz", model, phase.plan, trained.lora_weights)


def _valid_data(data: Data, model: TransferModel, name: str, max_invalid_fraction: float, invalid: Invalid) -> Data:
    """Check that the data fits the model, and drop invalid examples, which are added to `invalid`."""
    if isinstance(data, tf.data.Dataset):
        require_labels(model.task, data, name)
        note = modality_of(model.input_spec).dataset_note(model.input_spec) if name == "train" else ""
        if note:
            log.warning("%s", note)
        return data
    check.instance_of(name, data, Source, hint=_DATA_HINT)
    modality = modality_of(model.input_spec)
    modality.check(data, model.input_spec, name)
    data = with_labels_of(model.task, data) if name == "val" else data
    require_labels(model.task, data, name)
    valid, dropped = drop_invalid(data, max_invalid_fraction=max_invalid_fraction)
    invalid.extend(dropped)
    if not len(valid):
        raise InvalidInput(f"`{name}` has no readable example.")
    require_weight(valid.sample_weight, name)
    note = modality.training_note(valid, model.input_spec)
    if note:
        log.warning("%s", note)
    return valid
