"""Calls of blocks: their class, what its constructor is given, and what comes out."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from cnndsl.backends.torch import python, steps
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.general import folded
from cnndsl.backends.torch.instances import Instance, T
from cnndsl.backends.torch.recursive import calling
from cnndsl.backends.torch.unit import OpValue, Unit
from cnndsl.backends.torch.walk.arguments import Arguments
from cnndsl.backends.torch.walk.operations import Operations
from cnndsl.backends.torch.walk.parts import Flow, Operand, Turning, Views
from cnndsl.language import tree
from cnndsl.language.names import BlockDefinition
from cnndsl.structure import Block, Call, Tensor, labels_in


class Calls(Operations):
    """The walk at calls of blocks."""

    def block(
        self, term: tree.CallTerm, views: Views[Call], entered: Sequence[T | list[T]]
    ) -> tuple[Unit, Arguments]:
        """The class of a called block, and the arguments of its constructor."""
        unit = self.unit
        ref = steps.callee(unit, term.path.name)
        if not isinstance(ref, OpValue) or not isinstance(ref.target, BlockDefinition):
            raise CannotTranslateError("a block that is a parameter")
        insts = [self.instance_of(i, one.block) for i, one in views]
        callee = self.called([i for i, _ in views], insts)
        unit.it = tuple(one for one in entered if isinstance(one, T))
        said = steps.given(unit, ref.name, ref, term.arguments)
        for name, known in [*said.nodes.items()]:
            said.nodes[name] = unit.ctor(known)
        ports = dict(zip(callee.ports, entered, strict=True))
        rank = 2
        for one in entered:
            first = one[0] if isinstance(one, list) and one else one
            if isinstance(first, T):
                rank = len(first.shape) - 1
        arguments = Arguments(unit, callee, ports, said, rank)
        self.passed(callee.definition, arguments)
        return callee, arguments

    def block_call(
        self, term: tree.CallTerm, views: Views[Call], operands: list[Operand], hint: str
    ) -> Flow:
        """A block, in `forward`."""
        if any(operand.test is not None for operand in operands):
            raise CannotTranslateError("an operand that is not always there")
        unit = self.unit
        for operand in operands:
            self.agree(operand.counts)
        self.agree([(i, tuple(one.block.inputs)) for i, one in views])
        entered: dict[str, T | list[T]] = {}
        for number, port in enumerate(views[0][1].block.inputs):
            inside = [(i, one.inputs[number]) for i, one in views]
            if len(operands) != len(views[0][1].inputs):
                tensor = self.lookup(inside)
            else:
                ids = {(id(i.block), one.node, one.output) for i, one in inside}
                # By its place, or by its name: then another's.
                near = [operands[number], *operands]
                found = (one.tensor for one in near if ids <= {*one.tensor.ids})
                tensor = next(found, operands[number].tensor)
            family, bracket, _ = port.partition("[")
            if bracket:
                many = entered.setdefault(family, [])
                assert isinstance(many, list)
                many.append(tensor)
            else:
                entered[port] = tensor
        for port_ in self.declared(term) or ():
            if port_.many:
                entered.setdefault(port_.name, [])
        callee, arguments = self.block(term, views, list(entered.values()))
        site = self.modules.sites.get(id(term))
        name = site.name if site is not None else unit.attribute("block")
        access = self.register(name, self.constructed(callee, arguments))
        given = [
            python.listed([t.run for t in one]) if isinstance(one, list) else one.run
            for one in entered.values()
        ]
        run = python.call(access, *given)
        results = [(name, tensor) for name, tensor in callee.outputs if tensor is not None]
        if callee.listed and not callee.extras:
            given_outputs = [(i, one.outputs) for i, one in views]
            self.agree([(i, len(outputs)) for i, outputs in given_outputs])
            shapes = [
                self.left(callee, arguments, tensor, n, views)
                for n, (_, tensor) in enumerate(results[: len(views[0][1].outputs)])
            ]
            return self.results(run, shapes, given_outputs, hint)
        if len(results) > 1 and not self.stack:
            self.agree([(i, tuple(one.block.outputs)) for i, one in views])
        if len(results) == 1 and not callee.extras:
            outputs = [(i, one.outputs) for i, one in views]
            shape = self.left(callee, arguments, results[0][1], 0, views)
            return self.results(run, [shape], outputs, hint)
        return self.unpacked(callee, arguments, run, results, views)

    def constructed(self, callee: Unit, arguments: Arguments) -> ast.Call:
        """The call of a block's class."""
        if callee.cls is None:
            return calling(callee.name, arguments)
        return ast.Call(python.name(callee.name), *arguments.call())

    def declared(self, term: tree.CallTerm) -> Any:
        """The ports of a called block."""
        ref = steps.callee(self.unit, term.path.name)
        assert isinstance(ref, OpValue)
        assert isinstance(ref.target, BlockDefinition)
        return ref.target.declaration.inputs

    def unpacked(
        self,
        callee: Unit,
        arguments: Arguments,
        run: ast.expr,
        given: list[tuple[str, T]],
        views: Views[Call],
    ) -> Flow:
        """A block that returns several: outputs, of which this call may lack some, and labels.

        The labels inside are those that are read outside.
        """
        unit = self.unit
        count = len(given)
        # `p[0]` is one of many, which have no names of their own; a label's are numbers.
        names = [unit.variable(name if name.isidentifier() else "") for name, _ in given]
        names += [unit.variable() for _ in callee.extras]
        nodes: list[ast.expr] = [python.name(n) for n in names]
        target = nodes[0] if len(nodes) == 1 else ast.Tuple(nodes, ast.Load())
        unit.fwd.append(ast.Assign([python.stored(target)], run))
        found: list[T] = []
        for variable, (name, inner) in zip(names, given, strict=False):
            have = [(i, one) for i, one in views if name in one.block.outputs]
            if not have:
                continue
            places = [[*one.block.outputs].index(name) for _, one in have]
            tensor = T((), python.name(variable))
            shape = self.left(callee, arguments, inner, places[0], have)
            unit.shaped(tensor, shape)
            pairs = zip(have, places, strict=True)
            unit.bind(tensor, [(i, one.outputs[number]) for (i, one), number in pairs])
            found.append(tensor)
        for number, extra in enumerate(callee.extras):
            tensor = T((), python.name(names[count + number]))
            ids: list[tuple[Instance, Tensor]] = []
            for i, one in views:
                instance = self.instance_of(i, one.block)
                for _, node, output in [x for x in extra.ids if x[0] == id(instance.block)]:
                    ids.append((i, Tensor(node, output, ())))
            if not ids:
                raise CannotTranslateError("a label inside that not all instances have")
            sizes = ids[0][0].network.shapes[ids[0][1].node][ids[0][1].output]
            shape = self.substituted(callee, arguments, extra, sizes)
            unit.shaped(tensor, shape)
            unit.bind(tensor, ids)
            turning = self.stack[-1] if self.stack else None
            if isinstance(turning, Turning) and turning.lists is not None:
                self.collected(turning, label_of(views[0][1].block, extra), tensor, ids)
        return tuple(found)

    @abstractmethod
    def collected(self, turning: Turning, name: str, one: T, outputs: Views[Tensor]) -> None:
        """Append what a turn gives beside what it hands on to a list."""

    def left(
        self,
        callee: Unit,
        arguments: Arguments,
        tensor: T,
        number: int,
        views: Views[Call],
    ) -> tuple[int, ...]:
        """The shape of a call's output, a tensor of the callee, in the caller's terms."""
        instance, call = views[0]
        one = call.outputs[number]
        sizes = instance.network.shapes[one.node][one.output]
        return self.substituted(callee, arguments, tensor, sizes)

    def substituted(
        self,
        callee: Unit,
        arguments: Arguments,
        tensor: T,
        sizes: Sequence[int],
    ) -> tuple[int, ...]:
        """A shape inside a called block, in the caller's terms."""
        mapping = arguments.mapping()
        shape: list[int] = []
        for axis, size in enumerate(tensor.shape):
            value = int(sizes[axis])
            if not isinstance(size, python.Int):
                shape.append(value)
                continue
            node = callee.spelt_out(size.node)
            names = python.names_in(node)
            if any(n.startswith("§") for n in names):
                shape.append(python.Int(value, python.name("§")))
                continue
            free = names & (callee.locals - mapping.keys())
            node = folded(python.replace(node, mapping))
            shape.append(value if free else python.carry(value, node))
        return tuple(shape)


def label_of(block: Block, tensor: T) -> str:
    """What a block calls a tensor within it; nothing where it has no label."""
    made = {(node, output) for _, node, output in tensor.ids}
    for name, one in labels_in(block, {}).items():
        if name.isidentifier() and (one.node, one.output) in made:
            return name
    return ""
