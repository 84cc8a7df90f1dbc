"""Tasks: the head, loss, metrics, decoder and evaluator of classification, regression, tagging, detection and others.

The functions that build tasks are public as `tltk.classification` …; exported here, they would shadow the modules of
the same names.
"""

from tltk.modalities.context import Context
from tltk.tasks.base import Task
from tltk.tasks.classification import Classification, MultilabelClassification
from tltk.tasks.object_detection import ObjectDetection
from tltk.tasks.question_answering import QuestionAnswering
from tltk.tasks.records import Evaluator, Monitor, Prediction, ReportParts
from tltk.tasks.registry import for_source, from_config, register_default, register_task
from tltk.tasks.regression import Regression
from tltk.tasks.semantic_segmentation import SemanticSegmentation
from tltk.tasks.token_classification import TokenClassification

__all__ = [
    "Classification",
    "Context",
    "Evaluator",
    "Monitor",
    "MultilabelClassification",
    "ObjectDetection",
    "Prediction",
    "QuestionAnswering",
    "Regression",
    "ReportParts",
    "SemanticSegmentation",
    "Task",
    "TokenClassification",
    "for_source",
    "from_config",
    "register_default",
    "register_task",
]
