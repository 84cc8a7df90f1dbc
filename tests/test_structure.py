"""The house rules that a machine can check: layers, sizes, names, documentation."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tltk

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tltk"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The layer of each module or package: it imports only from layers below, or from inside itself.
LAYERS = {
    "_check": 0,
    "specs": 1, "files": 1, "scores": 2, "progress": 1, "machine": 1, "graph": 1,
    "data": 2, "backbones": 2, "heads": 2, "schedules": 2, "trainability": 2,
    "tasks": 3, "phases": 3,
    "recipes": 4, "model": 4, "views": 4, "prefix_cache": 4, "cache_place": 3, "report": 4,
    "training": 5, "prediction": 5,
    "evaluation": 6, "embedding": 6, "clustering": 7, "serving": 7,
    "demo": 8, "console": 7, "options": 7,
    "cli_serving": 8, "cli": 9, "__main__": 10,
}  # fmt: skip
BANNED = re.compile(r"manager|handler|helper|utils|engine|adapter", re.IGNORECASE)
MAX_MODULE, MAX_FUNCTION, MAX_PUBLIC = 300, 40, 36


def home(path: Path) -> str:
    """The module or package directly under `tltk` that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module == "tltk":
            found.update(f"tltk.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def functions(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEachModule:
    def test_imports_only_from_layers_below(self, path):
        if home(path) == "__init__":
            return
        here = LAYERS[home(path)]
        for name in imported(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[0] != "tltk" or len(parts) == 1 or parts[1] not in LAYERS or parts[1] == home(path):
                continue
            assert LAYERS[parts[1]] < here, f"{path.relative_to(ROOT)} (layer {here}) imports {name}"

    def test_is_small_and_says_what_it_is(self, path):
        text = path.read_text()
        assert text.count("\n") <= MAX_MODULE
        assert not text or ast.get_docstring(ast.parse(text))

    def test_functions_are_short(self, path):
        for node in functions(ast.parse(path.read_text())):
            body = node.end_lineno - node.body[0].lineno + 1
            doc = ast.get_docstring(node, clean=False)
            body -= doc.count("\n") + 1 if doc else 0
            assert body <= MAX_FUNCTION, f"{node.name} has {body} lines"

    def test_public_functions_and_classes_are_documented(self, path):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                protocol = any(
                    isinstance(item, ast.Expr) and getattr(item.value, "value", None) is ... for item in node.body
                )
                inner = any(node in ast.walk(outer) for outer in functions(tree) if outer is not node)
                private = any(
                    isinstance(outer, ast.ClassDef) and outer.name.startswith("_") and node in outer.body
                    for outer in ast.walk(tree)
                )
                overrides = node.name in ("get_config", "call", "build", "to_config")
                if not (protocol or inner or private or overrides):
                    assert ast.get_docstring(node), f"{path.name}: {node.name}"

    def test_names_follow_the_house(self, path):
        assert not BANNED.search(path.stem)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                assert not BANNED.search(node.name), node.name

    def test_has_no_assert_no_print_no_kwargs_and_no_bare_except(self, path):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert)
            if isinstance(node, ast.Call):
                assert getattr(node.func, "id", "") != "print"
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None
            allowed = path.stem == "_check" or str(getattr(node, "name", "")).startswith(
                "_"
            )  # check.positive(epochs=3)
            if isinstance(node, ast.FunctionDef) and node.args.kwarg and not allowed:
                pytest.fail(f"{node.name} takes **{node.args.kwarg.arg}")


def test_the_layer_table_names_every_module():
    assert {home(path) for path in MODULES} - {"__init__"} == set(LAYERS)


def test_only_the_hub_s_modules_import_keras_hub():
    users = {str(path.relative_to(PACKAGE)) for path in MODULES if "keras_hub" in imported(ast.parse(path.read_text()))}
    assert users <= {f"backbones/{name}.py" for name in ("hub", "hub_files", "hub_text", "hub_tokens")}


def test_the_public_surface_is_small_and_documented():
    public = [name for name in tltk.__all__ if name != "__version__"]
    assert len(public) <= MAX_PUBLIC
    text = "\n".join(path.read_text() for path in (ROOT / "docs").glob("*.md"))
    for name in public:
        doc = getattr(tltk, name).__doc__
        assert doc, name
        assert f"tltk.{name}" in text, f"docs/ does not mention tltk.{name}"
        assert "Args:" in doc and "Returns:" in doc, f"{name} documents no arguments or no result"


def test_a_misspelt_public_name_is_answered():
    with pytest.raises(AttributeError, match=r"tltk has no 'from_foler'. Did you mean 'from_folder'\?"):
        tltk.from_foler  # noqa: B018


def test_importing_tltk_imports_no_tensorflow():
    code = "import sys, tltk, tltk.cli; print(sorted({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_has_a_test_file():
    names = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    for path in MODULES:
        if path.name in ("__init__.py", "__main__.py"):
            continue
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        wanted = "test_" + "_".join(part.lstrip("_") for part in parts)
        assert any(name == wanted or name.startswith(f"{wanted}_") for name in names), f"no {wanted}.py"


def test_no_file_is_over_one_megabyte_and_the_top_level_is_tidy():
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
    }
    assert top - allowed <= {".ci", ".gitignore", ".pre-commit-config.yaml"}
