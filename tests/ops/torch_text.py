"""PyTorch text as a module, without the emitter: what the tests compare NumPy with."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, library, nn
from torch.nn import functional as F  # noqa: N812

from cnndsl.ops.base import Op
from cnndsl.ops.facts import Call, Operand, Shape, Template, Torch

NAMES = ("x", "y", "z", "u", "v")


def expression(form: Call | Template, inputs: list[str]) -> str:
    """The text of a call or a template, applied to expressions."""
    if isinstance(form, Template):
        text = form.text.replace("{*}", ", ".join(inputs))
        return text.format(*inputs, **{name: repr(v) for name, v in form.values.items()})
    arguments = [inputs[a.index] if isinstance(a, Operand) else repr(a) for a in form.arguments]
    keywords = [
        f"{name}={value!r}"
        for name, (value, default) in form.keywords.items()
        if value != default
    ]
    return f"{form.function}({', '.join(arguments + keywords)})"


class Written(nn.Module):
    """One form of an operation's text: the module or the function."""

    def __init__(self, text: Torch, form: str, arity: int) -> None:
        super().__init__()
        self.scope: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "Tensor": Tensor}
        self.scope |= {"library": library, "cache": cache, "import_module": import_module}
        exec(text.helper, self.scope)
        names = list(NAMES[:arity])
        if form == "module":
            assert text.module is not None
            self.layer = eval(expression(text.module, []), self.scope)
            self.scope["layer"], source = self.layer, f"layer({', '.join(names)})"
        else:
            assert text.function is not None
            source = expression(text.function, names)
        self.code = eval(f"lambda {', '.join(names)}: {source}", self.scope)

    def forward(self, *inputs: Tensor) -> Any:
        return self.code(*inputs)


def forms(op: Op, shapes: tuple[Shape, ...]) -> list[Written]:
    """Every way in which the operation's text can be written, in evaluation mode."""
    text = op.torch(*shapes)
    ways = [name for name in ("module", "function") if getattr(text, name) is not None]
    assert ways
    return [Written(text, way, len(shapes)).eval() for way in ways]


def state(op: Op, shapes: tuple[Shape, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Random weights; variances positive, counters zero."""
    values = {}
    for name, weight in op.weights(*shapes).items():
        value = rng.normal(size=weight.shape)
        if name == "running_var":
            value = np.abs(value) + 0.5
        values[name] = np.zeros((), np.int64) if weight.integer else value
    return values
