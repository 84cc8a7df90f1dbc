"""tltk: transfer learning for Keras, from pictures or texts to a checked SavedModel.

Public names are loaded when first used, so that `import tltk` does not import TensorFlow (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Public name → the module that holds it. One line a name; `docs/` documents each.
_PUBLIC = {
    "from_folder": "tltk.data.formats.folder",
    "from_csv": "tltk.data.formats.folder",
    "from_jsonl": "tltk.data.formats.folder",
    "from_arrays": "tltk.data.formats.folder",
    "from_tfds": "tltk.data.formats.folder",
    "from_conll": "tltk.data.formats.folder",
    "from_squad": "tltk.data.formats.folder",
    "split": "tltk.data.split",
    "backbone": "tltk.backbones",
    "head": "tltk.heads.builder",
    "classification": "tltk.tasks",
    "regression": "tltk.tasks",
    "token_classification": "tltk.tasks",
    "question_answering": "tltk.tasks",
    "assemble": "tltk.models.assemble",
    "adopt": "tltk.models.assemble",
    "freeze": "tltk.trainability.plan",
    "unfreeze_from": "tltk.trainability.plan",
    "train_all": "tltk.trainability.plan",
    "lora": "tltk.trainability.plan",
    "layer_decay": "tltk.trainability.plan",
    "register_augmentation": "tltk.modalities.image.augment",
    "audit": "tltk.trainability.audit.audit",
    "linear_probe": "tltk.recipes",
    "fine_tune": "tltk.recipes",
    "full": "tltk.recipes",
    "bert": "tltk.recipes",
    "few_shot": "tltk.recipes",
    "fit": "tltk.training.fit",
    "load_run": "tltk.training.run",
    "evaluate": "tltk.evaluation.evaluate",
    "predict": "tltk.inference.predict",
    "embed": "tltk.inference.embed",
    "Cache": "tltk.feature_cache.policy",
    "cluster": "tltk.inference.cluster",
    "export": "tltk.serving.export",
    "verify": "tltk.serving.certificate",
}

__all__ = ["__version__", *_PUBLIC]

if TYPE_CHECKING:
    from tltk.backbones import backbone
    from tltk.data.formats.folder import (
        from_arrays,
        from_conll,
        from_csv,
        from_folder,
        from_jsonl,
        from_squad,
        from_tfds,
    )
    from tltk.data.split import split
    from tltk.evaluation.evaluate import evaluate
    from tltk.feature_cache.policy import Cache
    from tltk.heads.builder import head
    from tltk.inference.cluster import cluster
    from tltk.inference.embed import embed
    from tltk.inference.predict import predict
    from tltk.modalities.image.augment import register_augmentation
    from tltk.models.assemble import adopt, assemble
    from tltk.recipes import bert, few_shot, fine_tune, full, linear_probe
    from tltk.serving.certificate import verify
    from tltk.serving.export import export
    from tltk.tasks import classification, question_answering, regression, token_classification
    from tltk.trainability.audit.audit import audit
    from tltk.trainability.plan import freeze, layer_decay, lora, train_all, unfreeze_from
    from tltk.training.fit import fit
    from tltk.training.run import load_run


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    try:
        return import_module(f"tltk.{name}")  # tltk.data, tltk.recipes …
    except ModuleNotFoundError as error:
        if error.name != f"tltk.{name}":
            raise
    from tltk.foundation.checks import did_you_mean

    raise AttributeError(f"tltk has no {name!r}.{did_you_mean(name, _PUBLIC)}")


def __dir__() -> list[str]:
    return sorted(__all__)
