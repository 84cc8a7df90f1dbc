"""The demo on texts: which topic is this docstring about? Words alone, a probe, fine-tuning, and a served answer."""

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
    """What the demo found.

    Args:
        words: test accuracy of scikit-learn's TF-IDF and logistic regression.
        probe: report of the linear probe on the test texts.
        tuned: report after fine-tuning.
        seconds: of each, and of the whole demo as "demo".
        run: folder of the fine-tuned run.
        saved_model: folder of the exported version.
        answer: what a clean process that imports only tensorflow said of the first request.
    """

    words: float
    probe: Report
    tuned: Report
    seconds: dict[str, float]
    run: Path
    saved_model: Path
    answer: dict[str, Any]

    def rows(self) -> list[tuple[str, float, float]]:
        """The table: what was trained, test accuracy, seconds of training."""
        return [
            ("words alone (TF-IDF)", self.words, self.seconds["words"]),
            ("linear probe", self.probe.metrics["accuracy"], self.seconds["probe"]),
            ("probe, then fine-tuning", self.tuned.metrics["accuracy"], self.seconds["tuned"]),
        ]

    def lines(self) -> list[str]:
        """What follows the table."""
        return [
            f"run:          {self.run}   (report: {self.run / 'report.html'})",
            f"SavedModel:   {self.saved_model}",
            f"its answer to {self.answer['text']!r:.60}",
            f"from a process that imports only tensorflow: {self.answer['label']}",
            f"whole demo:   {self.seconds['demo']:.0f} s",
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values for scripts."""
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


def run_text_demo(out: Path, *, seed: int = 0, most: int = 100, say: Callable[[str], None]) -> TextDemoResult:
    """Do the whole walk on docstrings of the installed packages.

    Args:
        out: folder for the run and the SavedModel.
        seed: of the split and the training.
        most: docstrings a topic.
        say: takes one line of progress.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: if MiniLM is out of reach.
    """
    begun = time.perf_counter()
    source, groups = docstrings(most=most)
    train, val, test = tltk.split(source, val=0.1, test=0.4, seed=seed, groups=groups)
    say(f"1/4 {len(train)} docstrings on {len(TOPICS)} topics to learn from, {len(test)} of other files to test")
    words, seconds = _words(train, test)

    say("2/4 linear probe: MiniLM frozen, a head on top")
    backbone = tltk.backbone(BACKBONE, sequence_length=LENGTH)
    task = tltk.classification(LabelSpec(tuple(TOPICS)))
    recipe = tltk.linear_probe(epochs=PROBE_EPOCHS)
    probe = tltk.fit(tltk.assemble(backbone, task), train, val, recipe=recipe, seed=seed)
    probe_report = tltk.evaluate(probe.model, test)

    say("3/4 the same, then fine-tuning")
    recipe = tltk.fine_tune(learning_rate=1e-4, probe_epochs=PROBE_EPOCHS, epochs=EPOCHS)
    model = tltk.assemble(backbone, task)
    run = tltk.fit(model, train, val, recipe=recipe, seed=seed, out=out / "run")
    report = tltk.evaluate(run.model, test)
    report.save(out / "run" / "report.html")

    say("4/4 SavedModel, and a question to it from a clean process")
    text = test.examples[0]
    exported = tltk.export(run.model, out / "serving", requests=[text.encode()])
    answer = {"text": text, "label": exported.first["label"][0]}
    times = {"words": seconds, "probe": probe.seconds, "tuned": run.seconds, "demo": time.perf_counter() - begun}
    return TextDemoResult(words, probe_report, report, times, run.folder or out, exported.path, answer)


def _words(train: Any, test: Any) -> tuple[float, float]:
    """Train on words and their frequencies, and return the test accuracy and the seconds."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    begun = time.perf_counter()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=2000))
    model.fit(train.examples, train.targets)
    return float(model.score(test.examples, test.targets)), time.perf_counter() - begun
