"""Measure the structure of the package: layers, import cycles, sizes, private attributes, checks of types.

`python -m tests.structure --json` prints the measurements; `--write` updates the table of layers in
docs/design-notes.md. `tests/test_structure.py` asserts both.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests import ROOT

PACKAGE = ROOT / "tltk"
PAGE = ROOT / "docs" / "design-notes.md"
BEGIN, END = "<!-- layers -->", "<!-- /layers -->"
MAX_MODULE, MAX_FUNCTION = 500, 40

# Layer, package and its content. A module imports only from lower layers and from its own package.
LAYERS: tuple[tuple[int, str, str], ...] = (
    (0, "foundation", "argument checks, public exceptions, atomic files, paths, progress, hardware, Keras graphs"),
    (1, "errors", "the public exceptions: `tltk.errors`"),
    (1, "specs", "frozen records: image, text, tokenizer and audio specs, labels, spans, invalid examples"),
    (2, "data", "sources, splits, targets; `formats/` reads folders, arrays, tables, TFDS, CoNLL, SQuAD"),
    (2, "optimizers", "optimizer specs, per-variable terms, optimizer state, averages, schedules"),
    (3, "pipeline", "the loader: readers, batching, shuffling, record store; knows no modality"),
    (3, "trainability", "plans, rules, patterns and their application; `lora/`, `audit/`"),
    (4, "modalities", "all that depends on the kind of input: `image/`, `text/` and `audio/`"),
    (5, "backbones", "pretrained networks as values, the catalog, where weights come from"),
    (5, "heads", "features in, outputs out, stock Keras layers"),
    (6, "tasks", "all that depends on what is asked: targets, head, loss, metrics, decoder, evaluator"),
    (7, "models", "backbone + task → one flat Keras model; features; the frozen split"),
    (7, "recipes", "phases and recipes as records, and the named recipes"),
    (7, "probes", "tuned, calibrated linear probes and nearest neighbours: functions of arrays"),
    (8, "balancing", "uneven classes: weights, priors, thresholds and their choice, as functions of arrays"),
    (8, "feature_cache", "what a frozen prefix makes of each example, computed once"),
    (9, "training", "fit, phases, callbacks, runs"),
    (10, "inference", "predict, embed, cluster"),
    (11, "evaluation", "evaluate, the report and its page"),
    (12, "advice", "which backbone, whether one is needed, what more labels would bring, whether the target differs"),
    (12, "inspection", "duplicates, leaks, wrong labels, scaling: what is wrong with the data"),
    (12, "serving", "export, formats, certificates; `replay/` holds the stand-alone scripts"),
    (13, "augment", "a short name for the augmentations of images"),
    (13, "demo", "the whole walk, offline"),
    (14, "cli", "the command line"),
    (15, "__main__", "python -m tltk"),
)
LAYER_OF = {package: layer for layer, package, _ in LAYERS}
# The only module that may use private attributes of Keras and KerasHub.
PRIVATE_HOME = "foundation/keras_private.py"
# Names of variables, parameters and attributes that do not say what they hold.
FORBIDDEN_NAMES = {"found", "held", "made", "said", "own", "each", "chosen", "known"}
# Records whose type only their own packages may check.
MODALITY_TYPES = {"AudioSpec", "ImageSpec", "TextSpec", "TokenizerSpec"}
TASK_TYPES = {
    "Task",
    "Classification",
    "MultilabelClassification",
    "Regression",
    "TokenClassification",
    "QuestionAnswering",
}


def modules() -> list[Path]:
    """List the modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    """Name the top-level package or module that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    """Return the dotted name of a module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a module, once for all measurements."""
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> set[str]:
    """Return the dotted names that a module imports, at any depth; a.b for `from a import b`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """List all functions, including methods and inner functions."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = (node.end_lineno or 0) - node.body[0].lineno + 1
    doc = ast.get_docstring(node, clean=False)
    return body - (doc.count("\n") + 1 if doc else 0)


def import_graph() -> dict[str, set[str]]:
    """Return, for each module, the modules of the package that it imports."""
    names = {module_name(path) for path in modules()}
    graph: dict[str, set[str]] = {}
    for path in modules():
        targets = graph.setdefault(module_name(path), set())
        for name in imported(tree_of(path)):
            parts = name.split(".")
            # The longest prefix that is a module: `from a.b import c` imports a.b.c if it is a module, else a.b.
            target = next((t for n in range(len(parts), 0, -1) if (t := ".".join(parts[:n])) in names), None)
            if target is not None and target not in ("tltk", module_name(path)):
                targets.add(target)
    return graph


def cycles() -> list[list[str]]:
    """List the groups of modules that import each other (strongly connected components, Tarjan 1972)."""
    graph, index, low, stack, groups = import_graph(), {}, {}, [], []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return groups


def isinstance_outside() -> list[str]:
    """List the places outside of `specs/`, `modalities/` and `tasks/` that check the type of a spec or task."""
    places = []
    allowed = {"specs": MODALITY_TYPES, "modalities": MODALITY_TYPES, "tasks": TASK_TYPES}
    for path in modules():
        banned = (MODALITY_TYPES | TASK_TYPES) - allowed.get(package_of(path), set())
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                names = {inner.id for inner in ast.walk(node.args[1]) if isinstance(inner, ast.Name)}
                names |= {inner.attr for inner in ast.walk(node.args[1]) if isinstance(inner, ast.Attribute)}
                if names & banned:
                    places.append(f"{path.relative_to(ROOT)}:{node.lineno}: {', '.join(sorted(names & banned))}")
    return places


def vague_names() -> list[str]:
    """List the variables, parameters and attributes of `self` with a forbidden name."""
    places = []
    for path in modules():
        for node in ast.walk(tree_of(path)):
            name = ""
            if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                name = node.id if isinstance(node, ast.Name) else node.attr
            elif isinstance(node, ast.arg):
                name = node.arg
            if name.strip("_") in FORBIDDEN_NAMES:
                places.append(f"{path.relative_to(ROOT)}:{node.lineno}: {name}")
    return places


def private_outside() -> list[str]:
    """List the places outside of keras_private that use private attributes which the package does not define."""
    defined = {name for path in modules() if str(path.relative_to(PACKAGE)) != PRIVATE_HOME for name in _defined(path)}
    defined |= {"_asdict", "_fields", "_replace"}  # public methods of named tuples
    return [place for path in modules() for place in _private_uses(path, defined)]


def _defined(path: Path) -> Iterator[str]:
    """Yield the names that a module defines: functions, classes, variables and attributes of `self`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and getattr(node.value, "id", "") == "self"
        ):
            yield node.attr


def _private_uses(path: Path, defined: set[str]) -> Iterator[str]:
    if str(path.relative_to(PACKAGE)) == PRIVATE_HOME:
        return
    for node in ast.walk(tree_of(path)):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr", "setattr"):
            value = node.args[1]
            name = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
        if re.fullmatch(r"_[a-z]\w*", name) and name not in defined:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
    for name in imported(tree_of(path)):
        if name.startswith(("keras.src", "keras_hub.src")):
            yield f"{path.relative_to(ROOT)}: {name}"


def layer_table() -> str:
    """Return the table of layers as Markdown."""
    lines = ["| layer | package | holds |", "|---|---|---|"]
    lines += [f"| {layer} | `{package}` | {content} |" for layer, package, content in LAYERS]
    return "\n".join(lines)


def page_with_table(text: str) -> str:
    """Return the page with an updated table of layers."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{layer_table()}\n{END}{after}"


def measurements() -> dict[str, object]:
    """Measure the package."""
    import tltk

    sizes = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in modules()}
    lengths = {
        f"{path.relative_to(ROOT)}:{node.name}": function_lines(node)
        for path in modules()
        for node in functions(tree_of(path))
    }
    return {
        "modules": len(sizes),
        "lines": sum(sizes.values()),
        "isinstance_outside": len(isinstance_outside()),
        "private_outside": len(private_outside()),
        "cycles": len(cycles()),
        "longest_module": max(sizes.values()),
        "longest_function": max(lengths.values()),
        "public_names": len(tltk.__all__) - 1,
    }


def main() -> None:
    """Print the measurements, or write the table."""
    if "--write" in sys.argv:
        PAGE.write_text(page_with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    measured = measurements()
    lines = isinstance_outside() + private_outside() + [" ↔ ".join(group) for group in cycles()]
    sys.stdout.write(json.dumps(measured) + "\n" if "--json" in sys.argv else "\n".join([*lines, str(measured)]) + "\n")


if __name__ == "__main__":
    main()
