"""Loops of `forward`: families of tensors and modules, indexed by the turn.

A loop's body is walked once, with the loop's variable as a name. What a turn reads of a
family is generalised over the turns: `x[0]`, `x[1]`, … are `x[i]`.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate
from cnndsl.backends.torch.general import folded
from cnndsl.backends.torch.instances import T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Unit
from cnndsl.backends.torch.walk.lines import Lines
from cnndsl.backends.torch.walk.parts import (
    Family,
    Flow,
    Operand,
    Parts,
    Turning,
    Views,
)
from cnndsl.language import tree
from cnndsl.structure import Each, Loop


class Families(Lines):
    """The walk at loops over families."""

    def family(
        self,
        term: tree.ForTerm,
        views: Views[Loop],
        flow: Flow | None,
        operands: list[Operand] | None,
    ) -> Flow | None:
        """`for i in a..b`, or a table of such a column, as a loop of `forward`.

        Raises CannotTranslateError.
        """
        unit = self.unit
        name, column, over = self.turned_by(term, views)
        low = _first(over)
        variable = self.local(identifier(name))
        inside = [
            (replace(i, turns={**i.turns, variable: _number(row[column])}), body)
            for i, one in views
            for row, body in zip(one.rows, one.bodies, strict=True)
        ]
        if not inside:
            raise CannotTranslateError("a loop that no instance has")
        parts = Parts(python.name(unit.variable("parts"))) if operands is not None else None
        turning = Turning(id(term), variable, low, over, len(unit.conditions))
        counts = {len(one.rows) for _, one in views}
        turning.count = counts.pop() if len(counts) == 1 else 0
        if parts is not None:
            unit.fwd.append(python.assign(parts.run.id, python.listed([])))
        outer = dict(unit.meanings)
        unit.meanings[name] = python.name(variable)
        index = python.binary("+", python.name(variable), python.constant(-low))
        for number, (other, _) in enumerate(term.header):
            if number != column:
                cells = [self.cell(row[number], None) for row in term.rows or ()]
                if not all(isinstance(cell, ast.expr) for cell in cells):
                    raise CannotTranslateError("a loop over a table of operations")
                whole = ast.Tuple(cells, ast.Load())
                unit.columns[ast.dump(whole)] = identifier(other)
                unit.meanings[other] = python.item(whole, index)
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

    def turned_by(self, term: tree.ForTerm, views: Views[Loop]) -> tuple[str, int, ast.expr]:
        """The column that numbers a loop's turns, and the numbers.

        Raises CannotTranslateError: there is none.
        """
        if term.rows is None:
            assert term.range is not None
            ((name, _),) = term.header
            return name, 0, self.unit.ctor(translate(term.range, self.unit))
        for column, (name, _) in enumerate(term.header):
            numbers = [python.plain(row[column]) for row in views[0][1].rows]
            low = numbers[0]
            if not isinstance(low, int) or isinstance(low, bool):
                continue
            if numbers == [*range(low, low + len(numbers))]:
                ends = [low, low + len(numbers)] if low else [len(numbers)]
                return name, column, python.call("range", *map(python.constant, ends))
        raise CannotTranslateError("a loop over a table")

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
        whole = {name for name, count in unit.lengths.items() if count == turning.count}
        modules = {ast.dump(one) for node in body for one in _modules(node, index)}
        if modules:
            whole = set()  # TorchScript knows no loop over modules and tensors at once
        put = _Modules(index, found, unit, inner, set(turning.families), whole, len(modules))
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
                entries = unit.tensors.setdefault(family.label, {})
                entries[number,] = (*entries.get((number,), ()), item)
                unit.items[f"{name}[{number}]"] = item
        self.left_ragged(turning, inside)
        held = [family.tensor for family in turning.families.values()]
        for identity, found in [*unit.turns_of.items()]:
            if turning.variable in found and unit.known[identity] not in held:
                del unit.known[identity]
                del unit.turns_of[identity]
                unit.lost[identity] = turning.term

    def left_ragged(self, turning: Turning, inside: Views[Any]) -> None:
        """The families of a loop whose turns the instances differ in: lists, for a join."""
        counts = Counter(id(i.block) for i, _ in inside)
        if len({*counts.values()}) < 2:
            return
        owners = {id(i.block): i for i in self.unit.instances}
        said = [(owners[block], count) for block, count in counts.items()]
        for family in turning.families.values():
            widths = python.names_in(python.node_of(family.tensor.shape[0]))
            if family.label:
                first = self.unit.tensors[family.label][turning.low,][0]
                alike = [] if turning.variable in widths else [Operand(first)]
                many = python.name(family.variable)
                one = Operand(first, None, many, turning.term, alike, said)
                self.ragged[family.label] = one

    def item(
        self,
        family: Family,
        turning: Turning,
        number: int,
        inner: AbstractSet[str] = frozenset(),
    ) -> T:
        """What one turn appended to a list; `inner` are names of the constructor's loop."""
        unit, variable = self.unit, turning.variable
        if turning.count:
            unit.lengths[family.variable] = turning.count
            if turning.times is not None:
                unit.counts[family.variable] = turning.times
        position = python.constant(number - turning.low)
        item = T((), python.item(python.name(family.variable), position))
        outputs = [(i, t) for i, t in family.outputs if i.turns[variable] == number]
        instance, one = outputs[0]
        sizes = instance.network.shapes[one.node][one.output]
        node = python.node_of(family.tensor.shape[0])
        row = {variable: python.constant(number), **turning.row(number)}
        width = folded(python.replace(node, row))
        if python.names_in(width) & inner:
            known = {int(i.network.shapes[t.node][t.output][0]) for i, t in outputs}
            if len(known) > 1:
                raise CannotTranslateError("channels that a turn alone knows")
            width = python.constant(known.pop())
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


class _Modules(ast.NodeTransformer):
    """The module of a turn has a name of its own: `layer` for `self.layers[i]`."""

    def __init__(
        self,
        index: ast.expr,
        found: dict[str, tuple[ast.expr, str]],
        unit: Unit,
        inner: set[str],
        families: set[str],
        whole: set[str],
        modules: int,
    ) -> None:
        self.index, self.found, self.unit, self.whole = index, found, unit, whole
        self.inner, self.families, self.modules = inner, families, modules
        self.lists: dict[str, str] = {}

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        listed = isinstance(node.value, ast.List | ast.Tuple) or (
            isinstance(node.value, ast.Name) and node.value.id in self.whole
        )
        if python.same(node.slice, self.index) and listed:
            key = ast.dump(node.value)
            if self.modules and _tensors(node.value):
                if key not in self.lists:
                    self.lists[key] = self.unit.variable(self.unit.labels.get(key, ""))
                    self.unit.fwd.append(python.assign(self.lists[key], node.value))
                return python.item(python.name(self.lists[key]), self.index)
            if key not in self.found:
                hint = self.unit.columns.get(key, "")
                self.found[key] = (node.value, self.unit.variable(hint))
            return python.name(self.found[key][1])
        if python.same(node.slice, self.index) and _is_module(node.value):
            key = ast.dump(node.value)
            if key not in self.found:
                word = _word(node.value)
                # `head_block2` is a name of a place, not of what stands there.
                word = re.sub(r"^\w+_(block)\d*$", r"\1", word)
                word = {"layers": "layer", "blocks": "block", "stages": "stage"}.get(word, word)
                if word in self.families:
                    word = f"{word}_layer" if self.modules > 1 else "layer"
                name = self.unit.variable(f"{word}_row" if word in self.inner else word)
                self.found[key] = (node.value, name)
            return python.name(self.found[key][1])
        return node


def _modules(node: ast.AST, index: ast.expr) -> list[ast.expr]:
    """The lists of modules of which a turn takes its own."""
    return [
        one.value
        for one in ast.walk(node)
        if isinstance(one, ast.Subscript)
        and _is_module(one.value)
        and python.same(one.slice, index)
    ]


def _tensors(node: ast.expr) -> bool:
    """Whether a list is one of tensors."""
    return isinstance(node, ast.List) and all(isinstance(e, ast.Name) for e in node.elts)


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


def by_rows(term: tree.ForTerm) -> bool:
    """Whether a loop over a table makes families: each of its lines has an index."""
    lines = [line for line in term.body if isinstance(line, tree.LineStatement)]
    labels = [label for line in lines for label in line.labels or (None,)]
    return term.rows is not None and all(label and label.parts for label in labels)


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
