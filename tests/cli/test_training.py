from types import SimpleNamespace

from tests.images import class_folder
from tltk.cli import training


def test_the_parts_of_a_folder_list_its_damaged_files(tmp_path):
    class_folder(tmp_path, count=20)
    (tmp_path / "cat" / "0003.png").write_bytes(b"broken")
    names = dict.fromkeys(
        ("label", "text", "sample_weight", "delimiter", "separator", "format", "exclude", "images", "masks", "colors")
    )
    options = {"data": str(tmp_path), "label_type": "categorical", "max_invalid": 0.1, "val": 0.2, "test": 0.2}
    parts = training._parts(
        SimpleNamespace(**{**names, "label": "label", "input_column": "path", "seed": 0, **options})
    )
    assert {name: len(part) for name, part in parts.items()} == {"train": 23, "val": 8, "test": 8}
    assert [example.example_id for example in parts["train"].invalid] == ["cat/0003.png"]
