"""Repeats and tables as modules: comprehensions, and loops that thread the channels."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from cnndsl.backends.torch import python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError, literal, translate
from cnndsl.backends.torch.instances import SplitError, T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.unit import Layer
from cnndsl.backends.torch.walk.modules import Modules
from cnndsl.backends.torch.walk.parts import (
    Turns,
    Views,
    no_modules,
    repeats,
    sequential,
    turns_in,
)
from cnndsl.language import tree
from cnndsl.structure import Loop, Repeat


class Repeats(Modules):
    """The walk at repeats and tables of modules."""

    def turning(
        self, term: tree.RepeatTerm | tree.ForTerm, views: Views[Any], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`term * n`, or a table of modules: a loop, else one turn after the other."""
        unit = self.unit
        before = (len(unit.init), dict(unit.meanings), unit.repeat, [*unit.defaults])
        threads, kept = dict(self.threads), dict(unit.kept)
        try:
            if isinstance(term, tree.ForTerm):
                return self.rows(term, views, entered)
            return self.repeated(term, views, entered)
        except SplitError as error:
            if not error.turns:
                raise
        except CannotTranslateError as error:
            if error.final:
                raise
        size, unit.meanings, unit.repeat, unit.defaults = before
        del unit.init[size:]
        self.threads, unit.kept = threads, kept
        return self.unrolled(term, views, entered)

    def repeated(
        self, term: tree.RepeatTerm, views: Views[Repeat], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`term * n`: the first and the rest, or a loop that threads the channels."""
        unit = self.unit
        times = unit.ctor(translate(term.times, unit))
        count = python.number(times)
        some = [(i, one) for i, one in views if one.items]
        if count == 0 or not some:
            return [], entered
        outer = unit.repeat
        try:
            if isinstance(count, int):
                unit.repeat = True
                first, out = self.turn(
                    term.term, [(i, one.items[0]) for i, one in some], entered
                )
                if count == 1:
                    return Turns([first]), out
                unit.repeat = False
                later = [(i, item) for i, one in some for item in one.items[1:]]
                rest, end = self.turn(term.term, later, out)
                if python.same(python.node_of(out.shape[0]), python.node_of(end.shape[0])):
                    found = [*[first] * 1, *repeats(rest, count - 1)]
                    if python.same(first, rest):
                        found = repeats(first, count)
                    return found, self.outside(end, views, end.shape[0])
            return self.threaded(term, times, some, entered)
        finally:
            unit.repeat = outer

    def turn(self, term: tree.Term, views: Views[Any], entered: T) -> tuple[ast.expr, T]:
        """One turn of a repeat."""
        links = self.links((term,), [(i, [one]) for i, one in views])
        items, out = self.sequence(links, entered)
        return sequential(items), out

    def outside(self, out: T, views: Views[Any], channels: int) -> T:
        """What leaves a loop: its sizes are those of the last turn."""
        found = [(i, term.outputs[0]) for i, term in views]
        instance, one = found[0]
        sizes = instance.network.shapes[one.node][one.output]
        shape: list[int] = [python.carry(int(sizes[0]), python.node_of(channels))]
        for axis, size in enumerate(sizes[1:], 1):
            fixed = not isinstance(out.shape[axis], python.Int)
            shape.append(int(size) if fixed else python.Int(int(size), python.name("§")))
        return self.inner(shape, found)

    def threaded(
        self, term: tree.RepeatTerm, times: ast.expr, views: Views[Repeat], entered: T
    ) -> tuple[list[ast.expr], T]:
        """A loop whose channels change from turn to turn."""
        unit = self.unit
        index = self.local("i")
        entry = unit.ctor(python.node_of(entered.shape[0]))
        around = isinstance(entry, ast.Name) and entry.id in self.threads
        variable = entry.id if around else self.local("c_in")  # type: ignore[attr-defined]
        leaf = T(
            (python.Int(int(entered.shape[0]), python.name(variable)), *entered.shape[1:]),
            entered.run,
            list(entered.ids),
        )
        first = ast.Compare(python.name(index), [ast.Eq()], [python.constant(0)])
        unit.repeat = first
        items = [(i, item) for i, one in views for item in one.items]
        module, out = self.turn(term.term, items, leaf)
        return self.loop_of(
            variable, entered, out, module, python.name(index),
            python.call("range", times), views, times,
        )  # fmt: skip

    def loop_of(
        self,
        variable: str,
        entered: T,
        out: T,
        module: ast.expr,
        target: ast.expr,
        over: ast.expr,
        views: Views[Any],
        times: ast.expr | None,
        last: dict[str, ast.expr] | None = None,
    ) -> tuple[list[ast.expr], T]:
        """`for … in …: layers.append(…)`, or a comprehension where nothing is threaded."""
        unit = self.unit
        entry = unit.ctor(python.node_of(entered.shape[0]))
        end = unit.ctor(python.node_of(out.shape[0]))
        threads = variable in python.names_in(module)
        grows = variable in python.names_in(end)
        names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
        if python.same(end, entry) or python.same(end, python.name(variable)):
            module = python.replace(module, {variable: entry})
            used = python.names_in(module)
            plain = target if names & used else python.name("_")
            comprehension = ast.comprehension(python.stored(plain), over, [], 0)
            found: list[ast.expr] = [
                ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())
            ]
            return found, self.outside(out, views, python.carry(int(out.shape[0]), entry))
        if grows:
            step = difference(end, variable)
            if times is None or step is None or names & python.names_in(step):
                channels: ast.expr = python.name(variable)
            else:
                channels = python.binary("+", entry, python.binary("*", times, step))
        else:
            channels = python.replace(end, last or {})
            if names & python.names_in(channels):
                channels = python.name(variable)
        body: list[ast.stmt] = []
        layers_ = self.local("layers")
        if not threads and not python.same(channels, python.name(variable)):
            plain = target if names & python.names_in(module) else python.name("_")
            comprehension = ast.comprehension(python.stored(plain), over, [], 0)
            starred = ast.Starred(ast.GeneratorExp(module, [comprehension]), ast.Load())
            return [starred], self.outside(
                out, views, python.carry(int(out.shape[0]), channels)
            )
        if python.same(entry, python.name(variable)):
            # The loop around this one threads the same channels.
            self.threads[variable] = end
        elif not left_by(unit.init, variable, entry):
            unit.init.append(python.assign(variable, entry))
        unit.init.append(no_modules(layers_))
        append = python.call(python.attribute(python.name(layers_), "append"), module)
        body += [ast.Expr(append), python.assign(variable, end)]
        used = names & (python.names_in(module) | python.names_in(end))
        plain = target if used else python.name("_")
        unit.init.append(ast.For(python.stored(plain), over, body, []))
        found = [ast.Starred(python.name(layers_), ast.Load())]
        return found, self.outside(out, views, python.carry(int(out.shape[0]), channels))

    def rows(
        self, term: tree.ForTerm, views: Views[Loop], entered: T
    ) -> tuple[list[ast.expr], T]:
        """`for` over a table of modules."""
        unit = self.unit
        some = [(i, one) for i, one in views if one.bodies]
        if not some:
            return [], entered
        columns, over, last = self.table(term, some)
        new = {identifier(name) for name in columns} - unit.locals
        unit.locals |= new
        entry = unit.ctor(python.node_of(entered.shape[0]))
        if isinstance(entry, ast.Name) and entry.id in self.threads:
            variable = entry.id
        else:
            variable = self.local("c_in")
            self.threads[variable] = None
        outer_meanings = dict(unit.meanings)
        before = len(unit.init)
        unit.meanings |= columns
        leaf = T(
            (python.Int(int(entered.shape[0]), python.name(variable)), *entered.shape[1:]),
            entered.run,
            list(entered.ids),
        )
        inside = [(i, body) for i, one in some for body in one.bodies]
        links = self.grouped(term.body, inside)
        items, out = self.sequence(links, leaf)
        statements = unit.init[before:]
        del unit.init[before:]
        unit.meanings = outer_meanings
        unit.locals -= new
        used = {n for node in (*statements, *items) for n in python.names_in(node)}
        used |= python.names_in(python.node_of(out.shape[0]))
        target, rows = self.picked(term, columns, over, used)
        if statements:
            return self.nested(
                variable, entered, out, items, target, rows, some, statements, last
            )
        return self.loop_of(
            variable, entered, out, sequential(items), target, rows, some, None, last
        )

    def picked(
        self, term: tree.ForTerm, columns: Mapping[str, Any], over: ast.expr, used: set[str]
    ) -> tuple[ast.expr, ast.expr]:
        """A loop's target and what it goes over, the columns left out that nothing uses."""
        names = [identifier(name) for name in columns]
        kept = [n for n, name in enumerate(names) if name in used]
        target: ast.expr = python.name("_")
        if kept:
            cells = [python.name(names[n]) for n in kept]
            target = cells[0] if len(cells) == 1 else ast.Tuple(list(cells), ast.Load())
        if not isinstance(over, ast.Tuple) or self.cells(term) is None:
            return target, over
        if not kept:
            return target, python.call("range", python.constant(len(over.elts)))
        picked = []
        for row in over.elts:
            assert isinstance(row, ast.Tuple)
            left = [row.elts[n] for n in kept]
            picked.append(left[0] if len(left) == 1 else ast.Tuple(list(left), ast.Load()))
        return target, ast.Tuple(picked, ast.Load())

    def nested(
        self,
        variable: str,
        entered: T,
        out: T,
        items: list[ast.expr],
        target: ast.expr,
        rows: ast.expr,
        views: Views[Loop],
        statements: list[ast.stmt],
        last: dict[str, ast.expr],
    ) -> tuple[list[ast.expr], T]:
        """A loop whose body has statements: an inner loop, a `let`."""
        unit = self.unit
        entry = unit.ctor(python.node_of(entered.shape[0]))
        end = unit.ctor(python.node_of(out.shape[0]))
        layers_ = self.local("blocks")
        if not python.same(entry, python.name(variable)):
            unit.init.append(python.assign(variable, entry))
        else:  # the loop around this one threads the same channels
            self.threads[variable] = end
        unit.init.append(no_modules(layers_))
        append = python.call(
            python.attribute(python.name(layers_), "append"), sequential(items)
        )
        body: list[ast.stmt] = [*statements, ast.Expr(append)]
        done = self.threads.get(variable)
        if not python.same(end, python.name(variable)) and not python.same(end, done):
            body.append(python.assign(variable, end))
        unit.init.append(ast.For(python.stored(target), rows, body, []))
        names = {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
        channels = python.replace(end, last)
        if variable in python.names_in(channels) or names & python.names_in(channels):
            channels = python.name(variable)
        found: list[ast.expr] = [ast.Starred(python.name(layers_), ast.Load())]
        return found, self.outside(out, views, python.carry(int(out.shape[0]), channels))

    def table(
        self, term: tree.ForTerm, views: Views[Loop]
    ) -> tuple[dict[str, Any], ast.expr, dict[str, ast.expr]]:
        """The columns' meanings in a loop, what it goes over, and the last row's values."""
        unit = self.unit
        names = [name for name, _ in term.header]
        written = self.cells(term)
        if written is None:
            assert term.range is not None
            over = unit.ctor(translate(term.range, unit))
            (name,) = names
            column: dict[str, Any] = {name: python.name(identifier(name))}
            last: dict[str, ast.expr] = {}
            match over:
                case ast.Call(func=ast.Name(id="range"), args=[*_, high]):
                    last = {identifier(name): python.binary("-", high, python.constant(1))}
                case ast.Tuple(elts=[*_, end]):
                    last = {identifier(name): end}
            return column, over, last
        loop = views[0][1]
        columns: dict[str, Any] = {}
        cells: list[list[ast.expr]] = [[] for _ in written]
        for number, name in enumerate(names):
            values = [row[number] for row in loop.rows]
            found = [self.cell(row[number], values[n]) for n, row in enumerate(written)]
            nodes: list[ast.expr] = []
            takes: set[bool] = set()
            for one in found:
                if isinstance(one, ast.expr):
                    nodes.append(one)
                else:
                    rank = len(loop.inputs[0].shape) - 1
                    known = steps.callable_node(unit, one, rank)
                    if known is None:
                        raise CannotTranslateError("a table with an operation or none")
                    nodes.append(known[0])
                    takes.add(known[1])
            absent = any(literal(node) == (None,) for node in nodes)
            if len(takes) > 1 or (takes and absent):
                raise CannotTranslateError("a table of unlike operations")
            nodes = self.cubes(marked(nodes))
            named = python.name(identifier(name))
            same = all(python.same(node, nodes[0]) for node in nodes)
            constant = literal(nodes[0]) is not None and same
            columns[name] = Layer(named, takes.pop()) if takes else named
            first = literal(nodes[0])
            if first is not None and isinstance(first[0], tuple):
                parts = [python.item(named, python.constant(n)) for n in range(len(first[0]))]
                columns[name] = ast.Tuple(list(parts), ast.Load())
            if constant and literal(nodes[0]) == (None,):
                columns[name] = nodes[0]
            for row, node in zip(cells, nodes, strict=True):
                row.append(node)
        rows = ast.Tuple([ast.Tuple(row, ast.Load()) for row in cells], ast.Load())
        final = {identifier(n): node for n, node in zip(names, cells[-1], strict=True)}
        return columns, rows, final

    def cells(self, term: tree.ForTerm) -> Sequence[Sequence[tree.Expression | None]] | None:
        """The rows of a table, or of a list of operations; None of another range."""
        match term.range:
            case tree.ListLiteral(items=items) if term.rows is None:
                try:
                    translate(term.range, self.unit)
                except CannotTranslateError:
                    return [(item,) for item in items]
        return term.rows

    def unrolled(
        self, term: tree.RepeatTerm | tree.ForTerm, views: Views[Any], entered: T
    ) -> tuple[list[ast.expr], T]:
        """The modules of each turn for themselves: the turns differ in more than numbers."""
        unit, found = self.unit, Turns()
        self.counted(term, views)
        outer, repeat = dict(unit.meanings), unit.repeat
        for number in range(len(turns_in(views[0][1]))):
            inside = [(i, turns_in(one)[number]) for i, one in views]
            if isinstance(term, tree.ForTerm):
                self.bind_row(term, [(i, one.rows[number]) for i, one in views], number)
                items, entered = self.sequence(self.grouped(term.body, inside), entered)
                found.append(sequential(items))
            else:
                unit.repeat = number == 0
                module, entered = self.turn(term.term, inside, entered)
                found.append(module)
        unit.meanings, unit.repeat = outer, repeat
        return found, entered

    def bind_row(self, term: tree.ForTerm, views: Views[Sequence[object]], number: int) -> None:
        """What the columns of a loop are in one turn."""
        self.agree([(i, python.plain(known_row(row))) for i, row in views])
        written, row = self.cells(term), views[0][1]
        for column, (name, _) in enumerate(term.header):
            said = written[number][column] if written is not None else None
            if said is None:
                node = python.constant(python.plain(row[column]))
                cells = [other[column] for other in written or () if other[column] is not None]
                marks = [self.cell(cell, None) for cell in cells]
                if marks and all(isinstance(mark, ast.expr) for mark in marks):
                    node = marked([node, *marks])[0]
                self.unit.meanings[name] = node
            else:
                self.unit.meanings[name] = self.cell(said, row[column])

    def cell(self, written: tree.Expression | None, value: object) -> Any:
        """One cell of a table."""
        if written is None:
            return python.constant(value if isinstance(value, bool) else None)
        try:
            return self.unit.ctor(translate(written, self.unit))
        except CannotTranslateError:
            return steps.meaning(self.unit, written)

    def cubes(self, nodes: list[ast.expr]) -> list[ast.expr]:
        """Sizes of one number, where all are cubes: `3` for `3x3`."""
        values = [literal(node) for node in nodes]
        found = []
        for value in values:
            if value is None or not isinstance(value[0], tuple):
                return nodes
            if not value[0] or len(set(value[0])) > 1:
                return nodes
            found.append(python.constant(value[0][0]))
        return found


def left_by(init: Sequence[ast.stmt], variable: str, value: ast.expr) -> bool:
    """Whether the constructor's last statement is a loop that leaves this value."""
    match init[-1:]:
        case [ast.For(iter=over, body=[*_, ast.Assign() as last])]:
            turns = isinstance(over, ast.Tuple) or bool(
                isinstance(over, ast.Call)
                and len(over.args) == 1
                and python.number(over.args[0])
            )
            return turns and python.same(last, python.assign(variable, value))
    return False


def known_row(row: Sequence[object]) -> tuple[object, ...]:
    """A loop's row; what is no plain value by its text."""
    return tuple(
        value if isinstance(value, int | float | str | tuple | None) else str(value)
        for value in row
    )


def marked(nodes: list[ast.expr]) -> list[ast.expr]:
    """A column's cells: an empty one in a column of marks is no mark."""
    known = [literal(node) for node in nodes]
    if {type(one[0]) for one in known if one} != {bool, type(None)}:
        return nodes
    off = python.constant(False)
    return [off if one == (None,) else n for n, one in zip(nodes, known, strict=True)]


def difference(end: ast.expr, variable: str) -> ast.expr | None:
    """`k` of `c_in + k`."""
    match end:
        case ast.BinOp(op=ast.Add(), left=ast.Name(id=name), right=step) if name == variable:
            return step
        case ast.BinOp(op=ast.Add(), left=step, right=ast.Name(id=name)) if name == variable:
            return step
    return None
