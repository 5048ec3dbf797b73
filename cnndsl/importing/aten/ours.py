"""Operations that are no single one of PyTorch's own: our functions, and torchvision's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cnndsl.importing.aten.table import rule
from cnndsl.importing.calls import Call, Constant, Seen
from cnndsl.importing.written import WORD, called, functions

WEIGHTS = ("weight", "bias")
"""The arguments of a function that are a layer's weights."""


@rule(WORD)
def _written(call: Call) -> list[Seen]:
    """A function that a file of ours carries."""
    name, given = called(call["said"], call["tensors"])
    return _function(replace(call, word=name, given=given))


@rule("torchvision.deform_conv2d.default")
def _deformed(call: Call) -> Seen:
    """torchvision's, in the words of our function."""
    given: dict[str, Any] = {name: call[name] for name in ("offset", *WEIGHTS, "groups")}
    pairs = {"stride": "stride", "padding": "pad", "dilation": "dilation"}
    given |= {
        ours: tuple(call[f"{theirs}_{n}"] for n in "hw") for ours, theirs in pairs.items()
    }
    given |= {"x": call["input"], "mask": call["mask"] if call["use_mask"] else None}
    order = ("x", "offset", *WEIGHTS, "mask")
    given = {name: given[name] for name in order} | given
    return _function(replace(call, word="deform_conv2d", given=given))[0]


def _function(call: Call) -> list[Seen]:
    """A call of one of our functions, as the operation that is written as it."""
    op, _ = functions()[call.word]
    tensors: list[Seen] = []
    names = {
        n: w.name for n in WEIGHTS if n in call.given and (w := call.weight(n)) is not None
    }

    def shape(name: str, value: Any) -> Any:
        if isinstance(value, Seen | Constant):
            if name in WEIGHTS:
                return value.shape
            tensors.append(call.seen(value, plain=True))
            return tensors[-1].ours
        several = isinstance(value, tuple)
        return tuple(shape(name, one) for one in value) if several else value

    given = {name: shape(name, value) for name, value in call.given.items()}
    shapes = [shape[1:] for shape in call.shapes]
    name, _ = call.layer(op.name, tensors, shapes, names, **op.recalled(call.word, given))
    pairs = enumerate(call.shapes)
    return [call.reader.seen((name, number), shape) for number, shape in pairs]
