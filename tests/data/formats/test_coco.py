"""COCO annotation files as labelling tools write them, with everything that is wrong in them."""

import json

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.images import noise, solid_png
from tltk.data.formats.coco import from_coco, is_coco
from tltk.errors import InvalidInput, NotFound
from tltk.modalities.modality import drop_invalid

CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def annotation(image=1, category=3, box=(2, 1, 4, 5), **other):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": list(box), **other}


def image(number, **other):
    return {"id": number, "file_name": f"{number}.png", "width": 20, "height": 10, **other}


IMAGES = (image(1), image(2))


@pytest.fixture
def write(tmp_path):
    """Return a function that writes images of 20 x 10 pixels and an annotation file."""

    def write(*annotations, images=IMAGES, categories=CATEGORIES, **other):
        for item in images:
            if isinstance(item, dict) and str(item.get("file_name")).endswith(".png") and ".." not in item["file_name"]:
                solid_png(tmp_path / "images" / item["file_name"].replace("\\", "/"), (0, 0, 0), size=(10, 20))
        content = {"images": list(images), "annotations": list(annotations), "categories": list(categories), **other}
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(content))
        return path

    return write


def boxes_of(source, index=0):
    return source.targets.values[index].boxes.tolist()


def reasons(source):
    return {example.example_id: example.reason for example in source.invalid}


def test_boxes_of_a_file_are_in_pixels_with_the_classes_in_the_order_of_their_ids(write):
    unlikely = annotation(image=2, category=7, box=[0, 0, 20, 10], area=1e308)
    source = from_coco(write(annotation(area=9), unlikely))
    assert source.labels == tltk.LabelSpec(("cat", "dog"), "boxes")
    assert boxes_of(source) == [[1, 2, 6, 6]] and source.targets.values[0].area.tolist() == [9]
    assert boxes_of(source, 1) == [[0, 0, 10, 20]] and source.targets.values[1].classes.tolist() == [1]
    assert source.targets.values[1].area.tolist() == [200]  # that of the box: the stated one is none
    assert source.targets.sizes.tolist() == [[10, 20], [10, 20]]
    assert source.id_of(0) == "1.png" and not source.invalid
    example = source[1]
    assert example.input.shape == (10, 20, 3) and example.label == (("dog", (0, 0, 10, 20)),)
    assert "1 dog" in source._repr_html_() and "2 boxes of 2 classes" in source.describe()


def test_crowds_are_ignored_and_images_without_annotations_stay(write):
    source = from_coco(write(annotation(iscrowd=1), annotation(), annotation(iscrowd=True), annotation(ignore="1")))
    assert source.targets.values[0].ignored.tolist() == [True, False, True, True]
    assert len(source.targets.values[1]) == 0


def test_categories_of_one_name_are_one_class_and_ids_may_have_holes(write):
    categories = [*CATEGORIES, {"id": 90, "name": "dog "}, {"id": "11", "name": "cow"}]
    source = from_coco(
        write(annotation(category=90), annotation(category="7"), annotation(category=11), categories=categories)
    )
    assert source.labels.names == ("cat", "dog", "cow")
    assert source.targets.values[0].classes.tolist() == [1, 1, 2]


def test_numbers_may_be_texts(write):
    source = from_coco(
        write(
            annotation(image="1", category="3", box=["2", "1.0", "4", "5"], iscrowd="0"),
            images=[image(1, width="20", height="10")],
        )
    )
    assert boxes_of(source) == [[1, 2, 6, 6]]


def test_boxes_are_clipped_and_those_outside_or_without_area_are_listed(write):
    path = write(
        annotation(box=[-5, -5, 10, 10]),
        annotation(box=[30, 2, 4, 4]),
        annotation(box=[3, 3, 0, 4]),
        annotation(box=[3, 3, -2, 4]),
        annotation(box=[15, 8, 100, 100]),
    )
    source = from_coco(path)
    assert boxes_of(source) == [[0, 0, 5, 5], [8, 15, 10, 20]]
    assert reasons(source) == {
        "annotations.json, annotations[1] (1.png)": (
            "the box from (30, 2) to (34, 6) lies outside of its image of 20 x 10 pixels"
        ),
        "annotations.json, annotations[2] (1.png)": "the box from (3, 3) to (3, 7) has no area",
        "annotations.json, annotations[3] (1.png)": "the box from (3, 3) to (1, 7) has no area",
    }


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({**annotation(), "bbox": [1, 2, 3]}, '"bbox" must be four numbers'),
        ({**annotation(), "bbox": [1, 2, 3, float("nan")]}, '"bbox" must be four numbers'),
        ({**annotation(), "bbox": [1, 2, 3, float("inf")]}, '"bbox" must be four numbers'),
        ({**annotation(), "bbox": [1, 2, True, 3]}, '"bbox" must be four numbers'),
        ({**annotation(), "bbox": None}, '"bbox" must be four numbers'),
        ({"image_id": 1, "category_id": 3}, '"bbox" must be four numbers'),
        (annotation(image=99), "there is no image with its 'image_id', 99"),
        (annotation(image=[]), "there is no image with its 'image_id'"),
        (annotation(category=99), "there is no category with its 'category_id', 99"),
        ("text", "must be an object. Received: 'text'"),
        (None, "must be an object"),
    ],
)
def test_annotations_that_cannot_be_used_are_listed_by_their_place(write, broken, reason):
    source = from_coco(write(annotation(), broken))
    assert boxes_of(source) == [[1, 2, 6, 6]]
    ((place, text),) = reasons(source).items()
    assert place.startswith("annotations.json, annotations[1]") and reason in text


def test_images_that_cannot_be_used_are_listed(write, tmp_path):
    (tmp_path / "secret.png").write_bytes(b"")
    images = [
        image(1),
        image(2, width=40),
        image(3, file_name="gone.jpg"),
        image(4, file_name="../secret.png"),
        image(5, file_name="/etc/passwd"),
        image(6, file_name="6.png\0"),
        image(1, file_name="again.png"),
        image(8, file_name="1.png"),
        {"id": 9},
        image(10, file_name="\ud83d"),
        {"file_name": "x"},
        None,
    ]
    source = from_coco(write(annotation(), images=images))
    assert [source.id_of(row) for row in range(len(source))] == ["1.png"]
    expected = {
        "2.png": "annotations are for 40 x 10 pixels (width x height), and the file has 20 x 10",
        "gone.jpg": "does not exist",
        "../secret.png": "leads out of",
        "/etc/passwd": "leads out of",
        "annotations.json, images[6]": "the id 1 occurs twice",
        "annotations.json, images[7]": "the file '1.png' occurs twice",
        "annotations.json, images[8]": 'must have an "id" and a "file_name"',
        "annotations.json, images[9]": 'must have an "id" and a "file_name"',
        "annotations.json, images[11]": 'must have an "id" and a "file_name"',
    }
    listed = reasons(source)
    for place, reason in expected.items():
        assert reason in listed[place]


def test_images_are_found_beside_the_file_in_usual_folders_and_by_their_last_name(tmp_path):
    solid_png(tmp_path / "train2017" / "a.png", (0, 0, 0), size=(10, 20))
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations" / "instances_train2017.json"
    for name in ("a.png", "/data/upload/1/a.png", "C:\\photos\\a.png", "a"):
        path.write_text(
            json.dumps({"images": [image(1, file_name=name)], "annotations": [annotation()], "categories": CATEGORIES})
        )
        assert str(from_coco(path).examples[0]) == str(tmp_path / "train2017" / "a.png")
        assert len(from_coco(path, tmp_path / "train2017")) == 1
    with pytest.raises(NotFound, match=r"none of the 1 images of .*such as 'a', in .*annotations\. Pass the folder"):
        from_coco(path, tmp_path / "annotations")
    with pytest.raises(NotFound, match="`images` must be an existing folder"):
        from_coco(path, tmp_path / "photos")


def test_missing_sizes_are_read_from_the_files(write):
    images = [{"id": 1, "file_name": "1.png"}, image(2, width=0, height=0)]
    assert from_coco(write(annotation(), images=images)).targets.sizes.tolist() == [[10, 20], [10, 20]]


@pytest.mark.parametrize(("width", "height", "box"), [(12, 20, (2, 3, 5, 7)), (20, 12, (3, 5, 10, 10))])
def test_boxes_of_a_photograph_that_viewers_turn_are_on_the_turned_image(tmp_path, width, height, box):
    exif = Image.Exif()
    exif[0x0112] = 6  # 12 rows and 20 columns are stored; a viewer turns them to the right, to 20 rows and 12 columns
    Image.fromarray(noise(12, 20)).save(tmp_path / "1.jpg", exif=exif)
    y_min, x_min, y_max, x_max = box if width == 20 else (2, 3, 5, 7)
    coco = [x_min, y_min, x_max - x_min, y_max - y_min]
    path = tmp_path / "annotations.json"
    images = [image(1, file_name="1.jpg", width=width, height=height)]
    path.write_text(json.dumps({"images": images, "annotations": [annotation(box=coco)], "categories": CATEGORIES}))
    source = from_coco(path)
    assert source.targets.sizes.tolist() == [[20, 12]] and source[0].input.shape == (20, 12, 3)
    # Drawn on the stored pixels, rows 3 to 10 and columns 5 to 10: turned to the right, rows 5 to 10 of columns 2 to 9.
    assert boxes_of(source) == [[5, 2, 10, 9] if width == 20 else [2, 3, 5, 7]]


def test_labels_of_a_model_are_kept_in_order_and_unknown_classes_are_listed(write):
    path = write(annotation(), annotation(category=7))
    source = from_coco(path, labels=("dog", "cow", "cat"))
    assert source.labels.names == ("dog", "cow", "cat") and source.targets.values[0].classes.tolist() == [2, 0]
    with pytest.raises(InvalidInput, match=r"annotations\[1\]: 'dog' is not one of the 2 classes. Did you mean 'dogs'"):
        from_coco(path, labels=("cat", "dogs"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('[{"image_id": 1, "bbox": [], "score": 1}]', "file of results"),
        ("3", "is not in the format of COCO"),
        ('{"images": [], "annotations": 3}', r"(?s)'annotations' must be a list. Received: 3.*no 'categories'"),
        ('{"images": [], "annotations": [], "categories": []}', "'categories' must not be empty"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}, 3]}', r"(?s)categories\[0\].*categories\[1\]"),
        (
            '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            "the id 1 belongs to 'a' and to 'b'",
        ),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}', "has no images"),
    ],
)
def test_a_file_of_another_form_raises(tmp_path, content, message):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError if "no images" not in message else NotFound, match=message):
        from_coco(tmp_path / "a.json")


def test_boxes_in_fractions_raise(write):
    with pytest.raises(InvalidInput, match=r"must be in pixels. Received: fractions, at most 0\.75"):
        from_coco(write(annotation(box=[0.25, 0.25, 0.5, 0.5])))


def test_a_file_of_which_nothing_can_be_used_raises(write):
    with pytest.raises(InvalidInput, match=r"has no image that can be used: 1.png \(its annotations are for 99 x 10"):
        from_coco(write(annotation(), images=[image(1, width=99)]))


def test_a_coco_file_is_told_from_questions(tmp_path, write):
    assert is_coco(write(annotation()))
    questions = tmp_path / "squad.json"
    questions.write_text('{"data": [{"paragraphs": [{"context": "a", "qas": []}]}]}')
    assert not is_coco(questions)
    assert tltk.from_file(write(annotation())).labels.type == "boxes"


def test_examples_can_be_left_out(write):
    source = from_coco(
        write(annotation(), annotation(box=[99, 0, 1, 1])),
        exclude=["2.png", "annotations.json, annotations[1] (1.png)"],
    )
    assert len(source) == 1 and not source.invalid


class TestMasks:
    """Masks from polygons and run lengths."""

    SQUARE = ((2, 1, 8, 1, 8, 7, 2, 7),)  # a list in JSON

    def test_polygons_and_run_lengths_are_drawn_as_pycocotools_draws_them(self, write):
        tools = pytest.importorskip("pycocotools.mask")
        triangle = [[1.5, 1.5, 18.2, 2.0, 9.7, 9.3]]
        pixels = np.zeros((10, 20), np.uint8, order="F")
        pixels[3:5, 10:15] = 1
        text = tools.encode(pixels)["counts"].decode()
        lengths = [103, 2, *[8, 2] * 4, 55]
        for shape in (text, lengths):
            objects = [
                annotation(segmentation=triangle, area=90),
                annotation(category=7, segmentation={"size": [10, 20], "counts": shape}, area=10),
            ]
            source = from_coco(write(*objects), masks=True)
            expected = tools.decode(tools.merge(tools.frPyObjects(triangle, 10, 20)))
            expected[pixels == 1] = 2
            assert source.labels == tltk.LabelSpec(("background", "cat", "dog"), "masks")
            assert (source[0].label == expected).all() and source[0].label.dtype == np.uint8
            assert source[1].label.max() == 0
            assert source.targets.contents.tolist() == [[True, True, True], [True, False, False]]

    def test_smaller_objects_are_drawn_over_larger_ones(self, write):
        small = annotation(category=7, segmentation=[[3, 2, 5, 2, 5, 4, 3, 4]], area=4)
        large = annotation(segmentation=self.SQUARE, area=36)
        for objects in ((small, large), (large, small)):
            mask = from_coco(write(*objects), masks=True)[0].label
            assert mask[3, 4] == 2 and mask[5, 6] == 1

    def test_segmentations_that_cannot_be_used_are_listed(self, write):
        broken = [
            None,
            [],
            [[1, 2, 3, 4]],
            [[1, 2, 3, 4, 5]],
            [[1, 2, 3, float("nan"), 5, 6]],
            {"size": [10, 20]},
            {"size": [10], "counts": "a"},
            {"size": [10, 20], "counts": [-1]},
        ]
        source = from_coco(
            write(
                annotation(segmentation=self.SQUARE),
                *(annotation(segmentation=value) for value in broken),
            ),
            masks=True,
        )
        assert len(source.invalid) == len(broken) and all(
            '"segmentation" must' in reason for reason in reasons(source).values()
        )
        assert source[0].label.any()

    @pytest.mark.parametrize(
        ("shape", "reason"),
        [
            ({"size": [10, 20], "counts": [3, 9]}, "run lengths: 12 pixels in an image of 20 x 10"),
            ({"size": [20, 10], "counts": [200]}, "run lengths of 10 x 20 pixels"),
            ({"size": [10, 20], "counts": "~~~~~~~~"}, "damaged run lengths"),
            ({"size": [10, 20], "counts": "99999"}, "damaged run lengths"),
            ([[-1e9, 0, 1e9, 3, 3, 1e9]], r"a polygon with the coordinate 1e\+09 in an image of 20 x 10"),
        ],
    )
    def test_damaged_masks_are_found_when_they_are_read(self, write, shape, reason):
        source = from_coco(
            write(annotation(segmentation=shape), annotation(image=2, segmentation=self.SQUARE)),
            masks=True,
        )
        masks, unreadable = source.targets.read_masks(np.array([0, 1]))
        assert len(masks) == 1 and list(unreadable) == [0]
        with pytest.raises(InvalidInput, match=reason):
            source[0].label  # noqa: B018

    def test_masks_of_a_photograph_that_viewers_turn_are_turned(self, tmp_path):
        exif = Image.Exif()
        exif[0x0112] = 6
        pixels = np.zeros((12, 20, 3), "uint8")
        pixels[3:10, 5:10] = 255
        Image.fromarray(pixels).save(tmp_path / "1.png", exif=exif)
        square = [[5, 3, 10, 3, 10, 10, 5, 10]]
        content = {
            "images": [image(1, height=12)],
            "annotations": [annotation(segmentation=square)],
            "categories": CATEGORIES,
        }
        (tmp_path / "a.json").write_text(json.dumps(content))
        example = from_coco(tmp_path / "a.json", masks=True)[0]
        assert (example.label == (example.input[..., 0] > 0)).all()

    def test_the_first_label_must_be_the_background(self, write):
        with pytest.raises(InvalidInput, match='the first of `labels` must be "background"'):
            from_coco(write(annotation(segmentation=self.SQUARE)), masks=True, labels=("cat", "dog"))

    def test_the_extra_is_named_if_it_is_missing(self, write, monkeypatch):
        monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
        with pytest.raises(tltk.errors.MissingExtra, match=r"pip install tltk\[boxes\]"):
            from_coco(write(annotation(segmentation=self.SQUARE)), masks=True)


def test_invalid_annotations_are_no_lost_images(write):
    source = from_coco(write(annotation(), *[annotation(box=[30, 1, 4, 5])] * 5))
    valid, invalid = drop_invalid(source, max_invalid_fraction=0.0)
    assert len(valid) == 2 and len(invalid) == 5 and all(example.is_annotation for example in invalid)


def test_images_are_found_from_the_folder_of_the_annotations_too(write, monkeypatch, tmp_path):
    path = write(annotation())
    (tmp_path / "annotations").mkdir()
    path.rename(tmp_path / "annotations" / "instances.json")
    monkeypatch.chdir(tmp_path / "annotations")
    assert len(from_coco("instances.json")) == 2


def test_boxes_of_one_pixel_are_no_fractions(write):
    assert boxes_of(from_coco(write(annotation(box=[0, 0, 1, 1])))) == [[0, 0, 1, 1]]
