"""Loops of `forward`: families of tensors and modules, indexed by the turn.

A loop's body is walked once, with the loop's variable as a name. What a turn reads of a
family is generalised over the turns: `x[0]`, `x[1]`, … are `x[i]`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate
from cnndsl.backends.torch.general import folded
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Identity, Instance, T, Unit
from cnndsl.backends.torch.walk.lines import Lines
from cnndsl.backends.torch.walk.parts import (
    Family,
    Flow,
    Operand,
    Parts,
    Turning,
    Views,
    no_modules,
)
from cnndsl.language import tree
from cnndsl.structure import Each, Loop, Repeat, Tensor


class Families(Lines):
    """The walk at loops over families."""

    def family(
        self,
        term: tree.ForTerm,
        views: Views[Loop],
        flow: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`for i in a..b`, as a loop of `forward`.  Raises CannotTranslateError."""
        unit = self.unit
        if term.rows is not None or term.range is None or len(term.header) != 1:
            raise CannotTranslateError("a loop over a table")
        over = unit.ctor(translate(term.range, unit))
        low = _first(over)
        ((name, _),) = term.header
        variable = self.local(identifier(name))
        inside = [
            (replace(i, turns={**i.turns, variable: _number(row[0])}), body)
            for i, one in views
            for row, body in zip(one.rows, one.bodies, strict=True)
        ]
        if not inside:
            raise CannotTranslateError("a loop that no instance has")
        parts = Parts(python.name(unit.variable("parts"))) if operands is not None else None
        turning = Turning(id(term), variable, low, over, len(unit.conditions))
        if parts is not None:
            unit.fwd.append(python.assign(parts.run.id, python.listed([])))
        outer = dict(unit.meanings)
        unit.meanings[name] = python.name(variable)
        self.stack.append(turning)
        around, unit.fwd = unit.fwd, []
        unit.loops[variable] = over
        start = flow if operands is not None else None
        self.body(term.body, inside, start, operands=parts)
        body, unit.fwd = unit.fwd, around
        self.stack.pop()
        unit.meanings = outer
        families = turning.families.values()
        lists = [python.assign(one.variable, python.listed([])) for one in families]
        unit.fwd += lists
        unit.fwd.append(self.turning_loop(turning, body))
        self.leave_family(turning, inside)
        unit.locals.discard(variable)
        if operands is not None:
            assert parts is not None
            if parts.first is None:
                raise CannotTranslateError("a join of nothing")
            operands.append(Operand(parts.first, many=parts.run, term=id(term)))
            return None
        self.ended = id(term)
        return ()

    def again(self, term: tree.RepeatTerm, views: Views[Repeat], entered: Flow) -> Flow:
        """`term * n` of no module of its own: a loop that gives each turn what the last made.

        Raises CannotTranslateError: a turn changes the channels.
        """
        unit = self.unit
        times = unit.ctor(translate(term.times, unit))
        variable = self.local("i")
        turning = Turning(
            id(term), variable, 0, python.call("range", times), len(unit.conditions)
        )
        turning.shared = term.shared
        inside = [
            (replace(i, turns={**i.turns, variable: number}), item)
            for i, one in views
            for number, item in enumerate(one.items)
        ]
        widths = [python.node_of(tensor.shape[0]) for tensor in entered]
        outer, unit.repeat = (
            unit.repeat,
            ast.Compare(python.name(variable), [ast.Eq()], [python.constant(0)]),
        )
        ends = [(i, one.outputs if one.items else one.inputs) for i, one in views]
        made = [(i, item.outputs) for i, item in inside]
        with self.handing(turning, entered, widths, made, ends) as (leaves, given):
            given += self.term(term.term, inside, leaves, "") or ()
            after = [python.node_of(out.shape[0]) for out in given]
            if len(after) != len(widths) or not all(map(python.same, after, widths)):
                raise CannotTranslateError("a repeat that changes the channels")
        unit.repeat = outer
        return tuple(given)

    def passing(self, term: tree.ForTerm, views: Views[Loop], entered: Flow) -> Flow:
        """`for` whose turns hand on one tensor: the constructor lists each turn's modules.

        Raises CannotTranslateError: `forward` would need a turn's row.
        """
        unit = self.unit
        if any(not one.bodies for _, one in views) or not unit.passing:
            raise CannotTranslateError("a loop that not all instances have")
        (first,) = entered
        columns, over, last = self.table(term, views)
        new = {identifier(name) for name in columns} - unit.locals
        unit.locals |= new
        width, index = self.local("c_in"), self.local("turn")
        self.threads[width] = None
        turning = Turning(id(term), index, 0, over, len(unit.conditions), lists={})
        inside = [
            (replace(i, turns={**i.turns, index: number}), body)
            for i, one in views
            for number, body in enumerate(one.bodies)
        ]
        ends = [(i, one.outputs) for i, one in views]
        made = [(i, found) for i, one in views for found in turns_made(one)]
        outer, before = dict(unit.meanings), len(unit.init)
        unit.meanings |= columns
        with self.handing(turning, entered, [python.name(width)], made, ends) as (flow, given):
            given += self.body(term.body, inside, flow) or ()
            if len(given) != 1:
                raise CannotTranslateError("a loop that hands on several")
            end = unit.ctor(python.node_of(given[0].shape[0]))
            read = {name for node in unit.fwd for name in python.names_in(node)}
            if read & {width, *map(identifier, columns)} or not turning.lists:
                raise CannotTranslateError("a turn that needs its row")
        unit.meanings = outer
        unit.locals -= new
        statements = unit.init[before:]
        del unit.init[before:]
        self.filled(turning, term, columns, statements, (width, first, end))
        channels = python.replace(end, last)
        if python.names_in(channels) & {width, *map(identifier, columns)}:
            channels = python.name(width)
        (result,) = given
        sizes = [python.carry(int(result.shape[0]), channels), *result.shape[1:]]
        unit.shaped(result, sizes)
        return (result,)

    def filled(
        self,
        turning: Turning,
        term: tree.ForTerm,
        columns: Mapping[str, Any],
        statements: list[ast.stmt],
        threaded: tuple[str, T, ast.expr],
    ) -> None:
        """The constructor's loop that lists the modules of each turn."""
        unit, (width, entered, end) = self.unit, threaded
        assert turning.lists is not None
        if any(
            isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute)
            for node in statements
        ):
            raise CannotTranslateError("a turn that needs its row")
        entry = unit.ctor(python.node_of(entered.shape[0]))
        threads = any(width in python.names_in(node) for node in statements)
        if threads and not python.same(entry, python.name(width)):
            unit.init.append(python.assign(width, entry))
        done = self.threads.get(width)
        if threads and done is None and not python.same(end, python.name(width)):
            statements = [*statements, python.assign(width, end)]
        elif done is not None and not python.same(end, done):
            raise CannotTranslateError("channels that an inner loop has changed")
        used = {name for node in statements for name in python.names_in(node)}
        target, rows = self.picked(term, columns, turning.over, used)
        unit.init += [no_modules(name) for name in turning.lists.values()]
        unit.init.append(ast.For(python.stored(target), rows, statements, []))
        for attribute, name in turning.lists.items():
            kind = "nn.Sequential" if attribute in turning.whole else "nn.ModuleList"
            given = python.name(name)
            listed = ast.Starred(given, ast.Load()) if attribute in turning.whole else given
            unit.init.append(python.assign(f"self.{attribute}", python.call(kind, listed)))

    @contextmanager
    def handing(
        self,
        turning: Turning,
        entered: Flow,
        widths: Sequence[ast.expr],
        made: Views[Sequence[Tensor]],
        ends: Views[Sequence[Tensor]],
    ) -> Iterator[tuple[Flow, list[T]]]:
        """Around the walk of a turn that takes what the last one made, and gives the next its.

        What it gives is replaced by what the loop leaves.
        """
        unit = self.unit
        if any(len(outputs) != len(entered) for _, outputs in made):
            raise CannotTranslateError("a turn that hands on other tensors than it takes")
        names = [unit.variable() for _ in entered]
        outside: dict[Identity, T | None] = {}
        leaves: list[T] = []
        for number, (tensor, name) in enumerate(zip(entered, names, strict=True)):
            found = [(id(i.block), t[number].node, t[number].output) for i, t in made]
            leaf = T((), python.name(name), [*tensor.ids, *found])
            width = python.carry(int(tensor.shape[0]), widths[number])
            free = [python.Int(int(size), python.name("§")) for size in tensor.shape[1:]]
            unit.shaped(leaf, [width, *free])
            for identity in leaf.ids:
                outside[identity] = unit.known.get(identity)
                unit.known[identity] = leaf
            leaves.append(leaf)
            unit.fwd.append(python.assign(name, tensor.run))
        inner = {(id(i.block), t.node, t.output) for i, found in made for t in found}
        self.stack.append(turning)
        around, unit.fwd = unit.fwd, []
        unit.loops[turning.variable] = turning.over
        given: list[T] = []
        yield tuple(leaves), given
        body, unit.fwd = handed(unit.fwd, names, [one.run for one in given]), around
        self.stack.pop()
        loop = self.turning_loop(turning, body)
        at_once = whole_list(loop, turning)
        if at_once is not None:
            unit.fwd[-1] = python.assign(names[0], python.call(at_once, entered[0].run))
        else:
            unit.fwd.append(loop)
        unit.locals.discard(turning.variable)
        for identity, turns in [*unit.turns_of.items()]:
            if turning.variable in turns:
                unit.known.pop(identity, None)
                del unit.turns_of[identity]
                unit.lost[identity] = turning.term
        for identity, known in outside.items():
            if identity in inner:
                unit.known.pop(identity, None)
                unit.lost[identity] = turning.term
            elif known is not None:
                unit.known[identity] = known
        for number, (name, out) in enumerate(zip(names, given, strict=True)):
            result = T((), python.name(name))
            unit.shaped(result, out.shape)
            last = [(i, outputs[number]) for i, outputs in ends]
            for i, end in last:
                unit.lost.pop((id(i.block), end.node, end.output), None)
            given[number] = unit.bind(result, last)

    def called_on_each(
        self, term: tree.EachTerm, views: Views[Each], entered: Sequence[T], hint: str
    ) -> Flow:
        """`F each { x[*] }`: a loop over what enters, with a list for each output.

        Raises CannotTranslateError: what enters has unlike channels.
        """
        unit = self.unit
        alike = {(len(tensor.shape), int(tensor.shape[0])) for tensor in entered}
        if len(alike) > 1:
            raise CannotTranslateError("levels of unlike channels")
        first = views[0][1].calls[0].outputs
        names = [*getattr(getattr(views[0][1].calls[0], "block", None), "outputs", ())]
        several = len(names) == len(first) > 1
        words = [f"all_{name}" for name in names] if several else [hint] * len(first)
        variable = unit.variable()
        leaf = T((), python.name(variable))
        free = [python.Int(int(size), python.name("§")) for size in entered[0].shape[1:]]
        unit.shaped(leaf, [entered[0].shape[0], *free])
        identities = [identity for tensor in entered for identity in tensor.ids]
        before = {identity: unit.known[identity] for identity in identities}
        for identity in identities:
            unit.known[identity] = leaf
        inside = [(i, call) for i, one in views for call in one.calls]
        around, unit.fwd = unit.fwd, []
        results = self.term(term.term, inside, (leaf,), "") or ()
        unit.known |= before
        lists = [unit.variable(word if word.isidentifier() else hint) for word in words]
        for name, result in zip(lists, results, strict=True):
            append = python.attribute(python.name(name), "append")
            unit.fwd.append(ast.Expr(python.call(append, result.run)))
        body, unit.fwd = unit.fwd, around
        unit.fwd += [python.assign(name, python.listed([])) for name in lists]
        over = python.listed([tensor.run for tensor in entered])
        unit.fwd.append(ast.For(ast.Name(variable, ast.Store()), over, body, []))
        found: list[T] = []
        for number in range(len(entered)):
            for which, (name, result) in enumerate(zip(lists, results, strict=True)):
                item = T((), python.item(python.name(name), python.constant(number)))
                outputs = [(i, one.calls[number].outputs[which]) for i, one in views]
                instance, made = outputs[0]
                sizes = instance.network.shapes[made.node][made.output]
                shape: list[int] = [
                    python.carry(int(sizes[0]), python.node_of(result.shape[0]))
                ]
                for axis in range(1, len(result.shape)):
                    fixed = not isinstance(result.shape[axis], python.Int)
                    size = int(sizes[axis])
                    shape.append(size if fixed else python.Int(size, python.name("§")))
                unit.shaped(item, shape)
                found.append(unit.bind(item, outputs))
        unit.lengths |= dict.fromkeys(lists, len(entered))
        return tuple(found)

    def turning_loop(self, turning: Turning, body: list[ast.stmt]) -> ast.For:
        """`for i, layer in enumerate(self.layers):`, or over the numbers of the turns."""
        unit = self.unit
        index = python.binary("+", python.name(turning.variable), python.constant(-turning.low))
        found: dict[str, tuple[ast.expr, str]] = {}
        inner = {
            name.id.partition("§")[0]
            for node in body
            for loop in ast.walk(node)
            if isinstance(loop, ast.For)
            for name in ast.walk(loop.target)
            if isinstance(name, ast.Name)
        }
        put = _Modules(index, found, unit, inner, set(turning.families))
        body = [put.visit(node) for node in body]
        target: ast.expr = python.name(turning.variable)
        counted = any(turning.variable in python.names_in(node) for node in body)
        if not found:
            over = unit.run(turning.over)
            match turning.over:
                case ast.Call(func=ast.Name(id="range"), args=ends):
                    over = python.call("range", *(unit.run(end) for end in ends))
            target = target if counted else python.name("_")
            return ast.For(python.stored(target), over, body, [])
        lists = [access for access, _ in found.values()]
        names: list[ast.expr] = [python.name(name) for _, name in found.values()]
        over = lists[0] if len(lists) == 1 else python.call("zip", *lists)
        item = names[0] if len(names) == 1 else ast.Tuple(names, ast.Load())
        if counted:
            start = [python.constant(turning.low)] if turning.low else []
            over = python.call("enumerate", over, *start)
            item = ast.Tuple([target, item], ast.Load())
        return ast.For(python.stored(item), over, body, [])

    def leave_family(self, turning: Turning, inside: Views[Any]) -> None:
        """After a loop: a family's tensors are the items of its list."""
        unit = self.unit
        for name, family in turning.families.items():
            for number in dict.fromkeys(i.turns[turning.variable] for i, _ in inside):
                item = self.item(family, turning, number)
                unit.tensors.setdefault(name, {})[number,] = (item,)
                unit.items[f"{name}[{number}]"] = item
        held = [family.tensor for family in turning.families.values()]
        for identity, found in [*unit.turns_of.items()]:
            if turning.variable in found and unit.known[identity] not in held:
                del unit.known[identity]
                del unit.turns_of[identity]
                unit.lost[identity] = turning.term

    def item(self, family: Family, turning: Turning, number: int) -> T:
        """What one turn appended to a list."""
        unit, variable = self.unit, turning.variable
        position = python.constant(number - turning.low)
        item = T((), python.item(python.name(family.variable), position))
        outputs = [(i, t) for i, t in family.outputs if i.turns[variable] == number]
        instance, one = outputs[0]
        sizes = instance.network.shapes[one.node][one.output]
        node = python.node_of(family.tensor.shape[0])
        width = folded(python.replace(node, {variable: python.constant(number)}))
        shape: list[int] = [python.carry(int(sizes[0]), width)]
        for axis in range(1, len(family.tensor.shape)):
            free = isinstance(family.tensor.shape[axis], python.Int)
            size = int(sizes[axis])
            shape.append(python.Int(size, python.name("§")) if free else size)
        unit.shaped(item, shape)
        for owner, tensor in outputs:
            identity = (id(owner.block), tensor.node, tensor.output)
            made = unit.turns_of.get(identity, {})
            if made.get(variable) != number:
                continue  # what entered the turn: it has a name already
            unit.known[identity] = item
            item.ids.append(identity)
            del unit.turns_of[identity]
            left = {name: turn for name, turn in made.items() if name != variable}
            if left:
                unit.turns_of[identity] = left
        return item


def handed(
    body: list[ast.stmt], names: Sequence[str], given: Sequence[ast.expr]
) -> list[ast.stmt]:
    """A turn's statements, at whose end what it gives has the names of what it takes."""
    if len(names) == 1:
        return [*body, python.assign(names[0], given[0])]
    match body[-1:]:
        case [ast.Assign(targets=[ast.Tuple(elts=targets)])]:
            stored = [node.id for node in targets if isinstance(node, ast.Name)]
            if all(isinstance(node, ast.Name) and node.id in stored for node in given):
                new = {node.id: name for node, name in zip(given, names, strict=True)}  # type: ignore[attr-defined]
                if len(new) == len(names):
                    for node in targets:
                        if isinstance(node, ast.Name):
                            node.id = new.get(node.id, node.id)
                    return body
    raise CannotTranslateError("a turn that makes its tensors one by one")


def whole_list(loop: ast.For, turning: Turning) -> ast.expr | None:
    """`self.layers`, where a loop does no more than call each of these."""
    match loop:
        case ast.For(
            target=ast.Name(id=layer),
            iter=ast.Attribute(value=ast.Name(id="self"), attr=attribute) as layers,
            body=[
                ast.Assign(
                    targets=[ast.Name(id=made)],
                    value=ast.Call(func=ast.Name(id=called), args=[argument]),
                ),
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Name(id=last)),
            ],
        ) if (
            turning.lists is not None
            and layer == called
            and made == last
            and python.same(argument, python.name(name))
        ):
            turning.whole.add(attribute)
            return layers
    return None


def turns_made(loop: Loop) -> list[tuple[Tensor, ...]]:
    """What each turn of a loop hands on."""
    found: list[tuple[Tensor, ...]] = []
    for body in loop.bodies:
        last = next((line.outputs for line in reversed(body) if line.on), None)
        if last is None:
            raise CannotTranslateError("a turn without a line")
        found.append(tuple(last))
    return found


class _Modules(ast.NodeTransformer):
    """The module of a turn has a name of its own: `layer` for `self.layers[i]`."""

    def __init__(
        self,
        index: ast.expr,
        found: dict[str, tuple[ast.expr, str]],
        unit: Unit,
        inner: set[str],
        families: set[str],
    ) -> None:
        self.index, self.found, self.unit = index, found, unit
        self.inner, self.families = inner, families

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if python.same(node.slice, self.index) and _is_module(node.value):
            key = ast.dump(node.value)
            if key not in self.found:
                word = _word(node.value)
                # `head_block2` is a name of a place, not of what stands there.
                word = re.sub(r"^\w+_(block)\d*$", r"\1", word)
                hint = "layer" if word in self.families else word
                name = self.unit.variable(f"{word}_row" if word in self.inner else hint)
                self.found[key] = (node.value, name)
            return python.name(self.found[key][1])
        return node


def _is_module(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="self")):
            return True
        case ast.Subscript(value=inner):
            return _is_module(inner)
    return False


def _word(node: ast.expr) -> str:
    """The attribute where a module is."""
    while isinstance(node, ast.Subscript):
        node = node.value
    assert isinstance(node, ast.Attribute)
    return node.attr


def ranges(term: tree.ForTerm) -> bool:
    """Whether a loop goes over `a..b`."""
    match term.range:
        case tree.Binary(operator=".."):
            return len(term.header) == 1
    return False


def _number(value: object) -> int:
    found = python.plain(value)
    assert isinstance(found, int)
    return found


def _first(over: ast.expr) -> int:
    """A range's first number."""
    match over:
        case ast.Call(func=ast.Name(id="range"), args=[_]):
            return 0
        case ast.Call(func=ast.Name(id="range"), args=[low, _]):
            number = python.number(low)
            if isinstance(number, int):
                return number
    raise CannotTranslateError("a loop over other than numbers")
