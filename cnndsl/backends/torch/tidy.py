"""`forward` as one writes it.

What the next statement alone reads stands in it, and tensors that are read no more leave
their names to others.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from cnndsl.backends.torch import printing, python

SHORT = ("x", "y", "z", "u", "v", "w")
WIDTH = 72


def tidy(body: list[ast.stmt], arguments: Sequence[str]) -> list[ast.stmt]:
    """Statements with unused values gone, values inlined, and names for people."""
    body = live(body)
    body = gathered(body)
    read, written = Counter[str](), Counter[str]()
    for node in body:
        read += reads(node)
        written += writes(node)
    body = [_Again().visit(node) for node in inlined(body, read, written)]
    return renamed(body, arguments)


class _Again(ast.NodeTransformer):
    """`[x] * 5` for a list of one tensor again and again."""

    def visit_List(self, node: ast.List) -> ast.expr:
        self.generic_visit(node)
        first, *others = node.elts or [ast.Constant(None)]
        alike = all(python.same(one, first) for one in others)
        if len(others) > FEW and isinstance(first, ast.Name) and alike:
            return python.operation(
                python.listed([first]), "*", python.constant(len(node.elts))
            )
        return node


FEW = 2
"""So many times more a list says the same tensor."""


def reads(node: ast.AST) -> Counter[str]:
    """The names that a statement reads."""
    return Counter(
        n.id
        for n in python.nodes(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)
    )


def writes(node: ast.AST) -> Counter[str]:
    """The names that a statement gives values."""
    return Counter(
        n.id
        for n in python.nodes(node)
        if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )


def live(body: list[ast.stmt]) -> list[ast.stmt]:
    """Without the values that nothing reads."""
    while True:
        used = Counter[str]()
        for node in body:
            used += reads(node)
        for node in body:
            used -= _appended(node)
        left = _without(body, used)
        if sum(1 for n in body for _ in python.nodes(n)) == sum(
            1 for n in left for _ in python.nodes(n)
        ):
            return left
        body = left


def _without(body: list[ast.stmt], used: Counter[str]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not used[name]:
                if _calls_module(value):
                    found.append(ast.Expr(value))
                continue
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append"), args=[value]
                )
            ) if not used[name]:
                if _calls_module(value):
                    found.append(ast.Expr(value))
                continue
            case ast.For(target=target, iter=iterator, body=inside):
                inside = _without(inside, used)
                if inside:
                    found.append(ast.For(target, iterator, inside, []))
                continue
            case ast.If(test=test, body=then, orelse=other):
                then, other = _without(then, used), _without(other, used)
                if not then and not other:
                    continue
                if not then:
                    test, then, other = python.negated(test), other, []
                found.append(ast.If(test, then, other))
                continue
        found.append(node)
    return found


def _calls_module(node: ast.expr) -> bool:
    """Whether a value is that of a module, which may hold weights and statistics."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
            return True
        case ast.Call(func=ast.Name(id=name)):
            return "§" in name  # a loop's own name for a module
        case ast.Call(func=ast.Subscript() as func):
            return _calls_module(ast.Call(func.value, [], []))
    return False


def _appended(node: ast.stmt) -> Counter[str]:
    """The lists that a statement appends to, and does not read."""
    return Counter(
        call.value.func.value.id
        for call in python.nodes(node)
        if isinstance(call, ast.Expr)
        and isinstance(call.value, ast.Call)
        and isinstance(call.value.func, ast.Attribute)
        and call.value.func.attr == "append"
        and isinstance(call.value.func.value, ast.Name)
    )


def gathered(body: list[ast.stmt]) -> list[ast.stmt]:
    """What a condition computes for a later `if` of the same condition, in that one."""
    found = list(body)
    for number in range(len(found) - 1, -1, -1):
        node = found[number]
        if not isinstance(node, ast.If) or node.orelse:
            continue
        later = found[number + 1 :]
        made = _stores(node)
        readers = [n for n, other in enumerate(later) if made & set(reads(other))]
        if len(readers) != 1:
            continue
        reader = later[readers[0]]
        between = set[str]().union(*map(_stores, later[: readers[0]]))
        if between & {*reads(node), *made}:
            continue
        whole: list[ast.stmt] = []
        match reader:
            case ast.If(test=test, body=body, orelse=[]):
                whole = [ast.If(test, [*node.body, *body], [])]
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.IfExp() as value):
                whole = [_chosen(name, value, node.body)]
                test = value.test
            case ast.Return(value=ast.IfExp() as value):
                name = f"v§chosen{number}"
                whole = [_chosen(name, value, node.body), ast.Return(python.name(name))]
                test = value.test
        if whole and python.same(test, node.test):
            at = number + 1 + readers[0]
            found[at : at + 1] = whole
            del found[number]
    return found


def _chosen(name: str, value: ast.IfExp, before: list[ast.stmt]) -> ast.If:
    """`name = a if test else b` as two branches, the first with what it needs."""
    then, other = python.assign(name, value.body), python.assign(name, value.orelse)
    return ast.If(value.test, [*before, then], [other])


def _stores(node: ast.stmt) -> set[str]:
    """The names that a statement gives values, or whose lists it grows."""
    found = set()
    for inner in ast.walk(node):
        match inner:
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Attribute(value=ast.Name(id=name), attr="append"):
                found.add(name)
    return found


def inlined(body: list[ast.stmt], read: Counter[str], written: Counter[str]) -> list[ast.stmt]:
    """Values that only the following statement reads, once, in it.

    `read` and `written` count the names in the whole function.
    """
    found: list[ast.stmt] = []
    for statement in body:
        node = _branches(statement, read, written)
        while found:
            last = found[-1]
            match last:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    pass
                case _:
                    break
            if read[name] != 1 or written[name] != 1 or not _reads_first(node, name):
                break
            merged = _put(node, name, value)
            if merged is None:
                break
            found.pop()
            node = merged
        found.append(node)
    return found


def _branches(node: ast.stmt, read: Counter[str], written: Counter[str]) -> ast.stmt:
    """`if c: x = a` / `else: x = b` in one line where it is short."""
    if isinstance(node, ast.For):
        return ast.For(node.target, node.iter, inlined(node.body, read, written), [])
    if not isinstance(node, ast.If):
        return node
    then = inlined(node.body, read, written)
    other = inlined(node.orelse, read, written)
    match then, other:
        case (
            [ast.Assign(targets=[ast.Name(id=name)], value=a)],
            [ast.Assign(targets=[ast.Name(id=again)], value=b)],
        ) if name == again:
            value = ast.IfExp(node.test, a, b)
            whole = python.assign(name, value)
            if len(printing.flat(value)) < WIDTH:
                return whole
    return ast.If(node.test, then, other)


def _reads_first(node: ast.stmt, name: str) -> bool:
    """Whether a statement evaluates a name whatever happens, and not in a loop."""
    if isinstance(node, ast.For):
        return reads(node.iter)[name] == 1
    if isinstance(node, ast.If):
        return False
    return reads(node)[name] == 1


def _put(node: ast.stmt, name: str, value: ast.expr) -> ast.stmt | None:
    class Put(ast.NodeTransformer):
        inside = 0

        def visit_Name(self, found: ast.Name) -> ast.expr:
            return python.clone(value) if found.id == name else found

    if isinstance(node, ast.For):
        return None
    if _sized(node, name) or _overtaken(node, name, value):
        return None
    merged: ast.stmt = Put().visit(python.clone(node))
    text = printing.statements([merged], 8)
    longest = printing.WIDTH if isinstance(merged, ast.Return) else WIDTH + 8
    if len(text) > 1 or len(text[0]) > longest:
        return None
    return merged


def _overtaken(node: ast.stmt, name: str, value: ast.expr) -> bool:
    """Whether a module of the value is called in a statement before the name is read.

    In the name's place it would be called later: what it draws would be another's.
    """
    own = {*_modules(value)}
    if not own:
        return False
    for inner in _in_order(node):
        if isinstance(inner, ast.Name) and inner.id == name:
            return False
        if isinstance(inner, ast.Attribute) and ast.unparse(inner) in own:
            return True
    return False


def _modules(value: ast.expr) -> Iterator[str]:
    """The members of `self` that a value names."""
    for n in python.nodes(value):
        match n:
            case ast.Attribute(value=ast.Name(id="self")):
                yield ast.unparse(n)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    """A tree's nodes as they are written."""
    yield node
    for inner in ast.iter_child_nodes(node):
        yield from _in_order(inner)


def _sized(node: ast.stmt, name: str) -> bool:
    """Whether a statement asks a value for its shape: it stands apart, then."""
    return any(
        isinstance(n, ast.Attribute)
        and n.attr == "shape"
        and isinstance(n.value, ast.Name)
        and n.value.id == name
        for n in python.nodes(node)
    )


def renamed(body: list[ast.stmt], arguments: Sequence[str]) -> list[ast.stmt]:
    """Short names for tensors, by what is still read; labels keep their own."""
    later: list[set[str]] = [set() for _ in range(len(body) + 1)]
    for number in range(len(body) - 1, -1, -1):
        later[number] = later[number + 1] | set(reads(body[number]))
    mapping: dict[str, str] = {name: name for name in arguments}
    kinds = _kinds(body)
    lasting = {name: kinds.get(name, "") for name in arguments}
    found: list[ast.stmt] = []
    for number, node in enumerate(body):
        stores = dict.fromkeys(
            n.id
            for n in ast.walk(node)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id not in mapping
        )
        busy = {mapping[n] for n in later[number + 1] if n in mapping}
        if isinstance(node, ast.If | ast.For):
            busy |= {mapping[n] for n in reads(node) if n in mapping}
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            unread = [name for name in stores if name not in later[number + 1]]
            mapping |= dict.fromkeys(unread, "_")
            for name in unread:
                del stores[name]
        for name in stores:
            hint = name.partition("§")[0]
            short = hint in ("v", "")
            wanted = SHORT if short else (hint,)
            kind = kinds.get(name, "")

            def free(candidate: str, kind: str = kind, busy: set[str] = busy) -> bool:
                return candidate not in busy and lasting.get(candidate, kind) == kind

            chosen = next((w for w in wanted if free(w)), None)
            count = 2
            while chosen is None:
                candidate = f"{wanted[0]}{count}" if short else f"{hint}_{count}"
                chosen = candidate if free(candidate) else None
                count += 1
            mapping[name] = chosen
            lasting[chosen] = kind
            busy.add(chosen)
        found.append(Rename(mapping).visit(python.clone(node)))
    return [node for node in found if not _idle(node)]


def _kinds(body: list[ast.stmt]) -> dict[str, str]:
    """What names stand for, where it is not a tensor: no name is given to two kinds."""
    found: dict[str, str] = {}
    for statement in body:
        for node in ast.walk(statement):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.List()):
                    found[name] = "list"
                case ast.For(target=target):
                    for part in ast.walk(target):
                        if isinstance(part, ast.Name):
                            found[part.id] = "turn" if "§" not in part.id else "module"
                case ast.Subscript(
                    value=ast.Name(id=name), slice=ast.Constant(value=int()) | ast.Name()
                ):
                    found.setdefault(name, "list")
    return found


def _idle(node: ast.stmt) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=a)], value=ast.Name(id=b)):
            return a == b
    return False


class Rename(ast.NodeTransformer):
    """Other names for some, where they are read and where they are given values."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        """Keep the new names."""
        self.mapping = mapping

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """The name, or its new one."""
        return ast.Name(self.mapping.get(node.id, node.id), node.ctx)


LOCALS = ("layers", "blocks", "c_in", "i")
"""What the constructor's loops call what they keep and count."""


def reusing(init: list[ast.stmt]) -> list[ast.stmt]:
    """`layers` for `layers2`, where the first `layers` are read no more."""
    mapping: dict[str, str] = {}
    for number, node in enumerate(init):
        taken = node.value if isinstance(node, ast.Assign) else None
        for name in writes(node):
            base = name.rstrip("0123456789")
            if base not in LOCALS or name == base or name in mapping:
                continue
            one = {base, *(old for old, new in mapping.items() if new == base)}
            rest = init[number + (isinstance(taken, ast.Name) and taken.id in one) :]
            if not any(reads(later).keys() & one for later in rest):
                mapping[name] = base
    known: set[str] = set()
    found = [_Reuse(mapping, known).visit(python.clone(node)) for node in init]
    return [node for node in found if not _idle(node)]


class _Reuse(Rename):
    """Names of the constructor, each with its type where it is first given a value."""

    def __init__(self, mapping: dict[str, str], known: set[str]) -> None:
        super().__init__(mapping)
        self.known = known

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        assert isinstance(node.target, ast.Name)
        assert node.value is not None
        if node.target.id in self.known:
            return ast.Assign([node.target], node.value)
        self.known.add(node.target.id)
        return node
