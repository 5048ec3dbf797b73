"""Where values enter and leave blocks and operations.

Ports bind first, then the parameters in order, then the shape contracts are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from cnndsl.diagnostics import Span, fault, listing, spell_tensors, spelling
from cnndsl.language import tree
from cnndsl.language.arguments import Given
from cnndsl.language.dims import (
    SIZE,
    aligned,
    bare_name,
    check_rank,
    dimension,
    is_new,
    mismatch,
    named_axis,
)
from cnndsl.language.evaluate import condition, evaluate
from cnndsl.language.names import (
    Entry,
    Env,
    Family,
    Faulty,
    Flow,
    Off,
    Silent,
    Uncertain,
    Value,
)
from cnndsl.language.types import coerce
from cnndsl.ops.base import Op
from cnndsl.structure import Tensor
from cnndsl.symbolic import Sym, Symbol, compared, listed_as, symbol


def enter(count: int) -> str:
    """`1 tensor enters`, `2 tensors enter`."""
    return f"{spell_tensors(count)} enter{'s' if count == 1 else ''}"


def block_inputs(
    declaration: tree.Declaration, operands: Sequence[Flow], span: Span
) -> dict[str, Tensor]:
    """The tensors that enter a block, by port; those of `*p` as `p[0]`, `p[1]`, and on."""
    given = declaration.inputs
    tensors = [tensor for flow in operands for tensor in flow.all]
    if given is None:
        if len(tensors) != 1:
            message = f"`{declaration.name}` has one input, but {enter(len(tensors))}"
            raise fault("E205", message, span)
        return {"in": tensors[0]}
    one = operands[0].tensors if len(operands) == 1 else {}
    if one and (len(given) > 1 or given[0].name in one):
        by_name = _by_name(given, operands[0], declaration.name, span)
        if by_name is not None:
            return by_name
    many = [port for port in given if port.many]
    if len(many) > 1:
        message = f"`{declaration.name}` has two families: nothing says where the first ends"
        raise fault("E220", message, many[1].span, help="only one input may be a family")
    if not many and len(tensors) != len(given):
        count = f"{len(given)} input{'s' if len(given) > 1 else ''}"
        wanted = f"{count} ({', '.join(port.name for port in given)})"
        message = f"`{declaration.name}` has {wanted}, but {enter(len(tensors))}"
        help = "write one line for each in braces, or pass outputs of the same names"
        raise fault("E205", message, span, help=help)
    if many and len(tensors) < len(given) - 1:
        message = f"`{declaration.name}` needs {len(given) - 1} inputs besides its family"
        raise fault("E205", message, span)
    found: dict[str, Tensor] = {}
    extra = len(tensors) - len(given) + 1
    position = 0
    for port in given:
        if port.many:
            for number in range(extra):
                found[f"{port.name}[{number}]"] = tensors[position + number]
            position += extra
        else:
            found[port.name] = tensors[position]
            position += 1
    return found


def _by_name(
    given: Sequence[tree.Port], flow: Flow, name: str, span: Span
) -> dict[str, Tensor] | None:
    """Wiring by name: a step with several outputs feeds a block with several inputs."""
    if len(flow.tensors) < 2 or any(port.many for port in given):
        return None
    names = [port.name for port in given]
    missing = [n for n in names if n not in flow.tensors]
    numbered = all(n.isdigit() for n in flow.tensors)
    if missing and numbered:
        return None
    if missing:
        there = listing(flow.tensors)
        message = f"`{name}` needs {listing(missing)}, but the input has {there}"
        raise fault("E221", message, span, help="name the inputs in braces, one per line")
    return {n: flow.tensors[n] for n in names}


def bind_inputs(
    declaration: tree.Declaration, outside: Mapping[str, Tensor], env: Env
) -> dict[str, Tensor]:
    """The tensors of the ports in the block's own terms; binds the sizes they name."""
    inside = {name: _inside(name, tensor, env) for name, tensor in outside.items()}
    for port in declaration.inputs or ():
        keys = [k for k in inside if k == port.name or k.startswith(f"{port.name}[")]
        for key in keys if port.many else [port.name]:
            tensor = inside[key]
            if port.shape is None:
                continue
            check_rank(port, tensor.shape)
            for dim, size in aligned(port, tensor.shape):
                name = dim.name or bare_name(dim)
                parameter = any(p.name == name for p in declaration.params)
                if name and name != "_" and not parameter and is_new(name, env):
                    env.bind(name, size, dim.span, SIZE)
    return inside


def _inside(name: str, tensor: Tensor, env: Env) -> Tensor:
    shape = tuple(named_axis(name, number, n, env) for number, n in enumerate(tensor.shape))
    return Tensor(tensor.node, tensor.output, shape)


def bind_tensors(
    declaration: tree.Declaration, tensors: Mapping[str, Tensor], env: Env
) -> None:
    """Give the ports their names in the block."""
    if declaration.inputs is None:
        env.bind("in", Flow({"": tensors["in"]}), None, "input")
        return
    for port in declaration.inputs:
        entry: Entry
        if port.many:
            members = [t for k, t in tensors.items() if k.startswith(f"{port.name}[")]
            entry = Family({(n,): Flow({"": t}) for n, t in enumerate(members)})
        else:
            entry = Flow({port.name: tensors[port.name]})
        env.bind(port.name, entry, port.span, "port")


def bind_parameters(
    declaration: tree.Declaration, given: Given, env: Env, span: Span
) -> dict[str, object]:
    """Bind a block's parameters, in order; the values in the caller's terms.

    A parameter that is given stands in formulas by its name; one that takes its default
    is a value like a `let`, so that `m = in.c // 4` stays that formula.
    """
    values: dict[str, object] = {}
    for param in declaration.params:
        if param.name in given:
            value, place = given[param.name]
            value = coerce(param, value, place)
            values[param.name] = value
            if isinstance(value, int) and not isinstance(value, bool):
                env.frame.symbols[Symbol(param.name)] = int(value)
                value = symbol(param.name, value)
            else:
                value = _named_items(param.name, value, env)
        elif param.default is not None:
            value = coerce(param, evaluate(param.default, env), param.span)
        else:
            takes = ", ".join(p.span.text for p in declaration.params)
            message = f"`{declaration.name}` needs `{param.name}`"
            raise fault("E302", message, span, help=f"it takes {takes}")
        env.bind(param.name, value, param.name_span, "parameter")
    return values


def _named_items(name: str, value: object, env: Env) -> object:
    """A list's sizes, each known as `name[i]` in the block."""
    if isinstance(value, tuple):
        items = (_named_items(f"{name}[{i}]", item, env) for i, item in enumerate(value))
        return listed_as(value, items)
    if not isinstance(value, Sym):
        return value
    env.frame.symbols[Symbol(name)] = int(value)
    return symbol(name, value)


def check_inputs(
    declaration: tree.Declaration, inside: Mapping[str, Tensor], env: Env, span: Span
) -> None:
    """The shape contracts of a block's inputs.  Raises Fault."""
    for port in declaration.inputs or ():
        if port.condition is not None:
            raise fault("E220", "an input cannot have a `when`", port.span)
        for key, tensor in inside.items():
            if key == port.name or (port.many and key.startswith(f"{port.name}[")):
                _check_shape(port, tensor, env, span, bind=False)


def _check_shape(
    port: tree.Port, tensor: Tensor, env: Env, span: Span | None, *, bind: bool
) -> None:
    """Compare a port's written shape with a tensor's.  `bind` lets new names in."""
    if port.shape is None:
        return
    check_rank(port, tensor.shape)
    for dim, size in aligned(port, tensor.shape):
        if bind and dim.value is not None and dim.name is not None:
            message = f"`{dim.span.text}`: only the size of an input has a default"
            raise fault("E220", message, dim.span, help=f"write `{dim.name}`")
        name = dim.name or bare_name(dim)
        if name == "_":
            continue
        if bind and name is not None and is_new(name, env):
            if not name[:1].isupper():
                known = set(env.visible())
                help = spelling(name, known) or "a new size is written with a capital"
                raise fault("E202", f"unknown name `{name}`", dim.span, help=help)
            env.bind(name, size, dim.span, SIZE)
            continue
        written = dimension(dim, env)
        if written is not None and written != size:
            related = ((span, "called here"),) if span is not None else ()
            message = mismatch(port, dim, size, written, tensor.shape)
            raise fault("E402", message, dim.span, related=related)
        pairs = [(written, size)]
        if isinstance(written, tuple) and isinstance(size, tuple):  # `*S`
            pairs = list(zip(written, size, strict=True))
        for one, other in pairs:
            if isinstance(one, int) and isinstance(other, int):
                env.decide(compared("==", one, other), dim.span, contract=True)


SEVERAL = {"sum": "add", "max": "maximum", "min": "minimum"}
"""What reduces one tensor → what takes several."""


def op_inputs(cls: type[Op], operands: Sequence[Flow], span: Span) -> tuple[Tensor, ...]:
    """The tensors that enter an operation.  Raises Fault: too few or too many."""
    tensors = tuple(tensor for flow in operands for tensor in flow.all)
    if len(operands) == 1 and len(tensors) > 1 and cls.ports:
        # Wiring by name: `topk(…) -> nms(…)`; a family's, `qkv[*]`, have none.
        named = [operands[0].tensors.get(name) for name in cls.ports]
        tensors = tuple(tensor for tensor in named if tensor is not None) or tensors
    least, most = cls.arity
    if cls.join and len(tensors) == 1:
        return tensors
    if not tensors and cls.join:
        help = "at least one line must remain under every condition"
        raise fault("E222", f"`{cls.name}` has no lines left", span, help=help)
    if len(tensors) < least or (most is not None and len(tensors) > most):
        wanted = str(least) if least == most else f"at least {least}"
        if most is not None and least != most:
            wanted = f"{least} to {most}"
        inputs = "input" if wanted == "1" else "inputs"
        message = f"`{cls.name}` takes {wanted} {inputs}, but {enter(len(tensors))}"
        help = "write them in braces, one per line" if len(tensors) < least else ""
        if cls.name in SEVERAL and not help:
            help = f"for several tensors, write `{SEVERAL[cls.name]} {{ a; b }}`"
        if len(operands) == 1 and len(tensors) > 1:
            help = "label the step with several outputs, and use one of them"
        raise fault("E205", message, span, help=help)
    return tensors


def outputs(declaration: tree.Declaration, env: Env, end: Value) -> Flow:
    """What a block yields by output port, and what it names.  Raises Fault: no such label."""
    if declaration.outputs is None:
        if isinstance(end, Uncertain):
            message = f"the output of `{declaration.name}` depends on a condition or a loop"
            raise fault(
                "E210", message, end.span, help="end with a line that has its own source"
            )
        if not isinstance(end, Flow) or not end.tensors:
            message = f"`{declaration.name}` has no line that gives its output"
            raise fault("E223", message, declaration.name_span)
        tensors = end.all
        found = {"out": tensors[0]} if len(tensors) == 1 else end.tensors
        return Flow(found, env.members)
    found = {}
    members = dict(env.members)
    for port in declaration.outputs:
        # Outside an output's name is its own, whatever is labelled so inside.
        members.pop(port.outside, None)
        if port.condition is not None and not condition(port.condition, env):
            continue
        for name, tensor in _output(port, env, declaration):
            _check_shape(port, tensor, env, None, bind=True)
            found[name] = tensor
        members[port.outside] = env.names[port.name].meaning
    return Flow(found, members)


def _else_unlabelled(name: str, declaration: tree.Declaration) -> bool:
    """Whether a line of that label has an `else` without one."""
    lines = [each for each in declaration.body if isinstance(each, tree.LineStatement)]
    return any(
        name in map(str, line.labels) and other.alternative and not other.labels
        for line, other in pairwise(lines)
    )


def _output(
    port: tree.Port, env: Env, declaration: tree.Declaration
) -> list[tuple[str, Tensor]]:
    bound = env.names.get(port.name)
    if bound is None or not isinstance(bound.meaning, Flow | Family | Off | Faulty):
        labels = [n for n, b in env.names.items() if isinstance(b.meaning, Flow | Family)]
        help = spelling(port.name, labels) or f"label a line `{port.name}: …`"
        message = f"no line of `{declaration.name}` is labelled `{port.name}`"
        raise fault("E223", message, port.span, help=help)
    entry = bound.meaning
    if isinstance(entry, Faulty):
        raise Silent
    if isinstance(entry, Off):
        help = f"write the condition behind the port: `{port.name} when …`"
        if _else_unlabelled(port.name, declaration):
            help = f"label the other line too: `else {port.name}: …`"
        raise fault(
            "E206",
            f"the output `{port.name}` is not there:"
            f" its line has `when {entry.condition.text}`",
            port.span,
            related=((entry.condition, "false here"),),
            help=help,
        )
    if port.many:
        family = entry if isinstance(entry, Family) else entry.family or Family({(0,): entry})
        items = [item for item in family.items.values() if isinstance(item, Flow)]
        tensors = [tensor for item in items for tensor in item.all]
        return [(f"{port.outside}[{n}]", tensor) for n, tensor in enumerate(tensors)]
    if isinstance(entry, Family) or len(entry.tensors) != 1:
        count = len(entry.items) if isinstance(entry, Family) else len(entry.tensors)
        message = f"the output `{port.name}` is one tensor, but the label stands for {count}"
        raise fault("E205", message, port.span, help=f"a family is written `*{port.name}`")
    return [(port.outside, entry.all[0])]
