"""Extractive question answering: the span of a text that answers a question, or no answer.

    python examples/text_questions.py train-v2.0.json       # SQuAD 1.1 or 2.0
    python examples/text_questions.py --tiny                # offline, a minute on two cores

Contexts that exceed the sequence length of the model are read in overlapping windows.
"""

import argparse
from pathlib import Path

import tiny_texts

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train, evaluate, export."""
    if options.tiny:
        train, val, test = (tiny_texts.questions(count, part=part) for count, part in ((240, 0), (40, 0), (60, 1)))
    else:
        train, val, test = tltk.split(tltk.from_squad(options.file), val=0.1, test=0.1)
    backbone = tltk.backbone(options.backbone, sequence_length=96 if options.tiny else 384)
    model = tltk.assemble(backbone, tltk.question_answering())
    lowest, rate = ("block4", 4e-4) if options.tiny else (None, 3e-5)
    recipe = tltk.fine_tune(learning_rate=rate, unfreeze=lowest, probe_epochs=2, epochs=2)
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    exported = tltk.export(done, options.out / "serving")
    metrics = f"EM {report.metrics['exact_match']:.4f}, F1 {report.metrics['f1']:.4f}"
    print(f"test {metrics} on {report.example_count} questions; SavedModel: {exported.path}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_texts.parser(__doc__, out="runs/text_questions")
    parser.add_argument("file", type=Path, nargs="?", help="JSON file in the format of SQuAD")
    options = tiny_texts.parsed(parser, "file", backbone="bert_base_en_uncased")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
