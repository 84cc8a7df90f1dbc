"""Named entity recognition: persons, places and companies as spans of characters.

    python examples/text_entities.py news.conll             # one word and its tag per line
    python examples/text_entities.py news.jsonl             # {"text": …, "entities": [[start, end, type], …]}
    python examples/text_entities.py --tiny                 # offline, a minute on two cores

The metric is strict: an entity counts only with its exact borders and type.
"""

import argparse
from pathlib import Path

import tiny_texts

import tltk
from tltk.cli import console


def run(options: argparse.Namespace) -> None:
    """Train, evaluate, predict the entities of a sentence."""
    if options.tiny:
        train, val, test = (tiny_texts.entities(count, part=part) for count, part in ((240, 0), (40, 0), (60, 1)))
    elif options.file.suffix == ".jsonl":
        source = tltk.from_jsonl(options.file, input="text", label="entities", label_type="entities", modality="text")
        train, val, test = tltk.split(source, val=0.15, test=0.15)
    else:
        train, val, test = tltk.split(tltk.from_conll(options.file), val=0.15, test=0.15)
    model = tltk.assemble(tltk.backbone(options.backbone), tltk.token_classification(train.labels))
    lowest, rate = ("block4", 8e-4) if options.tiny else (None, 5e-5)
    recipe = tltk.fine_tune(learning_rate=rate, unfreeze=lowest, probe_epochs=5, epochs=4)
    done = tltk.fit(model, train, val, recipe=recipe, batch_size=16, out=options.out)
    report = tltk.evaluate(done, test)
    report.save(options.out / "report.html")
    (prediction,) = tltk.predict(done, "Mokari lives in Talinor and works for Vorest.")
    print(prediction.label)
    print(f"test F1 {report.metrics['f1']:.4f} on {report.example_count} texts; run: {done.folder}")


def main() -> None:
    """Read the command line and run."""
    parser = tiny_texts.parser(__doc__, out="runs/text_entities")
    parser.add_argument("file", type=Path, nargs="?", help=".conll or .jsonl with entities")
    options = tiny_texts.parsed(parser, "file", backbone="bert_base_en")
    with console.command(as_json=False):
        run(options)


if __name__ == "__main__":
    main()
