"""Order of the tests of text models."""

from tests.families import FAMILIES


def pytest_collection_modifyitems(items):
    """Run the tests of a family after each other: tltk keeps four tokenizers, and tracing another one takes seconds."""
    rows = [row for row, item in enumerate(items) if item.path.name == "test_kerashub_tokenizers.py"]
    ordered = sorted((items[row] for row in rows), key=_family)
    for row, item in zip(rows, ordered, strict=True):
        items[row] = item


def _family(item) -> int:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return FAMILIES.index(parameters["family"]) if "family" in parameters else -1
