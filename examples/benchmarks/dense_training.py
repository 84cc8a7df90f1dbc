"""What `detection.py` and `segmentation.py` share: recipes, the encoder for KerasHub, and the measured parts."""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import scenes

import tltk
from tltk.cli import console

TESTED_AT_ONCE = 4  # scenes, of which the test must be a multiple
AUGMENT = (
    tltk.augment.flip(),
    tltk.augment.crop_resize(scale=(0.5, 1.0)),
    tltk.augment.color_jitter(brightness=0.2, contrast=0.2),
)


@dataclass(frozen=True)
class Result:
    """Score on the test scenes, and the seconds of the training before."""

    score: float
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """Epochs of a probe on cached copies of the scenes, and of the fine-tuning that follows; 0 for none."""

    probe: int
    tune: int
    copies: int

    def recipe(self, factor: float) -> tltk.Recipe:
        """Return the recipe, with all epochs multiplied by `factor`."""
        options = {"augment": AUGMENT, "augmentations_per_example": self.copies}
        probe, tune = math.ceil(factor * self.probe), math.ceil(factor * self.tune)
        if not tune:
            return tltk.linear_probe(epochs=probe, learning_rate=4e-3, **options)
        rates = {"learning_rate": 5e-4, "probe_learning_rate": 4e-3}
        return tltk.fine_tune(epochs=tune, probe_epochs=probe, **rates, **options)


def main(
    description: str,
    *,
    metric: str,
    quick: Schedule,
    whole: Schedule,
    scratch: int,
    with_tltk: Callable[..., Result],
    with_keras_hub: Callable[..., Result],
) -> None:
    """Read the command line, train one model after the other, and show their scores.

    Args:
        description: Text of `--help`.
        metric: Its name in the JSON object.
        quick: Schedule of the short training.
        whole: Schedule of the others on pretrained weights.
        scratch: Epochs from random weights.
        with_tltk: Trains a model of tltk: training scenes, test scenes, backbone, recipe.
        with_keras_hub: Trains the one of KerasHub: training scenes, test scenes, backbone, epochs.
    """
    arguments = parser(description)
    options = arguments.parse_args()
    if options.scenes % TESTED_AT_ONCE:
        arguments.error(f"--scenes must be a multiple of {TESTED_AT_ONCE}")
    with console.command(as_json=options.json):
        splits = {kind: scenes.make(kind, train=options.scenes, test=options.scenes) for kind in ("known", "unseen")}
        pretrained, random = (backbone_of(options, weights=weights) for weights in (options.weights, "random"))
        long = whole.recipe(options.epochs)
        results = collect(
            {
                "quick": lambda: with_tltk(*splits["known"], pretrained, quick.recipe(options.epochs)),
                "keras_hub": lambda: with_keras_hub(*splits["known"], pretrained, options.keras_hub_epochs),
                "known": lambda: with_tltk(*splits["known"], pretrained, long),
                "unseen": lambda: with_tltk(*splits["unseen"], pretrained, long),
                "unseen_random": lambda: with_tltk(
                    *splits["unseen"], random, from_scratch(scratch, factor=options.epochs)
                ),
            }
        )
        if options.json:
            print(json.dumps(as_json(results, metric)))
        else:
            show(results, metric)


def parser(description: str) -> argparse.ArgumentParser:
    """Build the command line of both scripts."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a name from `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help='path of a weight file, or "random"')
    parser.add_argument("--scenes", type=int, default=200, help="number of training scenes, and of test scenes")
    parser.add_argument("--epochs", type=float, default=1.0, help="factor of all numbers of epochs")
    parser.add_argument("--keras-hub-epochs", type=int, default=4, help="epochs of KerasHub's model")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser


def from_scratch(epochs: int, *, factor: float) -> tltk.Recipe:
    """Return a recipe that trains the whole network from random weights."""
    optimizer = tltk.adamw(2e-3, weight_decay=1e-2, clip_norm=1.0)
    plan = tltk.train_all(batch_norm="train")
    return tltk.Recipe(
        "from_scratch", (tltk.Phase("train", plan, math.ceil(factor * epochs), optimizer, augment=AUGMENT),)
    )


def train(
    backbone: tltk.Backbone,
    task: tltk.Task,
    train: tltk.Source,
    recipe: tltk.Recipe,
    score: Callable[[tltk.TransferModel], float],
) -> Result:
    """Train with tltk; the time includes reading the weights, tracing graphs and computing cached features."""
    keras.utils.set_random_seed(0)
    start = time.perf_counter()
    model = tltk.assemble(backbone, task)
    model = tltk.fit(model, train, recipe=recipe, batch_size=16, verbose=0).model
    seconds = time.perf_counter() - start
    return Result(score(model), seconds)


def encoder(backbone: tltk.Backbone) -> keras.Model:
    """Build the network of a backbone as KerasHub takes image encoders: on preprocessed pixels, "P2" to "P5"."""
    body, _ = backbone.build()
    last = {stage.name: stage.last for stage in backbone.stages} | {backbone.stages[-1].name: body.layers[-1].name}
    outputs = {
        f"P{round(math.log2(endpoint.stride))}": body.get_layer(last[name]).output
        for name, endpoint in backbone.endpoints().items()
        if endpoint.stride >= 4
    }
    network = keras.Model(body.inputs, outputs)
    network.pyramid_outputs = outputs
    return network


def collect(trainings: Mapping[str, Callable[[], Result]]) -> dict[str, Result]:
    """Train one after the other, and say each result at once."""
    results = {}
    for name, measure in trainings.items():
        results[name] = measure()
        console.say(f"{name}: {results[name].score:.3f} after {results[name].seconds:.0f} s of training")
    return results


def as_json(results: dict[str, Result], metric: str) -> dict[str, float]:
    """Return scores and seconds by name, and in how many times tltk's time KerasHub was trained.

    "vs_keras_hub_time" is KerasHub's time divided by that of the first training of tltk, "quick" or "known", that is at
    least as good; 0 if neither is.
    """
    keras_hub = results["keras_hub"]
    numbers = {f"{metric}_{name}": result.score for name, result in results.items()}
    numbers |= {f"seconds_{name}": result.seconds for name, result in results.items()}
    enough = [results[name] for name in ("quick", "known") if results[name].score >= keras_hub.score]
    numbers["vs_keras_hub_time"] = keras_hub.seconds / enough[0].seconds if enough else 0.0
    return {name: round(value, 3) for name, value in numbers.items()}


def show(results: dict[str, Result], metric: str) -> None:
    """Print the table."""
    rows = [[name, f"{result.score:.3f}", f"{result.seconds:.0f}"] for name, result in results.items()]
    console.show_table(["training", metric, "seconds"], rows)


def backbone_of(options: argparse.Namespace, *, weights: str) -> tltk.Backbone:
    """Return the backbone of the command line."""
    return tltk.backbone(options.backbone, image_size=scenes.SIDE, weights=weights)
