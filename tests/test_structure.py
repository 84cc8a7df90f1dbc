"""The package follows the rules of structure that `tests/structure.py` measures."""

import ast
import re
import subprocess
import sys
from inspect import get_annotations

import pytest

import tltk
from tests import ROOT, structure
from tests.structure import LAYER_OF, MAX_FUNCTION, MAX_MODULE, PACKAGE, functions, imported, package_of, tree_of

MODULES = structure.modules()
BANNED = re.compile(r"manager|handler|helper|utils|engine|adapter", re.IGNORECASE)
MAX_PUBLIC = 84


def layer_violations() -> list[str]:
    violations = []
    for path in MODULES:
        package = package_of(path)
        if package == "__init__":
            continue
        for name in sorted(imported(tree_of(path))):
            parts = name.split(".")
            other = parts[1] if parts[0] == "tltk" and len(parts) > 1 and parts[1] in LAYER_OF else package
            if other != package and LAYER_OF[other] >= LAYER_OF[package]:
                violations.append(f"{path.relative_to(ROOT)} (layer {LAYER_OF[package]}) imports {name}")
    return violations


def test_modules_import_only_from_layers_below():
    assert layer_violations() == []


def test_there_are_no_import_cycles():
    assert structure.cycles() == []


def test_only_modalities_and_tasks_check_types_of_specs_and_tasks():
    assert structure.isinstance_outside() == []


def test_private_attributes_of_keras_are_used_in_one_module():
    assert structure.private_outside() == []


def test_variables_and_parameters_say_what_they_hold():
    assert structure.vague_names() == []


def test_the_table_of_layers_in_the_docs_is_up_to_date():
    text = structure.PAGE.read_text(encoding="utf-8")
    assert structure.page_with_table(text) == text, "run python -m tests.structure --write"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEachModule:
    def test_is_small_and_has_a_docstring(self, path):
        text = path.read_text()
        assert text.count("\n") <= MAX_MODULE
        assert not text.strip() or ast.get_docstring(tree_of(path))

    def test_functions_are_short(self, path):
        for node in functions(tree_of(path)):
            assert structure.function_lines(node) <= MAX_FUNCTION, node.name

    def test_public_functions_and_classes_are_documented(self, path):
        tree = tree_of(path)
        nodes = list(ast.walk(tree))
        inner_nodes = {node for outer in functions(tree) for node in ast.walk(outer) if node is not outer}
        private_classes = [node for node in nodes if isinstance(node, ast.ClassDef) and node.name.startswith("_")]
        private_nodes = {node for outer in private_classes for node in outer.body}
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                protocol = any(
                    isinstance(item, ast.Expr) and getattr(item.value, "value", None) is ... for item in node.body
                )
                overrides = node.name in ("get_config", "call", "build", "to_config")
                if not (protocol or node in inner_nodes or node in private_nodes or overrides):
                    assert ast.get_docstring(node), f"{path.name}: {node.name}"

    def test_sections_of_docstrings_have_the_names_that_the_site_renders(self, path):
        headings = {line.strip() for line in path.read_text().split("\n")}
        assert not headings & {"Example:", "Parameters:", "Arguments:", "Return:", "Raise:"}, "say Args:, Examples: …"

    def test_has_no_banned_names(self, path):
        assert not BANNED.search(path.stem)
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                assert not BANNED.search(node.name), node.name

    def test_has_no_assert_no_print_no_kwargs_and_no_bare_except(self, path):
        for node in ast.walk(tree_of(path)):
            assert not isinstance(node, ast.Assert)
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") != "print"
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None
            # `from_file` passes its options to the reader of the format; checks take names, as in positive(epochs=3).
            name = str(getattr(node, "name", ""))
            allowed = name == "from_file" or name.startswith("_") or path.stem == "checks"
            if isinstance(node, ast.FunctionDef) and node.args.kwarg and not allowed:
                pytest.fail(f"{node.name} takes **{node.args.kwarg.arg}")


def test_the_layer_table_has_every_package():
    assert {package_of(path) for path in MODULES} - {"__init__"} == set(LAYER_OF)


def test_only_the_kerashub_modules_import_keras_hub():
    users = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if any(name.split(".")[0] == "keras_hub" for name in imported(tree_of(path)))
    }
    assert users <= {
        "backbones/audio/kerashub.py",
        "backbones/kerashub_files.py",
        "backbones/image/kerashub.py",
        "backbones/image/kerashub_converter.py",
        "backbones/text/kerashub.py",
        "backbones/text/kerashub_tokenizers.py",
        "foundation/keras_private.py",
    }


def test_the_public_surface_is_small_and_documented():
    public = [name for name in tltk.__all__ if name != "__version__"]
    assert len(public) <= MAX_PUBLIC
    text = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for name in public:
        value = getattr(tltk, name)
        doc = value.__doc__
        assert doc, name
        assert f"tltk.{name}" in text, f"docs/ does not mention tltk.{name}"
        returns = not isinstance(value, type) and get_annotations(value, eval_str=False).get("return") is not None
        documented = ("Args:" in doc or "Attributes:" in doc) and ("Returns:" in doc or not returns)
        assert documented, f"{name} documents no arguments or no result"


def test_the_error_for_a_misspelt_public_name_suggests_the_right_one():
    with pytest.raises(AttributeError, match=r"tltk has no 'from_foler'. Did you mean 'from_folder'\?"):
        tltk.from_foler  # noqa: B018


def test_submodules_are_listed_and_suggested():
    assert {"errors", "recipes", "augment", "specs", "fit"} <= set(dir(tltk))
    assert not [name for name in dir(tltk) if name.startswith("__") and name != "__version__"]
    for wrong, right in (("error", "errors"), ("agument", "augment"), ("ImagSpec", "ImageSpec")):
        with pytest.raises(AttributeError, match=f"tltk has no '{wrong}'. Did you mean '{right}'"):
            getattr(tltk, wrong)


def test_importing_tltk_imports_no_tensorflow():
    code = "import sys, tltk, tltk.cli.main; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


def test_every_module_has_a_test_file():
    names = {str(path.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("test_*.py")}
    for path in MODULES:
        if path.name in ("__init__.py", "__main__.py") or path == PACKAGE / "augment.py":
            continue
        folder = path.relative_to(PACKAGE).parent
        expected = folder / f"test_{path.stem}"
        assert any(name.startswith(str(expected)) for name in names), f"no {expected}.py"


def test_tracked_files_are_small_and_the_top_level_has_no_other_files():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    present = [ROOT / name for name in tracked if name and (ROOT / name).is_file()]
    assert max(path.stat().st_size for path in present) < 1_000_000
    top = {path.relative_to(ROOT).parts[0] for path in present}
    allowed = {
        "pyproject.toml",
        "tltk",
        "tests",
        "examples",
        "README.md",
        "docs",
        "Makefile",
        "LICENSE",
        "CHANGELOG.md",
        "mkdocs.yml",
    }
    assert top - allowed <= {".ci", ".gitignore", ".pre-commit-config.yaml"}
