"""Loops of `forward` whose turns take what the last one made, and give the next theirs."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cnndsl.backends.torch import python
from cnndsl.backends.torch.expressions import CannotTranslateError, translate
from cnndsl.backends.torch.instances import Identity, T
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.tidy import Rename
from cnndsl.backends.torch.walk.families import Families
from cnndsl.backends.torch.walk.parts import Family, Flow, Turning, Views, no_modules
from cnndsl.language import tree
from cnndsl.structure import Call, Loop, Repeat, Step, Tensor, walk


class Passing(Families):
    """The walk at loops that hand on tensors."""

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
            given.extend(self.term(term.term, inside, leaves, "") or ())
            after = [python.node_of(out.shape[0]) for out in given]
            if len(after) != len(widths) or not all(map(python.same, after, widths)):
                raise CannotTranslateError("a repeat that changes the channels")
        unit.repeat = outer
        return tuple(given)

    def passing(self, term: tree.ForTerm, views: Views[Loop], entered: Flow) -> Flow:
        """`for` whose turns hand on one tensor: the constructor lists each turn's modules.

        What else a turn gives is collected in lists.
        Raises CannotTranslateError: `forward` would need a turn's row.
        """
        unit = self.unit
        if any(not one.bodies for _, one in views):
            raise CannotTranslateError("a loop that not all instances have")
        (first,) = entered
        turns = [(i, turns_made(one)) for i, one in views]
        on = handed_on(views, turns)
        columns, over, last = self.table(term, views)
        new = {identifier(name) for name in columns} - unit.locals
        unit.locals |= new
        width, index = self.local("c_in"), self.local("turn")
        self.threads[width] = None
        turning = Turning(id(term), index, 0, over, len(unit.conditions), lists={})
        turning.columns = [*map(identifier, columns)]
        counts = {len(one.bodies) for _, one in views}
        turning.count = counts.pop() if len(counts) == 1 else 0
        inside = [
            (replace(i, turns={**i.turns, index: number}), body)
            for i, one in views
            for number, body in enumerate(one.bodies)
        ]
        given_on = [(i, found) for i, each in turns for found in each]
        made = [(i, (found[on],)) for i, found in given_on if on in found]
        ends = [(i, (each[-1][on],)) for i, each in turns if on in each[-1]]
        outer, before = dict(unit.meanings), len(unit.init)
        unit.meanings |= columns
        with self.handing(turning, entered, [python.name(width)], made, ends) as (flow, given):
            results = self.body(term.body, inside, flow) or ()
            names = dict.fromkeys(name for _, found in given_on for name in found)
            if len(results) != len(names):
                raise CannotTranslateError("a loop that hands on others than its turns give")
            for name, one in zip(names, results, strict=True):
                if name == on:
                    given.append(one)
                elif all(name in found for _, found in given_on):
                    pairs = zip((i for i, _ in inside), given_on, strict=True)
                    outputs = [(i, found[name]) for i, (_, found) in pairs]
                    self.collected(turning, name, one, outputs)
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
        if len(names) == 1:
            return (result,)
        return self.flow_of([(i, one.outputs) for i, one in views])

    def collected(self, turning: Turning, name: str, one: T, outputs: Views[Tensor]) -> None:
        """Append what a turn gives beside what it hands on to a list."""
        unit = self.unit
        variable = unit.variable(f"all_{name}" if name.isidentifier() else "")
        turning.families[name or variable] = Family(variable, one, outputs, "")
        append = python.attribute(python.name(variable), "append")
        unit.fwd.append(ast.Expr(python.call(append, one.run)))

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
        stays = python.same(end, entry) or python.same(end, python.name(width))
        if stays and self.threads.get(width) is None:
            statements = [python.filled(node, {width: entry}) for node in statements]
            end = python.name(width)
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
        if not threads and len(turning.lists) == 1 and (one := only_module(statements)):
            ((attribute, _),) = turning.lists.items()
            made: ast.expr = ast.GeneratorExp(
                one, [ast.comprehension(python.stored(target), rows, [], 0)]
            )
            kind = "nn.ModuleList"
            if attribute in turning.whole:
                kind, made = "nn.Sequential", ast.Starred(made, ast.Load())
            unit.init.append(python.assign(f"self.{attribute}", python.call(kind, made)))
            return
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
        # Several keep their labels; one that goes through a loop is `x`, as everywhere.
        words = [
            one.run.id.partition("§")[0] for one in entered if isinstance(one.run, ast.Name)
        ]
        several = len(words) == len(entered) > 1
        names = [
            unit.variable(words[n] if several and words[n] != "v" else "")
            for n in range(len(entered))
        ]
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
        families = turning.families.values()
        unit.fwd += [python.assign(one.variable, python.listed([])) for one in families]
        loop = self.turning_loop(turning, body)
        at_once = whole_list(loop, turning)
        if at_once is not None:
            unit.fwd[-1] = python.assign(names[0], python.call(at_once, entered[0].run))
        else:
            unit.fwd.append(loop)
        unit.locals.discard(turning.variable)
        for family in families:
            for number in range(turning.count):
                self.item(family, turning, number, {*turning.columns, *self.threads})
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


def handed(
    body: list[ast.stmt], names: Sequence[str], given: Sequence[ast.expr]
) -> list[ast.stmt]:
    """A turn's statements, at whose end what it gives has the names of what it takes."""
    if len(names) == 1:
        return taking(body, names[0], given[0])
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


def taking(body: list[ast.stmt], name: str, given: ast.expr) -> list[ast.stmt]:
    """The same for one tensor: `x, tap = layer(x)` where nothing reads the old `x` later."""
    for number, statement in enumerate(body):
        match statement, given:
            case ast.Assign(targets=[ast.Tuple(elts=targets)]), ast.Name(id=made):
                later = {n for one in body[number + 1 :] for n in python.names_in(one)}
                names = {one.id for one in targets if isinstance(one, ast.Name)}
                if made in names and name not in later:
                    put = Rename({made: name})
                    rest = (put.visit(python.clone(s)) for s in body[number:])
                    return [*body[:number], *rest]
    return [*body, python.assign(name, given)]


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


def turns_made(loop: Loop) -> list[dict[str, Tensor]]:
    """What each turn of a loop gives, by the names that a block gives its outputs."""
    found: list[dict[str, Tensor]] = []
    for body in loop.bodies:
        last = next((line for line in reversed(body) if line.on), None)
        if last is None:
            raise CannotTranslateError("a turn without a line")
        names = [str(number) for number in range(len(last.outputs))]
        called = last.terms[-1] if last.terms else None
        if isinstance(called, Call) and len(called.block.outputs) == len(names):
            names = [*called.block.outputs]
        found.append(dict(zip(names, last.outputs, strict=True)))
    return found


def handed_on(views: Views[Loop], turns: Views[list[dict[str, Tensor]]]) -> str:
    """Of what a turn gives the name of the one that the next turn takes.

    Raises CannotTranslateError: that is not one.
    """
    found: set[str] = set()
    for (_, loop), (_, given) in zip(views, turns, strict=True):
        for made, body in zip(given, loop.bodies[1:], strict=False):
            taken = (item for item in walk(body) if isinstance(item, Step | Call))
            read = {(t.node, t.output) for item in taken for t in item.inputs}
            found |= {name for name, one in made.items() if (one.node, one.output) in read}
        if len(loop.bodies) == 1 and len(given[0]) == 1:
            found |= {*given[0]}
    if len(found) != 1:
        raise CannotTranslateError("a loop that hands on several")
    return found.pop()


def only_module(statements: Sequence[ast.stmt]) -> ast.expr | None:
    """What a loop of the constructor appends, where that is all it does."""
    match statements:
        case [ast.Expr(value=ast.Call(func=ast.Attribute(attr="append"), args=[module]))]:
            return module
    return None
