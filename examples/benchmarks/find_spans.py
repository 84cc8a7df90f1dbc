"""Token classification and question answering on generated texts whose names never occur in both parts.

    tltk weights get all_minilm_l6_v2_en                    # once
    python examples/benchmarks/find_spans.py                # a table
    python examples/benchmarks/find_spans.py --json         # one JSON object, nothing else on standard output

Entities: persons, places and companies of one or two generated names in fourteen sentences. Questions: where a person
lives or what they do, in a paragraph about three people; one question in five is about another person. The names carry
no information, only the words around them. MiniLM, with every layer trained.
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
    """Train on the first part, and return the metrics on the second and the seconds."""
    train, test = parts
    model = tltk.assemble(tltk.backbone(tiny_texts.MINILM, sequence_length=length), task)
    start = time.perf_counter()
    tltk.fit(model, train, recipe=tltk.fine_tune(learning_rate=2e-4, probe_epochs=5, epochs=epochs), batch_size=16)
    return tltk.evaluate(model, test, batch_size=64).metrics, time.perf_counter() - start


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--sentences", type=int, default=500, help="number of training sentences")
    parser.add_argument("--questions", type=int, default=3000, help="number of training questions")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if min(options.sentences, options.questions, options.epochs) < 1:
        parser.error("--sentences, --questions and --epochs must be above 0")
    sentences = tuple(tiny_texts.entities(n, part=part) for n, part in ((options.sentences, 0), (500, 1)))
    questions = tuple(tiny_texts.questions(n, part=part) for n, part in ((options.questions, 0), (500, 1)))
    entity_metrics, entity_seconds = trained(
        tltk.token_classification(sentences[0].labels), sentences, epochs=options.epochs, length=64
    )
    print(f"entities: {entity_metrics} in {entity_seconds:.0f} s", file=sys.stderr, flush=True)
    answer_metrics, answer_seconds = trained(tltk.question_answering(), questions, epochs=options.epochs, length=96)
    print(f"answers: {answer_metrics} in {answer_seconds:.0f} s", file=sys.stderr, flush=True)
    if options.json:
        print(
            json.dumps(
                {
                    "entities": {**entity_metrics, "seconds": entity_seconds},
                    "answers": {**answer_metrics, "seconds": answer_seconds},
                }
            )
        )
        return
    print(f"entities: F1 {entity_metrics['f1']:.3f} in {entity_seconds:.0f} s")
    print(f"answers: EM {answer_metrics['exact_match']:.3f}, F1 {answer_metrics['f1']:.3f} in {answer_seconds:.0f} s")


if __name__ == "__main__":
    main()
