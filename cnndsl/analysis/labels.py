"""What a network's labels stand for: the shapes that `@expect(p5=[256, 7, 7])` claims."""

from __future__ import annotations

from collections.abc import Iterator

from cnndsl.graph import Call, Each, Group, Line, Loop, Network, Repeat, Step, Tensor, Term
from cnndsl.ops.base import Shape
from cnndsl.symbolic import strip


def labelled(network: Network) -> dict[str, Shape]:
    """The shapes of the outputs and of every labelled line: `logits`, `rpn.anchors`."""
    found = {name: strip(tensor.shape) for name, tensor in network.outputs.items()}
    stack: list[tuple[str, Line | Term]] = [("", line) for line in network.structure.body]
    while stack:
        prefix, item = stack.pop()
        for name, shape in _named(prefix, item):
            found.setdefault(name, shape)
        stack += _inside(prefix, item)
    return found


def _named(prefix: str, item: Line | Term) -> Iterator[tuple[str, Shape]]:
    """The names that a line or a term gives, with the shapes they stand for."""
    match item:
        case Line(on=True, labels=labels, outputs=outputs):
            for label, tensor in zip(labels, outputs, strict=False):
                yield prefix + _indexed(label, item), strip(tensor.shape)
        case Call(block=block) if prefix:
            for name, tensor in block.outputs.items():
                if name:
                    yield f"{prefix}{name}", strip(tensor.shape)
        case Each(row=True, calls=[Call(block=block)], outputs=outputs) if prefix:
            for name, tensor in zip(block.outputs, outputs, strict=True):
                yield f"{prefix}{name}", strip(tensor.shape)
        case Each(row=True):
            return
        case Repeat(items=items) | Each(calls=items) if prefix:
            yield from _family(prefix, [term.outputs for term in items])
        case Loop(bodies=bodies) if prefix:
            lasts = [[line.outputs for line in body if line.on][-1:] for body in bodies]
            yield from _family(prefix, [last[0] if last else () for last in lasts])


def _family(prefix: str, results: list[tuple[Tensor, ...]]) -> Iterator[tuple[str, Shape]]:
    """`c3[0]`, `c3[1]`, …: what each iteration gives, where it is one tensor."""
    for name, outputs in zip(_iterations(prefix, len(results)), results, strict=True):
        if len(outputs) == 1:
            yield name.removesuffix("."), strip(outputs[0].shape)


def _inside(prefix: str, item: Line | Term) -> list[tuple[str, Line | Term]]:
    """What is written in a line or a term, with the labels in front of its names."""
    match item:
        case Line(labels=(), terms=[Loop(bodies=bodies)]):
            # What stands in a loop without a label is named as if it stood outside.
            return [(prefix, line) for body in bodies for line in body]
        case Line(labels=labels, terms=terms):
            inner = f"{prefix}{_indexed(labels[0], item)}." if labels else prefix
            return [(inner, term) for term in terms]
        case Step(lines=lines):
            return [(prefix, line) for line in lines or []]
        case Call(block=block, lines=lines):
            # Labels inside a call are seen through the label of its line alone.
            inside = block.body if prefix else []
            return [(prefix, line) for line in [*inside, *(lines or [])]]
        case Group(body=body):
            return [(prefix, line) for line in body]
        case Each(row=True, calls=calls):
            return [(prefix, call) for call in calls]
        case Repeat(items=items) | Each(calls=items):
            named = _iterations(prefix, len(items))
            return list(zip(named, items, strict=True))
        case Loop(bodies=bodies):
            named = _iterations(prefix, len(bodies))
            return [(n, line) for n, body in zip(named, bodies, strict=True) for line in body]


def _iterations(prefix: str, count: int) -> list[str]:
    stem = prefix.removesuffix(".")
    return [f"{stem}[{number}]." if stem else "" for number in range(count)]


def _indexed(label: str, line: Line) -> str:
    return f"{label}[{', '.join(map(str, line.index))}]" if line.index else label
