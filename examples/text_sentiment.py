"""Sentiment of reviews with BERT-base, fine-tuned as in the BERT paper.

    python examples/text_sentiment.py reviews.csv --text review --label stars
    python examples/text_sentiment.py --tiny                # offline, under a minute on two cores

Three epochs, batches of 16 (64 for evaluation), AdamW at 2e-5 with weight decay 0.01 (not on biases and norms), a
linear warm-up of 500 steps or a tenth of all, whichever is less, then linear decay. The head reads the first token.
"""

import argparse
from pathlib import Path

import tiny_texts

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train, evaluate, export."""
    if options.tiny:
        source = tltk.from_arrays(*tiny_texts.reviews(160))
    else:
        source = tltk.from_csv(options.table, input=options.text, label=options.label, modality="text")
    train, val, test = tltk.split(source, val=0.15, test=0.15)
    backbone = tltk.backbone(options.backbone, sequence_length=32 if options.tiny else 256)
    head = tltk.head(pooling="first", normalization=None, dropout=0.1, zero_init=False)
    model = tltk.assemble(backbone, tltk.classification(source.labels, head=head))
    steps = 3 * len(train) // 16
    recipe = tltk.bert(warmup=min(500, steps // 10), learning_rate=1e-4 if options.tiny else 2e-5)
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test, batch_size=64)
    report.save(options.out / "report.html")
    exported = tltk.export(done, options.out / "serving")
    print(
        f"test accuracy {report.metrics['accuracy']:.4f} on {report.example_count} texts; SavedModel: {exported.path}"
    )


def main() -> None:
    """Read the command line and run."""
    parser = tiny_texts.parser(__doc__, out="runs/text_sentiment")
    parser.add_argument("table", type=Path, nargs="?", help=".csv with a column of texts and one of labels")
    parser.add_argument("--text", default="text", help="column of the texts")
    parser.add_argument("--label", default="label", help="column of the labels")
    options = tiny_texts.parsed(parser, "table", backbone="bert_base_en_uncased")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
