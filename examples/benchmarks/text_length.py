"""Time saved by padding each batch to its own length: MiniLM fine-tuned on docstrings by KerasHub and by tltk.

    tltk weights get all_minilm_l6_v2_en                    # once
    python examples/benchmarks/text_length.py               # a table
    python examples/benchmarks/text_length.py --json        # one JSON object and nothing else on standard output

The texts are docstrings of the installed packages (half of them below 13 words, one in twenty above 90), labelled with
their topic. All methods use the same network, training texts and epochs, and AdamW at 1e-4:

- keras_hub_default: `keras_hub.models.BertTextClassifier` with its defaults, which pads every text to the length
  of the preset: 256 tokens for MiniLM (KerasHub's own default is 512);
- keras_hub_128: the same, padded to 128 tokens;
- tltk_float32, tltk_bfloat16: `tltk.fit` with batches of similar lengths, padded to the longest text of the batch, with
  a budget of 640 tokens, which results in as many steps per epoch as batches of 16; bfloat16 only on processors with
  bfloat16 instructions, else null.

Examples per second are those of the last epoch, when tracing is finished; the total seconds are printed, too.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import numpy as np

import tltk
from tltk.data.source import Source
from tltk.demo.docstrings import docstrings
from tltk.foundation import hardware as machine
from tltk.foundation import paths
from tltk.optimizers.spec import adamw
from tltk.recipes.recipe import Phase, Recipe

MINILM, BATCH, BUDGET, RATE = "all_minilm_l6_v2_en", 16, "640 tokens", 1e-4


@dataclass(frozen=True)
class Result:
    """Measurements of one method.

    Args:
        rate: Training examples per second in the last epoch.
        seconds: Seconds of the whole fit, including tracing and tokenizing.
        accuracy: Accuracy on the test texts.
    """

    rate: float
    seconds: float
    accuracy: float


class _Clock(keras.callbacks.Callback):
    """Measures the seconds of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def by_keras_hub(train: Source, test: Source, epochs: int, length: int | None) -> Result:
    """Fine-tune KerasHub's classifier, padded to `length` tokens; None uses the length of the preset."""
    folder = str(paths.cache_folder() / MINILM)
    model = keras_hub.models.BertTextClassifier.from_preset(folder, num_classes=len(train.labels))
    if length is not None:
        model.preprocessor.sequence_length = length
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(RATE, weight_decay=0.01), loss, metrics=["accuracy"])
    clock, start = _Clock(), time.perf_counter()
    x, y = np.array(train.examples.tolist()), train.targets.values
    model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[clock], verbose=0)
    seconds = time.perf_counter() - start
    predictions = model.predict(np.array(test.examples.tolist()), batch_size=BATCH, verbose=0).argmax(-1)
    return Result(len(train) / clock.seconds[-1], seconds, float((predictions == test.targets.values).mean()))


def by_tltk(train: Source, test: Source, epochs: int, precision: str) -> Result:
    """Fine-tune the same network with tltk."""
    task = tltk.classification(train.labels, head=tltk.head(pooling="first", normalization=None, zero_init=False))
    model = tltk.assemble(tltk.backbone(MINILM, sequence_length=512), task, precision=precision)
    optimizer = adamw(RATE, weight_decay=0.01)
    phase = Phase("all", tltk.train_all(), epochs, optimizer, schedule="constant", warmup=0.0)
    run = tltk.fit(model, train, recipe=Recipe("all", (phase,)), batch_size=BUDGET)
    accuracy = tltk.evaluate(model, test, batch_size=BATCH).metrics["accuracy"]
    return Result(len(train) / run.history[-1]["seconds"], run.seconds, accuracy)


def measure(count: int, tested: int, epochs: int, say: Callable[[str], None]) -> dict[str, Result | None]:
    """Train with each method once, the fast ones last."""
    source, groups = docstrings()
    train, _, test = tltk.split(source, val=0, test=0.3, groups=groups)
    order = np.random.default_rng(0)
    train, test = (part.subset(order.permutation(len(part))[:n]) for part, n in ((train, count), (test, tested)))
    words = [len(text.split()) for text in train.examples]
    say(f"{len(train)} texts of {np.mean(words):.0f} words on average (median {np.median(words):.0f}), {epochs} epochs")
    fast = machine.has_bfloat16_instructions()
    methods: dict[str, Callable[[], Result] | None] = {
        "keras_hub_default": lambda: by_keras_hub(train, test, epochs, None),
        "keras_hub_128": lambda: by_keras_hub(train, test, epochs, 128),
        "tltk_float32": lambda: by_tltk(train, test, epochs, "float32"),
        "tltk_bfloat16": (lambda: by_tltk(train, test, epochs, "mixed_bfloat16")) if fast else None,
    }
    results: dict[str, Result | None] = {}
    for name, train_and_test in methods.items():
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        results[name] = result = train_and_test() if train_and_test else None
        if result:
            say(f"{name}: {result.rate:.1f} examples/s, {result.seconds:.0f} s in all, accuracy {result.accuracy:.3f}")
    return results


def ratio(results: dict[str, Result | None], method: str, reference: str) -> float | None:
    """Return the examples per second of a method relative to a reference; None if one was not run."""
    first, second = results[method], results[reference]
    return round(first.rate / second.rate, 2) if first and second else None


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--texts", type=int, default=320, help="number of training texts")
    parser.add_argument("--tested", type=int, default=300, help="number of test texts")
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    if options.epochs < 1 or options.texts < 2 * BATCH or options.tested < 1:
        parser.error(f"--epochs and --tested must be above 0, --texts at least {2 * BATCH}")
    results = measure(
        options.texts, options.tested, options.epochs, lambda text: print(text, file=sys.stderr, flush=True)
    )
    if options.json:
        summary: dict[str, Any] = {
            "vs_keras_hub_default": ratio(results, "tltk_float32", "keras_hub_default"),
            "vs_keras_hub_128_float32": ratio(results, "tltk_float32", "keras_hub_128"),
            "vs_keras_hub_128_bfloat16": ratio(results, "tltk_bfloat16", "keras_hub_128"),
        }
        for name, result in results.items():
            summary[f"accuracy_{name}"] = round(result.accuracy, 4) if result else None
            summary[f"examples_per_second_{name}"] = round(result.rate, 2) if result else None
        print(json.dumps({**summary, "texts": options.texts, "epochs": options.epochs}))
        return
    print(f"{'MiniLM':20}{'examples/s':>12}{'seconds':>9}{'accuracy':>10}")
    for name, result in results.items():
        row = (
            f"{result.rate:12.1f}{result.seconds:9.0f}{result.accuracy:10.3f}" if result else "   no such instructions"
        )
        print(f"{name:20}{row}")


if __name__ == "__main__":
    main()
