"""Do the tagger and the reader read? Generated texts whose names never occur in both parts.

    tltk weights get all_minilm_l6_v2_en                    # once
    python examples/benchmarks/find_spans.py                # a table
    python examples/benchmarks/find_spans.py --json         # one JSON object, nothing else on standard output

Entities: persons, places and companies of one or two made-up names in fourteen sentences. Questions: where somebody
lives or what he does, in a paragraph about three people, one question in five about somebody else. A name says nothing;
what stands around it does. MiniLM, every layer trained.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tiny_texts

import tltk
from tltk.tasks import Task


def trained(task: Task, parts: tuple, *, epochs: int, length: int) -> tuple[dict[str, float], float]:
    """Train on the first part, return the scores on the second, and the seconds."""
    train, test = parts
    model = tltk.assemble(tltk.backbone(tiny_texts.MINILM, sequence_length=length), task)
    begun = time.perf_counter()
    tltk.fit(model, train, recipe=tltk.fine_tune(learning_rate=2e-4, probe_epochs=5, epochs=epochs), batch_size=16)
    return tltk.evaluate(model, test, batch_size=64).metrics, time.perf_counter() - begun


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--sentences", type=int, default=500, help="to learn entities from")
    parser.add_argument("--questions", type=int, default=3000, help="to learn answers from")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if min(options.sentences, options.questions, options.epochs) < 1:
        parser.error("every number must be above 0")
    sentences = tuple(tiny_texts.entities(n, part=part) for n, part in ((options.sentences, 0), (500, 1)))
    asked = tuple(tiny_texts.questions(n, part=part) for n, part in ((options.questions, 0), (500, 1)))
    tagged, tag_seconds = trained(
        tltk.token_classification(sentences[0].labels), sentences, epochs=options.epochs, length=64
    )
    print(f"entities: {tagged} in {tag_seconds:.0f} s", file=sys.stderr, flush=True)
    read, read_seconds = trained(tltk.question_answering(), asked, epochs=options.epochs, length=96)
    print(f"answers: {read} in {read_seconds:.0f} s", file=sys.stderr, flush=True)
    if options.json:
        print(
            json.dumps({"entities": {**tagged, "seconds": tag_seconds}, "answers": {**read, "seconds": read_seconds}})
        )
        return
    print(f"entities: F1 {tagged['f1']:.3f} in {tag_seconds:.0f} s")
    print(f"answers: EM {read['exact_match']:.3f}, F1 {read['f1']:.3f} in {read_seconds:.0f} s")


if __name__ == "__main__":
    main()
