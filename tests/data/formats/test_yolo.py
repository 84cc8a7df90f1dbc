"""Data sets in the format of YOLO."""

import pytest

import tltk
from tests.images import solid_png
from tltk.data.formats.yolo import from_yolo, is_yolo
from tltk.errors import InvalidInput, NotFound

NAMES = "names: [cat, dog]\n"


def write(root, name, *lines, images="images", labels="labels"):
    solid_png(root / images / f"{name}.png", (0, 0, 0), size=(10, 20))
    if lines:
        path = root / labels / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines))
    return root


def dataset(root, text=f"{NAMES}train: images\n"):
    write(root, "a", "0 0.5 0.5 0.5 0.4", "1 0.25 0.5 0.5 1")
    write(root, "b")
    (root / "data.yaml").write_text(text)
    return root


def boxes_of(source, index=0):
    return source.targets.values[index].boxes.round(3).tolist()


def reasons(source):
    return {example.example_id: example.reason for example in source.invalid}


def test_centres_and_sides_become_edges_in_pixels(tmp_path):
    source = from_yolo(dataset(tmp_path) / "data.yaml")
    assert source.labels == tltk.LabelSpec(("cat", "dog"), "boxes")
    assert boxes_of(source) == [[3, 5, 7, 15], [0, 0, 10, 10]] and boxes_of(source, 1) == []
    assert source.targets.values[0].classes.tolist() == [0, 1]
    assert source.id_of(0) == "images/a.png" and source.parts is None and not source.invalid
    assert tltk.from_file(tmp_path / "data.yaml").counts() == from_yolo(tmp_path).counts() == {"cat": 1, "dog": 1}
    assert is_yolo(tmp_path) and not is_yolo(tmp_path / "images")


@pytest.mark.parametrize(
    "names", ["names: {0: cat, 1: dog}", "names:\n  1: dog\n  0: cat", "nc: 2\nnames: ['cat', 'dog']"]
)
def test_parts_are_folders_lists_or_lists_of_folders(tmp_path, names):
    for part in ("train", "val"):
        write(tmp_path, part, "0 0.5 0.5 0.5 0.5", images=f"images/{part}", labels=f"labels/{part}")
    write(tmp_path, "more", "1 0.5 0.5 0.5 0.5", images="more/images", labels="more/labels")
    (tmp_path / "val.txt").write_text("./images/val/val.png\n\nimages/val/gone.png\n")
    (tmp_path / "data.yaml").write_text(f"{names}\npath: .\ntrain: [images/train, more/images]\nval: val.txt\ntest:\n")
    source = from_yolo(tmp_path / "data.yaml")
    assert source.parts.tolist() == ["train", "train", "val"] and source.labels.names == ("cat", "dog")
    assert reasons(source)["images/val/gone.png"].endswith("does not exist")


def test_the_folders_of_roboflow_are_found(tmp_path):
    for part in ("train", "valid", "test"):
        write(tmp_path, part, "0 0.5 0.5 0.5 0.5", images=f"{part}/images", labels=f"{part}/labels")
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: ../train/images\nval: ../valid/images\ntest: ../test/images\n")
    assert from_yolo(tmp_path / "data.yaml").parts.tolist() == ["train", "val", "test"]


def test_a_folder_with_names_in_a_text_file_is_read(tmp_path):
    write(tmp_path / "beside", "a", "1 0.5 0.5 0.5 0.5", images=".", labels=".")
    (tmp_path / "beside" / "classes.txt").write_text("cat\ndog\n")
    assert from_yolo(tmp_path / "beside").targets.values[0].classes.tolist() == [1]
    for part in ("train", "val"):
        write(tmp_path / "split", part, "1 0.5 0.5 0.5 0.5", images=f"images/{part}", labels=f"labels/{part}")
    (tmp_path / "split" / "labels" / "classes.txt").write_text("cat\ndog\n")
    assert from_yolo(tmp_path / "split").parts.tolist() == ["train", "val"]
    with pytest.raises(NotFound, match=r"has no classes.txt or obj.names or labels.txt"):
        from_yolo(tmp_path / "split" / "images")


def test_polygons_become_their_bounding_boxes_and_points_of_poses_are_left_out(tmp_path):
    dataset(tmp_path)
    (tmp_path / "labels" / "a.txt").write_text("1 0.1 0.2 0.5 0.9 0.3 0.4\n0 0.5 0.5 0.5 0.4 0.93")
    assert boxes_of(from_yolo(tmp_path)) == [[2, 2, 9, 10], [3, 5, 7, 15]]
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: images\nkpt_shape: [1, 3]\n")
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.4 0.1 0.1 2")
    assert boxes_of(from_yolo(tmp_path)) == [[3, 5, 7, 15]]


def test_lines_that_cannot_be_used_are_listed_by_their_place(tmp_path):
    dataset(tmp_path)
    lines = [
        "0 0.5 0.5 0.5 0.4",
        "0 0.5 0.5 0.5",
        "",
        "cat 0.5 0.5 0.5 0.5",
        "0 0.5 nan 0.5 0.5",
        "2 0.5 0.5 0.5 0.5",
        "-1 0.5 0.5 0.5 0.5",
        "0.5 0.5 0.5 0.5 0.5",
        "0 10 5 10 4",
        "0 0.5 0.5 0 0.5",
        "0 1.2 0.5 0.1 0.1",
        "1.0 0.95 0.5 0.2 0.2",
        "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4",
    ]
    (tmp_path / "labels" / "a.txt").write_text("\r\n".join(lines))
    (tmp_path / "labels" / "b.txt").write_bytes(b"\xff\xfe\xff")
    source = from_yolo(tmp_path)
    assert boxes_of(source) == [[3, 5, 7, 15], [4, 17, 6, 20]]
    expected = {
        "line 2": "must be a class and a box of four numbers",
        "line 4": "must be a class and a box",
        "line 5": "must be a class and a box",
        "line 6": "there is no class 2: `names` has 2 names",
        "line 7": "there is no class -1",
        "line 8": "there is no class 0.5",
        "line 9": "must be in fractions of the image (for pixels: from_yolo(…, normalized=False))",
        "line 10 (images/a.png)": "has no area",
        "line 11 (images/a.png)": "lies outside of its image of 20 x 10 pixels",
        "line 13": "must be a class and a box of four numbers, or a polygon",
    }
    listed = reasons(source)
    assert "UTF-16" in listed.pop("labels/b.txt")
    assert set(listed) == {f"labels/a.txt, {place}" for place in expected}
    for place, reason in expected.items():
        assert reason in listed[f"labels/a.txt, {place}"]


def test_boxes_in_pixels_are_read_if_that_is_said(tmp_path):
    dataset(tmp_path)
    (tmp_path / "labels" / "a.txt").write_text("0 10 5 10 4")
    with pytest.raises(InvalidInput, match=r"no line of the text files .*for pixels: from_yolo\(…, normalized=False\)"):
        from_yolo(tmp_path)
    assert boxes_of(from_yolo(tmp_path, normalized=False)) == [[3, 5, 7, 15]]
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.4")
    with pytest.raises(InvalidInput, match=r"must be in pixels. Received: fractions"):
        from_yolo(tmp_path, normalized=False)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\ntrain: images\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [cat, dog\n", "is not valid YAML"),
        ("[" * 800 + "]" * 800, "is not valid YAML"),
        ("names: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
        (BOMB, "has aliases"),
        ("- cat\n", r"must have `names`, the classes, and `train`"),
        ("train: images\n", r"must have `names`.*Received: the keys 'train'"),
        ("names: [cat, [dog]]\ntrain: images\n", "`names` must be a list of names"),
        ("names: {0: cat, 2: dog}\ntrain: images\n", r"the keys of `names` must be 0 to 1. Received: \[0, 2\]"),
        ("names: [cat, cat]\ntrain: images\n", "must be unique"),
        (f"nc: 3\n{NAMES}train: images\n", "`nc` is 3, and `names` has 2 names"),
        (f"{NAMES}train: imgs\n", "`train` is 'imgs', and .* does not exist"),
        (f"{NAMES}train: 3\n", "`train` is 3"),
        (f"{NAMES}", "must name folders of images"),
    ],
)
def test_a_damaged_yaml_file_raises(tmp_path, text, message):
    with pytest.raises((InvalidInput, NotFound), match=message):
        from_yolo(dataset(tmp_path, text) / "data.yaml")


def test_a_data_set_without_text_files_raises(tmp_path):
    write(tmp_path, "a")
    (tmp_path / "data.yaml").write_text(f"{NAMES}train: images\n")
    with pytest.raises(NotFound, match=r"no text file exists for any of the 1 images. Expected: <folder>/data.yaml"):
        from_yolo(tmp_path)


def test_images_outside_of_the_folder_are_counted_in_a_warning(tmp_path, caplog):
    write(tmp_path, "x", "0 0.5 0.5 0.5 0.5", images="far/images", labels="far/labels")
    dataset(tmp_path / "set", f"{NAMES}train: images\nval: {tmp_path}/far/images\n")
    assert len(from_yolo(tmp_path / "set")) == 3
    assert "1 of 3 images lead out of" in caplog.text


def test_labels_of_a_model_are_kept_in_order(tmp_path):
    source = from_yolo(dataset(tmp_path), labels=("dog", "cow", "cat"))
    assert source.targets.values[0].classes.tolist() == [2, 0]
    with pytest.raises(InvalidInput, match=r"labels/a.txt, line 2: 'dog' is not one of the 1 classes"):
        from_yolo(tmp_path, labels=("cat",))
