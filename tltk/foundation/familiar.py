"""Names that users of Keras and scikit-learn try first, and what tltk has instead: the hints of its errors.

`arguments` and `attributes` decorate public functions and records. They leave signatures as they are, so that editors
and type checkers see the real ones, and change only the error for a name that does not exist.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from tltk.foundation import checks as check
from tltk.foundation.errors import InvalidType

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Record = TypeVar("Record", bound=type)

_OBJECTIVE = "is an argument of the task: tltk.classification(labels, {0}=…)"
_LABELLED = "examples and labels are one value: tltk.from_arrays(x, y), or a tf.data.Dataset of (x, y)"
_WEIGHTED = "weights belong to the data: tltk.from_arrays(x, y, sample_weight=…), or source.with_sample_weight(…)"
_IMAGE_SIZE = "images get the size of the backbone: tltk.backbone(name, image_size=…)"
_LOADING = "is chosen where the data is used: tltk.fit(…, batch_size=…), or source.to_dataset(model, batch_size=…)"
_SPLIT = "use tltk.split(source, val=0.2, test=0.1, seed=0), which keeps the share of each class"
_HEAD = "the layers behind the backbone are those of the task: tltk.classification(labels, head=tltk.head(…))"
_COLUMN = "use `input` for the column of texts or paths, and `label` for that of the labels"
_STEPS = "use data.take(n), or source[:n] for some examples; all of them are used otherwise"
_SHOWN = "progress is shown on terminals and in notebooks only, after two seconds"
_UNIT = "use `channels` for the number of channels, and `image_size` for height and width"
_RUN = "pass the folder of the run: tltk.load_run(folder)"

_DATA_ARGUMENTS = dict.fromkeys(("x", "y"), _LABELLED)
_READING = {
    **dict.fromkeys(("batch_size", "shuffle", "shuffle_files"), _LOADING),
    **dict.fromkeys(("image_size", "target_size"), _IMAGE_SIZE),
    **dict.fromkeys(("validation_split", "subset", "seed"), _SPLIT),
    "color_mode": "use tltk.backbone(name, channels=1) for grey images",
    "class_mode": "use `label_type` where labels are read: 'categorical', 'multilabel' or 'regression'",
    "label_mode": "a folder has one class per example; other labels are read by tltk.from_csv(…, label_type=…)",
}
_TABLE = {
    **_READING,
    **dict.fromkeys(("text", "text_column", "x", "path", "image", "filename", "x_col"), _COLUMN),
    **dict.fromkeys(("target", "y", "y_col", "label_column"), _COLUMN),
    "sep": "use `delimiter` for the character between columns",
    "class_names": "use `labels`",
    "classes": "use `labels`",
    "names": "use `header=False`, and give columns by number",
    "encoding": "save the file as UTF-8 (or UTF-16 with a byte order mark)",
    "usecols": _COLUMN,
}
_BUILDING = {
    "optimizer": "is part of a recipe: tltk.recipes.refine(tltk.fine_tune(), optimizer=…); its rate alone: "
    "tltk.fit(…, learning_rate=…)",
    "trainable": "what is trained is a plan: tltk.fit(model, train, plan=tltk.freeze('backbone'))",
    **{name: _OBJECTIVE.format(name) for name in ("loss", "metrics")},
}
_TASK = {
    "num_classes": "pass the names of the classes, such as source.labels, as first argument",
    "num_labels": "pass the names of the labels, such as source.labels, as first argument",
    "from_logits": "outputs are probabilities; a loss of your own gets them: loss=…(from_logits=False)",
    "dropout": "use head=tltk.head(dropout=…)",
    "class_weight": "is an argument of tltk.fit",
}

# Function → argument that it does not have → what to do instead.
ARGUMENTS: dict[str, dict[str, str]] = {
    "fit": {
        **_DATA_ARGUMENTS,
        "validation_data": "use `val`, the third argument: tltk.fit(model, train, val)",
        "validation_split": _SPLIT,
        "validation_batch_size": "use `batch_size`, which is that of validation too",
        **dict.fromkeys(("steps_per_epoch", "validation_steps"), _STEPS),
        "validation_freq": "validation runs after each epoch",
        "initial_epoch": "fit the run further: tltk.fit(run.model, train, val, epochs=…)",
        "shuffle": "a source is shuffled in each epoch; the order of a tf.data.Dataset is yours",
        "sample_weight": _WEIGHTED,
        "lr": "use `learning_rate`",
        "metric": _OBJECTIVE.format("metrics"),
        "augment": "is part of a recipe: tltk.fine_tune(augment=…)",
        "patience": "is part of a recipe: tltk.fine_tune(patience=…)",
        "unfreeze": "is part of a recipe: tltk.fine_tune(unfreeze=…)",
        **dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size"), "files are read in parallel in any case"),
        **_BUILDING,
    },
    "advise": {
        **_DATA_ARGUMENTS,
        **dict.fromkeys(("model", "models", "backbone"), "use `backbones`: a name, a backbone, or a list of them"),
        **dict.fromkeys(("test", "val"), "use `target` for the examples to compare with"),
        "verbose": _SHOWN,
    },
    "evaluate": {
        **_DATA_ARGUMENTS,
        "sample_weight": _WEIGHTED,
        "verbose": _SHOWN,
        "steps": _STEPS,
        "return_dict": "report.metrics is a dict",
        "callbacks": "the result is a report: report.metrics, report.confusion",
        **_BUILDING,
    },
    "predict": {
        "x": "use `inputs`, the second argument",
        "verbose": _SHOWN,
        "steps": _STEPS,
        "threshold": "is an argument of the task: tltk.classification(labels, threshold=…)",
        "callbacks": "the result has probabilities, labels and ids",
    },
    "embed": {"x": "use `inputs`, the second argument", "verbose": _SHOWN, "normalize": "use `unit_length=True`"},
    "export": {
        **dict.fromkeys(("filepath", "path", "export_path"), "use `folder`, the second argument"),
        "overwrite": "each export is a new version of the folder; `version` names it",
        "input_signature": "inputs are image files or texts, as for tltk.predict",
        "verbose": _SHOWN,
        **dict.fromkeys(("quantize", "optimizations"), "use format='litert_int8' or 'litert_float16'"),
    },
    "load_run": {
        **dict.fromkeys(("filepath", "path"), "use `folder`, the first argument"),
        "compile": "a run needs no compilation: tltk.fit compiles each phase",
    },
    "split": {
        "test_size": "use `test`",
        "val_size": "use `val`",
        "train_size": "give `val` and `test`; the rest is for training",
        "validation_split": "use `val`",
        "random_state": "use `seed`",
        "stratify": "splits keep the share of each class in any case",
        "shuffle": "examples are drawn at random in any case; for an order in time, use source[:n] and source[n:]",
    },
    "from_folder": {
        **_READING,
        "class_names": "use `classes`",
        "labels": "a folder has one sub-folder per class; labels in another form are read by tltk.from_csv",
    },
    "from_csv": _TABLE,
    "from_jsonl": {**_TABLE, "lines": "a file has one object per line, or is one list of objects"},
    "from_arrays": {
        **_READING,
        **dict.fromkeys(("class_names", "classes", "names"), "use `labels`"),
        "texts": "use `x`, the first argument",
        "images": "use `x`, the first argument",
    },
    "from_tfds": {
        **_READING,
        "as_supervised": "use `input` and `label`, which name the features",
        "with_info": "source.labels has the names of the classes",
    },
    "backbone": {
        "include_top": "a backbone has no top. " + _HEAD,
        "classes": _HEAD,
        "classifier_activation": _HEAD,
        "pooling": _HEAD + ", with pooling=…",
        "input_shape": _UNIT,
        "input_tensor": _UNIT,
        "num_classes": _HEAD,
        "pretrained": "use `weights`: 'pretrained', which is the default, or 'random'",
        "trainable": _BUILDING["trainable"],
        "max_length": "use `sequence_length`",
        "name": "is the first argument: tltk.backbone('resnet50')",
    },
    "head": {
        "units": "use `hidden` for layers before the last; the labels of the task give the size of the last one",
        "dropout_rate": "use `dropout`",
        "batch_norm": "use normalization='batch'",
    },
    "assemble": _BUILDING,
    "adopt": _BUILDING,
    "classification": _TASK,
    "regression": _TASK,
    "token_classification": _TASK,
    "question_answering": _TASK,
    "cluster": {
        "k": "use `n_clusters`",
        "eps": "method='hdbscan' needs no distance; see `min_cluster_size`",
        "random_state": "use `seed`",
    },
}

# Name that tltk does not have → what to do instead.
NAMES = {
    "load_model": "tltk.load_run(folder)",
    "load": "tltk.load_run(folder)",
    "save": "tltk.fit(…, out=folder), or run.save(folder)",
    "train": "tltk.fit(model, train, val)",
    "train_test_split": "tltk.split(source, val=0.15, test=0.15)",
    "image_dataset_from_directory": "tltk.from_folder(folder)",
    "text_dataset_from_directory": "tltk.from_csv(file, input='text', modality='text')",
    "from_directory": "tltk.from_folder(folder)",
    "from_dataset": "the tf.data.Dataset itself: tltk.fit(model, dataset)",
    "from_tensor_slices": "tltk.from_arrays(x, y)",
    "from_pandas": "tltk.from_arrays(list(table['text']), list(table['label']))",
    "from_dataframe": "tltk.from_arrays(list(table['text']), list(table['label']))",
    "from_json": "tltk.from_jsonl(file)",
    "from_text": "tltk.from_arrays(texts, labels)",
    "freeze_all": "tltk.freeze('*')",
    "unfreeze": "tltk.unfreeze_from(stage), or tltk.train_all()",
    "compile": "tltk.fit(model, train, val), which compiles each phase",
    "Model": "tltk.assemble(backbone, task), whose Keras model is model.keras",
    "Sequential": "tltk.assemble(backbone, task), whose Keras model is model.keras",
    "pipeline": "tltk.predict(run, inputs)",
}

_PREDICT, _EVALUATE = "tltk.predict({0}, inputs)", "tltk.evaluate({0}, data)"
_METHODS = {"predict": _PREDICT, "evaluate": _EVALUATE, "export": "tltk.export({0}, folder)", "__call__": _PREDICT}
_FIT = "tltk.fit({0}, train, val)"

# Record → attribute that it does not have → what to use instead. "__call__" is said if the record is called.
ATTRIBUTES: dict[str, dict[str, str]] = {
    "TransferModel": {
        **{name: way.format("model") for name, way in _METHODS.items()},
        "__call__": "model.keras(x) for a batch of the input format, or tltk.predict(model, inputs)",
        "fit": _FIT.format("model"),
        "compile": f"{_FIT.format('model')}, which compiles each phase; for a training loop of your own, model.keras",
        "save": "tltk.fit(…, out=folder), which saves a run; or model.keras.save(path) for the Keras model alone",
        "summary": "model.keras.summary(), model.describe(), or plan.describe(model)",
        "trainable": "a plan: tltk.fit(model, train, plan=tltk.freeze('backbone')); outside of tltk.fit, "
        "tltk.trainability.apply_plan(plan, model), or the flags of model.keras.layers",
        "labels": "model.task.labels",
        "class_names": "model.task.labels.names",
    },
    "Run": {
        **{name: way.format("run") for name, way in _METHODS.items()},
        "fit": _FIT.format("run.model"),
        "compile": f"{_FIT.format('run.model')}, which compiles each phase",
        "keras": "run.model.keras",
        "task": "run.model.task",
        "labels": "run.model.task.labels",
        "class_names": "run.model.task.labels.names",
        "summary": "run.model.keras.summary(), or run.model.describe()",
        "metrics": "run.history[-1] for those of the last epoch, or tltk.evaluate(run, data).metrics",
        "epoch": "[row['epoch'] for row in run.history]",
        "best_epoch": "run.phases[-1].best_epoch",
    },
    "Epochs": {
        "history": "the rows themselves: [row['val_loss'] for row in run.history]",
        "epoch": "[row['epoch'] for row in run.history]",
        "keys": "run.history[-1].keys()",
    },
    "Source": {
        "class_names": "source.labels.names",
        "classes": "source.labels.names",
        "class_indices": "source.labels.names, in the order of the indices",
        "num_classes": "len(source.labels)",
        "file_paths": "source.examples, or source.ids",
        "filenames": "source.ids",
        "x": "source.examples",
        "y": "source.targets",
        "take": "source[:n]",
        "skip": "source[n:]",
        "filter": "source.subset(indices), such as source.subset(source.targets == 1)",
        "train_test_split": "tltk.split(source)",
        "split": "tltk.split(source)",
        "shape": "len(source), and source[0].input.shape",
        **{name: f"source.to_dataset(model).{name}(…)" for name in ("map", "cache", "prefetch", "repeat", "unbatch")},
        "batch": "source.to_dataset(model, batch_size=…)",
        "shuffle": "source.to_dataset(model, shuffle=True); tltk.fit shuffles a source in any case",
    },
    "Report": {
        **{name: f"report.metrics[{name!r}]" for name in ("accuracy", "loss", "f1", "mae", "rmse", "macro_f1")},
        "confusion_matrix": "report.confusion",
        "keys": "report.metrics.keys()",
        "items": "report.metrics.items()",
        "summary": "print(report.headline), report.metrics, or report.save('report.html')",
    },
    "Predictions": {
        "argmax": "predictions.labels, or predictions.probabilities.argmax(-1)",
        "scores": "predictions.probabilities, or predictions[0].scores",
        **{name: f"predictions.probabilities.{name}" for name in ("shape", "dtype", "max", "tolist", "round", "mean")},
        "numpy": "predictions.probabilities",
        **dict.fromkeys(("draw", "plot", "show"), "predictions[0].draw(image), which returns a PIL image"),
        **{name: f"predictions.fields[{name!r}]" for name in ("boxes", "masks")},
    },
}
# Record → its Keras model, where all other attributes of a Keras model are found.
_KERAS = {"TransferModel": "model.keras", "Run": "run.model.keras"}


def arguments(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a function explain arguments that it does not have; its signature stays as it is.

    Returns:
        The function; a call with wrong arguments raises `InvalidType`, which names each of them and what to use.

    Examples:
        >>> @arguments
        ... def split(source, *, test=0.15): ...
        >>> split([1, 2], test_size=0.5)
        Traceback (most recent call last):
        ...
        tltk.errors.InvalidType: split() has no argument `test_size`: use `test`.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def _explained(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            problems = list(_argument_problems(function.__name__, signature, args, kwargs))
            raise InvalidType(" ".join(problems) or f"{function.__name__}(): {error}.") from None
        return function(*args, **kwargs)

    return _explained


def _argument_problems(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[str]:
    ways, parameters = ARGUMENTS.get(name, {}), signature.parameters
    for argument in kwargs:
        if argument not in parameters:
            way = f": {ways[argument]}." if argument in ways else f".{check.did_you_mean(argument, parameters)}"
            yield f"{name}() has no argument `{argument}`{way}"
    by_position = [
        key for key, one in parameters.items() if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    if len(args) > len(by_position):
        labels = f" If this is a label, {_LABELLED}." if name in ("evaluate", "fit") else ""
        others = check.listing(key for key, one in parameters.items() if one.kind is one.KEYWORD_ONLY)
        yield (
            f"{name}() takes {len(by_position)} arguments by position: {check.listing(by_position)}. Received: "
            f"{len(args)}.{labels} Give the others by name: {others}."
        )


def attributes(record: Record) -> Record:
    """Let a record explain attributes that it does not have, to read or to set, and being called.

    Args:
        record: Frozen dataclass whose hints are in `ATTRIBUTES`.

    Returns:
        The class.
    """
    name, ways = record.__name__, ATTRIBUTES[record.__name__]
    set_attribute: Any = record.__setattr__

    def __getattr__(self: Any, attribute: str) -> Any:  # noqa: N807 - only called for attributes that do not exist
        hint = "" if attribute.startswith("_") else _attribute_hint(record, attribute)
        raise AttributeError(f"{name} has no {attribute!r}.{hint}", name=attribute, obj=self)

    def __setattr__(self: Any, attribute: str, value: Any) -> None:  # noqa: N807
        if attribute in ways:
            raise AttributeError(f"{name} has no {attribute!r}. Use {ways[attribute]}", name=attribute, obj=self)
        set_attribute(self, attribute, value)

    def __call__(self: Any, *args: Any, **_: Any) -> Any:  # noqa: N807
        raise InvalidType(f"{name} cannot be called. Use {ways['__call__']}")

    methods = [__getattr__, __setattr__, *([__call__] if "__call__" in ways else [])]
    for method in methods:
        setattr(record, method.__name__, method)
    return record


def _attribute_hint(record: type, attribute: str) -> str:
    ways, keras_model = ATTRIBUTES[record.__name__], _KERAS.get(record.__name__)
    if attribute in ways:
        return f" Use {ways[attribute]}"
    if keras_model is not None and hasattr(import_module("keras").Model, attribute):
        return f" Use {keras_model}.{attribute}"
    names = [*getattr(record, "__dataclass_fields__", ()), *vars(record)]
    return check.did_you_mean(attribute, (other for other in names if not other.startswith("_")))


def name_hint(name: str, modules: tuple[str, ...]) -> str:
    """Return " Use …" for a name that tltk does not have at the top: a hint, or the module that has it.

    Args:
        name: The name.
        modules: Modules of tltk that may have it.
    """
    if name in NAMES:
        return f" Use {NAMES[name]}"
    for module in () if name.startswith("_") else modules:
        if name in getattr(import_module(module), "__all__", ()):
            return f" Use {module}.{name}"
    return ""
