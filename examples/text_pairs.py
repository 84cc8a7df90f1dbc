"""Semantic similarity: regression of a number for a pair of texts.

    python examples/text_pairs.py pairs.csv --text first,second --label similarity
    python examples/text_pairs.py --tiny                    # offline, under a minute on two cores

Both texts go through the network together, so that each token attends to both texts. To search among many texts use
`tltk.embed`, which processes each text once.
"""

import argparse
from pathlib import Path

import tiny_texts

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train, evaluate."""
    if options.tiny:
        x, y = tiny_texts.pairs(180)
        source = tltk.from_arrays(x, y, label_type="regression", labels=("similarity",))
    else:
        columns = tuple(options.text.split(","))
        source = tltk.from_csv(
            options.table, input=columns, label=options.label, label_type="regression", modality="text"
        )
    train, val, test = tltk.split(source, val=0.15, test=0.15)
    backbone = tltk.backbone(options.backbone, sequence_length=48 if options.tiny else 128)
    model = tltk.assemble(backbone, tltk.regression(source.labels, pairs=True))
    lowest = "block5" if options.tiny else None  # the lowest block that is trained
    recipe = tltk.fine_tune(learning_rate=1e-4, unfreeze=lowest, probe_epochs=5, epochs=4)
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    metrics = f"MAE {report.metrics['mae']:.4f}, R² {report.metrics['r2']:.4f}"
    print(f"test {metrics} on {report.example_count} pairs; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_texts.parser(__doc__, out="runs/text_pairs")
    parser.add_argument("table", type=Path, nargs="?", help=".csv with two columns of texts and one of numbers")
    parser.add_argument("--text", default="first,second", help="columns of the texts, joined by a comma")
    parser.add_argument("--label", default="similarity", help="column of the numbers")
    options = tiny_texts.parsed(parser, "table", backbone=tiny_texts.MINILM)
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
