"""Labels, boxes and legends are legible, distinct and inside of their image."""

import numpy as np
from PIL import Image

from tltk.tasks.drawing import PALETTE, Canvas, Entry, beside, color_of, ink_on, with_legend


def luminance(color):
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in np.array(color) / 255
    ]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_text_has_contrast_on_every_colour_and_the_first_colours_differ_also_without_red_and_green():
    for color in PALETTE:
        low, high = sorted((luminance(color), luminance(ink_on(color))))
        assert (high + 0.05) / (low + 0.05) > 4.5  # WCAG 2.2, level AA
    first = np.array(PALETTE[:7], float)
    confused = first @ np.array([[0.625, 0.7, 0], [0.375, 0.3, 0.3], [0, 0, 0.7]])  # deuteranopia (Viénot et al. 1999)
    distances = np.linalg.norm(confused[:, None] - confused[None], axis=-1) + 1000 * np.eye(7)
    assert distances.min() > 30
    names = [f"class {number}" for number in range(40)]
    assert color_of(names[1], names) == color_of(names[1 + len(PALETTE)], names) == PALETTE[1]


def test_a_box_is_seen_on_black_and_on_white():
    for ground in (0, 255):
        image = Image.new("RGB", (100, 80), (ground,) * 3)
        Canvas(image).box((10, 20, 50, 90), PALETTE[0])
        pixels = np.asarray(image)
        assert tuple(pixels[10, 50]) == tuple(pixels[49, 50]) == tuple(pixels[30, 89]) == PALETTE[0]
        assert tuple(pixels[30, 50]) == (ground,) * 3 and tuple(pixels[9, 50]) == (0, 0, 0)
        Canvas(image).dashed_box((10, 20, 50, 90))
        colors = {tuple(color) for color in np.asarray(image)[10, 20:90].tolist()}
        assert {(0, 0, 0), (255, 255, 255)} <= colors


def test_labels_stay_inside_and_avoid_each_other():
    canvas = Canvas(Image.new("RGB", (320, 240)))
    for box in [(0, 0, 240, 320), (0, 0, 30, 30), (2, 2, 200, 200), (230, 300, 240, 320), (100, 100, 100, 100)]:
        canvas.label(box, "a cat 0.93", PALETTE[0])
    for number, (left, top, right, bottom) in enumerate(canvas.labels):
        assert 0 <= left < right <= 320 and 0 <= top < bottom <= 240
        for other in canvas.labels[:number]:
            assert not (left < other[2] and other[0] < right and top < other[3] and other[1] < bottom)


def test_a_long_label_is_cut_off():
    canvas = Canvas(Image.new("RGB", (60, 40)))
    canvas.label((0, 0, 40, 60), "a very long name\nof a class " * 9, PALETTE[0])
    ((left, _, right, _),) = canvas.labels
    assert left >= 0 and right <= 60


def test_a_legend_is_in_the_free_corner_or_below():
    entries = [Entry(PALETTE[0], "cat"), Entry(PALETTE[1], "dog")]
    busy = np.zeros((300, 400), bool)
    busy[150:] = True
    image = with_legend(Image.new("RGB", (400, 300)), entries, busy=busy)
    pixels = np.asarray(image)
    assert image.size == (400, 300) and tuple(pixels[1, 1]) == (255, 255, 255) and not pixels[150:].any()
    small = with_legend(Image.new("RGB", (40, 30)), entries, busy=np.zeros((30, 40), bool))
    assert small.height > 30 and small.width >= 40 and not np.asarray(small)[:30, :40].any()
    assert with_legend(image, []) is image


def test_images_are_put_side_by_side():
    joined = beside([Image.new("RGB", (30, 20)), Image.new("RGB", (40, 20))], ["one", "two"])
    black = (np.asarray(joined)[-20:] == 0).all(-1)
    assert joined.height > 20 and black.sum() == 70 * 20  # titles cover nothing
