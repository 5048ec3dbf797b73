"""Paths to tensors: `head[0].cls`, `fpn[*]`, `net.b[13].expand`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import Any

from cnndsl.diagnostics import Span, fault, listing, spelling
from cnndsl.language import tree
from cnndsl.language.names import Entry, Env, Family, Faulty, Flow, Off, Silent

Evaluate = Callable[[tree.Expression, Env], Any]


def resolve(path: tree.NamePath, env: Env, evaluate: Evaluate) -> Flow:
    """The tensors that a path names.  Raises Fault."""
    bound = env.lookup(path.name)
    assert bound is not None
    entries: list[Entry] = [bound.meaning]
    many = False
    for part, following in zip_longest(path.parts, path.parts[1:]):
        if isinstance(part, tree.Member):
            entries = [_member(entry, part, path) for entry in entries]
        else:
            if isinstance(following, tree.Member):
                _not_a_turn(entries[0], part, path)
            entries = [
                e for entry in entries for e in _indexed(entry, part, path, env, evaluate)
            ]
            many = many or any(isinstance(i, tree.Every) for i in part.items)
    flows = [_flow(entry, path) for entry in entries]
    if not many:
        return flows[0]
    tensors = [tensor for flow in flows for tensor in flow.all]
    return Flow({str(number): tensor for number, tensor in enumerate(tensors)})


def _not_a_turn(entry: Entry, part: tree.Index, path: tree.NamePath) -> None:
    """Refuse `x[0].a` of a repeat whose turns give several tensors: `x[0]` is an output."""
    if isinstance(entry, Flow) and entry.turns:
        count = len(entry.tensors)
        message = f"`{path.name}{part.span.text}` is an output of the last turn, not a turn"
        help = "write the turns as a `for`, whose lines have indexed labels: `x[i]: …`"
        raise fault("E203", f"{message}: each gives {count} tensors", part.span, help=help)


def _flow(entry: Entry, path: tree.NamePath) -> Flow:
    match entry:
        case Flow():
            return entry
        case Faulty():
            raise Silent
        case Off(condition=condition):
            raise fault(
                "E206",
                f"`{path}` is not there: its line has `when {condition.text}`, which is false",
                path.span,
                related=((condition, "false here"),),
                help="give this line the same condition",
            )
        case Family():
            raise fault(
                "E205",
                f"`{path}` is a family of {len(entry.items)}",
                path.span,
                help=f"take one, `{path}[0]`, or all, `{path}[*]`",
            )


def _member(entry: Entry, part: tree.Member, path: tree.NamePath) -> Entry:
    if isinstance(entry, Family):
        raise fault(
            "E205",
            f"a family has no `.{part.name}`",
            part.span,
            help="take one member first: `[0]`",
        )
    if isinstance(entry, Faulty):
        raise Silent
    flow = _flow(entry, path)
    if part.name in flow.members:
        return flow.members[part.name]
    if part.name in flow.tensors:
        return Flow({part.name: flow.tensors[part.name]})
    known = {*flow.members, *flow.tensors} - {""}
    there = f"there are {listing(sorted(known)[:8])}" if known else ""
    if part.name in ("c", "h", "w", "d", "size", "shape"):
        there = "it is a number, which a step takes in its parentheses"
    if part.name in ("channels", "height", "width", "depth", "ndim", "shapes"):
        there = "a tensor's sizes are `.c`, `.h`, `.w`, `.size` and `.shape`"
    raise fault(
        "E202",
        f"`{path.name}` has nothing named `{part.name}`",
        part.span,
        help=spelling(part.name, known) or there,
    )


def _indexed(
    entry: Entry, part: tree.Index, path: tree.NamePath, env: Env, evaluate: Evaluate
) -> list[Entry]:
    if isinstance(entry, Faulty):
        raise Silent
    family = _family(entry, path)
    if any(isinstance(item, tree.Every) for item in part.items):
        if len(part.items) > 1:
            raise fault("E203", "`*` must stand alone in its brackets", part.span)
        return [item for item in family.items.values() if not isinstance(item, Off)]
    index = tuple(_index(item, env, evaluate) for item in part.items)
    if index not in family.items:
        raise _absent(index, family, part.span, path)
    return [family.items[index]]


def _index(item: tree.Expression | tree.Every, env: Env, evaluate: Evaluate) -> int:
    assert not isinstance(item, tree.Every)
    value = evaluate(item, env)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("E203", "an index must be an integer", item.span)
    return env.decide(value, item.span)


def _absent(
    index: tuple[int, ...], family: Family, span: Span, path: tree.NamePath
) -> Exception:
    known = [", ".join(map(str, key)) for key in family.items]
    there = f"there are [{'], ['.join(known[:6])}]{' …' if len(known) > 6 else ''}"
    wanted = ", ".join(map(str, index))
    message = f"`{path.name}` has no [{wanted}]"
    return fault("E203", message, span, help=there if known else "it is empty")


def _family(entry: Entry, path: tree.NamePath) -> Family:
    """Of a `for` or an `each` its results, of a call its declared outputs."""
    if isinstance(entry, Family):
        return entry
    flow = _flow(entry, path)
    if flow.family is not None:
        return flow.family
    outputs = enumerate(flow.tensors.items())
    return Family({(number,): Flow({name: tensor}) for number, (name, tensor) in outputs})
