"""The language's arithmetic: expressions to values.  Nothing here is Python's `eval`."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cnndsl.diagnostics import Fault, OpError, Span, fault, short
from cnndsl.language import tree
from cnndsl.language.elsewhere import step_help
from cnndsl.language.functions import DOMAINS, FUNCTIONS, MAX_ITEMS
from cnndsl.language.names import (
    Bound,
    Env,
    Family,
    Faulty,
    Flow,
    Off,
    OpRef,
    Silent,
    operation,
    operations,
)
from cnndsl.language.paths import resolve
from cnndsl.ops.facts import Auto
from cnndsl.ops.initial import INITS, Init
from cnndsl.ops.values import divides, initial, spell
from cnndsl.structure import Tensor
from cnndsl.symbolic import (
    MAX_WEIGHT,
    RELATIONS,
    Axis,
    Sym,
    TooManyTermsError,
    axis,
    compared,
    is_axis,
)

WORDS: dict[str, object] = {
    "same": Auto.SAME,
    "valid": Auto.VALID,
    "causal": Auto.CAUSAL,
    "tf_same": Auto.TF_SAME,
    "auto": Auto.AUTO,
    "none": None,
    "true": True,
    "false": False,
}
MAX_BITS = 256


def evaluate(expression: tree.Expression, env: Env) -> Any:
    """The value of an expression.  Raises Fault."""
    match expression:
        case tree.Number(value=value) | tree.Text(value=value) | tree.SizeLiteral(value=value):
            return value
        case tree.ListLiteral(items=items):
            found = tuple(evaluate(item, env) for item in items)
            if _count(found) > MAX_ITEMS:
                message = f"the list holds more than {MAX_ITEMS:,} values"
                raise fault("E308", message, expression.span)
            return found
        case tree.Value():
            return _value(expression, env)
        case tree.Unary(operator="not", operand=operand):
            return not _truth(operand, env)
        case tree.Unary(operand=operand):
            number = _number(operand, env)
            return env.real(-number, (number,)) if isinstance(number, float) else -number
        case tree.Choice(condition=condition, then=then, otherwise=otherwise):
            return evaluate(then if _truth(condition, env) else otherwise, env)
        case tree.Binary(operator="and", left=left, right=right):
            return _truth(left, env) and _truth(right, env)
        case tree.Binary(operator="or", left=left, right=right):
            return _truth(left, env) or _truth(right, env)
        case tree.Binary(operator="==" | "!="):
            left, right = evaluate(expression.left, env), evaluate(expression.right, env)
            _decide_equal(left, right, expression.span, env)
            return (left == right) == (expression.operator == "==")
        case tree.Binary(operator=".."):
            return _span(expression, env)
        case _:
            return _arithmetic(expression, env)


def _decide_equal(left: object, right: object, span: Span, env: Env) -> None:
    """Note a comparison of sizes, or of lists of them."""
    if isinstance(left, tuple) and isinstance(right, tuple):
        for one, other in zip(left, right, strict=False):
            _decide_equal(one, other, span, env)
    elif isinstance(left, int) and isinstance(right, int):
        env.decide(compared("==", left, right), span)
    else:
        env.decide_all((left, right), span)


def _count(value: object) -> int:
    """The values in a list of lists, as far as `MAX_ITEMS`."""
    if not isinstance(value, tuple):
        return 1
    total = 0
    for item in value:
        total += _count(item)
        if total > MAX_ITEMS:
            break
    return total


def condition(expression: tree.Expression, env: Env) -> bool:
    """The value of a `when`.  Raises Fault: it is neither true nor false."""
    return _truth(expression, env)


def _truth(expression: tree.Expression, env: Env) -> bool:
    value = evaluate(expression, env)
    if not isinstance(value, bool):
        raise fault(
            "E306",
            f"a condition must be true or false, not {show(value)}",
            expression.span,
            help="compare it: `!= 0`, `!= none`",
        )
    return value


def _number(expression: tree.Expression, env: Env) -> Any:
    return _as_number(evaluate(expression, env), expression.span)


def _as_number(value: Any, span: Span) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault("E306", f"expected a number, got {show(value)}", span)
    return value


def integer(expression: tree.Expression, env: Env, what: str) -> int:
    """The value of an expression that must be an integer.  Raises Fault."""
    value = evaluate(expression, env)
    if isinstance(value, bool) or not isinstance(value, int):
        message = f"{what} must be an integer, not {show(value)}"
        raise fault("E306", message, expression.span, help=divides(value))
    return value


def _span(expression: tree.Binary, env: Env) -> tuple[int, ...]:
    low = env.decide(integer(expression.left, env, "the start of a range"), expression.span)
    high = env.decide(integer(expression.right, env, "the end of a range"), expression.span)
    if high - low > MAX_ITEMS:
        message = f"the range has {high - low:,} numbers; the limit is {MAX_ITEMS:,}"
        raise fault("E308", message, expression.span)
    return tuple(range(low, high))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _arithmetic(expression: tree.Expression, env: Env) -> Any:
    assert isinstance(expression, tree.Binary)
    name = expression.operator
    left, right = evaluate(expression.left, env), evaluate(expression.right, env)
    if name == "+" and isinstance(left, tuple):
        if isinstance(right, tuple) and _count((left, right)) <= MAX_ITEMS:
            return left + right
        raise fault("E306", f"expected a list, got {show(right)}", expression.right.span)
    _as_number(left, expression.left.span)
    _as_number(right, expression.right.span)
    if name in ("/", "//", "%") and right == 0:
        raise fault("E305", "division by zero", expression.right.span, note="this is 0")
    try:
        power = name == "**"
        value = _power(left, right, expression.span) if power else _OPERATORS[name](left, right)
        if isinstance(left, int) and isinstance(right, int) and name in RELATIONS:
            env.decide(compared(name, left, right), expression.span)
        elif name in RELATIONS or (power and isinstance(value, int)):
            env.decide_all((left, right), expression.span)
        elif isinstance(value, float):
            if name == "/":
                _defined("==", right, 0, expression.right.span, env)
            elif power and right < 0:
                _defined("==", left, 0, expression.left.span, env)
            if power and not isinstance(right, int):
                _defined(">=", left, 0, expression.left.span, env)
            value = env.real(value, (left, right))
    except OverflowError:
        raise fault("E305", "the number is too large", expression.span) from None
    except TooManyTermsError:
        raise too_many_terms(expression.span) from None
    return _bounded(value, expression.span)


def _defined(relation: str, value: object, bound: int, span: Span, env: Env) -> None:
    """Note that a number is not defined at a size where the relation is another than here.

    Of integers the formula itself says so.
    """
    if isinstance(value, Sym):
        env.decide(compared(relation, value, bound), span, contract=True)


def too_many_terms(span: Span) -> Fault:
    """A formula that has grown out of bounds."""
    message = f"the formula for this size has more than {MAX_WEIGHT:,} names and numbers"
    return fault("E305", message, span, help="write the size as a number")


def _power(left: Any, right: Any, span: Span) -> Any:
    if abs(right) > MAX_BITS or (
        isinstance(left, int) and left.bit_length() * abs(right) > 4096
    ):
        raise fault("E305", f"{show(left)} ** {show(right)} is too large", span)
    if left == 0 and right < 0:
        raise fault("E305", "division by zero", span)
    if left < 0 and not isinstance(right, int):
        raise fault("E305", f"{show(left)} ** {show(right)} is not a real number", span)
    whole = isinstance(left, int) and isinstance(right, int)
    return int(left) ** int(right) if whole else left**right


def _bounded(value: Any, span: Span) -> Any:
    """The value.  Raises Fault: it is too large to be a size or a factor of anything."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise fault(
            "E305", f"the number needs {value.bit_length()} bits; the limit is {MAX_BITS}", span
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise fault("E305", "the number is too large", span)
    return value


def _value(expression: tree.Value, env: Env) -> Any:
    path, arguments = expression.path, expression.arguments
    bound = env.lookup(path.name)
    if bound is None and not path.parts:
        if arguments is None and path.name in WORDS:
            return WORDS[path.name]
        if path.name in FUNCTIONS and arguments is not None:
            return _function(expression, env)
        if path.name in INITS:
            return _initial(expression, env)
    op = operation(path.name)
    if bound is None and op is not None and not path.parts:
        return _partial(OpRef(path.name, op), arguments or (), env)
    if bound is None and path.name == IT:
        return _tensor_value(path, env)
    if bound is None:
        raise unknown(path, path.span, env)
    if isinstance(bound.meaning, Faulty):
        raise Silent
    if isinstance(bound.meaning, OpRef) and not path.parts:
        return _partial(bound.meaning, arguments or (), env)
    if arguments is not None:
        raise _called(path, bound, expression.span)
    if isinstance(bound.meaning, Flow | Family | Off):
        return _tensor_value(path, env)
    return _member(path, bound, env)


def unknown(path: tree.NamePath | str, span: Span, env: Env) -> Exception:
    """The fault of a name without a meaning, and what is written for it."""
    name = path if isinstance(path, str) else path.name
    message = f"unknown name `{short(name)}`"
    if name == "in":
        inputs = [n for n in env.visible() if _is_port(env.lookup(n))]
        help = "`in` is the input of a block without named ports"
        help += f"; here, write `{inputs[0]}`" if inputs else ""
        help += ", or `it` for what enters this step"
        return fault("E202", message, span, help=help)
    known = {*env.visible(), *WORDS, *FUNCTIONS, *INITS, *operations()}
    written = name if isinstance(path, str) else last_name(path)
    if written != name and written in SIZES:
        help = "a size belongs to a tensor with a name: a port or a label of a line"
    elif written != name and written in known:
        help = f"write `{written}`"
    else:
        help = VALUES.get(written.lower()) or step_help(written, known)
        help = help if written == name else str(help)
    return fault("E202", message, span, help=help)


def last_name(path: tree.NamePath) -> str:
    """`ReLU` of `nn.ReLU`: what other libraries call a step."""
    return [path.name, *_members(path)][-1]


def is_tensor(expression: tree.Expression, env: Env) -> bool:
    """Whether an expression is a tensor's name, and not one of its sizes."""
    match expression:
        case tree.Value(path=path, arguments=None) if SIZES.isdisjoint(_members(path)):
            bound = env.lookup(path.name)
            if bound is None or not isinstance(bound.meaning, Flow | Family):
                return False
            try:
                return bool(resolve(path, env, evaluate).all)
            except Fault:
                return False
    return False


def _members(path: tree.NamePath) -> list[str]:
    return [part.name for part in path.parts if isinstance(part, tree.Member)]


def _is_port(bound: Bound | None) -> bool:
    return bound is not None and bound.kind in ("port", "input")


def _called(path: tree.NamePath, bound: Bound, span: Span) -> Fault:
    """Parentheses behind what is no step and no function."""
    if not isinstance(bound.meaning, Flow | Family | Off):
        message = f"`{path}` is a {bound.kind}, which takes no arguments"
        return fault("E306", message, span)
    head = path.name
    if last_name(path) in SIZES:
        help = f"write `{head}.c`, `{head}.h`, `{head}.w`, or `{head}.shape[0]` for `{head}.c`"
        return fault("E306", f"`{path}` is a size, which takes no arguments", span, help=help)
    help = f"a step is written after an arrow: `{head} -> …`"
    return fault("E306", f"`{path}` is a tensor, which takes no arguments", span, help=help)


IT = "it"
"""The word for what enters a step, in the arguments of that step."""
SIZES = frozenset({"c", "d", "h", "w", "size", "shape"})
"""What can be asked of a tensor."""
VALUES = {
    "range": "a range is written `0..n`",
    "pow": "a power is written `a ** b`",
    "int": "write `floor(x)`, or divide with `//`",
    "null": "write `none`",
    "nil": "write `none`",
    "yes": "write `true`",
    "no": "write `false`",
    "channels": "a tensor's channels are `x.c`",
    "he_normal": "write `kaiming_normal`",
    "he_uniform": "write `kaiming_uniform`",
    "glorot_normal": "write `xavier_normal`",
    "glorot_uniform": "write `xavier_uniform`",
    "xavier": "write `xavier_uniform`",
    "kaiming": "write `kaiming_normal`",
    "lecun_normal": 'write `kaiming_normal(nonlinearity="linear")`',
    "truncated_normal": "write `trunc_normal`",
    "gaussian": "write `normal`",
}
"""How a value of other languages is written here."""


def _member(path: tree.NamePath, bound: Bound, env: Env) -> Any:
    """A value, or an item of a list."""
    value = bound.meaning
    for part in path.parts:
        if isinstance(part, tree.Member) or not isinstance(value, tuple):
            raise fault("E306", f"{show(value)} has no parts", part.span)
        for item in part.items:
            if isinstance(item, tree.Every):
                raise fault("E306", "`*` works on a family, not on a list", item.span)
            number = env.decide(integer(item, env, "an index"), item.span)
            if not 0 <= number < len(value):
                items = "1 item" if len(value) == 1 else f"{len(value)} items"
                message = f"the list has {items}, but the index is {number}"
                help = "items are counted from 0"
                if bound.kind == "size":
                    help = "a shape has no batch: `[C, H, W]`; its last sizes are `.h` and `.w`"
                raise fault("E203", message, item.span, help=help)
            value = value[number]
    return value


ENTER = "a tensor enters a step as `x -> relu` or `add { a; b }`"


def _tensor_value(path: tree.NamePath, env: Env) -> Any:
    """`in.c`, `up.size`, `v.shape[1]`: a size of a tensor, remembered as such."""
    cut = next(
        (
            number
            for number, part in enumerate(path.parts)
            if isinstance(part, tree.Member) and part.name in SIZES
        ),
        None,
    )
    if cut is None:
        if path.name != IT or env.lookup(IT) is not None:
            resolve(path, env, evaluate)
        raise fault(
            "E204",
            f"`{path}` is a tensor, but a value is needed",
            path.span,
            help=f"{ENTER}; values are its sizes: `.c`, `.h`, `.w`, `.size`, `.shape`",
        )
    member = path.parts[cut]
    assert isinstance(member, tree.Member)
    head = tree.NamePath(path.name, path.parts[:cut], path.span)
    tensors = _those(head, env)
    if len(tensors) != 1:
        message = f"`.{member.name}` needs one tensor, but `{head.name}` has {len(tensors)}"
        raise fault("E205", message, path.span)
    value = _size(tensors[0], member, env)
    rest = tree.NamePath(path.name, path.parts[cut + 1 :], path.span)
    return _member(rest, Bound(value, None, "size"), env)


def _those(head: tree.NamePath, env: Env) -> tuple[Tensor, ...]:
    """The tensors of a name; of `it` what enters the step.  Raises Fault."""
    if head.name != IT or env.lookup(IT) is not None:
        return resolve(head, env, evaluate).all
    if env.it is None or head.parts:
        message = "`it` stands only in a step's arguments, for what enters that step"
        help = "elsewhere a size is that of a name: `x.c`"
        raise fault("E202", message, head.span, help=help)
    return env.it


def _size(tensor: Tensor, member: tree.Member, env: Env) -> Any:
    env.frame.asked.add(tensor.node)
    sizes = tuple(_axis(tensor, number, env) for number in range(len(tensor.shape)))
    if member.name == "shape":
        return sizes
    if member.name == "size":
        return sizes[1:]
    # From the last: a line has `.w`, an image `.h .w`, a video `.d .h .w`.
    number = {"c": 0, "d": -3, "h": -2, "w": -1}[member.name]
    if member.name != "c" and len(sizes) - 1 < -number:
        message = f"the tensor has {len(sizes) - 1} spatial axes, so it has no `.{member.name}`"
        raise fault("E205", message, member.span)
    return sizes[number]


def _axis(tensor: Tensor, number: int, env: Env) -> int:
    """One size: of a port as it is, of another tensor by name, so that code can ask it."""
    size = tensor.shape[number]
    if isinstance(size, Sym) and is_axis(size.formula):
        return size
    name = f"{tensor.node}:{tensor.output}"
    found = axis(name, number, size)
    env.frame.symbols.setdefault(Axis(name, number), size)
    return found


def _partial(ref: OpRef, arguments: tuple[tree.Argument, ...], env: Env) -> OpRef:
    """An operation with more arguments."""
    positional, named = list(ref.positional), dict(ref.named)
    for argument in arguments:
        if argument.rest is not None:
            raise fault("E307", "`then` works only in a repeated step", argument.span)
        value = evaluate(argument.value, env)
        if argument.name is None:
            positional.append(value)
        else:
            named[argument.name] = value
    return OpRef(ref.name, ref.target, tuple(positional), tuple(named.items()))


def _initial(expression: tree.Value, env: Env) -> Init:
    """`normal(0.01)`, `kaiming_normal("fan_out")`: what a weight begins with."""
    cls = INITS[expression.path.name]
    given: dict[str, object] = {}
    for name, argument in named(cls, expression.arguments or ()):
        given[name] = evaluate(argument.value, env)
    try:
        return initial(cls, given)
    except OpError as error:
        place = dict(named(cls, expression.arguments or ())).get(error.attribute or "")
        where = place.span if place is not None else expression.span
        raise fault(error.code, error.message, where, help=error.help) from None


def named(
    cls: type[Init], arguments: Sequence[tree.Argument]
) -> Iterator[tuple[str, tree.Argument]]:
    """The arguments of an initialisation by their names.  Raises Fault."""
    names = [parameter.name for parameter in cls.parameters]
    for number, argument in enumerate(arguments):
        if argument.rest is not None or argument.spread:
            raise fault("E307", f"`{cls.name}` takes plain values", argument.span)
        if argument.name is None and number >= len(names):
            message = (
                f"`{cls.name}` takes {len(names)} arguments, but {len(arguments)} are given"
            )
            raise fault("E310", message, argument.span)
        yield argument.name or names[number], argument


def _function(expression: tree.Value, env: Env) -> Any:
    name = expression.path.name
    arguments = expression.arguments or ()
    if name == "len":
        return _length(expression, env)
    values = []
    for argument in arguments:
        if argument.name is not None or argument.rest is not None or argument.spread:
            raise fault("E306", f"`{name}` takes plain numbers", argument.span)
        value = evaluate(argument.value, env)
        listed = isinstance(value, tuple) and len(arguments) == 1 and name in ("min", "max")
        values += list(value) if listed else [_as_number(value, argument.value.span)]
    least, most, function = FUNCTIONS[name]
    if not least <= len(values) <= most:
        many = "any number of" if most > least else str(least)
        message = f"`{name}` takes {many} numbers, but {len(values)} are given"
        raise fault("E306", message, expression.span)
    try:
        found = _bounded(function(*values), expression.span)
        if isinstance(found, float):
            if name in DOMAINS:
                _defined(DOMAINS[name][0], values[0], DOMAINS[name][1], expression.span, env)
            return env.real(found, values)
        if not isinstance(found, Sym):
            env.decide_all(values, expression.span)
        return found
    except TooManyTermsError:
        raise too_many_terms(expression.span) from None
    except OverflowError:
        raise fault("E305", "the number is too large", expression.span) from None
    except ValueError:
        message = f"`{name}` is not defined at {', '.join(map(show, values))}"
        raise fault("E305", message, expression.span) from None


def _plain_meaning(expression: tree.Expression, env: Env) -> object:
    """What a bare name stands for; None where the expression is anything else."""
    match expression:
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
            bound = env.lookup(name)
            return bound.meaning if bound is not None else None
        case _:
            return None


def _length(expression: tree.Value, env: Env) -> int:
    arguments = expression.arguments or ()
    if len(arguments) != 1:
        raise fault("E306", "`len` takes one list or family", expression.span)
    value = arguments[0].value
    match _plain_meaning(value, env):
        case Faulty():
            raise Silent
        case Family(items=items) | Flow(family=Family(items=items)):
            return len(items)
        case Flow(tensors=tensors):
            return len(tensors)
    found = evaluate(value, env)
    if not isinstance(found, tuple):
        raise fault("E306", f"`len` takes a list, not {show(found)}", value.span)
    return len(found)


def show(value: object) -> str:
    """A value in a message."""
    if isinstance(value, OpRef):
        return f"the {'operation' if isinstance(value.target, type) else 'block'} `{value}`"
    if isinstance(value, str):
        return f'"{value[:40]}…"' if len(value) > 40 else f'"{value}"'
    if isinstance(value, tuple):
        shown = [show(item) for item in value[:6]] + ["…"] * (len(value) > 6)
        size = 1 < len(value) <= 3 and all(isinstance(n, int) and n > 0 for n in value)
        return "x".join(shown) if size else f"[{', '.join(shown)}]"
    text = spell(value)
    return text if len(text) <= 60 else text[:59] + "…"
