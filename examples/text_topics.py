"""Topics of texts from a few labelled examples per class: contrastive fine-tuning of a sentence encoder, then a head.

    python examples/text_topics.py tickets.csv --text text --label topic
    python examples/text_topics.py --tiny                   # offline, a minute on two cores: topics of docstrings

For 4 to 64 labelled examples per class. There is no validation part, because nothing is selected by validation scores.
"""

import argparse
from pathlib import Path

import tiny_texts

import tltk
from tltk.cli import console
from tltk.demo.docstrings import docstrings


def run(options: argparse.Namespace) -> None:
    """Train on a few texts per class, evaluate on the others."""
    if options.tiny:
        source, groups = docstrings(max_per_topic=16)
        train, _, test = tltk.split(source, val=0, test=0.5, groups=groups)
    else:
        source = tltk.from_csv(options.table, input=options.text, label=options.label, modality="text")
        train, _, test = tltk.split(source, val=0, test=0.3)
    model = tltk.assemble(tltk.backbone(options.backbone, sequence_length=64), tltk.classification(source.labels))
    recipe = tltk.few_shot(epochs=3 if options.tiny else 20)
    done = tltk.fit(model, train, recipe=recipe, batch_size=64, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    print(f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} texts; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_texts.parser(__doc__, out="runs/text_topics")
    parser.add_argument("table", type=Path, nargs="?", help=".csv with a column of texts and one of labels")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--label", default="label", help="column of the labels")
    options = tiny_texts.parsed(parser, "table", backbone=tiny_texts.MINILM)
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
