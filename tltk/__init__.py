"""tltk: transfer learning for Keras, from images or texts to a checked SavedModel.

Public names are loaded when first used, so that `import tltk` does not import TensorFlow (PEP 562).
"""

import os
import sys
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name → the module that holds it. One line a name; `docs/` documents each.
_PUBLIC = {
    "from_folder": "tltk.data.formats.folder",
    "from_csv": "tltk.data.formats.tables",
    "from_jsonl": "tltk.data.formats.tables",
    "from_arrays": "tltk.data.formats.arrays",
    "from_tfds": "tltk.data.formats.tfds",
    "from_conll": "tltk.data.formats.conll",
    "from_coco": "tltk.data.formats.coco",
    "from_voc": "tltk.data.formats.voc",
    "from_yolo": "tltk.data.formats.yolo",
    "from_masks": "tltk.data.formats.masks",
    "from_file": "tltk.data.formats.registry",
    "register_format": "tltk.data.formats.registry",
    "from_squad": "tltk.data.formats.squad",
    "split": "tltk.data.split",
    "windows": "tltk.modalities.audio.windows",
    "backbone": "tltk.backbones",
    "register_backbone": "tltk.backbones",
    "head": "tltk.heads.builder",
    "classification": "tltk.tasks.classification",
    "regression": "tltk.tasks.regression",
    "token_classification": "tltk.tasks.token_classification",
    "question_answering": "tltk.tasks.question_answering",
    "object_detection": "tltk.tasks.object_detection",
    "semantic_segmentation": "tltk.tasks.semantic_segmentation",
    "register_task": "tltk.tasks.registry",
    "assemble": "tltk.models.assemble",
    "adopt": "tltk.models.adopt",
    "freeze": "tltk.trainability.plan",
    "unfreeze_from": "tltk.trainability.plan",
    "train_all": "tltk.trainability.plan",
    "lora": "tltk.trainability.plan",
    "layer_decay": "tltk.trainability.plan",
    "audit": "tltk.trainability.audit.audit",
    "adamw": "tltk.optimizers.spec",
    "sgd": "tltk.optimizers.spec",
    "linear_probe": "tltk.recipes",
    "fine_tune": "tltk.recipes",
    "full": "tltk.recipes",
    "bert": "tltk.recipes",
    "few_shot": "tltk.recipes",
    "Phase": "tltk.recipes",
    "Recipe": "tltk.recipes",
    "Plan": "tltk.trainability.plan",
    "fit": "tltk.training.fit",
    "balance": "tltk.balancing.record",
    "Checkpoint": "tltk.training.checkpoint",
    "load_run": "tltk.training.run",
    "evaluate": "tltk.evaluation.evaluate",
    "predict": "tltk.inference.predict",
    "embed": "tltk.inference.embed",
    "Cache": "tltk.feature_cache.storage",
    "cluster": "tltk.inference.cluster",
    "advise": "tltk.advice.advise",
    "Advice": "tltk.advice.records",
    "inspect": "tltk.inspection.inspect",
    "Inspection": "tltk.inspection.records",
    "Finding": "tltk.inspection.records",
    "export": "tltk.serving.export",
    "verify": "tltk.serving.certificate",
    "LabelSpec": "tltk.specs",
    "ImageSpec": "tltk.specs",
    "AudioSpec": "tltk.specs",
    "TextSpec": "tltk.specs",
    "Span": "tltk.specs",
    "Boxes": "tltk.specs",
    "InvalidExample": "tltk.specs",
    "Source": "tltk.data.source",
    "Backbone": "tltk.backbones",
    "TransferModel": "tltk.models.transfer_model",
    "Run": "tltk.training.run",
    "Report": "tltk.evaluation.report",
    "Predictions": "tltk.inference.predictions",
    "Features": "tltk.inference.embed",
    "ArrayReader": "tltk.pipeline.readers",
    "Modality": "tltk.modalities.modality",
    "Context": "tltk.modalities.context",
    "Request": "tltk.modalities.requests",
    "register_modality": "tltk.modalities.modality",
    "register_augmentation": "tltk.modalities.augmentation",
    "Task": "tltk.tasks.base",
    "Monitor": "tltk.tasks.base",
    "Prediction": "tltk.tasks.base",
    "ReportParts": "tltk.tasks.base",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from tltk.advice.advise import advise
    from tltk.advice.records import Advice
    from tltk.backbones import Backbone, backbone, register_backbone
    from tltk.balancing.record import balance
    from tltk.data.formats.arrays import from_arrays
    from tltk.data.formats.coco import from_coco
    from tltk.data.formats.conll import from_conll
    from tltk.data.formats.folder import from_folder
    from tltk.data.formats.masks import from_masks
    from tltk.data.formats.registry import from_file, register_format
    from tltk.data.formats.squad import from_squad
    from tltk.data.formats.tables import from_csv, from_jsonl
    from tltk.data.formats.tfds import from_tfds
    from tltk.data.formats.voc import from_voc
    from tltk.data.formats.yolo import from_yolo
    from tltk.data.source import Source
    from tltk.data.split import split
    from tltk.evaluation.evaluate import evaluate
    from tltk.evaluation.report import Report
    from tltk.feature_cache.storage import Cache
    from tltk.heads.builder import head
    from tltk.inference.cluster import cluster
    from tltk.inference.embed import Features, embed
    from tltk.inference.predict import predict
    from tltk.inference.predictions import Predictions
    from tltk.inspection.inspect import inspect
    from tltk.inspection.records import Finding, Inspection
    from tltk.modalities.audio.windows import windows
    from tltk.modalities.augmentation import register_augmentation
    from tltk.modalities.context import Context
    from tltk.modalities.modality import Modality, register_modality
    from tltk.modalities.requests import Request
    from tltk.models.adopt import adopt
    from tltk.models.assemble import assemble
    from tltk.models.transfer_model import TransferModel
    from tltk.optimizers.spec import adamw, sgd
    from tltk.pipeline.readers import ArrayReader
    from tltk.recipes import Phase, Recipe, bert, few_shot, fine_tune, full, linear_probe
    from tltk.serving.certificate import verify
    from tltk.serving.export import export
    from tltk.specs import AudioSpec, Boxes, ImageSpec, InvalidExample, LabelSpec, Span, TextSpec
    from tltk.tasks.base import Task
    from tltk.tasks.classification import classification
    from tltk.tasks.object_detection import object_detection
    from tltk.tasks.question_answering import question_answering
    from tltk.tasks.records import Monitor, Prediction, ReportParts
    from tltk.tasks.registry import register_task
    from tltk.tasks.regression import regression
    from tltk.tasks.semantic_segmentation import semantic_segmentation
    from tltk.tasks.token_classification import token_classification
    from tltk.trainability.audit.audit import audit
    from tltk.trainability.plan import Plan, freeze, layer_decay, lora, train_all, unfreeze_from
    from tltk.training.checkpoint import Checkpoint
    from tltk.training.fit import fit
    from tltk.training.run import Run, load_run


def __getattr__(name: str) -> Any:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow" and "keras" not in sys.modules:  # whose import fails if the backend is not installed
        from tltk.foundation.errors import IncompatibleKeras

        raise IncompatibleKeras.backend(backend)
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    try:
        return import_module(f"tltk.{name}")  # tltk.data, tltk.recipes …
    except ModuleNotFoundError as error:
        if error.name != f"tltk.{name}":
            raise
    from tltk.foundation.checks import did_you_mean
    from tltk.foundation.familiar import name_hint

    hint = name_hint(name, ("tltk.trainability", "tltk.recipes", "tltk.augment")) or did_you_mean(name, __dir__())
    raise AttributeError(f"tltk has no {name!r}.{hint}")


def __dir__() -> list[str]:
    submodules = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*__all__, *submodules})
