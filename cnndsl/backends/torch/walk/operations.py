"""Operations: expressions of `forward`, or modules of the constructor."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from cnndsl.backends.torch import beginning, layers, python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.instances import Instance, T
from cnndsl.backends.torch.unit import Layer, OpValue
from cnndsl.backends.torch.walk.parts import (
    CountError,
    Flow,
    Operand,
    Turning,
    UnrollError,
    Views,
    family_of,
    fused,
    python_choice,
)
from cnndsl.backends.torch.walk.state import State
from cnndsl.language import tree
from cnndsl.ops.base import Op
from cnndsl.structure import Step, Tensor


class Operations(State):
    """The walk at operations."""

    def step(
        self, term: tree.CallTerm, views: Views[Step], operands: list[Operand], hint: str
    ) -> Flow:
        """An operation."""
        unit = self.unit
        ref = steps.callee(unit, term.path.name)
        cls = ref.target if isinstance(ref, OpValue) else None
        join = isinstance(cls, type) and issubclass(cls, Op) and cls.join
        if join:
            operands = self.gathered(operands)
        if join and any(o.test is not None or o.many is not None for o in operands):
            return (self.joined(term, views, operands, hint),)
        if any(operand.test is not None for operand in operands):
            raise CannotTranslateError("an operand that is not always there")
        for operand in operands:
            self.agree(operand.counts)
        self.agree([(i, len(one.nodes)) for i, one in views])
        if not views[0][1].nodes:
            if join and len(operands) != 1:
                raise CannotTranslateError("a join of one")
            return tuple(operand.tensor for operand in operands)
        entered = tuple(operand.tensor for operand in operands)
        if not join and len(views[0][1].inputs) != len(entered):
            entered = self.flow_of([(i, one.inputs) for i, one in views])
        said = self.function_of(term, views, entered)
        outputs = [(i, one.outputs) for i, one in views]
        if said is not None:
            run, shapes = said
            return self.results(run, shapes, outputs, hint, _words(cls))
        modules, tensors = self.step_modules(term, views, entered)
        site = self.modules.sites.get(id(term))
        name = site.name if site is not None else unit.attribute(term.path.name)
        whole = fused(modules)
        if len(entered) > 1 and len(modules) > 1:  # a sequence takes one input
            whole = python.call("nn.ModuleList", python.listed(modules))
        access = self.register(name, whole) if site is not None else self.own(name, modules)
        run = python.call(access, *(tensor.run for tensor in entered))
        if len(entered) > 1 and len(modules) > 1:
            first = python.item(access, python.constant(0))
            run = python.call(first, *(tensor.run for tensor in entered))
            for number in range(1, len(modules)):
                run = python.call(python.item(access, python.constant(number)), run)
        return self.results(run, [tensors[-1].shape], outputs, hint)

    def gathered(self, operands: list[Operand]) -> list[Operand]:
        """Operands, where all of a list that a loop made stand together as one."""
        unit, found, position = self.unit, [], 0
        while position < len(operands):
            one = operands[position]
            match one.tensor.run:
                case ast.Subscript(value=ast.Name(id=name)) if name in unit.counts:
                    count = unit.lengths[name]
                    together = operands[position : position + count]
                    plain = all(o.test is None and o.many is None for o in together)
                    whole = family_of([o.tensor.run for o in together])
                    free = python.number(unit.counts[name]) is None
                    if (
                        plain
                        and whole is not None
                        and len(together) == count
                        and (free or count > SPELT)
                    ):
                        found.append(Operand(one.tensor, many=whole, each=together))
                        position += count
                        continue
            found.append(one)
            position += 1
        return found

    def joins(self, term: tree.CallTerm) -> bool:
        """Whether a step takes as many operands as there are."""
        ref = steps.callee(self.unit, term.path.name)
        cls = ref.target if isinstance(ref, OpValue) else None
        return isinstance(cls, type) and issubclass(cls, Op) and cls.join

    def own(self, name: str, modules: list[ast.expr]) -> ast.expr:
        """Register a module without weights."""
        module = fused(modules)
        if any(isinstance(turn, Turning) for turn in self.stack):
            self.unit.attributes.add(name)
            return self.register(name, module)
        for test in reversed(self.unit.conditions):
            module = python_choice(test, module, python.call("nn.Identity"))
        for known, statement in self.single.items():
            if python.same(statement.value, module):
                self.unit.attributes.discard(name)
                return python.dotted(f"self.{known}")
        self.single[name] = python.assign(f"self.{name}", module)
        self.unit.init.append(self.single[name])
        return python.dotted(f"self.{name}")

    def function_of(
        self, term: tree.CallTerm, views: Views[Step], entered: Flow
    ) -> tuple[ast.expr, list[tuple[int, ...]]] | None:
        """The expression of a step without a module, and its outputs' shapes."""
        unit = self.unit
        if id(term) in self.modules.sites or len(views[0][1].nodes) != 1:
            return None
        unit.it = entered
        shapes = self.revalued(views[0], entered)
        op = self.operation(term, views, 0, shapes)
        if op is None:
            return None
        said = op.torch(*shapes)
        if said.function is None or op.weights(*shapes):
            return None
        if said.helper:
            self.help(said.helper)

        def spell(value: object) -> ast.expr:
            return unit.run(python.node_of(value))

        run = layers.apply(said.function, [tensor.run for tensor in entered], spell)
        return run, list(op.shapes(*shapes))

    def results(
        self,
        run: ast.expr,
        shapes: Sequence[tuple[int, ...]],
        outputs: Views[tuple[Tensor, ...]],
        hint: str,
        words: Sequence[str] = (),
    ) -> Flow:
        """Name what a step gives: several by the words of the operation, if it has them."""
        if len(outputs[0][1]) == 1:
            return (self.made(run, shapes[0], [(i, o[0]) for i, o in outputs], hint),)
        counts = [(i, len(o)) for i, o in outputs]
        if self.unit.counted and "len" in python.names_in(run):
            return self.counted_results(run, shapes[0], outputs, hint)
        self.agree(counts)
        unit = self.unit
        count = len(outputs[0][1])
        words = words if len(words) == count else [hint] * count
        names = [unit.variable(word) for word in words]
        target = ast.Tuple([python.name(n) for n in names], ast.Load())
        unit.fwd.append(ast.Assign([python.stored(target)], run))
        found: list[T] = []
        for number, (name, shape) in enumerate(zip(names, shapes, strict=True)):
            tensor = T((), python.name(name))
            unit.shaped(tensor, shape)
            found.append(unit.bind(tensor, [(i, o[number]) for i, o in outputs]))
        return tuple(found)

    def counted_results(
        self,
        run: ast.expr,
        shape: tuple[int, ...],
        outputs: Views[tuple[Tensor, ...]],
        hint: str,
    ) -> Flow:
        """The parts of a tensor, as many as a list of inputs has: items of one list."""
        unit, found = self.unit, []
        name = unit.variable(hint)
        unit.fwd.append(python.assign(name, run))
        for number in range(max(len(o) for _, o in outputs)):
            tensor = T((), python.item(python.name(name), python.constant(number)))
            unit.shaped(tensor, shape)
            have = [(i, o[number]) for i, o in outputs if number < len(o)]
            found.append(unit.bind(tensor, have))
        return tuple(found)

    def joined(
        self, term: tree.CallTerm, views: Views[Step], operands: list[Operand], hint: str
    ) -> T:
        """A join of which some lines are there or not."""
        unit = self.unit
        name = term.path.name
        always = [o for o in operands if o.test is None]
        if not always:
            raise CannotTranslateError("a join whose lines are all conditional")
        outputs = [(i, one.outputs[0]) for i, one in views]
        if name == "add":
            shape = always[0].tensor.shape
            if len(operands) == 2 and all(o.many is None for o in operands):
                a, b = operands
                whole = python.operation(a.tensor.run, "+", b.tensor.run)
                test = a.test or b.test
                assert test is not None
                run: ast.expr = ast.IfExp(test, whole, always[0].tensor.run)
                return self.made(run, shape, outputs, hint)
            total_ = self.total_of(operands)
            for loop in unit.loops:
                if loop in python.names_in(python.node_of(shape[0])) and not self.within(loop):
                    raise UnrollError(next(o.term for o in operands if o.term))
            return self.made(total_, shape, outputs, hint)
        if name == "concat" and all(o.many is None or o.each for o in operands):
            said = steps.given(unit, name, steps.callee(unit, name), term.arguments)  # type: ignore[arg-type]
            axis = python.number(said.nodes.get("axis", python.constant(0)))
            total: ast.expr | None = None
            for operand in operands:
                width = self.width(operand, axis)  # type: ignore[arg-type]
                if operand.test is not None:
                    test = self.tests.get(ast.dump(operand.test))
                    if test is None:
                        raise CannotTranslateError("a condition")
                    width = ast.IfExp(test, width, python.constant(0))
                total = width if total is None else python.binary("+", total, width)
            assert total is not None
            values = views[0][0].network.shapes[views[0][1].outputs[0].node][0]
            sizes = list(always[0].tensor.shape)
            sizes[axis] = python.carry(int(values[axis]), total)  # type: ignore[index]
            run = python.call("torch.cat", self.listed(operands), python.constant(axis + 1))  # type: ignore[operator]
            return self.made(run, sizes, outputs, hint)
        for operand in operands:
            if operand.many is not None:
                raise UnrollError(operand.term)
        raise CannotTranslateError(f"{name} of lines that come and go")

    def width(self, operand: Operand, axis: int) -> ast.expr:
        """How much of a concatenation an operand is, of a list all of its tensors."""
        widths = [python.node_of(o.tensor.shape[axis]) for o in operand.each]
        width = python.node_of(operand.tensor.shape[axis])
        if not widths:
            return width
        assert isinstance(operand.many, ast.Name)
        count = self.unit.counts[operand.many.id]
        if all(python.same(one, width) for one in widths):
            return python.binary("*", count, width)
        if counting := self.unit.counting(count):
            raise CountError(counting)
        total = widths[0]
        for one in widths[1:]:
            total = python.binary("+", total, one)
        return total

    def listed(self, operands: list[Operand]) -> ast.expr:
        """The operands of a concatenation: lists are added, as TorchScript has no stars."""
        if any(o.test is not None for o in operands) or all(o.many is None for o in operands):
            return self.list_of(operands)
        parts: list[ast.expr] = []
        last: list[ast.expr] | None = None
        for operand in operands:
            if operand.many is not None:
                parts.append(operand.many)
                last = None
                continue
            if last is None:
                last = []
                parts.append(ast.List(last, ast.Load()))
            last.append(operand.tensor.run)
        whole = parts[0]
        for part in parts[1:]:
            whole = ast.BinOp(whole, ast.Add(), part)
        return whole

    @property
    def tests(self) -> dict[str, ast.expr]:
        """The constructor's condition of each flag in `forward`."""
        found = {}
        for name, node in self.unit.kept.items():
            found[ast.dump(python.dotted(f"self.{name}"))] = node
        return found

    def total_of(self, operands: list[Operand]) -> ast.expr:
        """A sum to which conditional operands are added, in their order."""
        unit = self.unit
        first = next(n for n, operand in enumerate(operands) if operand.test is None)
        if all(operand.test is None for operand in operands):
            return self.total_over(operands)
        if first > 1 or operands[first].many is not None:
            many = self.list_of(operands)
            return self.total_over([Operand(operands[0].tensor, many=many)])
        total = python.name(unit.variable("total"))
        unit.fwd.append(python.assign(total, operands[first].tensor.run))
        for operand in [*operands[:first], *operands[first + 1 :]]:
            if operand.many is None:
                pair = [operand.tensor.run, total] if first else [total, operand.tensor.run]
                more: ast.stmt = python.assign(total, python.operation(pair[0], "+", pair[1]))
            else:
                more = self.added(total, operand.many)
            unit.fwd.append(ast.If(operand.test, [more], []) if operand.test else more)
            first = 0
        return total

    def added(self, total: ast.Name, many: ast.expr) -> ast.For:
        """`for part in many: total = total + part`."""
        names = {name.partition("§")[0] for name in python.names_in(many)}
        part = python.name(self.unit.variable("term" if "part" in names else "part"))
        more = python.assign(total, python.operation(total, "+", part))
        return ast.For(python.stored(part), many, [more], [])

    def total_over(self, operands: list[Operand]) -> ast.expr:
        """A sum of tensors and of the tensors of lists, added one by one."""
        unit, begun, *others = self.unit, *operands
        total, start = python.name(unit.variable("total")), begun.tensor.run
        if begun.many is not None:
            start = python.item(begun.many, python.constant(0))
            rest = python.item(begun.many, ast.Slice(python.constant(1)))
            others = [Operand(begun.tensor, many=rest), *others]
        unit.fwd.append(python.assign(total, start))
        for operand in others:
            if operand.many is None:
                more = python.operation(total, "+", operand.tensor.run)
                unit.fwd.append(python.assign(total, more))
                continue
            unit.fwd.append(self.added(total, operand.many))
        return total

    def list_of(self, operands: list[Operand]) -> ast.expr:
        """A list to which conditional operands are appended."""
        unit = self.unit
        if len(operands) == 1 and operands[0].many is not None:
            return operands[0].many
        many = next((o.many for o in operands if o.test is None), None)
        if operands[0].test is not None and isinstance(many, ast.Name):
            return self.before(operands, many)
        first = 0
        while first < len(operands) and operands[first].test is None:
            first += 1
        start = python.listed(
            [
                o.tensor.run if o.many is None else ast.Starred(o.many, ast.Load())
                for o in operands[:first]
            ]
        )
        if first == len(operands):
            return start
        many = operands[0].many
        if first == 1 and isinstance(many, ast.Name):
            name = many.id  # the loop's own list goes on
        else:
            name = unit.variable("parts")
            unit.fwd.append(python.assign(name, start))
        for operand in operands[first:]:
            method, added = "append", operand.tensor.run
            if operand.many is not None:
                method, added = "extend", operand.many
            append = ast.Expr(python.call(python.attribute(python.name(name), method), added))
            if operand.test is None:
                unit.fwd.append(append)
            else:
                unit.fwd.append(ast.If(operand.test, [append], []))
        return python.name(name)

    def before(self, operands: list[Operand], many: ast.Name) -> ast.expr:
        """A loop's own list, in front of which there stand conditional operands."""
        unit = self.unit
        count = next(n for n, o in enumerate(operands) if o.test is None)
        for one in reversed(operands[:count]):
            assert one.test is not None
            more = ast.BinOp(python.listed([one.tensor.run]), ast.Add(), many)
            unit.fwd.append(ast.If(one.test, [python.assign(many, more)], []))
        return self.list_of(operands[count:])

    def revalued(self, view: tuple[Instance, Step], entered: Flow) -> list[tuple[int, ...]]:
        """The shapes that enter a step, with the numbers of the instance that is asked."""
        instance, one = view
        found: list[tuple[int, ...]] = []
        for tensor, source in zip(entered, one.inputs, strict=True):
            sizes = instance.network.shapes[source.node][source.output]
            found.append(
                tuple(
                    python.carry(int(value), python.node_of(size))
                    if isinstance(size, python.Int)
                    else int(value)
                    for size, value in zip(tensor.shape, sizes, strict=True)
                )
            )
        return found

    def operation(
        self, term: tree.CallTerm, views: Views[Step], layer: int, shapes: Sequence[Any]
    ) -> Op | None:
        """The operation of a step, carrying what it was written as; None for a parameter."""
        unit = self.unit
        ops = [(i, i.network.node(one.nodes[layer]).op) for i, one in views]
        ref = steps.callee(unit, term.path.name)
        if isinstance(ref, Layer):
            return None
        assert isinstance(ref, OpValue)
        said = steps.given(unit, ref.name, ref, term.arguments)
        self.agree([(i, op.name) for i, op in ops])
        return self.bounded(steps.carried(unit, type(ops[0][1]), ops, said), shapes)

    def bounded(self, op: Op, shapes: Sequence[Any]) -> Op:
        """A step's operation, resolved; the constructor refuses what the language does."""
        if not any(isinstance(t, Turning) and python.names_in(t.over) for t in self.stack):
            for test in steps.refusals(op):
                self.unit.refuse(python.conjunction([*self.unit.around, test]))
        return op.resolved(*shapes)

    def step_modules(
        self, term: tree.CallTerm, views: Views[Step], entered: Flow
    ) -> tuple[list[ast.expr], list[T]]:
        """The constructor's calls for a step's layers, and what comes out of each."""
        unit = self.unit
        self.agree([(i, (len(one.slots), one.slots[1:])) for i, one in views])
        first = views[0][1]
        if not first.nodes:
            return [], []
        ref = steps.callee(unit, term.path.name)
        if ref is None:
            raise CannotTranslateError(f"{term.path.name} is none, and is not {unit.meanings}")
        modules: list[ast.expr] = []
        tensors: list[T] = []
        unit.it = entered
        shapes = self.revalued(views[0], entered)
        fused_with: dict[str, Any] = {}
        for layer, slot in enumerate(first.slots):
            node_views = [(i, Tensor(one.nodes[layer], 0, ())) for i, one in views]
            ops = [(i, i.network.node(one.nodes[layer]).op) for i, one in views]
            if layer == 0:
                found: Any = ref
                if isinstance(ref, OpValue):
                    said = steps.given(unit, ref.name, ref, term.arguments)
                    fused_with = said.operations
            else:
                found = fused_with.get(slot)
                if isinstance(found, OpValue):
                    said = steps.given(unit, found.name, found, ())
            if isinstance(found, Layer):
                modules.append(
                    python.call(
                        found.node,
                        *([unit.ctor(python.node_of(shapes[0][0]))] if found.takes else []),
                    )
                )
                shape = shapes[0]
                if any(op.family not in steps.KEEPS for _, op in ops):
                    raise CannotTranslateError("a parameter that changes the shape")
                tensors.append(self.inner(shape, node_views))
            else:
                if not isinstance(found, OpValue):
                    raise CannotTranslateError(
                        f"a layer that is not written: {slot} {found} {fused_with}"
                    )
                self.agree([(i, op.name) for i, op in ops])
                carried = steps.carried(unit, type(ops[0][1]), ops, said)
                op = self.bounded(carried, shapes)
                torch = op.torch(*shapes)
                if torch.module is None:
                    raise CannotTranslateError(f"{op.name} is not a module")
                for helper in (torch.helper, *beginning.helpers(op)):
                    self.help(helper)

                def spell(value: object) -> ast.expr:
                    return unit.ctor(python.node_of(value))

                made = layers.construct(torch.module, spell)
                modules.append(beginning.begun(made, op, shapes, spell))
                tensors.append(self.inner(op.shape(*shapes), node_views))
            shapes = [tensors[-1].shape]
        return modules, tensors


SPELT = 3
"""So many tensors of a list are written one by one where they are added."""


def _words(cls: object) -> Sequence[str]:
    """What an operation calls its outputs."""
    return cls.outputs if isinstance(cls, type) and issubclass(cls, Op) else ()
