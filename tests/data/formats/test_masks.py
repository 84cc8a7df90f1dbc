"""Folders of images and masks, as people and labelling tools have them."""

import logging

import numpy as np
import pytest
from PIL import Image

import tltk
from tests.images import damaged_png, noise, solid_png
from tltk.data.formats.masks import from_masks
from tltk.errors import InvalidInput, NotFound

MASK = np.array([[0, 1, 2], [2, 255, 1]], np.uint8)


def photo(path, *, orientation=1, size=(2, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(noise(*size)).save(path, exif=exif)


def mask(path, values=MASK, *, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if mode == "P":
        image = Image.frombytes("P", values.shape[::-1], values.tobytes())
        image.putpalette((np.random.default_rng(0).permutation(768) % 256).tolist())
    image.save(path)


def folders(root, masks, *, photos=("a", "b")):
    for name in photos:
        photo(root / "photos" / f"{name}.jpg")
    for name, values in masks.items():
        mask(root / "masks" / f"{name}.png", values)
    return root / "photos", root / "masks"


def reasons(source):
    return {example.example_id: example.reason for example in source.invalid}


@pytest.mark.parametrize("mode", ["grey", "palette", "16 bits", "grey in three channels", "grey and alpha"])
def test_grey_values_and_indices_of_palettes_are_classes(tmp_path, mode):
    photo(tmp_path / "photos" / "a.jpg")
    path = tmp_path / "masks" / "a.png"
    if mode == "16 bits":
        mask(path, MASK.astype(np.uint16))
    elif mode == "grey in three channels":
        mask(path, np.repeat(MASK[..., None], 3, -1))
    elif mode == "grey and alpha":
        mask(path, np.stack([MASK, np.full_like(MASK, 7)], -1))
    else:
        mask(path, mode="P" if mode == "palette" else None)
    if mode == "palette":
        with Image.open(path) as image:
            assert image.mode == "P"
    source = from_masks(tmp_path / "photos", tmp_path / "masks", labels=("sky", "road", "car"))
    assert source.labels == tltk.LabelSpec(("sky", "road", "car"), "masks")
    assert source[0].label.tolist() == MASK.tolist() and source[0].label.dtype == np.uint8
    assert source.counts() == {"sky": 1, "road": 1, "car": 1} and source.targets.sizes.tolist() == [[2, 3]]
    assert source.id_of(0) == "a.jpg" and "33.3% road" in source._repr_html_()


def test_names_are_the_values_that_occur_if_none_are_given(tmp_path):
    source = from_masks(*folders(tmp_path, {"a": MASK, "b": MASK}))
    assert source.labels.names == ("0", "1", "2")
    assert from_masks(tmp_path / "photos", tmp_path / "masks", ignore=0).labels.names[:2] == ("1", "2")


def test_the_ignored_value_is_left_out_of_the_numbering(tmp_path):
    values = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    source = from_masks(*folders(tmp_path, {"a": values, "b": values}), labels=("wall", "floor"), ignore=0)
    assert source[0].label.tolist() == [[255, 0, 1], [1, 1, 0]]


def test_masks_of_nothing_but_0_and_255_have_two_classes(tmp_path, caplog):
    caplog.set_level(logging.INFO, "tltk")
    black, white = np.zeros((2, 3), np.uint8), np.array([[255, 0, 0], [0, 0, 255]], np.uint8)
    source = from_masks(*folders(tmp_path, {"a": black, "b": white}))
    assert source.labels.names == ("background", "object")
    assert source[1].label.tolist() == [[1, 0, 0], [0, 0, 1]] and source.targets.contents.tolist() == [
        [True, False],
        [True, True],
    ]
    assert "255 is read as the class 'object'" in caplog.text
    full = from_masks(*folders(tmp_path / "full", {"a": np.full((2, 3), 255, np.uint8)}), labels=["background", "cat"])
    assert full[0].label.tolist() == [[1, 1, 1], [1, 1, 1]], "every pixel is an object"
    three = from_masks(*folders(tmp_path / "three", {"a": black, "b": white}), labels=["background", "cat", "dog"])
    assert three[1].label.tolist() == [[255, 0, 0], [0, 0, 255]], "of three classes, none has the value 255"
    assert from_masks(tmp_path / "photos", tmp_path / "masks", labels=("no", "yes")).labels.names == ("no", "yes")


RED, BLUE = (255, 0, 0), (0, 0, 255)


def coloured(*rows):
    return np.array(rows, np.uint8)


@pytest.mark.parametrize("form", ["dict", "hex", "labelmap", "csv"])
def test_colours_are_classes_by_a_table(tmp_path, form):
    values = coloured([RED, BLUE, (0, 0, 0)], [BLUE, BLUE, RED])
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nsky:0,0,255::\nroad:255,0,0::\nvoid:0,0,0::\n"
    )
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nsky,0,0,255\nroad,255,0,0\nvoid,0,0,0\n")
    tables = {
        "dict": {"sky": BLUE, "road": list(RED), "void": 0},
        "hex": {"sky": "#0000ff", "road": "#FF0000", "void": (0, 0, 0)},
        "labelmap": tmp_path / "labelmap.txt",
        "csv": str(tmp_path / "class_dict.csv"),
    }
    source = from_masks(*folders(tmp_path, {"a": values, "b": values}), colors=tables[form])
    assert source.labels.names == ("sky", "road")
    assert source[0].label.tolist() == [[1, 0, 255], [0, 0, 1]]
    ordered = from_masks(tmp_path / "photos", tmp_path / "masks", colors=tables[form], labels=("road", "sky"))
    assert ordered[0].label.tolist() == [[0, 1, 255], [1, 1, 0]]


def test_colours_without_a_table_and_wrong_tables_raise(tmp_path):
    values = coloured([RED, BLUE, BLUE], [BLUE, BLUE, RED])
    both = folders(tmp_path, {"a": values, "b": values})
    with pytest.raises(InvalidInput, match="has colours: pass the colour of each class as `colors`"):
        from_masks(*both)
    with pytest.raises(InvalidInput, match="has 1 colour that belongs to none of the 2 classes: #0000ff"):
        from_masks(*both, colors={"road": RED, "sky": (0, 0, 1)})
    with pytest.raises(
        InvalidInput, match=r"(?s)the colour of 'a' must be.*\(1, 2\).*#ff0000 is the colour of 'b' and of 'c'"
    ):
        from_masks(*both, colors={"a": (1, 2), "b": RED, "c": RED})
    with pytest.raises(InvalidInput, match="Without a colour: car; not among the labels: sky"):
        from_masks(*both, colors={"road": RED, "sky": BLUE}, labels=("road", "car"))
    (tmp_path / "table.txt").write_text("nothing\n")
    with pytest.raises(InvalidInput, match="must have a class and its colour in each line"):
        from_masks(*both, colors=tmp_path / "table.txt")


@pytest.mark.parametrize("affix", ["{}_mask", "mask-{}", "{}_gtFine_labelIds", "{}"])
def test_masks_belong_to_images_by_their_names(tmp_path, affix):
    names = ("1", "11", "cat 1", "cat_11")
    source = from_masks(*folders(tmp_path, {affix.format(name): MASK for name in names}, photos=names))
    assert [source.id_of(row) for row in range(4)] == ["1.jpg", "11.jpg", "cat 1.jpg", "cat_11.jpg"]
    assert [value.path for value in source.targets.values] == [
        str(tmp_path / "masks" / f"{affix.format(name)}.png") for name in names
    ]
    assert not source.invalid


def test_images_and_masks_may_lie_in_one_folder(tmp_path):
    for name in ("a", "b"):
        photo(tmp_path / "beside" / f"{name}.jpg")
        mask(tmp_path / "beside" / f"{name}.png")
        solid_png(tmp_path / "marked" / f"{name}.png", (1, 2, 3), size=(2, 3))
        mask(tmp_path / "marked" / f"{name}_mask.png")
        photo(tmp_path / "below" / f"{name}.jpg")
        mask(tmp_path / "below" / "masks" / f"{name}.png")
    for images, masks, ids in (
        ("beside", "beside", "{}.jpg"),
        ("marked", "marked", "{}.png"),
        ("below", "below/masks", "{}.jpg"),
    ):
        source = from_masks(tmp_path / images, tmp_path / masks)
        assert [source.id_of(row) for row in range(len(source))] == [ids.format("a"), ids.format("b")]
        assert source[1].label.tolist() == MASK.tolist() and not source.invalid


def test_sub_folders_are_parts(tmp_path):
    photos, masks = folders(tmp_path, {"train/a": MASK, "val/a": MASK}, photos=("train/a", "val/a"))
    assert from_masks(photos, masks).parts.tolist() == ["train", "val"]


def test_what_cannot_be_used_is_listed(tmp_path):
    photos, masks = folders(
        tmp_path,
        {"a": MASK, "b": MASK, "large": np.zeros((5, 5), np.uint8), "seven": MASK * 7, "alone": MASK},
        photos=("a", "b", "large", "seven", "unmasked", "damaged", "jpeg", "text"),
    )
    damaged_png(masks / "damaged.png", size=(16, 16))
    photo(photos / "damaged.jpg", size=(16, 16))
    photo(masks / "jpeg.jpg")
    (masks / "text.png").write_text("text")
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xffno")
    mask(masks / "broken.png")
    photo(photos / "a.png")
    source = from_masks(photos, masks, labels=("x", "y", "z"))
    assert [source.id_of(row) for row in range(len(source))] == ["a.jpg", "b.jpg"]
    listed = reasons(source)
    expected = {
        "large.jpg": "its mask large.png has 5 x 5 pixels (width x height), the image 3 x 2",
        "seven.jpg": "its mask seven.png has 3 values that belong to none of the 3 classes: 7, 14, 249",
        "masks/alone.png": "is a mask without an image",
        "unmasked.jpg": "has no mask",
        "damaged.jpg": "its mask damaged.png is not an image, or is damaged",
        "jpeg.jpg": "its mask jpeg.jpg is a JPEG, whose compression changes values",
        "text.jpg": "its mask text.png: its header cannot be read",
        "broken.jpg": "its header cannot be read",
        "a.png": "has the same name as a.jpg",
    }
    assert set(listed) == set(expected)
    for place, reason in expected.items():
        assert reason in listed[place]


def test_a_mask_that_is_lost_after_the_source_was_created_is_named(tmp_path):
    photos, masks = folders(tmp_path, {"a": MASK, "b": MASK})
    source = from_masks(photos, masks)
    (masks / "a.png").unlink()
    readable, unreadable = source.targets.read_masks(np.arange(2))
    assert len(readable) == 1 and "a.png" in unreadable[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_with_photographs_that_viewers_turn(tmp_path, orientation):
    pixels = np.zeros((4, 6, 3), "uint8")
    pixels[1:3, 2:6] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos" / "stored.png", exif=exif)
    Image.fromarray(pixels).save(tmp_path / "photos" / "shown.png", exif=exif)
    shown = tltk.data.formats.folder.from_files([tmp_path / "photos" / "shown.png"])[0].input[..., 0] // 255
    mask(tmp_path / "masks" / "shown.png", shown)
    mask(tmp_path / "masks" / "stored.png", pixels[..., 0] // 255)
    for example in from_masks(tmp_path / "photos", tmp_path / "masks"):
        if example.id == "shown.png" or orientation in (1, *range(5, 9)):  # otherwise nothing tells
            assert (example.label == (example.input[..., 0] > 0)).all(), example.id


def test_folders_that_do_not_fit_raise(tmp_path):
    photos, masks = folders(tmp_path, {"x": MASK, "y": MASK})
    with pytest.raises(InvalidInput, match=r"no mask belongs to an image: .*Received: a.jpg in .*photos, x.png in"):
        from_masks(photos, masks)
    with pytest.raises(NotFound, match=r"`masks`: .*mask does not exist. Did you mean 'masks'"):
        from_masks(photos, tmp_path / "mask")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="empty contains no images"):
        from_masks(tmp_path / "empty", masks)
    with pytest.raises(tltk.errors.FileError, match="`images` must be a folder"):
        from_masks(photos / "a.jpg", masks)
    photos, masks = folders(tmp_path / "one", {"a": np.zeros((2, 3), np.uint8)})
    with pytest.raises(InvalidInput, match=r"masks must have 2 to 255 classes. Received: 1: 0"):
        from_masks(photos, masks)


def test_a_split_gives_each_part_its_share_of_the_rare_classes(tmp_path):
    names = [f"{number:02}" for number in range(30)]
    rare = {name: np.full((2, 3), 2 if number % 6 == 0 else number % 2, np.uint8) for number, name in enumerate(names)}
    parts = tltk.split(from_masks(*folders(tmp_path, rare, photos=names)), val=0.2, test=0.2)
    assert [part.counts()["2"] for part in parts] == [3, 1, 1]


def test_another_mask_in_a_file_has_other_bytes(tmp_path):
    source = from_masks(*folders(tmp_path, {"a": MASK, "b": MASK}))
    before = source.targets.tobytes()
    assert before == from_masks(tmp_path / "photos", tmp_path / "masks").targets.tobytes()
    mask(tmp_path / "masks" / "a.png", MASK[::-1])
    assert source.targets.tobytes() != before
    (tmp_path / "masks" / "a.png").unlink()
    assert b"a.png" in source.targets.tobytes()
