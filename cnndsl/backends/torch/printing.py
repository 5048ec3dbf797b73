"""Python's `ast` as text in the layout that `ruff format` leaves as it is."""

from __future__ import annotations

import ast
from collections.abc import Sequence

WIDTH = 88

_BINARY = {
    ast.Add: ("+", 11),
    ast.Sub: ("-", 11),
    ast.Mult: ("*", 12),
    ast.Div: ("/", 12),
    ast.FloorDiv: ("//", 12),
    ast.Mod: ("%", 12),
    ast.MatMult: ("@", 12),
    ast.Pow: ("**", 14),
    ast.BitOr: ("|", 7),
    ast.BitAnd: ("&", 9),
}
_COMPARE = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_CHOICE, _OR, _AND, _NOT, _COMPARISON, _UNARY, _ATOM = 2, 3, 4, 5, 6, 13, 16


def flat(node: ast.expr, at: int = 0) -> str:
    """An expression on one line; `at` is how tightly what stands around it binds."""
    text, level = _flat(node)
    return f"({text})" if level < at else text


def _flat(node: ast.expr) -> tuple[str, int]:
    match node:
        case ast.Name(id=text):
            return text, _ATOM
        case ast.Constant(value=str() as text):
            return _quoted(text), _ATOM
        case ast.Constant(value=value):
            return "..." if value is ... else repr(value), _ATOM
        case ast.Attribute(value=value, attr=part):
            inner = flat(value, _ATOM)
            return f"({inner}).{part}" if inner.isdigit() else f"{inner}.{part}", _ATOM
        case ast.Call():
            return f"{flat(node.func, _ATOM)}({', '.join(_arguments(node))})", _ATOM
        case ast.Subscript(value=value, slice=index):
            return f"{flat(value, _ATOM)}[{_index(index)}]", _ATOM
        case ast.Tuple(elts=items):
            inner = ", ".join(flat(i) for i in items)
            return f"({inner},)" if len(items) == 1 else f"({inner})", _ATOM
        case ast.List(elts=items):
            return f"[{', '.join(flat(i) for i in items)}]", _ATOM
        case ast.Dict(keys=keys, values=values):
            pairs = (f"{flat(k)}: {flat(v)}" for k, v in zip(keys, values, strict=True) if k)
            return f"{{{', '.join(pairs)}}}", _ATOM
        case ast.ListComp(elt=element, generators=generators):
            return f"[{flat(element)} {_generators(generators)}]", _ATOM
        case ast.GeneratorExp(elt=element, generators=generators):
            return f"({flat(element)} {_generators(generators)})", _ATOM
        case ast.Starred(value=value):
            return f"*{flat(value, _COMPARISON)}", _ATOM
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return f"not {flat(operand, _NOT)}", _NOT
        case ast.UnaryOp(operand=operand):
            return f"-{flat(operand, _UNARY)}", _UNARY
        case ast.BinOp(left=left, op=operator, right=right):
            sign, level = _BINARY[type(operator)]
            if isinstance(operator, ast.Pow):
                tight = "" if _simple(left) and _simple(right) else " "
                return f"{flat(left, level + 1)}{tight}**{tight}{flat(right, _UNARY)}", level
            return f"{flat(left, level)} {sign} {flat(right, level + 1)}", level
        case ast.BoolOp(op=operator, values=values):
            word, level = ("or", _OR) if isinstance(operator, ast.Or) else ("and", _AND)
            return f" {word} ".join(flat(v, level + 1) for v in values), level
        case ast.Compare(left=left, ops=ops, comparators=others):
            text = flat(left, _COMPARISON + 1)
            for compare, other in zip(ops, others, strict=True):
                text += f" {_COMPARE[type(compare)]} {flat(other, _COMPARISON + 1)}"
            return text, _COMPARISON
        case ast.IfExp(test=test, body=then, orelse=other):
            parts = flat(then, _OR), flat(test, _OR), flat(other, _CHOICE)
            return "{} if {} else {}".format(*parts), _CHOICE
        case ast.Lambda(args=given, body=body):
            names = ", ".join(one.arg for one in given.args)
            return f"lambda{' ' * bool(names)}{names}: {flat(body, _CHOICE)}", _CHOICE
        case ast.Slice():
            return _slice(node), _ATOM
    raise NotImplementedError(ast.dump(node))


def _quoted(text: str) -> str:
    found = repr(text)
    if found[0] == '"':
        return found
    inner = found[1:-1].replace("\\'", "'")
    return (
        f"'{found[1:-1]}'"
        if '"' in inner and "'" not in inner
        else '"' + inner.replace('"', '\\"') + '"'
    )


def _arguments(node: ast.Call) -> list[str]:
    if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.GeneratorExp):
        return [flat(node.args[0])[1:-1]]
    keywords = (
        f"{k.arg}={flat(k.value)}" if k.arg else f"**{flat(k.value)}" for k in node.keywords
    )
    return [*map(flat, node.args), *keywords]


def _index(index: ast.expr) -> str:
    if isinstance(index, ast.Tuple) and index.elts:
        inner = ", ".join(flat(i) for i in index.elts)
        return f"{inner}," if len(index.elts) == 1 else inner
    return flat(index)


def _slice(node: ast.Slice) -> str:
    bounds = [b for b in (node.lower, node.upper) if b is not None]
    space = " " if any(not _simple(b) for b in bounds) else ""
    lower = f"{flat(node.lower)}{space}" if node.lower is not None else ""
    upper = f"{space}{flat(node.upper)}" if node.upper is not None else ""
    step = f":{flat(node.step)}" if node.step is not None else ""
    return f"{lower}:{upper}{step}"


def _simple(node: ast.expr) -> bool:
    """Whether an operand of `**` or `:` is written without spaces around the sign."""
    match node:
        case ast.Name() | ast.Constant():
            return True
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() | ast.Name()):
            return True
        case ast.Attribute(value=value):
            return _simple(value)
    return False


def _generators(generators: Sequence[ast.comprehension]) -> str:
    parts = []
    for one in generators:
        parts.append(f"for {_target(one.target)} in {flat(one.iter, _OR)}")
        parts += [f"if {flat(test, _OR)}" for test in one.ifs]
    return " ".join(parts)


def _target(node: ast.expr, *, inside: bool = False) -> str:
    if isinstance(node, ast.Tuple) and inside:
        return f"({_target(node)})"
    if isinstance(node, ast.Tuple):
        return ", ".join(_target(i, inside=True) for i in node.elts) + (
            "," if len(node.elts) == 1 else ""
        )
    return flat(node)


def lines(node: ast.expr, indent: int, before: str = "", after: str = "") -> list[str]:
    """The lines of `before node after` at an indentation, broken where one is too long."""
    margin = " " * indent
    whole = f"{margin}{before}{flat(node)}{after}"
    if len(whole) <= WIDTH:
        return [whole]
    pieces = _pieces(node)
    if len(pieces) > 2:
        return _fluent(pieces, whole, indent, before, after)
    match node:
        case ast.Call(func=ast.Subscript(value=value, slice=index)) if (
            len(f"{margin}{before}{flat(node.func, _ATOM)}(") > WIDTH
        ):
            return [
                f"{margin}{before}{flat(value, _ATOM)}[",
                f"{' ' * (indent + 4)}{_index(index)}",
                f"{margin}]({', '.join(_arguments(node))}){after}",
            ]
        case ast.Call() if node.args or node.keywords:
            inside = _doc_arguments(node)
            return _bracketed(
                f"{before}{flat(node.func, _ATOM)}(", inside, f"){after}", indent, True
            )
        case ast.List(elts=items) if items:
            inside = [("", i) for i in items]
            return _bracketed(f"{before}[", inside, f"]{after}", indent, False)
        case ast.Tuple(elts=items) if items:
            inside = [("", i) for i in items]
            return _bracketed(f"{before}(", inside, f"){after}", indent, False)
        case ast.Dict(keys=keys, values=values) if keys:
            pairs = [(f"{flat(k)}: ", v) for k, v in zip(keys, values, strict=True) if k]
            return _bracketed(f"{before}{{", pairs, f"}}{after}", indent, False)
        case ast.ListComp() | ast.GeneratorExp():
            sides = "[]" if isinstance(node, ast.ListComp) else "()"
            first = f"{margin}{before}{sides[0]}"
            return [first, *_comprehension(node, indent + 4), f"{margin}{sides[1]}{after}"]
        case ast.Starred(value=value):
            return lines(value, indent, f"{before}*", after)
        case ast.BinOp(left=ast.Tuple() | ast.Name() as left, op=operator, right=right) if (
            _flat(right)[1] <= _BINARY[type(operator)][1]
            and len(f"{margin}{before}{flat(left)} + (") <= WIDTH
        ):
            first = f"{margin}{before}{flat(left)} {_BINARY[type(operator)][0]} ("
            return [first, *_operators(right, indent + 4), f"{margin}){after}"]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            if _flat(operand)[1] >= _NOT:
                return lines(operand, indent, f"{before}not ", after)
            inner = _operators(operand, indent + 4)
            return [f"{margin}{before}not (", *inner, f"{margin}){after}"]
        case ast.IfExp() | ast.BinOp() | ast.BoolOp() | ast.Compare():
            inner = _operators(node, indent + 4)
            return [f"{margin}{before}(", *inner, f"{margin}){after}"]
        case ast.Attribute(value=ast.Call() | ast.Attribute()) | ast.Subscript():
            apart = f"{' ' * (indent + 4)}{flat(node)}"
            if before.endswith(("= ", "return ")) and len(apart) <= WIDTH:
                return [f"{margin}{before}(", apart, f"{margin}){after}"]
    return [whole]


def _pieces(node: ast.expr) -> list[ast.expr]:
    """A chain of calls, taken apart before each `.method` of a result."""
    match node:
        case ast.Call(func=inner):
            *head, last = _pieces(inner)
            return [*head, ast.Call(last, node.args, node.keywords)]
        case ast.Subscript(value=inner):
            *head, last = _pieces(inner)
            return [*head, ast.Subscript(last, node.slice, node.ctx)]
        case ast.Attribute(value=ast.Name() | ast.Attribute() | ast.Constant() as inner):
            *head, last = _pieces(inner)
            return [*head, ast.Attribute(last, node.attr, node.ctx)]
        case ast.Attribute(value=ast.Call() | ast.Subscript() as inner):
            return [*_pieces(inner), ast.Name(f".{node.attr}")]
        case ast.Attribute(value=inner):
            return [ast.Name(flat(inner, _ATOM)), ast.Name(f".{node.attr}")]
    return [node]


def _fluent(
    pieces: list[ast.expr], whole: str, indent: int, before: str, after: str
) -> list[str]:
    """A chain of calls on a line of its own, or a line for each."""
    stands = before.endswith(("= ", "return ", "assert ")) or after == ":"
    margin, inner = " " * indent, indent + 4 * stands
    text = whole[indent + len(before) : len(whole) - len(after)]
    if stands and inner + len(text) <= WIDTH:
        found = [f"{' ' * inner}{text}"]
    else:
        last = len(pieces) - 1
        found = []
        for number, piece in enumerate(pieces):
            head = before if number == 0 and not stands else ""
            tail = after if number == last and not stands else ""
            found += lines(piece, inner, head, tail)
    return [f"{margin}{before}(", *found, f"{margin}){after}"] if stands else found


def _operators(node: ast.expr, indent: int) -> list[str]:
    """The operands of an expression in parentheses, one a line."""
    margin = " " * indent
    whole = f"{margin}{flat(node)}"
    if len(whole) <= WIDTH:
        return [whole]
    match node:
        case ast.IfExp():
            return _choices(node, indent, "")
        case ast.BoolOp():
            return [
                line
                for word, one in _joined(node)
                for line in _operand(one, indent, word, _NOT)
            ]
        case ast.BinOp(left=left, op=operator, right=right):
            sign, level = _BINARY[type(operator)]
            inner = isinstance(left, ast.BinOp) and _BINARY[type(left.op)][1] == level
            first = _operators(left, indent) if inner else _operand(left, indent, "", level)
            if inner and len(first) == 1:
                assert isinstance(left, ast.BinOp)
                first = _split_chain(left, indent)
            return [*first, *_operand(right, indent, f"{sign} ", level + 1)]
    return lines(node, indent)


def _choices(node: ast.expr, indent: int, head: str) -> list[str]:
    """The parts of a choice, and of those that its `else` leads to, one a line."""
    if not isinstance(node, ast.IfExp):
        return _operand(node, indent, head, _CHOICE)
    return [
        *_operand(node.body, indent, head, _OR),
        *_operand(node.test, indent, "if ", _OR),
        *_choices(node.orelse, indent, "else "),
    ]


def _joined(node: ast.expr, word: str = "") -> list[tuple[str, ast.expr]]:
    """What `and` and `or` join, each behind its word; in parentheses it is one."""
    if not isinstance(node, ast.BoolOp):
        return [(word, node)]
    own, level = ("or ", _OR) if isinstance(node.op, ast.Or) else ("and ", _AND)
    found: list[tuple[str, ast.expr]] = []
    for number, one in enumerate(node.values):
        head = own if number else word
        found += _joined(one, head) if _flat(one)[1] > level else [(head, one)]
    return found


def _operand(node: ast.expr, indent: int, head: str, at: int) -> list[str]:
    """An operand on lines of its own, in parentheses where it binds less tightly than `at`."""
    text, level = _flat(node)
    if level >= at:
        return lines(node, indent, head)
    margin = " " * indent
    whole = f"{margin}{head}({text})"
    if len(whole) <= WIDTH:
        return [whole]
    return [f"{margin}{head}(", *_operators(node, indent + 4), f"{margin})"]


def _split_chain(node: ast.expr, indent: int) -> list[str]:
    if isinstance(node, ast.BinOp):
        sign, level = _BINARY[type(node.op)]
        left = node.left
        chain = isinstance(left, ast.BinOp) and _BINARY[type(left.op)][1] == level
        first = _split_chain(left, indent) if chain else _operand(left, indent, "", level)
        return [*first, *_operand(node.right, indent, f"{sign} ", level + 1)]
    return lines(node, indent)


def _doc_arguments(node: ast.Call) -> list[tuple[str, ast.expr]]:
    found: list[tuple[str, ast.expr]] = [("", a) for a in node.args]
    return [*found, *((f"{k.arg}=", k.value) for k in node.keywords)]


def _comprehension(node: ast.ListComp | ast.GeneratorExp, indent: int) -> list[str]:
    whole = f"{' ' * indent}{flat(node)[1:-1]}"
    if len(whole) <= WIDTH:
        return [whole]
    found = lines(node.elt, indent)
    for one in node.generators:
        found += lines(one.iter, indent, f"for {_target(one.target)} in ")
        for test in one.ifs:
            found += lines(test, indent, "if ")
    return found


def _bracketed(
    head: str, items: list[tuple[str, ast.expr]], tail: str, indent: int, joinable: bool
) -> list[str]:
    margin, inner = " " * indent, indent + 4
    first, last = f"{margin}{head}", f"{margin}{tail}"
    if len(items) == 1 and not items[0][0] and joinable:
        node = items[0][1]
        if isinstance(node, ast.GeneratorExp):
            return [first, *_comprehension(node, inner), last]
        if isinstance(node, ast.IfExp | ast.BinOp | ast.BoolOp):
            return [first, *_operators(node, inner), last]
        return [first, *lines(node, inner), last]
    together = f"{' ' * inner}{', '.join(before + flat(node) for before, node in items)}"
    if joinable and len(together) <= WIDTH:
        return [first, together, last]
    if len(items) == 1 and joinable:
        return [first, *lines(items[0][1], inner, items[0][0]), last]
    body = [line for before, node in items for line in lines(node, inner, before, ",")]
    return [first, *body, last]


def statements(body: Sequence[ast.stmt], indent: int) -> list[str]:
    """The lines of a body."""
    found: list[str] = []
    for number, node in enumerate(body):
        blank = isinstance(node, ast.FunctionDef) and number > 0
        if number > 0 and isinstance(body[number - 1], ast.FunctionDef):
            blank = True
        first = body[0]
        after_doc = number == 1 and _is_doc(first) and indent > 0 and found
        if blank or (
            after_doc and isinstance(node, ast.FunctionDef | ast.Assign | ast.AnnAssign)
        ):
            found.append("")
        found += _statement(node, indent)
    return found


def _is_doc(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def documented(text: str) -> str:
    """Text that means itself between three quotes."""
    text = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return text[:-1] + '\\"' if text.endswith('"') else text


def _statement(node: ast.stmt, indent: int) -> list[str]:
    margin = " " * indent
    match node:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return f'{margin}"""{documented(text)}"""'.split("\n")
        case ast.Expr(value=value):
            return lines(value, indent)
        case ast.Return(value=None):
            return [f"{margin}return"]
        case ast.Return(value=value) if value is not None:
            return _right(value, indent, "return ")
        case ast.Assign(targets=[target], value=value):
            found = _right(value, indent, f"{_target(target)} = ")
            if isinstance(target, ast.Tuple) and len(found[0]) > WIDTH:
                names = [f"{margin}    {flat(one)}," for one in target.elts]
                return [f"{margin}(", *names, *_right(value, indent, ") = ")]
            return found
        case ast.AnnAssign(target=target, annotation=kind, value=value):
            head = f"{flat(target)}: {flat(kind)}"
            return [f"{margin}{head}"] if value is None else _right(value, indent, f"{head} = ")
        case ast.AugAssign(target=target, op=operator, value=value):
            return _right(value, indent, f"{flat(target)} {_BINARY[type(operator)][0]}= ")
        case ast.Raise(exc=error) if error is not None:
            return lines(error, indent, "raise ")
        case ast.Assert(test=test):
            return lines(test, indent, "assert ")
        case ast.If():
            return _if(node, indent, "if")
        case ast.For(target=target, iter=over, body=body):
            head = f"for {_target(target)} in "
            return [*_header(over, indent, head), *statements(body, indent + 4)]
        case ast.ClassDef(name=name, bases=bases, body=body):
            return [
                f"{margin}class {name}({', '.join(map(flat, bases))}):",
                *statements(body, indent + 4),
            ]
        case ast.FunctionDef():
            return [*_signature(node, indent), *statements(node.body, indent + 4)]
        case ast.Pass():
            return [f"{margin}pass"]
    raise NotImplementedError(ast.dump(node))


def _header(node: ast.expr, indent: int, head: str) -> list[str]:
    return lines(node, indent, head, ":")


def _right(value: ast.expr, indent: int, head: str) -> list[str]:
    if isinstance(value, ast.Tuple) and head == "return " and len(value.elts) > 1:
        whole = f"{' ' * indent}{head}{flat(value)[1:-1]}"
        if len(whole) <= WIDTH:
            return [whole]
    return lines(value, indent, head)


def _if(node: ast.If, indent: int, word: str) -> list[str]:
    margin = " " * indent
    found = [*_header(node.test, indent, f"{word} "), *statements(node.body, indent + 4)]
    match node.orelse:
        case []:
            return found
        case [ast.If() as other]:
            return [*found, *_if(other, indent, "elif")]
    return [*found, f"{margin}else:", *statements(node.orelse, indent + 4)]


def _signature(node: ast.FunctionDef, indent: int) -> list[str]:
    margin = " " * indent
    given = node.args
    texts = [f"{a.arg}: {flat(a.annotation)}" if a.annotation else a.arg for a in given.args]
    for number, default in enumerate(reversed(given.defaults), 1):
        texts[-number] += (" = " if given.args[-number].annotation else "=") + flat(default)
    tail = f") -> {flat(node.returns)}:" if node.returns is not None else "):"
    whole = f"{margin}def {node.name}({', '.join(texts)}{tail}"
    if len(whole) <= WIDTH:
        return [whole]
    together = f"{margin}    {', '.join(texts)}"
    if len(together) <= WIDTH:
        return [f"{margin}def {node.name}(", together, f"{margin}{tail}"]
    return [
        f"{margin}def {node.name}(",
        *(f"{margin}    {t}," for t in texts),
        f"{margin}{tail}",
    ]
