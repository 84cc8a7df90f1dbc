"""Average precision equals that of pycocotools, image by image, and its memory does not hold the images."""

import contextlib
import io
import pickle

import numpy as np
import pytest

from tltk.tasks.boxes.evaluator import DetectionEvaluator

NAMES = ("cat", "dog", "cow", "bird")  # no bird in any image
ORDER = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def random_image(generator):
    """Return true boxes, some of them ignored, and predicted ones: near, duplicate, of the wrong class, or anywhere."""
    count = generator.integers(0, 7)
    low = generator.integers(0, 200, (count, 2))
    true = np.concatenate([low, low + generator.integers(4, 160, (count, 2))], 1).astype("float32")
    classes = generator.integers(0, 3, count)
    ignored = generator.uniform(size=count) < 0.15
    areas = (np.prod(true[:, 2:] - true[:, :2], 1) * generator.uniform(0.3, 1, count)).astype("float32")
    repeats = generator.integers(0, 4, count)
    near, near_classes = np.repeat(true, repeats, 0), np.repeat(classes, repeats)
    near = near + generator.normal(0, 6, near.shape).round(1)
    low = generator.uniform(0, 200, (generator.integers(0, 5), 2))
    predicted = np.concatenate([near, np.concatenate([low, low + generator.uniform(2, 100, low.shape)], 1)]).astype(
        "float32"
    )
    predicted[:, 2:] = np.maximum(predicted[:, 2:], predicted[:, :2] + 1)
    is_wrong = generator.uniform(size=len(near)) < 0.2
    near_classes = np.where(is_wrong, generator.integers(0, 3, len(near)), near_classes)
    predicted_classes = np.concatenate([near_classes, generator.integers(0, 3, len(predicted) - len(near))])
    scores = (generator.integers(1, 40, len(predicted)) / 40).astype("float32")  # with ties
    return (true, classes, ignored, areas), (predicted, predicted_classes, scores)


def as_batch(images):
    """Return targets and decoded columns as the loader and `decode` give them."""
    most = max(len(true[0]) for true, _ in images)
    shape = (len(images), most)
    targets = {
        "boxes": np.zeros((*shape, 4), "float32"),
        "labels": np.full(shape, -1),
        "ignored": np.zeros(shape, bool),
        "areas": np.zeros(shape, "float32"),
    }
    decoded = {
        "boxes": np.zeros((len(images), 100, 4), "float32"),
        "scores": np.zeros((len(images), 100), "float32"),
        "labels": np.full((len(images), 100), "", object),
        "count": np.array([len(predicted[0]) for _, predicted in images]),
    }
    for row, (true, (predicted, classes, scores)) in enumerate(images):
        for name, values in zip(targets, true, strict=True):
            targets[name][row, : len(values)] = values
        order = np.argsort(-scores, kind="stable")
        rows = slice(len(predicted))
        decoded["boxes"][row, rows], decoded["scores"][row, rows] = predicted[order], scores[order]
        decoded["labels"][row, rows] = [NAMES[number] for number in classes[order]]
    return targets, decoded


def by_pycocotools(images):
    """Return the statistics and the precision [thresholds, recalls, classes, areas] of pycocotools."""
    coco_module, evaluation = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    truth, predicted = [], []
    for image, ((boxes, classes, ignored, areas), (predicted_boxes, predicted_classes, scores)) in enumerate(images):
        for box, number, is_ignored, area in zip(boxes.tolist(), classes, ignored, areas.tolist(), strict=True):
            corner, size = [box[1], box[0]], [box[3] - box[1], box[2] - box[0]]
            record = {"image_id": image, "category_id": int(number) + 1, "bbox": corner + size, "area": area}
            truth.append({**record, "iscrowd": int(is_ignored), "id": len(truth) + 1})
        for row in np.argsort(-scores, kind="stable"):
            box = predicted_boxes[row].astype(float).tolist()
            corner, size = [box[1], box[0]], [box[3] - box[1], box[2] - box[0]]
            number, score = int(predicted_classes[row]) + 1, float(scores[row])
            predicted.append({"image_id": image, "category_id": number, "bbox": corner + size, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = coco_module.COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(len(images))],
            "annotations": truth,
            "categories": [{"id": number + 1, "name": name} for number, name in enumerate(NAMES)],
        }
        coco.createIndex()
        result = evaluation.COCOeval(coco, coco.loadRes(predicted), "bbox")
        result.evaluate()
        result.accumulate()
        result.summarize()
    return result.stats, result.eval["precision"][..., 2]


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_equals_that_of_pycocotools(seed):
    generator = np.random.default_rng(seed)
    images = [random_image(generator) for _ in range(40)]
    evaluator = DetectionEvaluator(NAMES)
    for start in range(0, 40, 16):
        targets, decoded = as_batch(images[start : start + 16])
        evaluator.update(targets, decoded, ["an image"] * len(targets["labels"]))
    parts = evaluator.result()
    statistics, precision = by_pycocotools(images)
    np.testing.assert_allclose([parts.metrics[name] for name in ORDER], statistics[:6], atol=1e-9)
    assert abs(parts.metrics["average_recall"] - statistics[8]) < 1e-9
    for number, row in enumerate(parts.classes[:3]):
        assert abs(row["ap"] - precision[:, :, number, 0].mean()) < 1e-9
        assert abs(row["ap50"] - precision[0, :, number, 0].mean()) < 1e-9
    assert parts.classes[3] == {"name": "bird", "ap": None, "ap50": None, "objects": 0}
    assert "'bird'" in parts.notes[0]


def test_an_image_of_weight_two_counts_as_two_images():
    generator = np.random.default_rng(5)
    images = [random_image(generator) for _ in range(10)]
    weights = np.array([1, 2] * 5, "float32")
    weighted, repeated = DetectionEvaluator(NAMES), DetectionEvaluator(NAMES)
    weighted.update(*as_batch(images), ["x"] * 10, weights)
    copies = [image for image, weight in zip(images, weights, strict=True) for _ in range(int(weight))]
    repeated.update(*as_batch(copies), ["x"] * 15)
    for name in ("ap", "average_recall"):
        assert weighted.result().metrics[name] == pytest.approx(repeated.result().metrics[name], abs=0.02)  # ties


def test_intervals_contain_the_average_precision_and_shrink_with_more_images():
    widths = []
    for count in (12, 120):
        generator = np.random.default_rng(3)
        evaluator = DetectionEvaluator(NAMES)
        evaluator.update(*as_batch([random_image(generator) for _ in range(count)]), ["x"] * count)
        metrics = evaluator.result().metrics
        assert metrics["ap50_low"] < metrics["ap50"] < metrics["ap50_high"]
        widths.append(metrics["ap_high"] - metrics["ap_low"])
    assert widths[1] < 0.6 * widths[0]


def test_images_without_objects_and_without_predicted_boxes():
    nothing = (np.zeros((0, 4), "float32"), np.zeros(0, int), np.zeros(0, bool), np.zeros(0, "float32"))
    predicted = (np.zeros((0, 4), "float32"), np.zeros(0, int), np.zeros(0, "float32"))
    evaluator = DetectionEvaluator(NAMES)
    evaluator.update(*as_batch([(nothing, predicted)] * 2), ["a", "b"])
    assert evaluator.result().metrics == {"ap": 0.0, "ap50": 0.0}
    one = (np.array([[0, 0, 50, 50]], "float32"), np.array([1]), np.array([False]), np.array([2500.0]))
    evaluator.update(*as_batch([(one, predicted)]), ["c"])
    assert evaluator.result().metrics["ap"] == evaluator.result().metrics["ap_medium"] == 0.0


def test_few_bytes_are_kept_of_every_predicted_box():
    generator = np.random.default_rng(0)
    evaluator = DetectionEvaluator(NAMES)
    images = [random_image(generator) for _ in range(50)]
    evaluator.update(*as_batch(images), ["x"] * 50)
    assert sum(rows.nbytes for rows in evaluator.detections) <= 41 * sum(len(predicted[0]) for _, predicted in images)


def test_the_worst_images_and_the_kinds_of_error_are_told():
    """One object each; the boxes: right, nowhere with a high and a low score, of the wrong class, poor, twice."""
    true = np.array([[0, 0, 40, 40]], "float32"), np.array([0]), np.array([False]), np.array([1600.0])
    predicted = {
        "right": ([[0, 0, 40, 40]], [0], [0.9]),
        "elsewhere": ([[60, 60, 90, 90]], [0], [0.8]),
        "unsure": ([[60, 60, 90, 90]], [0], [0.2]),
        "dog": ([[0, 0, 40, 40]], [1], [0.7]),
        "poor": ([[0, 0, 40, 16]], [0], [0.6]),
        "twice": ([[0, 0, 40, 40], [0, 0, 40, 39]], [0, 0], [0.9, 0.5]),
    }
    arrays = [tuple(map(np.array, columns)) for columns in predicted.values()]
    evaluator = DetectionEvaluator(NAMES, threshold=0.3)
    evaluator.update(*as_batch([(true, columns) for columns in arrays]), list(predicted))
    parts = evaluator.result()
    assert parts.worst == (
        {"example_id": "elsewhere", "error": "missed: 1, background: 1"},
        {"example_id": "unsure", "error": "missed: 1"},
        {"example_id": "dog", "error": "wrong class: 1"},
        {"example_id": "poor", "error": "poor box: 1"},
        {"example_id": "twice", "error": "duplicate: 1"},
    )
    ((title, rows),) = parts.tables.items()
    assert "0.3" in title and {row["error"]: row["count"] for row in rows} == {
        "missed": 2,
        "wrong class": 1,
        "poor box": 1,
        "wrong class and poor box": 0,
        "duplicate": 1,
        "background": 1,
    }
    assert all(row["points of ap50"] == parts.metrics[row["metric"]] for row in rows)


def test_no_image_is_kept_and_at_most_a_hundred_of_the_worst():
    generator = np.random.default_rng(0)
    evaluator, sizes = DetectionEvaluator(NAMES), []
    for batch in range(20):
        images = [random_image(generator) for _ in range(20)]
        evaluator.update(*as_batch(images), [f"image {20 * batch + number:06d}" for number in range(20)])
        sizes.append(len(pickle.dumps(evaluator)))
    growth = (sizes[-1] - sizes[9]) / 200  # bytes per image, of some eight boxes each
    assert growth < 1500 and len(evaluator.result().worst) == 100
