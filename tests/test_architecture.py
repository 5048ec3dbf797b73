"""Imports point one way, down the pipeline, and heavy packages are met late."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cnndsl"

LAYERS = [
    {"diagnostics", "files", "records"},
    {"symbolic", "expressions"},
    {"ops", *(f"backends.numpy.{leaf}" for leaf in ("kernels", "boxes", "sampling"))},
    {"structure"},
    {"graph"},
    {"language"},
    {"analysis"},
    {"backends", "weights", "figures", "losses", "metrics"},
    {"editing"},
    {"inputs", "network"},
    {"importing"},
    {"notebook"},
    {"console", "commands", "gallery", "cli", "__main__"},
]
"""Each may import itself and what stands above it in this list."""

LATE = {"torch", "torchvision", "onnx", "rich", "pygraphviz", "PIL"}
"""Imported inside the functions that need them; `losses` is PyTorch code, and imported so."""

SUITES = ast.stmt | ast.ExceptHandler | ast.match_case
"""What statements stand in."""

Import = tuple[str, int]


def _name(path: Path) -> str:
    """`ops.base` for cnndsl/ops/base.py; the package itself is empty."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def _typing_only(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(nodes: list[ast.AST], *, late: bool) -> Iterator[Import]:
    """What is imported, with its line; `late` goes into functions and types too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not late:
            continue
        elif late or not _typing_only(node):
            inner = [n for n in ast.iter_child_nodes(node) if isinstance(n, SUITES)]
            yield from _imports(inner, late=late)


def _imported(module: str, *, late: bool = False) -> list[Import]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return list(_imports(tree.body, late=late))


def _layer(module: str) -> int:
    """The layer that names the module or the nearest package around it."""
    name = module
    while name:
        for number, layer in enumerate(LAYERS):
            if name in layer:
                return number
        name = name.rpartition(".")[0]
    raise AssertionError(f"which layer does cnndsl.{module} belong to?")


def _own(imported: str) -> str | None:
    """The module of this package that an import names."""
    name = imported.removeprefix("cnndsl.") if imported.startswith("cnndsl.") else ""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


@pytest.mark.parametrize("module", [m for m in MODULES if m])
def test_imports_point_one_way(module: str) -> None:
    """Those in functions and for types too: neither hides a circle."""
    for imported, line in _imported(module, late=True):
        other = _own(imported)
        if other is not None:
            place = f"{MODULES[module].relative_to(ROOT)}:{line}"
            assert _layer(other) <= _layer(module), f"{place} imports cnndsl.{other}"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module in filter(None, MODULES):
        others = {_own(imported) for imported, _ in _imported(module, late=True)}
        graph.add_edges_from((module, other) for other in others - {None, module})
    assert not [c for c in nx.strongly_connected_components(graph) if len(c) > 1]


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("ops")])
def test_operations_know_neither_the_graph_nor_the_language(module: str) -> None:
    others = {_own(imported) for imported, _ in _imported(module, late=True)}
    assert not {o for o in others if o and o.split(".")[0] in ("graph", "language")}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("backends")])
def test_a_backend_never_sees_the_language(module: str) -> None:
    others = {_own(imported) for imported, _ in _imported(module, late=True)}
    # The translation to PyTorch is of what is written, and reads the declaration.
    if not module.startswith("backends.torch.") or "proof" in module:
        assert not {o for o in others if o and o.startswith("language")}


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith("losses")])
def test_heavy_packages_are_imported_where_they_are_needed(module: str) -> None:
    imports = [imported for imported, _ in _imported(module)]
    assert not {imported.split(".")[0] for imported in imports} & LATE
    assert not [imported for imported in imports if imported.startswith("cnndsl.losses")]


def test_the_torch_backend_never_imports_torch_to_write_its_source() -> None:
    text = (
        "import sys, cnndsl; net = cnndsl.load('lenet5'); net.torch_source();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False, cwd=ROOT).returncode == 0


def test_the_numpy_backend_imports_no_torch() -> None:
    text = (
        "import sys, numpy, cnndsl; net = cnndsl.load('lenet5').to_numpy();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", text], check=False, cwd=ROOT).returncode == 0


def test_no_operation_is_named_in_the_grammar() -> None:
    from cnndsl.files import grammar
    from cnndsl.ops import OPS

    words = {word for text in re.findall(r'"([^"]*)"', grammar()) for word in text.split()}
    # `add` and the like are no words of the syntax; `input` is never written.
    assert not words & set(OPS)


def test_nothing_that_a_file_says_is_evaluated_by_python() -> None:
    """Only the source made for PyTorch is, and `__init__`s of field names written here."""
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                home = module == "records" or module.startswith("backends.torch")
                allowed = node.func.id not in ("eval", "exec") or home
                assert allowed, f"{path}:{node.lineno}"
