"""What a step's parentheses say, together with the defaults that hold where it stands."""

from __future__ import annotations

from itertools import combinations

from cnndsl.diagnostics import OpError, Span, fault, short
from cnndsl.language import tree
from cnndsl.language.elsewhere import argument_help
from cnndsl.language.evaluate import evaluate, is_tensor, show
from cnndsl.language.names import BlockDefinition, Env, OpRef, kept, reals
from cnndsl.language.nodes import OpCall
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto
from cnndsl.ops.values import bind, signature

Given = dict[str, tuple[object, Span]]
"""Argument name → its value and the place that gives it."""


def block_arguments(
    callee: BlockDefinition, term: tree.CallTerm, ref: OpRef, env: Env
) -> Given:
    """The arguments of a block call, by parameter.  Raises Fault."""
    names = [param.name for param in callee.declaration.params]
    given = _given(ref, term, env, names, None, term.span)
    for name, (_, span) in given.items():
        if name not in names:
            takes = f"it takes {', '.join(names)}" if names else "it takes no arguments"
            message = f"`{callee.name}` has no parameter `{name}`"
            raise fault("E301", message, span, help=argument_help(name, names) or takes)
    return given


def op_arguments(term: tree.CallTerm, ref: OpRef, env: Env, rank: int) -> OpCall:
    """An operation with its attributes.  Raises Fault."""
    return _op_call(ref, term, term.span, env, rank)


def _op_call(ref: OpRef, term: tree.CallTerm | None, span: Span, env: Env, rank: int) -> OpCall:
    cls = ref.target
    assert isinstance(cls, type)
    assert issubclass(cls, Op)
    names = [parameter.name for parameter in cls.parameters]
    types = {parameter.name: parameter.type for parameter in cls.parameters}
    # An operation of one list takes it spread out: `reshape(m, *S)`.
    variadic = names[0] if len(names) == 1 and types[names[0]] == "Integers" else None
    given = _given(ref, term, env, names, variadic, span)
    arguments = term.arguments if term is not None else ()
    fused: tuple[OpCall | None, ...] = ()
    worked_out: set[str] = set()
    if cls.fused:
        parts = [given.pop(slot, (None, span)) for slot in ("norm", "act")]
        fused = tuple(
            _fused(value, place, env, rank, slot)
            for (value, place), slot in zip(parts, ("norm", "act"), strict=True)
        )
        if "bias" in names and given.get("bias", (Auto.AUTO, span))[0] is Auto.AUTO:
            given["bias"] = (fused[0] is None, span)
            worked_out.add("bias")
    said = next((a for a in arguments if a.name == "bias_init"), None)
    if said is not None and given.get("bias", (Auto.AUTO, span))[0] is False:
        why = "before a `norm`" if "bias" in worked_out else "with `bias=false`"
        message = f"`{cls.name}` has no bias {why}: `bias_init` has no effect"
        raise fault("E301", message, said.span, help="leave it out", stack=env.frame.stack)
    if "axes" in names:
        extra = tuple((n, v) for n, (v, _) in given.items() if n not in names)
        given = {n: v for n, v in given.items() if n in names} | {"axes": (extra, span)}
    places = {name: place for name, (_, place) in given.items() if name not in worked_out}
    for value, place in given.values():
        for real in reals(value):
            real.noted(place, number=True)
    try:
        op = bind(cls, {name: kept(value) for name, (value, _) in given.items()}, rank)
    except OpError as error:
        where = places.get(error.attribute or "", span)
        help, stack = error.help, env.frame.stack
        if error.code == "E301" and error.attribute is not None:
            slots = ["norm", "act"] if cls.fused else []
            help = argument_help(error.attribute, [*names, *slots]) or help
        if error.code == "E303" and term is not None:
            help = help or _in_order(cls, term, given, rank)
        raise fault(error.code, error.message, where, help=help, stack=stack) from None
    return OpCall(op, span, places, fused)


def _in_order(cls: type[Op], term: tree.CallTerm, given: Given, rank: int) -> str:
    """The step with two of its arguments exchanged, where it would take them so."""
    texts = [a.span.text for a in term.arguments]
    count = sum(a.name is None and not a.spread and a.rest is None for a in term.arguments)
    names = [parameter.name for parameter in cls.parameters][:count]
    if count > len(names):
        return ""
    plain = {name: kept(value) for name, (value, _) in given.items()}
    sizes = tuple(plain[name] for name in names)
    if count > 1 and all(isinstance(n, int) for n in sizes):
        listed = {n: v for n, v in plain.items() if n not in names} | {names[0]: sizes}
        if _binds(cls, listed, rank):
            inside = f"[{', '.join(texts[:count])}]"
            step = f"{term.path.name}({', '.join([inside, *texts[count:]])})"
            return f"several sizes are a list: `{step}`"
    for one, other in combinations(names, 2):
        if not _binds(cls, plain | {one: plain[other], other: plain[one]}, rank):
            continue
        i, j = names.index(one), names.index(other)
        texts[i], texts[j] = texts[j], texts[i]
        return f"`{one}` stands before `{other}`: `{term.path.name}({', '.join(texts)})`"
    return ""


def _binds(cls: type[Op], values: dict[str, object], rank: int) -> bool:
    try:
        bind(cls, values, rank)
    except OpError:
        return False
    return True


def _fused(value: object, place: Span, env: Env, rank: int, slot: str) -> OpCall | None:
    """The normalisation or activation of a step."""
    if value is None:
        return None
    if not isinstance(value, OpRef) or not isinstance(value.target, type):
        help = "write `norm=bn` or `act=relu`, for example"
        raise fault(
            "E303",
            f"`{slot}` is {show(value)}, but must be an operation or none",
            place,
            help=help,
        )
    least, most = value.target.arity
    if least > 1 or (most is not None and most < 1):
        message = f"`{value.name}` takes several inputs, so it cannot be fused"
        raise fault("E303", message, place)
    return _op_call(value, None, place, env, rank)


def _given(
    ref: OpRef,
    term: tree.CallTerm | None,
    env: Env,
    names: list[str],
    variadic: str | None,
    span: Span,
) -> Given:
    """Defaults, then what a partial call holds, then what is written; the last one wins.

    What a partial call holds, `norm=bn(eps=0.001)`, is given at `span`.
    """
    target = ref.target
    name = target.name
    given: Given = {}
    for default, where in env.default_arguments(name):
        for argument in default.arguments:
            if argument.name is None or argument.rest is not None:
                message = "a default needs named arguments: `default conv(norm=bn)`"
                raise fault("E307", message, argument.span)
            given[argument.name] = (evaluate(argument.value, where), argument.span)
    place = term.path.span if term is not None else span
    positional: list[tuple[object, Span]] = [(value, place) for value in ref.positional]
    for key, value in ref.named:
        given[key] = (value, place)
    written: set[str] = set()
    for argument in term.arguments if term is not None else ():
        if argument.name is not None:
            if argument.name in written:
                message = f"`{argument.name}` is given twice"
                raise fault("E310", message, argument.span, help="remove one of the two")
            written.add(argument.name)
            given[argument.name] = (_value(argument, env), argument.span)
        elif written:
            message = "a positional argument follows a named one"
            raise fault("E310", message, argument.span)
        elif argument.spread:
            values = _value(argument, env)
            if not isinstance(values, tuple):
                raise fault("E303", f"`*` spreads a list, not {show(values)}", argument.span)
            positional += [(value, argument.span) for value in values]
        else:
            positional.append((_value(argument, env), argument.span))
    _place_positional(positional, given, written, names, variadic, name, ref)
    return given


def refuse_tensors(term: tree.CallTerm, ref: OpRef, env: Env) -> None:
    """Say how tensors enter a step that has them in its parentheses: `add(a, b)`."""
    items = [
        part
        for argument in term.arguments
        for part in (
            argument.value.items
            if isinstance(argument.value, tree.ListLiteral)
            else (argument.value,)
        )
    ]
    tensors = [item for item in items if is_tensor(item, env)]
    if not tensors:
        return
    rest = [a for a in term.arguments if a.value not in tensors and a.value.span.text[0] != "["]
    call = f"{ref.name}({', '.join(a.span.text for a in rest)})" if rest else ref.name
    named = [short(item.span.text) for item in tensors]
    cls = ref.target
    several = isinstance(cls, type) and cls.arity[1] != 1
    alone = isinstance(cls, type) and not cls.join and not named[1:]
    step = f"{call} {{ {'…; ' * alone}{'; '.join(named)} }}"
    step = step if several or named[1:] else f"{named[0]} -> {call}"
    message = f"`{named[0]}` is a tensor, but parentheses take values"
    raise fault("E204", message, tensors[0].span, help=f"write `{step}`")


def _place_positional(
    positional: list[tuple[object, Span]],
    given: Given,
    written: set[str],
    names: list[str],
    variadic: str | None,
    callee: str,
    ref: OpRef,
) -> None:
    """Give the arguments without a name the parameters' in order."""
    if variadic is not None and positional:
        first = positional[0]
        listed = len(positional) == 1 and isinstance(first[0], tuple)
        values = first[0] if listed else tuple(value for value, _ in positional)
        given[variadic] = (values, first[1])
        return
    if len(positional) > len(names):
        cls = ref.target
        takes = signature(cls) if isinstance(cls, type) else ", ".join(names)
        count = f"{len(names)} argument{'s' * (len(names) > 1)}" if names else "no arguments"
        verb = "is" if len(positional) == 1 else "are"
        message = f"`{callee}` takes {count}, but {len(positional)} {verb} given"
        whole = f"{callee}({takes})" if names else callee
        raise fault("E310", message, positional[len(names)][1], help=f"write `{whole}`")
    for name, (value, span) in zip(names, positional, strict=False):
        if name in written:
            message = f"`{name}` is given both by position and by name"
            raise fault("E310", message, span, help="remove one of the two")
        given[name] = (value, span)


def _value(argument: tree.Argument, env: Env) -> object:
    """An argument's value; with `then`, of the first repeat or of the others."""
    if argument.rest is None:
        return evaluate(argument.value, env)
    if env.shared:
        help = "leave out `shared`, or what follows `then`"
        message = "`then` gives a shared module different arguments"
        raise fault("E307", message, argument.span, help=help)
    if env.repeat is None:
        help = "in `step(s=2 then 1) * n` the first repeat gets 2, the others 1"
        raise fault("E307", "`then` works only in a repeated step", argument.span, help=help)
    return evaluate(argument.value if env.repeat == 0 else argument.rest, env)
