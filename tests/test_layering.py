"""graph <- ops <- compiler <- runtime <- keras and the tools above: no cycle, no climb, imports inside functions included."""

from __future__ import annotations

import ast
from pathlib import Path

import networkx as nx
import pytest

import graphflow

ROOT = Path(graphflow.__file__).parent
PLACES = {"graphflow": ROOT, "graphflow.compiler": None, "graphflow.runtime": None}
LAYERS = ["graph", "ops", "compiler", "runtime", "top"]
# what graph calls of the layers above goes through tables they fill: OPERATORS and HOOKS
ALLOWED_CLIMBS = {("graphflow.graph.variable", "graphflow.ops")}


def modules() -> dict[str, Path]:
    import graphflow.compiler
    import graphflow.runtime

    found: dict[str, Path] = {}
    for prefix, folder in (("graphflow", ROOT), ("graphflow.compiler", Path(graphflow.compiler.__file__).parent), ("graphflow.runtime", Path(graphflow.runtime.__file__).parent)):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([prefix, *parts]).removesuffix(".__init__")
            found[name] = path
    return found


def layer(name: str) -> int:
    part = (name.split(".") + [""])[1]
    if part == "configuration" or name == "graphflow":
        return 0  # settings and the lazy front door
    return LAYERS.index(part) if part in LAYERS else LAYERS.index("top")


def imports(path: Path, at_import_time: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped.update(ast.walk(node))
        if at_import_time and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{a.name}" for a in node.names)
    return found


ALL = modules()


@pytest.mark.smoke
def test_nothing_climbs() -> None:
    climbs = [
        f"{name} imports {other}"
        for name, path in ALL.items()
        for other in sorted(imports(path, at_import_time=False))
        if other in ALL and other != "graphflow" and layer(other) > layer(name) and (name, other) not in ALLOWED_CLIMBS
    ]
    assert not climbs, "\n".join(climbs)


def test_no_import_cycles() -> None:
    graph = nx.DiGraph((name, other) for name, path in ALL.items() for other in imports(path, at_import_time=True) if other in ALL and other != name and not name.startswith(other + "."))
    cycles = [c for c in nx.strongly_connected_components(graph) if len(c) > 1]
    assert not cycles, cycles


def test_keras_uses_no_compiler_internals() -> None:
    used = {other for name, path in ALL.items() if name.startswith("graphflow.keras") for other in imports(path, False) if other.startswith("graphflow.compiler") and other in ALL}
    assert used <= {"graphflow.compiler.autodiff", "graphflow.compiler.clone"}, used  # where gf.grad and gf.clone are defined


@pytest.mark.smoke
def test_bare_names_do_not_import() -> None:
    import subprocess
    import sys

    for bare in ("compiler", "runtime"):
        code = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); import {bare}"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT.parent)
        if (ROOT.parent / bare).is_dir():
            assert run.returncode != 0 and f"import graphflow.{bare}" in run.stderr


@pytest.mark.smoke
def test_import_is_light() -> None:
    import subprocess
    import sys

    heavy = ("numpy", "llvmlite", "networkx", "graphviz", "scipy")
    code = f"import sys; sys.path.insert(0, {str(ROOT.parent)!r}); import graphflow; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    code = code.replace("import graphflow;", "import graphflow as gf; gf.placeholder('float32', (3,)) + 1; gf.Session, gf.function;").replace("'numpy', ", "")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
