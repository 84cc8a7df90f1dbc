"""Boxes or a class map from the ONNX file of a detector or segmenter, with ONNX Runtime, NumPy and Pillow only.

python examples/onnx_images.py serving/detector/1 photo.jpg                 # one line for each object
python examples/onnx_images.py serving/segmenter/1 photo.jpg --out map.png  # a grey PNG of class numbers
"""

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


class Letterboxed(NamedTuple):
    """Pixels for the network, and where the image lies in them."""

    pixels: np.ndarray  # float32 [1, height, width, 3], in [0, 255]
    original: tuple[int, int]  # rows and columns of the image
    fitted: tuple[int, int]  # rows and columns of the image in `pixels`
    offset: tuple[int, int]  # rows above it, columns left of it


def letterboxed(path: Path, height: int, width: int) -> Letterboxed:
    """Read an image, turn it as viewers do, resize it with its aspect ratio, and put black bars around it."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    scale = min(height / image.height, width / image.width)
    rows, columns = min(max(round(image.height * scale), 1), height), min(max(round(image.width * scale), 1), width)
    top, left = (height - rows) // 2, (width - columns) // 2
    pixels = np.zeros((1, height, width, 3), "float32")
    pixels[0, top : top + rows, left : left + columns] = image.resize((columns, rows), Image.Resampling.BILINEAR)
    return Letterboxed(pixels, image.size[::-1], (rows, columns), (top, left))


def objects_of(outputs: dict, about: dict, image: Letterboxed) -> list[tuple[str, float, list[float]]]:
    """Return class, score and box (y_min, x_min, y_max, x_max in pixels of the image) of each object, by score.

    Args:
        outputs: Name → outputs of the network for one image.
        about: Content of model.json.
        image: The image.
    """
    decoding, size = about["decoding"], image.pixels.shape[1:3]
    centres = np.concatenate([_centres(level, size) for level in decoding["level_sizes"]])
    distances = outputs["distances"][0]  # top, left, bottom, right
    boxes = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], 1).clip(0, [*size, *size])
    offset, scale = np.tile(image.offset, 2), np.tile(np.divide(image.fitted, image.original), 2)
    boxes = ((boxes - offset) / scale).clip(0, [*image.original, *image.original])
    scores = np.sqrt(outputs["classes"][0] * outputs["centreness"][0])
    scores[(boxes[:, 2:] <= boxes[:, :2]).any(1)] = 0  # these are in the bars
    objects = []
    for number, name in enumerate(about["outputs"]["classes"]):
        likely = np.flatnonzero(scores[:, number] > decoding["min_score"])
        for place in likely[_kept(boxes[likely], scores[likely, number], decoding["max_iou"])]:
            objects.append((name, float(scores[place, number]), boxes[place].tolist()))
    return sorted(objects, key=lambda found: -found[1])[: decoding["max_detections"]]


def _centres(level: list[int], size: tuple[int, int]) -> np.ndarray:
    """Return y and x of the positions of a level, [positions, 2]."""
    (rows, columns), (height, width) = level, size
    y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
    return np.stack(np.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)


def _kept(boxes: np.ndarray, scores: np.ndarray, max_iou: float) -> list[int]:
    """Return the places of the boxes that no better one overlaps by more than `max_iou`, the best first."""
    kept: list[int] = []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1)
    for place in np.argsort(-scores, kind="stable"):
        low, high = np.maximum(boxes[kept, :2], boxes[place, :2]), np.minimum(boxes[kept, 2:], boxes[place, 2:])
        shared = np.prod((high - low).clip(0), 1)
        if (shared <= max_iou * (areas[kept] + areas[place] - shared)).all():
            kept.append(int(place))
    return kept


def class_map_of(outputs: dict, image: Letterboxed) -> np.ndarray:
    """Return the class of each pixel of an image, uint8 [rows, columns]: its logits enlarged, the largest one."""
    logits = outputs["logits"][0]
    per_pixel = np.divide(logits.shape[:2], image.pixels.shape[1:3])  # positions per pixel of the input
    top, left = image.offset * per_pixel
    bottom, right = np.add(image.offset, image.fitted) * per_pixel
    enlarged = [
        Image.fromarray(logits[..., number]).resize(
            image.original[::-1], Image.Resampling.BILINEAR, box=(left, top, right, bottom)
        )
        for number in range(logits.shape[-1])
    ]
    return np.argmax(np.stack(enlarged, -1), -1).astype("uint8")


def run(folder: Path, path: Path) -> tuple[dict, dict, Letterboxed]:
    """Run the network on an image; return the content of model.json, the outputs by name, and the image."""
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    image = letterboxed(path, about["input"]["height"], about["input"]["width"])
    names = list(about["outputs"])
    values = session.run(names, {about["input"]["name"]: image.pixels})
    return about, dict(zip(names, values, strict=True)), image


def main() -> None:
    """Print the objects of an image, or write its class map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="version folder of `tltk export … --format onnx`")
    parser.add_argument("image", type=Path)
    parser.add_argument("--out", type=Path, default=Path("map.png"), help="class map of a segmenter")
    options = parser.parse_args()
    about, outputs, image = run(options.folder, options.image)
    if about["task"] == "object_detection":
        for name, score, box in objects_of(outputs, about, image):
            print(f"{name} {score:.3f} {[round(edge, 1) for edge in box]}")
    elif about["task"] == "semantic_segmentation":
        Image.fromarray(class_map_of(outputs, image)).save(options.out)
        print(f"{options.out}: {dict(enumerate(about['outputs']['logits']))}")
    else:
        parser.error(f"a detector or segmenter is needed; this is a model of {about['task']}")


if __name__ == "__main__":
    main()
