"""What `tltk.inspect` finds of planted faults, how much of what it reports is one of them, and how long it takes.

    python examples/benchmarks/real_images.py             # once: download Fashion-MNIST and the emoji
    tltk weights get efficientnet_lite0                     # once: download the ImageNet weights
    python examples/benchmarks/inspection.py                # a table
    python examples/benchmarks/inspection.py --json         # one JSON object, nothing else on standard output

The images of a set are written to folders with the faults of `planted_faults.py`. Scaled pixels are planted in arrays
of 200 images: all divided by 255 once or twice, mapped to [-1, 1], standardized, or without their mean; or a tenth of
the images divided.

Recall is the fraction of the planted faults that is found. Precision counts what was not planted as false, also natural
near duplicates, of which both sets have many: emoji that differ by a mustache, trousers that differ by nothing one can
see at 28 px. Images with equal pixels are left out first. Pairs of near duplicates are those in one group of
`inspection.groups`. Images a second are those beside the embedding, whose features are read from a cache.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import real_images
from planted_faults import CHANGES, SIDE, plant

import tltk
from tltk.cli import console


def main() -> None:
    """Read the command line, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=list(real_images.SETS), choices=list(real_images.SETS))
    parser.add_argument("--fashion-mnist", type=Path, help="folder with the IDX files, at any depth")
    parser.add_argument("--emoji", type=Path, help="folder with emoji.json, at any depth")
    parser.add_argument("--count", type=int, default=4000, help="images of a set at most")
    parser.add_argument("--backbone", default="efficientnet_lite0", help="a name from `tltk backbones`")
    parser.add_argument("--weights", default="pretrained", help='path of a weight file, or "random"')
    parser.add_argument("--image-size", type=int, default=SIDE, help="pixels of the backbone's input")
    parser.add_argument("--seed", type=int, default=0, help="seed of the planted faults")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    options = parser.parse_args()
    with console.command(as_json=options.json):
        results = {}
        for name in options.data:
            images = real_images.load(name, getattr(options, name), side=SIDE)
            with tempfile.TemporaryDirectory() as folder:
                results[name] = measure(images, Path(folder), options)
        if options.json:
            console.show_json({"backbone": options.backbone, "image_size": options.image_size, "data": results})
        else:
            rows = [[measured, *(results[name][measured] for name in results)] for measured in results[options.data[0]]]
            console.show_table(["measured", *results], rows)


def measure(images: real_images.ImageSet, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Plant faults, inspect, and compare."""
    generator = np.random.default_rng(options.seed)
    x, y = np.concatenate([images.x, images.test_x]), np.concatenate([images.y, images.test_y])
    _, unique = np.unique(x.reshape(len(x), -1), axis=0, return_index=True)
    chosen = generator.permutation(unique)[: options.count]
    x, y = x[chosen], y[chosen]
    planted = plant(x, y, images.names, folder, generator)
    source, test = (tltk.from_folder(folder / part) for part in ("train", "test"))
    backbone = tltk.backbone(options.backbone, weights=options.weights, image_size=options.image_size)
    cache = folder / "features"
    start = time.perf_counter()
    for part in (source, test):  # as `inspect` reads them: without the files that cannot be read
        tltk.inspect(part, model=backbone, cache=cache)
    embedding = time.perf_counter() - start
    start, cpu_start = time.perf_counter(), time.process_time()
    inspection = tltk.inspect(source, test=test, model=backbone, cache=cache)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    result = {"images": len(source) + len(test), **compare(inspection, source, planted)}
    result |= dict(zip(("scaling recall", "scaling false alarms"), scaling(x[:200], y[:200]), strict=True))
    result["images per second beside the embedding"] = result["images"] / seconds
    result["images per CPU second beside the embedding"] = result["images"] / cpu_seconds
    result["seconds of both first inspections, with the embedding"] = embedding
    result["load average"] = os.getloadavg()[0]
    return result


def compare(inspection: "tltk.Inspection", source: "tltk.Source", planted: dict) -> dict[str, float]:
    """Return recall and precision of each planted fault."""
    concerned = {example for name in ("exact_duplicates", "conflicting_labels") for example in inspection[name].ids}
    leaks, broken = set(inspection["leaks"].ids), set(inspection["unreadable"].ids)
    wrong, flipped = set(inspection["wrong_labels"].ids), planted["labels"]
    group_of = {source.id_of(row): group for row, group in enumerate(inspection.groups.tolist())}
    near = planted["near"]
    result = {
        "exact copies recall": np.mean([example in concerned for example in planted["copies"]]),
        "leaks recall": np.mean([example in leaks for example in planted["leaks"]]),
        "broken recall": np.mean([example in broken for example in planted["broken"]]),
        "broken precision": np.mean([example in planted["broken"] for example in broken]),
        "near duplicates recall": np.mean([group_of[copy] == group_of[first] for copy, (first, _) in near.items()]),
        "near duplicates precision": near_precision(group_of, planted["family"]),
    }
    for change in CHANGES:
        found = [group_of[copy] == group_of[first] for copy, (first, kind) in near.items() if kind == change]
        result[f"  {change} recall"] = np.mean(found)
    result["near threshold"] = inspection.near_threshold or 0.0
    result["wrong labels recall"] = len(wrong & flipped) / len(flipped)
    result["wrong labels precision"] = len(wrong & flipped) / max(len(wrong), 1)
    return {name: float(value) for name, value in result.items()}


def near_precision(group_of: dict[str, int], family: dict[str, int]) -> float:
    """Return which fraction of the pairs in one group show the same original; exact copies are left out."""
    members: dict[int, list[int]] = {}
    for example, group in group_of.items():
        if example in family:
            members.setdefault(group, []).append(family[example])
    pairs = [
        first == second
        for families in members.values()
        for index, first in enumerate(families)
        for second in families[index + 1 :]
    ]
    return float(np.mean(pairs)) if pairs else 1.0


def scaling(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return which fraction of the scaled images is found, and which fraction of the others is reported."""
    pixels = x.astype(np.float32)
    scaled = [pixels / 255, pixels / 127.5 - 1, (pixels - pixels.mean()) / pixels.std(), pixels / 255 / 255]
    scaled.append(pixels - np.array([103.939, 116.779, 123.68], np.float32))
    found = [tltk.inspect((values, y))["scaling"].count for values in scaled]
    twice = tltk.from_arrays(pixels / 255 / 255, y, value_range=(0, 1))
    found.append(tltk.inspect(twice)["scaling"].count)
    some = pixels.copy()
    some[::10] /= 255
    partly = set(tltk.inspect((some, y))["scaling"].ids)
    expected = {f"example {row}" for row in range(0, len(x), 10)}
    recall = (sum(found) + len(partly & expected)) / (len(found) * len(x) + len(expected))
    clean = tltk.inspect((pixels, y))["scaling"].count + tltk.inspect((x, y))["scaling"].count
    return recall, (clean + len(partly - expected)) / (3 * len(x))


if __name__ == "__main__":
    main()
