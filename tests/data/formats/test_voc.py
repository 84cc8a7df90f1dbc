"""Folders of Pascal VOC annotations, as VOC, LabelImg and Roboflow write them."""

import pytest
from PIL import Image

import tltk
from tests.images import noise, solid_png
from tltk.data.formats.voc import from_voc, is_voc
from tltk.errors import InvalidInput, NotFound


def thing(name="cat", x_min=2, y_min=1, x_max=6, y_max=8, more=""):
    box = f"<xmin>{x_min}</xmin><ymin>{y_min}</ymin><xmax>{x_max}</xmax><ymax>{y_max}</ymax>"
    return f"<object><name>{name}</name>{more}<bndbox>{box}</bndbox></object>"


def write(
    root,
    stem,
    *things,
    folder="Annotations",
    images="JPEGImages",
    size=(20, 10),
    source="",
    filename=None,
    declaration="",
):
    path = root / folder / f"{stem}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    if images is not None:
        solid_png(root / images / f"{stem}.png", (0, 0, 0), size=(10, 20))
    width, height = size
    sizes = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    path.write_text(
        f"{declaration}<annotation><filename>{filename or f'{stem}.png'}</filename>"
        f"<source><database>{source}</database></source>{sizes}{''.join(things)}</annotation>"
    )
    return root


def reasons(source):
    return {example.example_id: example.reason for example in source.invalid}


def test_objects_are_boxes_and_difficult_ones_are_ignored(tmp_path):
    part = "<part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></part>"
    write(tmp_path, "a", thing(), thing("dog", 0, 0, "20", "10.0", more=f"<difficult>1</difficult>{part}"))
    write(tmp_path, "b")
    source = from_voc(tmp_path)
    assert source.labels == tltk.LabelSpec(("cat", "dog"), "boxes")
    assert source.targets.values[0].boxes.tolist() == [[1, 2, 8, 6], [0, 0, 10, 20]]
    assert source.targets.values[0].ignored.tolist() == [False, True]
    assert len(source.targets.values[1]) == 0 and source.targets.sizes.tolist() == [[10, 20]] * 2
    assert [source.id_of(row) for row in range(2)] == ["JPEGImages/a.png", "JPEGImages/b.png"]
    assert not source.invalid and is_voc(tmp_path) and not is_voc(tmp_path / "JPEGImages")


def test_files_of_voc_itself_count_pixels_from_one(tmp_path):
    write(tmp_path, "a", thing("cat", 1, 1, 20, 10), source="The VOC2007 Database")
    write(tmp_path, "b", thing("cat", 1, 1, 20, 10))
    first, second = (boxes.boxes.tolist() for boxes in from_voc(tmp_path).targets.values)
    assert first == [[0, 0, 10, 20]] and second == [[1, 1, 10, 20]]
    assert from_voc(tmp_path, one_based=True).targets.values[1].boxes.tolist() == [[0, 0, 10, 20]]
    assert from_voc(tmp_path, one_based=False).targets.values[0].boxes.tolist() == [[1, 1, 10, 20]]


def test_lists_of_voc_and_folders_are_parts(tmp_path):
    for stem in "abcd":
        write(tmp_path / "voc", stem, thing())
    lists = tmp_path / "voc" / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\n")
    (lists / "val.txt").write_text("c 1\n")
    assert from_voc(tmp_path / "voc").parts.tolist() == ["train", "train", "val"]
    for part in ("train", "valid", "test"):
        write(tmp_path / "roboflow", f"{part}1", thing(), folder=part, images=part)
    source = from_voc(tmp_path / "roboflow")
    assert sorted(source.parts.tolist()) == ["test", "train", "val"]
    assert [len(part) for part in tltk.split(source)] == [1, 1, 1]


def test_images_are_found_by_the_name_of_the_xml_file_or_by_that_in_it(tmp_path):
    write(tmp_path, "a", thing(), folder=".", images=".", filename="b.png")
    write(tmp_path, "b", thing(), folder=".", images=".")
    source = from_voc(tmp_path)
    assert [source.id_of(row) for row in range(2)] == ["a.png", "b.png"]
    write(tmp_path / "other", "c", thing(), folder="xml", images=None, filename="sub\\d.png")
    solid_png(tmp_path / "photos" / "sub" / "d.png", (0, 0, 0), size=(10, 20))
    assert from_voc(tmp_path / "other", tmp_path / "photos").id_of(0) == "sub/d.png"
    with pytest.raises(NotFound, match=r"none of the 1 images of .*such as that of xml/c.xml. Pass the folder"):
        from_voc(tmp_path / "other")


def test_what_cannot_be_used_is_listed_by_its_place(tmp_path):
    write(
        tmp_path,
        "a",
        thing(),
        thing("", 0, 0, 1, 1),
        thing("cat", "x", 0, 1, 1),
        "<object><name>cat</name></object>",
        thing("cat", 6, 1, 2, 8),
        thing("cat", 30, 1, 40, 8),
    )
    write(tmp_path, "b", thing(), size=(40, 20))
    write(tmp_path, "c", thing(), size=(0, 0))
    write(tmp_path, "gone", thing(), images=None)
    write(tmp_path, "trick", thing(), images=None, filename="../../etc/passwd")
    (tmp_path / "Annotations" / "damaged.xml").write_text("<annotation><object>")
    (tmp_path / "Annotations" / "empty.xml").write_text("")
    source = from_voc(tmp_path)
    assert [source.id_of(row) for row in range(len(source))] == ["JPEGImages/a.png", "JPEGImages/c.png"]
    listed = reasons(source)
    must = 'must have a "name", and a "bndbox"'
    expected = {
        "Annotations/a.xml, object 1": must,
        "Annotations/a.xml, object 2": must,
        "Annotations/a.xml, object 3": must,
        "Annotations/a.xml, object 4 (JPEGImages/a.png)": "has no area",
        "Annotations/a.xml, object 5 (JPEGImages/a.png)": "lies outside of its image",
        "JPEGImages/b.png": "annotations are for 40 x 20 pixels",
        "Annotations/gone.xml": "its image 'gone.png' does not exist",
        "Annotations/trick.xml": "its image '../../etc/passwd' does not exist",
        "Annotations/damaged.xml": "is not valid XML",
        "Annotations/empty.xml": "is not valid XML",
    }
    assert set(listed) == set(expected)
    for place, reason in expected.items():
        assert reason in listed[place]


BOMB = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
EXTERNAL = '<!doctype a SYSTEM "file:///etc/passwd">'


@pytest.mark.parametrize("declaration", [BOMB, EXTERNAL])
def test_entities_are_not_read(tmp_path, declaration):
    write(tmp_path, "a", thing(), declaration=declaration)
    write(tmp_path, "b", thing())
    assert reasons(from_voc(tmp_path)) == {"Annotations/a.xml": "has a document type or entities, which are not read"}


def test_huge_and_deep_files_are_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("tltk.data.formats.voc.MAX_BYTES", 10_000)
    write(tmp_path, "a", thing(), thing() * 100)
    write(tmp_path, "b", thing())
    (tmp_path / "Annotations" / "c.xml").write_text("<a>" * 3000)
    listed = reasons(from_voc(tmp_path))
    assert "larger than" in listed["Annotations/a.xml"] and "not valid XML" in listed["Annotations/c.xml"]


def test_other_encodings_are_read_as_declared(tmp_path):
    write(tmp_path, "a", thing())
    for encoding, stem in (("gbk", "b"), ("utf-16", "c")):
        write(tmp_path, stem, thing())
        text = (tmp_path / "Annotations" / f"{stem}.xml").read_text().replace("cat", "猫")
        declared = f'<?xml version="1.0" encoding="{encoding}"?>{text}'
        (tmp_path / "Annotations" / f"{stem}.xml").write_bytes(declared.encode(encoding))
    (tmp_path / "Annotations" / "d.xml").write_bytes(b'<?xml version="1.0" encoding="rot13"?><a/>')
    source = from_voc(tmp_path)
    assert source.labels.names == ("cat", "猫")
    assert "cannot be decoded as rot13" in reasons(source)["Annotations/d.xml"]


def test_boxes_of_photographs_that_viewers_turn_are_on_the_turned_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    for stem, size in (("shown", (10, 20)), ("stored", (20, 10))):
        write(tmp_path, stem, thing("cat", 2, 1, 6, 8), images=None, size=size, filename=f"{stem}.jpg")
        Image.fromarray(noise(10, 20)).save(tmp_path / "Annotations" / f"{stem}.jpg", exif=exif)
    source = from_voc(tmp_path)
    assert source.targets.sizes.tolist() == [[20, 10]] * 2
    assert [boxes.boxes.tolist() for boxes in source.targets.values] == [[[1, 2, 8, 6]], [[14, 1, 18, 8]]]


def test_a_folder_without_annotations_or_objects_raises(tmp_path):
    with pytest.raises(NotFound, match=r"has no .xml files"):
        from_voc(tmp_path)
    with pytest.raises(NotFound, match="does not exist"):
        from_voc(tmp_path / "gone")
    write(tmp_path, "a")
    with pytest.raises(InvalidInput, match="there is no object in any annotation"):
        from_voc(tmp_path)
    assert len(from_voc(tmp_path, labels=["cat"])) == 1
    write(tmp_path, "b", thing("cta"))
    with pytest.raises(InvalidInput, match=r"b.xml, object 0: 'cta' is not one of the 2 classes. Did you mean 'cat'"):
        from_voc(tmp_path, labels=["cat", "dog"])
