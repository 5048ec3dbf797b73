"""ONNX's own tests of its operators, as far as a file can say them, run by our kernels.

`python -m tests.onnx_nodes > docs/onnx-tests.md` writes the page of what was run, and of what
was not with its reason.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import onnx

from cnndsl.diagnostics import ArchError
from cnndsl.importing.onnx import Walk
from cnndsl.importing.onnx_graph import Data, Known, Reading, UnsayableError
from cnndsl.importing.onnx_running import layers_run
from cnndsl.ops.facts import Array
from cnndsl.records import Record, record

Inputs = dict[str, Array]


@record
class Tried(Record):
    """One case: its name, its operator, why it was not run, and whether it was right."""

    name: str
    kind: str
    reason: str = ""
    wrong: str = ""


@cache
def cases() -> list[Any]:
    """Those that ONNX makes, which takes half a minute."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return collect_testcases(None)


def tried(case: Any) -> Tried:
    """Run a case in every way in which a file can say it, the first of them."""
    name = case.name.removeprefix("test_")
    model = case.model
    if model is None:
        return Tried(name, "", "it has no model")
    kinds = {node.op_type for node in model.graph.node}
    title = model.graph.node[0].op_type if len(kinds) == 1 else "several"
    if "_expanded" in name:
        title = "expanded"
    reasons: list[str] = []
    for batched in (True, False):
        try:
            wrong = ""
            for inputs, outputs in case.data_sets:
                wrong = wrong or _run(model, inputs, outputs, case, batched=batched)
            return Tried(name, title, "", wrong)
        except UnsayableError as error:
            reasons.append(str(error))
    vague = ("batch", "another number of axes", "no axis beside")
    plain = [one for one in reasons if not any(word in one for word in vague)]
    return Tried(name, title, (plain or reasons)[0])


def _run(
    model: Any, inputs: Iterable[Any], outputs: Iterable[Any], case: Any, *, batched: bool
) -> str:
    """What is wrong with the outputs, or nothing.  Raises UnsayableError."""
    names = [port.name for port in model.graph.input]
    given = dict(zip(names, inputs, strict=False))
    reading = Reading(batched=batched)
    run: Inputs = {}
    batches = set()
    for name, found in given.items():
        value = np.asarray(found) if isinstance(found, np.generic) else found
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
            raise UnsayableError("strings, sequences or values that may be missing")
        if value.dtype.kind == "f" and value.dtype.itemsize == 2:
            raise UnsayableError("half precision")
        floats = value.dtype.kind == "f"
        if not floats or (batched and value.ndim == 0):
            reading.tensors[name] = Known(value, name)
            continue
        if value.size == 0:
            raise UnsayableError("an axis has no elements")
        shape = value.shape[1:] if batched else value.shape
        reading.tensors[name] = Data((name, 0), shape)
        run[name] = value if batched else value[None]
        batches.add(len(run[name]))
    reading.givens = given
    reading.batch = batches.pop() if len(batches) == 1 else reading.batch
    try:
        Walk(model, reading).graph(model.graph)
    except ArchError as error:
        cause = error.__cause__
        if isinstance(cause, UnsayableError):
            raise cause from None
        message = error.diagnostics[0].message
        raise UnsayableError(message.rpartition("): ")[2]) from None
    weights = {key: one.array for key, one in reading.learned.items()}
    found = []
    for port in model.graph.output:
        tensor = reading.tensors[port.name]
        if isinstance(tensor, Known):
            raise UnsayableError("whole numbers, truth values or constants alone")
        if tensor.at:
            raise UnsayableError("the batch is not the first axis")
        found.append(tensor.value)
    read = {value[0] for layer in reading.layers for value in layer.inputs}
    if len({len(array) for name, array in run.items() if name in read}) > 1:
        raise UnsayableError("inputs of different batches")
    with np.errstate(all="ignore"):
        values = layers_run(reading.layers, weights, run)
    for value, expected in zip(found, outputs, strict=False):
        array, wanted = values[value] if batched else values[value][0], np.asarray(expected)
        if wanted.dtype.kind in "iub" and array.dtype.kind != "i":
            raise UnsayableError("whole numbers, truth values or constants alone")
        if array.shape != wanted.shape:
            return f"shape {array.shape}, not {wanted.shape}"
        if not np.allclose(array, wanted, case.rtol, max(case.atol, 1e-6), equal_nan=True):
            return f"{np.abs(array - wanted).max():.2g} apart"
    return ""


def main() -> None:
    """Print the page."""
    found = [tried(case) for case in cases()]
    print(page(found), end="")


def page(found: list[Tried]) -> str:
    """The page of what was run and what was not."""
    run = [one for one in found if not one.reason]
    by_kind: dict[str, int] = defaultdict(int)
    for one in run:
        by_kind[one.kind] += 1
    lines = [
        "# ONNX's tests of its operators",
        "",
        f"ONNX {onnx.__version__} makes {len(found):,} cases of its own operators.",
        f"A file can say {len(run)} of them: the reader of `.onnx` puts them in our words,",
        "NumPy runs them, and each gives what ONNX expects. The others are listed below by",
        "what a file cannot say. `python -m tests.onnx_nodes` writes this page.",
        "",
        "## Run",
        "",
        ", ".join(f"{kind} {count}" for kind, count in sorted(by_kind.items())) + ".",
        "",
        "## Not run",
        "",
        "A tensor here has a batch before it and is of real numbers; its shape is known.",
    ]
    reasons: dict[str, list[Tried]] = defaultdict(list)
    for one in found:
        if one.reason:
            reasons[one.reason].append(one)
    for reason, some in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        lines += ["", f"**{reason[:1].upper()}{reason[1:]}** ({len(some)})", ""]
        lines.append(", ".join(f"`{one.name}`" for one in sorted(some, key=lambda o: o.name)))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
