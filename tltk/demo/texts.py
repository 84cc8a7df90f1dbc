"""The text demo, topics of docstrings: TF-IDF, linear probe, fine-tuning, export."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tltk
from tltk.demo.docstrings import TOPICS, docstrings
from tltk.evaluation.report import Report
from tltk.specs import LabelSpec

BACKBONE, LENGTH = "all_minilm_l6_v2_en", 64
EPOCHS, PROBE_EPOCHS = 3, 20


@dataclass(frozen=True)
class TextDemoResult:
    """Result of the text demo.

    Args:
        words: Test accuracy of scikit-learn's TF-IDF with logistic regression.
        probe: Report of the linear probe on the test texts.
        tuned: Report of the fine-tuned model on the test texts.
        seconds: Seconds of "words", "probe" and "tuned", and of the whole "demo".
        run: Folder of the fine-tuned run.
        saved_model: Folder of the exported version.
        answer: A "text" and the "label" predicted for it in a clean process that imports only TensorFlow.
    """

    words: float
    probe: Report
    tuned: Report
    seconds: dict[str, float]
    run: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float]]:
        """Return the rows of the table: method, test accuracy, seconds of training."""
        return [
            ("TF-IDF, no network", self.words, self.seconds["words"]),
            ("linear probe", self.probe.metrics["accuracy"], self.seconds["probe"]),
            ("probe, then fine-tuning", self.tuned.metrics["accuracy"], self.seconds["tuned"]),
        ]

    def lines(self) -> list[str]:
        """Return the lines below the table."""
        return [
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"SavedModel:   {self.saved_model}",
            f"its prediction for {self.answer['text']!r:.60}",
            f"from a process that imports only tensorflow: {self.answer['label']}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "test_accuracy": self.tuned.metrics["accuracy"],
            "probe_accuracy": self.probe.metrics["accuracy"],
            "words_accuracy": self.words,
            "seconds": self.seconds["demo"],
            "seconds_of": self.seconds,
            "run": self.run,
            "saved_model": self.saved_model,
            "served": self.answer,
        }


def run_text_demo(out: Path, *, seed: int = 0, max_per_topic: int = 100, say: Callable[[str], None]) -> TextDemoResult:
    """Train, evaluate and export a classifier of docstrings of the installed packages.

    Args:
        out: Folder for the run and the SavedModel.
        seed: Seed of the split and the training.
        max_per_topic: Maximum number of docstrings per topic.
        say: Called with each line of progress.

    Returns:
        The accuracies, times and files.

    Raises:
        NotFound: If the weights of MiniLM cannot be found or downloaded.
    """
    start = time.perf_counter()
    source, groups = docstrings(max_per_topic=max_per_topic)
    train, val, test = tltk.split(source, val=0.1, test=0.4, seed=seed, groups=groups)
    say(f"1/4 {len(train)} training docstrings on {len(TOPICS)} topics, {len(test)} test docstrings from other files")
    tfidf_accuracy, tfidf_seconds = _tfidf(train, test)

    say("2/4 linear probe: a new head on frozen MiniLM")
    backbone = tltk.backbone(BACKBONE, sequence_length=LENGTH)
    task = tltk.classification(LabelSpec(tuple(TOPICS)))
    recipe = tltk.linear_probe(epochs=PROBE_EPOCHS)
    probe = tltk.fit(tltk.assemble(backbone, task), train, val, recipe=recipe, seed=seed)
    probe_report = tltk.evaluate(probe, test)

    say("3/4 fine-tuning after a linear probe")
    recipe = tltk.fine_tune(learning_rate=1e-4, probe_epochs=PROBE_EPOCHS, epochs=EPOCHS)
    model = tltk.assemble(backbone, task)
    run = tltk.fit(model, train, val, recipe=recipe, seed=seed, out=out / "run")
    report = tltk.evaluate(run, test)
    report.save(out / "run" / "report.html")

    say("4/4 export as a SavedModel, and a prediction in a clean process")
    text = test.examples[0]
    exported = tltk.export(run, out / "serving", requests=[text.encode()])
    answer = {"text": text, "label": exported.first_outputs["label"][0]}
    seconds = {
        "words": tfidf_seconds,
        "probe": probe.seconds,
        "tuned": run.seconds,
        "demo": time.perf_counter() - start,
    }
    return TextDemoResult(tfidf_accuracy, probe_report, report, seconds, run.folder or out, exported.path, answer)


def _tfidf(train: Any, test: Any) -> tuple[float, float]:
    """Train TF-IDF with logistic regression, and return the test accuracy and the seconds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    start = time.perf_counter()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    model.fit(train.examples, train.targets)
    return float(model.score(test.examples, test.targets)), time.perf_counter() - start
