"""An operation is one class in one place: all else follows, and nothing is keyed by it."""

from __future__ import annotations
import __future__

import ast
import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cnndsl.analysis.closed import closed_forms
from cnndsl.analysis.counts import TOOLS, counts
from cnndsl.analysis.explain import explain
from cnndsl.analysis.memory import memory
from cnndsl.analysis.receptive import receptive
from cnndsl.analysis.roofline import roofline
from cnndsl.analysis.sizes import sizes
from cnndsl.analysis.summary import summary
from cnndsl.analysis.work import work
from cnndsl.backends.numpy import kernels
from cnndsl.graph import Network
from cnndsl.language.functions import FUNCTIONS
from cnndsl.network import loads
from cnndsl.ops import OPS, Op
from tests.analysis.test_memory import autograd_keeps
from tests.ops import test_columns, test_facts, test_onnx
from tests.ops.cases import Case

ROOT = Path(__file__).parents[2]


# No table


def members(node: ast.AST) -> list[ast.expr]:
    """What a table is keyed by."""
    match node:
        case ast.Dict(keys=keys):
            return [key for key in keys if key is not None]
        case ast.Set(elts=found) | ast.Tuple(elts=found) | ast.List(elts=found):
            return found
        case ast.MatchOr(patterns=patterns):
            return [p.value for p in patterns if isinstance(p, ast.MatchValue)]
    return []


SHARED = {
    *FUNCTIONS,
    *(function.__name__ for function in vars(math).values() if callable(function)),
}
"""Words that are functions of numbers too: `max`, `sqrt`."""


def keyed(path: Path) -> Iterator[str]:
    """The tables of a module that are keyed by operations' names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        found = members(node)
        names = {one.value for one in found if isinstance(one, ast.Constant)} & set(OPS)
        names -= SHARED
        # A row of words may hold some that are operations too; a table is of them.
        words = isinstance(node, ast.Tuple | ast.List) and len(names) < len(found)
        if len(names) > 1 and not words:
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', '')} {sorted(names)}"


def test_no_table_outside_the_operations_is_keyed_by_their_names() -> None:
    # What is imported bears the names of other libraries, some of which are ours too.
    apart = {ROOT / "cnndsl" / "ops", ROOT / "cnndsl" / "importing"}
    paths = [p for p in sorted((ROOT / "cnndsl").rglob("*.py")) if not apart & {*p.parents}]
    assert [found for path in paths for found in keyed(path)] == []


# Added on the fly


def printed() -> dict[str, dict[str, str]]:
    """ARCHITECTURE.md's additions, by the operation's name and by file."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text[text.index("## Add an operation") :]
    found: dict[str, dict[str, str]] = {}
    for diff in re.findall(r"```diff\n(.*?)```", section, re.DOTALL):
        (name,) = re.findall(r'^\+@op\("(\w+)"', diff, re.MULTILINE)
        parts = re.split(r"^ # (\S+)\n", diff, flags=re.MULTILINE)[1:]
        pairs = zip(parts[::2], parts[1::2], strict=True)
        found[name] = {file: "".join(_added(lines)) for file, lines in pairs}
    return found


def _added(lines: str) -> Iterator[str]:
    for line in lines.splitlines():
        assert line[:1] in ("+", ""), line
        if line:
            yield line[1:] + "\n"


ADDED = printed()


@pytest.mark.parametrize("name", ADDED)
def test_what_is_printed_passes_ruff(name: str) -> None:
    for file, lines in ADDED[name].items():
        before = (ROOT / file).read_text(encoding="utf-8")
        if file.endswith("cases.py"):
            end = "]  # fmt: skip\n\n\ndef made"
            assert before.count(end) == 1
            after = before.replace(end, f"{lines}{end}")
        else:
            after = f"{before}\n\n{lines}"
        for command in (["check"], ["format", "--check"]):
            ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", file, "-"]
            done = subprocess.run(
                ruff, input=after, capture_output=True, text=True, check=False, cwd=ROOT
            )
            assert done.returncode == 0, done.stdout + done.stderr


def run_in(module: Any, source: str) -> dict[str, Any]:
    """What a source defines, read as if it stood in a module."""
    names = dict(vars(module))
    code = compile(source, "ARCHITECTURE.md", "exec", __future__.annotations.compiler_flag)
    exec(code, names)
    return names


@pytest.fixture
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """One of the printed operations, with its case, as long as a test asks."""
    import importlib

    name: str = request.param
    try:
        for file, source in ADDED[name].items():
            module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
            if file.endswith("cases.py"):
                (case,) = eval(f"[{source}]", dict(vars(module)))
                continue
            found = run_in(module, source)
            if module is kernels:
                monkeypatch.setattr(kernels, name, found[name], raising=False)
        yield case
    finally:
        OPS.pop(name, None)


each_added = pytest.mark.parametrize("added", ADDED, indirect=True)

LAWS = [
    test_columns.test_numpy_equals_torch_in_value_shape_and_type,
    test_columns.test_weights_are_the_modules_state_dict_in_order,
    test_columns.test_macs_are_half_of_what_torch_counts,
    test_columns.test_windows_have_an_entry_for_each_spatial_axis,
    test_columns.test_figures_have_a_short_line,
    test_facts.test_reads_is_the_support_of_the_gradient,
    test_facts.test_saves_is_what_autograd_saves,
    test_facts.test_laid_is_how_pytorch_lays_it,
    test_facts.test_kept_is_what_autograd_saves_however_its_inputs_lie,
    test_facts.test_special_functions_are_those_that_numpy_runs,
    test_facts.test_what_moves_gives_what_it_took,
    test_facts.test_gradients_flow_through_what_is_not_discrete,
    test_facts.test_counters_know_it_by_the_name_of_its_module,
    test_onnx.test_it_is_in_onnx_runtime_what_it_is_in_numpy,
]


@each_added
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_laws_hold_of_what_is_added(added: Case, law: Any) -> None:
    more = {"dtype": "float64", "tolerance": 1e-9} if "dtype" in law.__annotations__ else {}
    more |= {"training": True} if "training" in law.__annotations__ else {}
    law(added, **more)


def network_of(step: str) -> Network:
    """A chain with the step between two convolutions."""
    return loads(
        "model M: image[3, H=12, W=8] -> y {\n"
        f"  a: conv(8, 3x3) -> {step}\n  y: conv(4, 3x3)\n}}"
    )


STEPS = {"hardtanh": "hardtanh(low=-0.5)", "unfold": "unfold(3) -> reshape(72, 10, 6)"}
SEES = {"hardtanh": ("3", "1"), "unfold": ("global (5)", "1/6")}
ACTIVATIONS = {"hardtanh": 8 * 12 * 8, "unfold": 0}
GATHERED = {"hardtanh": 0, "unfold": 72 * 10 * 6}


@each_added
def test_every_analysis_is_right_about_what_is_added(added: Case) -> None:
    name = added[0]
    network, without = network_of(STEPS[name]), network_of("relu")
    node = f"a.{name}"
    field = receptive(network)[node]
    assert (str(field), field.stride) == SEES[name]
    assert f"sees        {SEES[name][0]}, stride {SEES[name][1]}" in str(explain(network, node))
    found = work(network).nodes[node]
    assert found.get("activation", 0) == ACTIVATIONS[name]
    assert found.get("gather", 0) == GATHERED[name]
    for tool in TOOLS:
        # Measured: none of them counts `nn.Hardtanh` or `nn.Unfold`.
        assert not counts(network, tool).nodes[node]
    for batch in (1, 3):
        assert memory(network, batch).training.saved == autograd_keeps(network, batch)
    in_place, apart = (memory(network, inplace=way) for way in (True, False))
    if name == "hardtanh":
        assert apart.peak == 2 * 4 * 8 * 96
        assert in_place.freed < apart.freed
        assert in_place.training.saved < apart.training.saved
        assert network.macs == without.macs
    else:
        assert in_place.peak == apart.peak
    shown = summary(network).text(columns=("op", "shape", "bytes", "rf", "stride"))
    assert name in shown
    assert str(closed_forms(network).by_node[node]) == "0"
    assert str(sizes(network))
    assert roofline(network).points


@each_added
def test_both_backends_compute_what_is_added(added: Case) -> None:
    network = network_of(STEPS[added[0]])
    module = network.to_torch().double().eval()
    weights = {key: value.numpy() for key, value in module.state_dict().items()}
    x = np.random.default_rng(0).normal(size=(2, 3, 12, 8))
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    for optimize in (False, True):
        ours = network.to_numpy(weights, optimize=optimize)(x)
        np.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-9)


@each_added
def test_an_operation_that_is_silent_about_what_it_reads_is_refused(added: Case) -> None:
    cls = type("Silent", (OPS[added[0]],), {})
    if added[0] == "hardtanh":
        return
    cls.reads, cls.window = Op.reads, Op.window
    with pytest.raises(NotImplementedError):
        cls(kernel=(2, 3)).reads(*added[2])


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cnndsl" / "ops").glob("*.py")), ids=lambda path: path.stem
)
def test_no_argument_loses_its_expression_on_the_way_to_pytorch(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "torch":
            for call in ast.walk(node):
                match call:
                    case ast.Call(func=ast.Name(id="int")) if path.stem == "shuffle":
                        assert ast.unparse(call) == "int(self.axis)"  # in a slice's place
                    case ast.Call(func=ast.Name(id="float" | "int" | "round")):
                        pytest.fail(f"{path.name}:{call.lineno}: {ast.unparse(call)}")
                    case ast.Call(func=ast.Name(id="map"), args=[ast.Name(id=kind), *_]):
                        assert kind not in ("float", "int"), f"{path.name}:{call.lineno}"
