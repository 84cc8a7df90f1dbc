"""Speed of bfloat16 and XLA on this machine: images per second, forward and training, of several networks.

    python examples/benchmarks/precision.py                 # a table
    python examples/benchmarks/precision.py --json          # one JSON object, nothing else on standard output

Three settings run in alternation in one process on the same pixels: float32, mixed_bfloat16, and float32 compiled by
XLA (`jit_compile=True`). A training step trains every layer with SGD and momentum, with batch norm in inference mode as
in `tltk.fine_tune`. Random weights cost the same as pretrained ones. `Backbone.fast_bfloat16` and
`tltk.foundation.hardware.jit_compile` follow from these measurements.

Speed relative to float32 on two cores with AVX-512 bfloat16, 128 px, batches of 16, `--rounds 5`, machine not idle:

                          bfloat16               float32 jit
                      forward   train      forward   train   XLA compiles
    resnet50             1.75    1.56         0.83    0.45           20 s
    mobilenet_v2         0.85    0.65         0.06    0.04           17 s
    efficientnet_lite0   0.88    0.37         0.05    0.03           17 s

So bfloat16 is faster for networks of plain convolutions but not of depthwise ones; XLA is slower for all on a CPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

import tltk
from tltk.cli import console
from tltk.foundation import hardware as machine
from tltk.optimizers import spec as optimizers
from tltk.specs import LabelSpec
from tltk.trainability.apply import apply_plan

SETTINGS = {
    "float32": ("float32", False),
    "bfloat16": ("mixed_bfloat16", False),
    "float32 jit": ("float32", True),
}
STEPS = ("forward", "train")
BACKBONES = ("resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_tiny")


def main() -> None:
    """Read the command line, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES[:3]), help="names from `tltk backbones`")
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels")
    parser.add_argument("--batch-size", type=int, default=16, help="images per step")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each setting; the median is reported")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    with console.command(as_json=options.json):
        results = {name: measure(name, options) for name in options.backbones}
        if options.json:
            console.show_json({**conditions(options), "backbones": results})
        else:
            show(results)


def measure(name: str, options: argparse.Namespace) -> dict:
    """Time one backbone in every setting.

    Args:
        name: Name of the backbone.
        options: Input size, batch size, rounds.

    Returns:
        "images_per_second" and "compile_seconds", setting → step → value, and "ratios" to float32.
    """
    console.say(f"{name}: building and compiling {len(SETTINGS)} settings")
    steps: dict[tuple[str, str], Callable[[], object]] = {}
    with ExitStack() as stack:  # the first step reads the flags that a plan sets
        for setting, (precision, jit) in SETTINGS.items():
            for kind, step in build_steps(name, options, stack, precision=precision, jit=jit).items():
                steps[setting, kind] = step
        first = {key: seconds(step) for key, step in steps.items()}
        turns: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
        for _ in range(options.rounds):
            for key, step in steps.items():
                turns[key].append(seconds(step))
    medians = {key: statistics.median(values) for key, values in turns.items()}
    speed = nested({key: options.batch_size / value for key, value in medians.items()})
    return {
        "images_per_second": speed,
        "compile_seconds": nested({key: first[key] - medians[key] for key in steps}),
        "ratios": {
            setting: {kind: speed[setting][kind] / speed["float32"][kind] for kind in STEPS}
            for setting in SETTINGS
            if setting != "float32"
        },
    }


def build_steps(
    name: str, options: argparse.Namespace, stack: ExitStack, *, precision: str, jit: bool
) -> dict[str, Callable[[], object]]:
    """Build and compile a model; return its forward and its training step on one batch of random pixels."""
    backbone = tltk.backbone(name, weights="random", image_size=options.image_size)
    task = tltk.classification(LabelSpec(tuple(f"class {number}" for number in range(10))))
    model = tltk.assemble(backbone, task, precision=precision)
    stack.enter_context(apply_plan(tltk.train_all(), model))
    network = model.keras
    optimizer = optimizers.build(optimizers.sgd(1e-3), 1e-3, network.trainable_variables)
    network.compile(optimizer=optimizer, loss=task.loss(), jit_compile=jit)
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 255, (options.batch_size, *backbone.input_spec.shape)).astype("float32")
    targets = np.eye(10, dtype="float32")[np.arange(options.batch_size) % 10]
    return {
        "forward": lambda: network.predict_on_batch(pixels),
        "train": lambda: network.train_on_batch(pixels, targets),
    }


def seconds(step: Callable[[], object]) -> float:
    """Time one call; the steps return NumPy arrays, so all computation is finished."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def nested(values: dict[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    """Turn {(setting, step): value} into {setting: {step: value}}."""
    return {setting: {kind: values[setting, kind] for kind in STEPS} for setting in SETTINGS}


def conditions(options: argparse.Namespace) -> dict:
    """Return the properties of the machine and the sizes of the measurement."""
    return {
        "bfloat16_instructions": machine.has_bfloat16_instructions(),
        "gpu": machine.gpu_capability(),
        "image_size": options.image_size,
        "batch_size": options.batch_size,
        "rounds": options.rounds,
    }


def show(results: dict[str, dict]) -> None:
    """Print the table."""
    columns = ["backbone", "setting", "forward img/s", "× float32", "train img/s", "× float32", "compile s"]
    rows = []
    for name, result in results.items():
        for setting in SETTINGS:
            speed, ratio = (
                result["images_per_second"][setting],
                result["ratios"].get(setting, dict.fromkeys(STEPS, 1.0)),
            )
            cells = [f"{value:.2f}" for kind in STEPS for value in (speed[kind], ratio[kind])]
            rows.append([name, setting, *cells, f"{sum(result['compile_seconds'][setting].values()):.1f}"])
    title = "bfloat16 instructions: " + ("yes" if machine.has_bfloat16_instructions() else "no")
    console.show_table(columns, rows, title=title)


if __name__ == "__main__":
    main()
