"""The functions of `cnndsl.analysis`: listed, met late, and their values print and convert."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import cnndsl
from cnndsl import analysis

ASKED: dict[str, Callable[[cnndsl.Network], Any]] = {
    "affine": lambda _: analysis.affine(small, "classes"),
    "closed_forms": analysis.closed_forms,
    "counts": lambda network: analysis.counts(network, "thop"),
    "diff": lambda network: analysis.diff(network, small(12)),
    "explain": lambda network: analysis.explain(network, "C1"),
    "memory": lambda network: analysis.memory(network, batch=2),
    "receptive": analysis.receptive,
    "reconcile": lambda network: analysis.reconcile(network, "thop", "0.417M"),
    "roofline": lambda network: analysis.roofline(network, "cpu"),
    "sizes": analysis.sizes,
    "solve": lambda _: analysis.solve("classes", "params <= 62K", small, 10),
    "summary": analysis.summary,
    "table": lambda network: analysis.table(network, by="op"),
    "work": analysis.work,
}


def small(classes: float) -> cnndsl.Network:
    return cnndsl.load("lenet5", classes=int(classes))


def test_every_function_is_asked_here() -> None:
    # A measure is a number.
    assert {*ASKED, "measure"} == set(analysis.__all__) == set(dir(analysis))
    assert analysis.measure(small(10), "macs") == small(10).macs


@pytest.mark.parametrize("name", ASKED)
def test_a_value_prints_itself_and_converts_to_rows(name: str) -> None:
    found = ASKED[name](small(10))
    assert str(found)
    assert not str(found).startswith(type(found).__name__)
    rows = found.rows()
    assert rows
    assert len({tuple(row) for row in rows}) == 1, "every row has the same columns"
    plain = (bool, int, float, str, type(None))
    assert all(type(value) in plain for row in rows for value in row.values())


def test_a_function_is_not_hidden_by_its_module_and_is_imported_when_it_is_used() -> None:
    code = """
import sys, cnndsl.analysis
assert not [name for name in sys.modules if name.startswith("cnndsl.analysis.")]
from cnndsl.analysis import memory
import cnndsl.analysis.memory, cnndsl.analysis.solve
from cnndsl.analysis import memory as again, solve
assert callable(memory) and memory is again and callable(solve)
try:
    cnndsl.analysis.memry
except AttributeError:
    print("ok")
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "ok\n", done.stderr
