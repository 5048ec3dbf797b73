"""Where values enter and leave: the ports of blocks and models, and their parameters.

Ports bind first, then the parameters in order, then the shape contracts are checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnndsl.diagnostics import Fault, Span, did_you_mean, fault, listing, spell_tensors
from cnndsl.graph import Tensor
from cnndsl.language import tree
from cnndsl.language.arguments import Given
from cnndsl.language.evaluate import condition, evaluate, show
from cnndsl.language.names import (
    Bound,
    Entry,
    Env,
    Family,
    Faulty,
    Flow,
    Off,
    OpRef,
    Silent,
    Uncertain,
    Value,
)
from cnndsl.language.syntax import parse_value
from cnndsl.ops.base import Auto, Op, Shape, spell_shape
from cnndsl.symbolic import Axis, Symbol, axis, symbol

SIZE = "size"

# Models


def model_sizes(declaration: tree.Declaration, inputs: dict[str, Shape], env: Env) -> None:
    """Bind the named sizes of a model's ports: given ones, else the written defaults."""
    known = [port.name for port in declaration.inputs or ()]
    for name in inputs:
        if name not in known:
            help = did_you_mean(name, known) or f"its inputs are {listing(known)}"
            message = f"`{declaration.name}` has no input `{name}`"
            raise fault("E219", message, declaration.name_span, help=help)
    if declaration.inputs is None:
        message = f"the model `{declaration.name}` says nothing of its inputs"
        help = f"write `model {declaration.name}: image[3, H=224, W=224] -> logits {{ … }}`"
        raise fault("E220", message, declaration.name_span, help=help)
    for port in declaration.inputs:
        if port.shape is None or port.many:
            help = f"write {port.name}[3, H=224, W=224]"
            raise fault("E220", f"the input `{port.name}` has no shape", port.span, help=help)
        given = inputs.get(port.name)
        if given is not None:
            _check_rank(port, given)
        for number, (dim, size) in enumerate(_aligned(port, given)):
            _model_size(port, number, dim, size, env)


def _check_rank(port: tree.Port, shape: Shape) -> None:
    dims = port.shape or ()
    rest = any(dim.rest for dim in dims)
    if sum(dim.rest for dim in dims) > 1:
        message = f"`{port.span.text}`: one `*` at most takes any number of axes"
        raise fault("E220", message, port.span)
    if len(shape) < len(dims) - rest or (len(shape) > len(dims) and not rest):
        message = f"`{port.span.text}` cannot be {spell_shape(shape)}: the ranks differ"
        raise fault("E402", message, port.span)


def _aligned(port: tree.Port, shape: Shape | None) -> list[tuple[tree.Dim, object]]:
    """Each dimension of a port with its size; `*S` with a tuple, None where unknown."""
    dims = port.shape or ()
    if shape is None:
        return [(dim, None) for dim in dims]
    extra = len(shape) - len(dims) + 1
    found: list[tuple[tree.Dim, object]] = []
    position = 0
    for dim in dims:
        if dim.rest:
            found.append((dim, tuple(shape[position : position + extra])))
            position += extra
        else:
            found.append((dim, shape[position]))
            position += 1
    return found


def _model_size(port: tree.Port, number: int, dim: tree.Dim, size: object, env: Env) -> None:
    bare = _bare(dim)
    name = dim.name or bare
    if size is None and dim.value is not None and dim.name is not None:
        size = evaluate(dim.value, env)
    if name is None or name == "_" or (bare is not None and env.lookup(bare) is not None):
        if name == "_" and size is None:
            raise _unsized(port, dim)
        return
    if bare is not None and any(p.name == bare for p in _params(env, port)):
        return  # the parameter says it; `model_inputs` holds a given shape against it
    if size is None:
        raise _unsized(port, dim)
    if isinstance(size, tuple):
        sizes = tuple(_named_axis(port.name, number + i, n, env) for i, n in enumerate(size))
        env.bind(name, sizes, dim.span, SIZE)
        return
    if isinstance(size, bool) or not isinstance(size, int):
        raise fault("E306", f"`{name}` is {show(size)}, but a size is an integer", dim.span)
    env.bind(name, _named_axis(port.name, number, size, env), dim.span, SIZE)


def _params(env: Env, port: tree.Port) -> tuple[tree.Param, ...]:
    """The parameters of the declaration that a port belongs to."""
    for declaration in env.frame.file.tree.declarations:
        if port in (declaration.inputs or ()):
            return declaration.params
    return ()


def _unsized(port: tree.Port, dim: tree.Dim) -> Fault:
    help = f"give its shape: --input {port.name}=3x224x224, or a default: H=224"
    message = f"the size `{dim.span.text}` of `{port.name}` is not known"
    return fault("E220", message, dim.span, help=help)


def _named_axis(tensor: str, number: int, size: int, env: Env) -> int:
    env.frame.symbols[Axis(tensor, number)] = int(size)
    return axis(tensor, number, size)


def _bare(dim: tree.Dim) -> str | None:
    """The name, where a dimension is only a name."""
    value = dim.value
    match value:
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
            return name if dim.name is None else None
        case _:
            return None


def model_arguments(
    declaration: tree.Declaration, parameters: Mapping[str, object], env: Env
) -> dict[str, object]:
    """Bind a model's parameters: those that the user sets, else their defaults."""
    known = [param.name for param in declaration.params]
    for name in parameters:
        if name not in known:
            there = f"its parameters are {listing(known)}" if known else "it has none"
            help = did_you_mean(name, known) or there
            message = f"`{declaration.name}` has no parameter `{name}`"
            raise fault("E301", message, declaration.name_span, help=help)
    values: dict[str, object] = {}
    for param in declaration.params:
        if param.name in parameters:
            value = _from_outside(param, parameters[param.name], env)
        elif param.default is not None:
            value = evaluate(param.default, env)
        else:
            help = f"set it: --set {param.name}=…"
            raise fault(
                "E302", f"`{declaration.name}` needs `{param.name}`", param.span, help=help
            )
        value = coerce(param, value, param.span)
        env.bind(param.name, value, param.name_span, "parameter")
        values[param.name] = value
    return values


def _from_outside(param: tree.Param, value: object, env: Env) -> object:
    """A user's value for a parameter; text is read as the language reads it."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    if value in param.type.words or param.type.name == "str":
        return value
    return evaluate(parse_value(value, f"--set {param.name}"), env)


def model_inputs(
    declaration: tree.Declaration, inputs: dict[str, Shape], env: Env
) -> dict[str, Shape]:
    """The shapes of a model's ports, its sizes and parameters being bound."""
    found: dict[str, Shape] = {}
    for port in declaration.inputs or ():
        given = inputs.get(port.name)
        shape: list[int] = []
        for dim, size in _aligned(port, given):
            written = _dimension(dim, env)
            if isinstance(written, tuple):
                shape += written
            elif written is None:
                shape.append(_integer(size, dim))
            else:
                if size is not None and size != written:
                    message = _mismatch(port, dim, size, written, given or ())
                    raise fault("E402", message, dim.span)
                shape.append(written)
        found[port.name] = tuple(shape)
    return found


def _integer(size: object, dim: tree.Dim) -> int:
    if isinstance(size, bool) or not isinstance(size, int):
        raise fault("E306", f"`{dim.span.text}` is no size", dim.span)
    return size


def _dimension(dim: tree.Dim, env: Env) -> int | tuple[int, ...] | None:
    """A dimension's size as it is written; None for `_`."""
    if dim.rest or dim.name is not None:
        bound = env.lookup(dim.name or "")
        assert bound is not None
        meaning: int | tuple[int, ...] = bound.meaning
        return meaning
    if _bare(dim) == "_":
        return None
    assert dim.value is not None
    value = evaluate(dim.value, env)
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("E306", f"a size is an integer, and this is {show(value)}", dim.span)
    return value


def _mismatch(
    port: tree.Port, dim: tree.Dim, size: object, written: object, shape: Shape
) -> str:
    formula, value = dim.span.text, show(written)
    declared = formula if formula == value else f"{formula} = {value}"
    seen = f"`{port.name}` is {spell_shape(shape)}"
    return f"{seen}: `{declared}` is declared, and this size is {show(size)}"


def dimensions(env: Env) -> dict[str, int]:
    """The named sizes of a model."""
    return {
        name: int(bound.meaning)
        for name, bound in env.names.items()
        if bound.kind == SIZE and isinstance(bound.meaning, int)
    }


# Blocks


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
            message = f"`{declaration.name}` has one input, and {enter(len(tensors))}"
            raise fault("E205", message, span)
        return {"in": tensors[0]}
    if len(operands) == 1 and len(given) > 1:
        by_name = _by_name(given, operands[0], declaration.name, span)
        if by_name is not None:
            return by_name
    many = [number for number, port in enumerate(given) if port.many]
    if not many and len(tensors) != len(given):
        wanted = f"{len(given)} inputs ({', '.join(port.name for port in given)})"
        message = f"`{declaration.name}` has {wanted}, and {enter(len(tensors))}"
        help = "one line for each in the braces, or outputs of the same names"
        raise fault("E205", message, span, help=help)
    if many and len(tensors) < len(given) - 1:
        message = f"`{declaration.name}` needs {len(given) - 1} inputs beside its family"
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
        message = f"`{name}` needs {listing(missing)}, and what enters has {there}"
        raise fault("E221", message, span, help="name the inputs in braces, one a line")
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
            _check_rank(port, tensor.shape)
            for dim, size in _aligned(port, tensor.shape):
                name = dim.name or _bare(dim)
                parameter = any(p.name == name for p in declaration.params)
                if name and name != "_" and not parameter and env.lookup(name) is None:
                    env.bind(name, size, dim.span, SIZE)
    return inside


def _inside(name: str, tensor: Tensor, env: Env) -> Tensor:
    shape = tuple(_named_axis(name, number, n, env) for number, n in enumerate(tensor.shape))
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
        elif param.default is not None:
            value = coerce(param, evaluate(param.default, env), param.span)
        else:
            takes = ", ".join(p.span.text for p in declaration.params)
            message = f"`{declaration.name}` needs `{param.name}`"
            raise fault("E302", message, span, help=f"it takes {takes}")
        env.bind(param.name, value, param.name_span, "parameter")
    return values


def check_inputs(
    declaration: tree.Declaration, inside: Mapping[str, Tensor], env: Env, span: Span
) -> None:
    """The shape contracts of a block's inputs.  Raises Fault."""
    for port in declaration.inputs or ():
        if port.condition is not None:
            raise fault("E220", "an input is always there: it takes no `when`", port.span)
        for key, tensor in inside.items():
            if key == port.name or (port.many and key.startswith(f"{port.name}[")):
                _check_shape(port, tensor, env, span, bind=False)


def _check_shape(
    port: tree.Port, tensor: Tensor, env: Env, span: Span | None, *, bind: bool
) -> None:
    """Compare a port's written shape with a tensor's.  `bind` lets new names in."""
    if port.shape is None:
        return
    _check_rank(port, tensor.shape)
    for dim, size in _aligned(port, tensor.shape):
        if bind and dim.value is not None and dim.name is not None:
            message = f"`{dim.span.text}`: only the size of an input has a default"
            raise fault("E220", message, dim.span, help=f"write `{dim.name}`")
        name = dim.name or _bare(dim)
        if name == "_":
            continue
        if bind and name is not None and env.lookup(name) is None:
            if not name[:1].isupper():
                known = set(env.visible())
                help = did_you_mean(name, known) or "a new size is written with a capital"
                raise fault("E202", f"nothing here is named `{name}`", dim.span, help=help)
            env.names[name] = Bound(size, dim.span, SIZE)
            continue
        written = _dimension(dim, env)
        if written is not None and written != size:
            related = ((span, "called here"),) if span is not None else ()
            message = _mismatch(port, dim, size, written, tensor.shape)
            raise fault("E402", message, dim.span, related=related)


# Operations


def op_inputs(cls: type[Op], operands: Sequence[Flow], span: Span) -> tuple[Tensor, ...]:
    """The tensors that enter an operation.  Raises Fault: too few or too many."""
    tensors = tuple(tensor for flow in operands for tensor in flow.all)
    if len(operands) == 1 and len(tensors) > 1 and cls.ports:
        # Wiring by name: `topk(…) -> nms(…)`.
        named = [operands[0].tensors.get(name) for name in cls.ports]
        tensors = tuple(tensor for tensor in named if tensor is not None)
    least, most = cls.arity
    if cls.join and len(tensors) == 1:
        return tensors
    if not tensors and cls.join:
        help = "at least one line must stay whatever the conditions"
        raise fault("E222", f"`{cls.name}` is left with no line", span, help=help)
    if len(tensors) < least or (most is not None and len(tensors) > most):
        wanted = str(least) if least == most else f"at least {least}"
        if most is not None and least != most:
            wanted = f"{least} to {most}"
        inputs = "input" if wanted == "1" else "inputs"
        message = f"`{cls.name}` takes {wanted} {inputs}, and {enter(len(tensors))}"
        help = "write them in braces, one a line" if len(tensors) < least else ""
        if len(operands) == 1 and len(tensors) > 1:
            help = "label the step with several outputs, and use one of them"
        raise fault("E205", message, span, help=help)
    return tensors


# Outputs


def outputs(declaration: tree.Declaration, env: Env, end: Value) -> Flow:
    """What a block yields, by output port.  Raises Fault: a port that no label defines."""
    if declaration.outputs is None:
        if isinstance(end, Uncertain):
            message = f"what `{declaration.name}` yields depends on a condition or a loop"
            raise fault("E210", message, end.span, help="write a last line with its source")
        if not isinstance(end, Flow) or not end.tensors:
            message = f"`{declaration.name}` has no last line"
            raise fault("E223", message, declaration.name_span)
        tensors = end.all
        return Flow({"out": tensors[0]} if len(tensors) == 1 else end.tensors)
    found: dict[str, Tensor] = {}
    for port in declaration.outputs:
        if port.condition is not None and not condition(port.condition, env):
            continue
        for name, tensor in _output(port, env, declaration):
            _check_shape(port, tensor, env, None, bind=True)
            found[name] = tensor
    return Flow(found)


def _output(
    port: tree.Port, env: Env, declaration: tree.Declaration
) -> list[tuple[str, Tensor]]:
    bound = env.names.get(port.name)
    if bound is None or not isinstance(bound.meaning, Flow | Family | Off | Faulty):
        labels = [n for n, b in env.names.items() if isinstance(b.meaning, Flow | Family)]
        help = did_you_mean(port.name, labels) or f"label a line `{port.name}: …`"
        message = f"no line of `{declaration.name}` is labelled `{port.name}`"
        raise fault("E223", message, port.span, help=help)
    entry = bound.meaning
    if isinstance(entry, Faulty):
        raise Silent
    if isinstance(entry, Off):
        raise fault(
            "E206",
            f"the output `{port.name}` is not there:"
            f" its line has `when {entry.condition.text}`",
            port.span,
            related=((entry.condition, "false here"),),
            help=f"write the condition behind the port: `{port.name} when …`",
        )
    if port.many:
        family = entry if isinstance(entry, Family) else entry.family or Family({(0,): entry})
        items = [item for item in family.items.values() if isinstance(item, Flow)]
        tensors = [tensor for item in items for tensor in item.all]
        return [(f"{port.outside}[{n}]", tensor) for n, tensor in enumerate(tensors)]
    if isinstance(entry, Family) or len(entry.tensors) != 1:
        count = len(entry.items) if isinstance(entry, Family) else len(entry.tensors)
        message = f"the output `{port.name}` is one tensor, and the label stands for {count}"
        raise fault("E205", message, port.span, help=f"a family is written `*{port.name}`")
    return [(port.outside, entry.all[0])]


# Parameters' types


def coerce(param: tree.Param, value: object, span: Span) -> object:
    """A value as its parameter's type.  Raises Fault: it does not fit."""
    kind = param.type
    if kind.name == "bool" and value is None:
        return False  # an empty cell of a table
    if kind.words:
        if isinstance(value, str) and value in kind.words:
            return value
        near = did_you_mean(value, kind.words) if isinstance(value, str) else ""
        wanted = " or ".join(f'"{word}"' for word in kind.words)
        message = f"`{param.name}` is {show(value)}, but must be {wanted}"
        raise fault("E303", message, span, help=near)
    if kind.name not in _TYPES:
        near = did_you_mean(kind.name, _TYPES)
        raise fault("E303", f"`{kind.name}` is no type", kind.span, help=near)
    if not _fits(value, kind.name, kind.item):
        wanted = _TYPES[kind.name].format(item=kind.item or "value")
        message = f"`{param.name}` is {show(value)}, but must be {wanted}"
        raise fault("E303", message, span)
    return value


_TYPES = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "size": "a size such as 3 or 3x3",
    "pad": "a padding: same, valid, a number or a list",
    "op": "an operation or a block, or none",
    "list": "a list of {item}s",
}


def _fits(value: object, kind: str, item: str | None) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind:
        case "int":
            return number and isinstance(value, int)
        case "float":
            return number
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "op":
            return value is None or isinstance(value, OpRef)
        case "list":
            items = value if isinstance(value, tuple) else None
            return items is not None and (
                item is None or all(_fits(each, item, None) for each in items)
            )
        case "size":
            sizes = value if isinstance(value, tuple) else (value,)
            return all(_fits(each, "int", None) for each in sizes)
        case _:
            return value in (Auto.SAME, Auto.VALID) or number or isinstance(value, tuple)
