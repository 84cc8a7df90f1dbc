"""Every Python block of the README and docs/ runs, in order; every relative link has a target."""

import contextlib
import doctest
import importlib
import re
import tomllib
from types import ModuleType

import pytest
from PIL import Image

import tltk
from tests import ROOT
from tests.conftest import coloured_squares, replaying_here
from tests.lowest import bounds, dependencies
from tests.servers import grpc_server, rest_server
from tests.small_networks import use_small_networks
from tltk.backbones import weights

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
# The other pages show code around a network: a small one is enough.
REAL_NETWORKS = ("index.md", "backbones.md", "segmentation.md", "inspection.md")
NAMESPACES = ("augment", "backbones", "errors", "recipes", "trainability")  # packages whose __all__ users import from
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "tltk").rglob("*.py"))
    if path.name != "__main__.py" and path.stem != "replay"
]


def page_name(page):
    return str(page.relative_to(ROOT)).removeprefix("docs/")


def api_names():
    """Return the dotted names of the blocks on the pages of the API reference."""
    text = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    return re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE)


def named_value(path):
    """Return the value of a dotted name, importing modules on the way; raises AttributeError if there is none."""
    value = importlib.import_module("tltk")
    for name in path.split(".")[1:]:
        if not hasattr(value, name) and isinstance(value, ModuleType):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"{value.__name__}.{name}")
        value = getattr(value, name)
    return value


def photo_folder(folder, count=8):
    x, y = coloured_squares(count * 2, classes=2, size=24)
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        class_folder = folder / ("red", "green")[label]
        class_folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(class_folder / f"{index}.png")


def quick_recipes(monkeypatch):
    """Run the usual recipes with one epoch per phase: the test checks that the code runs, not its accuracy."""
    from tltk import recipes
    from tltk.training import arguments

    fine_tune, linear_probe = recipes.fine_tune, recipes.linear_probe
    for module in (recipes, arguments):  # of the user, and the default of `fit`
        monkeypatch.setattr(
            module, "fine_tune", lambda **options: fine_tune(**options | {"epochs": 1, "probe_epochs": 1})
        )
    monkeypatch.setattr(recipes, "linear_probe", lambda **options: linear_probe(**options | {"epochs": 1}))


@pytest.mark.usefixtures("restored_registries")
@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    if not blocks:
        return
    monkeypatch.chdir(tmp_path)
    if page.name == "README.md":
        photo_folder(tmp_path / "photos")
    weights.get("efficientnet_lite0")
    quick_recipes(monkeypatch)
    if page.name not in REAL_NETWORKS:
        use_small_networks(monkeypatch)
    names = {"__name__": "page"}
    folder = tmp_path / "serving"
    replay = contextlib.nullcontext() if page.name == "export.md" else replaying_here()
    with replay, grpc_server(folder) as grpc_address, rest_server(folder) as rest_address:
        for block in blocks:  # later blocks of a page use variables of earlier ones
            code = block.replace("localhost:8500", grpc_address).replace("http://localhost:8501", rest_address)
            exec(compile(code, page.name, "exec"), names)


def test_the_tests_that_the_design_notes_name_exist():
    path = None
    for name, test in re.findall(
        r"`((?:\w+/)*test_\w+\.py|…)(?:::(?:\w+::)?(\w+))?`", (ROOT / "docs" / "design-notes.md").read_text()
    ):
        path = path if name == "…" else ROOT / "tests" / name.removeprefix("tests/")
        assert path.is_file(), name
        assert not test or f"def {test}(" in path.read_text(), f"{name}::{test}"


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_the_relative_links_of_a_page_have_targets(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "tltk").rglob("*.py"))], ids=page_name)
def test_the_names_of_tltk_on_a_page_or_in_a_module_exist(page):
    unknown = []
    for path in sorted(set(re.findall(r"\btltk(?:\.[A-Za-z]\w*)+(?!\w|…)", page.read_text()))):  # not `tltk.register_…`
        try:
            named_value(path)
        except AttributeError:
            unknown.append(path)
    assert unknown == []


@pytest.mark.usefixtures("restored_registries")
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_docstring_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert not result.failed


def test_every_public_name_is_once_in_the_api_reference():
    names = api_names()
    assert len(names) == len(set(names))
    assert {f"tltk.{name}" for name in tltk.__all__ if name != "__version__"} <= set(names)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_of_a_public_package_is_in_the_api_reference(namespace):
    module = importlib.import_module(f"tltk.{namespace}")
    documented = [named_value(name) for name in api_names()]
    missing = [name for name in module.__all__ if not any(getattr(module, name) is value for value in documented)]
    assert missing == []


def test_the_index_of_the_api_reference_lists_its_names():
    listed = re.findall(r"\]\[(tltk\S+?)\]", (DOCS / "api" / "index.md").read_text())
    assert sorted(listed) == sorted(api_names())


def test_every_page_is_once_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text().split("\nnav:\n")[1]
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert sorted(re.findall(r"[\w/-]+\.md", navigation)) == sorted(pages)


def next_minor(version):
    """Return the version that excludes a series: 2.21 → 2.22, 4 → 5."""
    *major, last = version.split(".")
    return ".".join([*major, str(int(last) + 1)])


def test_the_supported_versions_are_those_of_pyproject():
    rows = dict(re.findall(r"^\| ([\w ]+) \| (\d[^|;]+)", (DOCS / "support.md").read_text(), flags=re.MULTILINE))
    required = {name: (lowest, upper) for name, lowest, upper in map(bounds, dependencies())}
    for title, name in (("TensorFlow", "tensorflow"), ("Keras", "keras"), ("KerasHub", "keras-hub")):
        first, *_, last = re.findall(r"[\d.]+", rows[title])
        assert (first, next_minor(last)) == required[name], name
    for title, name in (("NumPy", "numpy"), ("TensorFlow Datasets", "tensorflow-datasets")):
        series, lowest = re.findall(r"[\d.]+\d|\d", rows[title])
        assert (lowest, next_minor(series)) == required[name], name
    first, last = re.findall(r"[\d.]+", rows["Python"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={first},<{next_minor(last)}"


def test_the_changelog_has_this_version_or_an_unreleased_section():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert tltk.__version__ in text or "[Unreleased]" in text
