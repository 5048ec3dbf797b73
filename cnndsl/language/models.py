"""What a model is given: the shapes of its inputs, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping

from cnndsl.diagnostics import Fault, did_you_mean, fault, listing
from cnndsl.language import tree
from cnndsl.language.dims import (
    SIZE,
    aligned,
    bare_name,
    check_rank,
    dimension,
    mismatch,
    named_axis,
    size_of,
)
from cnndsl.language.evaluate import evaluate, show
from cnndsl.language.names import (
    Env,
)
from cnndsl.language.syntax import check_characters, parse_value
from cnndsl.language.types import coerce
from cnndsl.ops.facts import Shape
from cnndsl.symbolic import Sym


def model_sizes(declaration: tree.Declaration, inputs: dict[str, Shape], env: Env) -> None:
    """Bind the named sizes of a model's ports: given ones, else the written defaults."""
    known = [port.name for port in declaration.inputs or ()]
    for name in inputs:
        if name not in known:
            help = did_you_mean(name, known) or f"its inputs are {listing(known)}"
            message = f"`{declaration.name}` has no input `{name}`"
            raise fault("E219", message, declaration.name_span, help=help)
    if declaration.inputs is None:
        message = f"the model `{declaration.name}` does not declare its inputs"
        help = f"write `model {declaration.name}: image[3, H=224, W=224] -> logits {{ … }}`"
        raise fault("E220", message, declaration.name_span, help=help)
    for port in declaration.inputs:
        if port.shape is None or port.many:
            help = f"write {port.name}[3, H=224, W=224]"
            raise fault("E220", f"the input `{port.name}` has no shape", port.span, help=help)
        given = inputs.get(port.name)
        if given is not None:
            check_rank(port, given)
        for number, (dim, size) in enumerate(aligned(port, given)):
            _model_size(port, number, dim, size, env)


def _model_size(port: tree.Port, number: int, dim: tree.Dim, size: object, env: Env) -> None:
    bare = bare_name(dim)
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
        sizes = tuple(named_axis(port.name, number + i, n, env) for i, n in enumerate(size))
        env.bind(name, sizes, dim.span, SIZE)
        return
    if isinstance(size, bool) or not isinstance(size, int):
        raise fault(
            "E306", f"a size must be an integer, but `{name}` is {show(size)}", dim.span
        )
    env.bind(name, named_axis(port.name, number, size, env), dim.span, SIZE)


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
        if isinstance(value, Sym):
            # A parameter that an analysis leaves free stands for itself.
            env.frame.symbols |= dict.fromkeys(value.formula.atoms(), int(value))
        values[param.name] = value
    return values


def _from_outside(param: tree.Param, value: object, env: Env) -> object:
    """A user's value for a parameter; text is read as the language reads it."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, str):
        return value
    word = param.type.words and '"' not in value
    if word or param.type.name == "str":
        check_characters(value, f"--set {param.name}")
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
        for dim, size in aligned(port, given):
            written = dimension(dim, env)
            if isinstance(written, tuple):
                shape += written
            elif written is None:
                shape.append(size_of(size, dim))
            else:
                if size is not None and size != written:
                    message = mismatch(port, dim, size, written, given or ())
                    raise fault("E402", message, dim.span)
                shape.append(written)
        found[port.name] = tuple(shape)
    return found


def dimensions(env: Env) -> dict[str, int]:
    """The named sizes of a model."""
    return {
        name: int(bound.meaning)
        for name, bound in env.names.items()
        if bound.kind == SIZE and isinstance(bound.meaning, int)
    }
