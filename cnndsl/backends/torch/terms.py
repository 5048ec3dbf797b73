"""Terms written out in `forward`: steps, calls, loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.calls import call_doc, function_doc
from cnndsl.backends.torch.iterations import Iterations
from cnndsl.backends.torch.layout import Brackets, Doc, Generated, Prefixed, flat, lines
from cnndsl.backends.torch.registry import Registry, sequential
from cnndsl.backends.torch.values import Env, identifier
from cnndsl.backends.torch.views import Views, alternatives, many_ports, segment
from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.graph import Block, Call, Each, Group, Loop, Network, Repeat, Step, Tensor, Term
from cnndsl.ops.base import Torch

LONG = 60
"""A longer expression is two statements."""


class Terms(Iterations):
    """Writes terms."""

    def term(
        self, views: Views[Any], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """The value of a term, not yet assigned."""
        match views[0][1]:
            case Step():
                return self.step(views, current, registry, variable)
            case Call():
                return self.call(views, current, registry, variable)
            case Group():
                inside = [(env, group.body) for env, group in views]
                return self.sequence(inside, current, registry, variable)
            case Repeat():
                return self.repeat(views, current, registry, variable)
            case Loop():
                return self.loop(views, current, registry, variable)
            case Each():
                return self.each(views, current, registry, variable)
        raise AssertionError(views)

    def step(
        self, views: Views[Step], current: Doc | None, registry: Registry, variable: str
    ) -> Doc:
        """`F.relu(self.norm(self.conv(x)))`."""
        first = views[0][1]
        if first.lines is not None:
            operands = self.operands(views, current, registry)
            if isinstance(operands, str):
                return operands
        elif len(first.inputs) > 1:
            operands = [self._variable(views[0][0], tensor) for tensor in first.inputs]
        else:
            assert current is not None
            operands = [current]
        views = [(env, step) for env, step in views if step.nodes]
        if not views:
            return operands[0]
        envs = [env for env, _ in views]
        said = [structure.torches(step, self.network) for _, step in views]
        doc: Doc = ""
        for number, slot in enumerate(views[0][1].slots):
            torches = [each[number] for each in said]
            self._help(torches)
            doc = self._layer(torches, envs, slot, operands, registry)
            operands = [doc]
        return doc

    def _layer(
        self,
        torches: list[Torch],
        envs: list[Env],
        slot: str,
        operands: Sequence[Doc],
        registry: Registry,
    ) -> Doc:
        """One operation applied."""
        functions = [t.function for t in torches if t.function is not None]
        names = {getattr(f, "function", "") for f in functions}
        if len(functions) == len(torches) and len(names) == 1:
            return function_doc(functions, envs, operands, self.speller)
        calls = [t.module for t in torches if t.module is not None]
        if isinstance(registry, _Lists):
            access = registry.each(
                slot, lambda at, inside: call_doc([calls[n] for n in at], inside, self.speller)
            )
        else:
            access = registry.add(slot, call_doc(calls, envs, self.speller, slot))
        prepared = [t.prepare for t in torches if t.prepare is not None]
        if prepared:
            operands = [function_doc(prepared, envs, operands, self.speller)]
        return Brackets(access, tuple(operands))

    def call(
        self, views: Views[Call], current: Doc | None, registry: Registry, variable: str
    ) -> Doc:
        """`self.Bottleneck(x)`."""
        first = views[0][1]
        name = segment(first.block)
        if isinstance(registry, _Lists):
            access = registry.each(
                name,
                lambda at, inside: self._construct(
                    [(env, views[n][1]) for env, n in zip(inside, at, strict=True)]
                ),
            )
        else:
            access = registry.add(name, self._construct(views))
        if first.lines is not None:
            found = self.operands(views, current, registry)
            assert not isinstance(found, str)
            operands = found
        elif len(first.inputs) > 1:
            operands = [self._variable(views[0][0], tensor) for tensor in first.inputs]
        else:
            assert current is not None
            operands = [current]
        doc = Brackets(access, tuple(self._by_port(first.block, operands)))
        if len(first.block.outputs) == 1:
            return doc
        return self._several(doc, views, variable)

    def _by_port(self, block: Block, operands: Sequence[Doc]) -> list[Doc]:
        """The operands of a call, those of a port that takes any number in a list."""
        many = many_ports(block)
        if not many:
            return list(operands)
        groups: dict[str, list[Doc]] = {}
        for port, operand in zip(block.inputs, operands, strict=True):
            groups.setdefault(port.partition("[")[0], []).append(operand)
        return [
            self.families.listed(found) if port in many else found[0]
            for port, found in groups.items()
        ]

    def _several(self, doc: Doc, views: Views[Any], variable: str) -> str:
        """Keep a result of several tensors; each is reached by its name."""
        name = self.fresh("outputs") if variable == "x" else variable
        if any((t.node, t.output) in self.pinned for t in views[0][1].block.outputs.values()):
            name = self.fresh(name)
        self.emit(f"{name} = ", doc)
        self.forget(name)
        for env, call in views:
            for tensor, dot in self._fields(call):
                env.tensors[tensor.node, tensor.output] = f"{name}{dot}"
        env, call = views[0]
        self.families.hold(name, [d for _, d in self._fields(call)], self._kind(call))
        for field, parts in self.source.class_of(call.block).lists.items():
            self.families.hold(f"{name}.{field}", parts)
        if len(call.outputs) > 1:
            return name
        return env.tensors[call.outputs[0].node, call.outputs[0].output]

    def _fields(self, term: Term) -> list[tuple[Tensor, str]]:
        """A term's results, each with the text that takes it from the call's."""
        if isinstance(term, Call) and len(term.block.outputs) > 1:
            access = self.source.class_of(term.block).access
            return [(tensor, access[port]) for port, tensor in term.block.outputs.items()]
        return [(tensor, "") for tensor in term.outputs]

    def _kind(self, term: Term) -> str:
        """The type of a term's result, as an annotation."""
        if isinstance(term, Call) and len(term.block.outputs) > 1:
            return self.source.result_of(self.source.class_of(term.block))
        return "Tensor" if len(term.outputs) == 1 else "tuple[Tensor, ...]"

    def repeat(
        self, views: Views[Repeat], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """`term * n`: a chain of modules, or a loop over lists of them."""
        # An instance may have none: it takes part in the count alone.
        views = sorted(views, key=lambda view: not view[1].items)
        first = views[0][1]
        if not first.items:
            return current
        assert current is not None
        if structure.is_modules(first, self.network) and structure.has_modules(
            first, self.network
        ):
            access = registry.add(*self._modules(list(views))[0])
            return Brackets(access, (current,))
        ends = [(repeat.items[0], repeat.items[-1]) for _, repeat in views if repeat.items]
        if any(len(set(a.inputs)) < len(set(b.inputs)) for a, b in ends):
            what = "`*` whose first input arrives twice, and whose others do not"
            raise ArchError([_unsaid(what, self.network)])
        if flat(current) != variable:
            self.emit(f"{variable} = ", current)
        lists = _Lists(self, registry, views)
        items = [(env, item) for env, repeat in views for item in repeat.items]
        head = len(self.body)
        self.body.append("")
        self.body_depth += 4
        end = self.term(items, variable, lists, variable)
        assert end is not None
        if flat(end) != variable:
            self.emit(f"{variable} = ", end)
        self.body_depth -= 4
        self.body[head : head + 1] = lines(
            lists.source(), self.body_depth, lists.targets(), ":"
        )
        self.hold(variable, list(views))
        return variable

    def loop(
        self, views: Views[Loop], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """`for`: a chain made from a table; written out where its lines have other sources."""
        first = views[0][1]
        if first.bodies and self._tabular(views):
            doc = self._table(views)
            tapped = structure.is_tapped(first, self.network) or self._kept(first)
            above, name = registry.parent or (registry, "")
            kind = "nn.ModuleList" if tapped else "nn.Sequential"
            items: tuple[Doc, ...] = (doc,)
            if tapped:
                assert isinstance(doc, Prefixed)
                inner = doc.value
                assert isinstance(inner, Brackets)
                items = (Brackets("", inner.items, "[", "]") if inner.open == "(" else inner,)
            access = above.add(name, Brackets(kind, items))
            assert current is not None
            if not tapped:
                return Brackets(access, (current,))
            return self._collect(views, current, access, name, variable)
        return self._unrolled(views, current, registry, variable)

    def _tabular(self, views: Views[Loop]) -> bool:
        loop = views[0][1]
        if len(views) > 1 or not any(structure.has_modules(t, self.network) for t in [loop]):
            return False
        called: dict[int, set[str]] = {}
        for body in loop.bodies:
            for call in structure.calls_of(body):
                called.setdefault(call.key, set()).add(self.source.class_of(call.block).name)
        if any(len(classes) > 1 for classes in called.values()):
            return False
        return all(
            bool(body)
            and all(structure.is_plain(line, self.network) for line in body if line.on)
            and all(line.condition is None for line in body)
            and not any(structure.is_tapped(line, self.network) for line in body[:-1])
            for body in loop.bodies
        )

    def _kept(self, loop: Loop) -> bool:
        """Whether the result of an iteration but the last is used by name."""
        inside = set(structure.nodes_of(loop))
        ends = [body[-1].outputs[0] for body in loop.bodies[:-1]]
        return any(
            target not in inside
            for tensor in ends
            for _, target in self.network.graph.out_edges(tensor.node)
        )

    def _collect(
        self, views: Views[Loop], current: Doc, access: str, name: str, variable: str
    ) -> str:
        """Run a table's modules and keep each result."""
        kept = self.fresh(identifier(name))
        if flat(current) != variable:
            self.emit(f"{variable} = ", current)
        indent = " " * self.body_depth
        self.body += [f"{indent}{kept} = []", f"{indent}for module in {access}:"]
        self.body += [
            f"{indent}    {variable} = module({variable})",
            f"{indent}    {kept}.append({variable})",
        ]
        self.hold(variable, list(views))
        for env, loop in views:
            for number, body in enumerate(loop.bodies):
                tensor = body[-1].outputs[0]
                env.tensors[tensor.node, tensor.output] = f"{kept}[{number}]"
        return variable

    def each(
        self, views: Views[Each], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """One module called for each of some tensors, or for each row of one."""
        if views[0][1].row:
            return self._each_row(views, current, registry, variable)
        operands: list[Doc] = []
        for chain in alternatives([(env, each.lines or []) for env, each in views]):
            operands += self._operand(chain, current, registry, 0, 3)
        access = self._callable([(env, each.calls[0]) for env, each in views], registry)
        name = self.fresh(variable if variable != "x" else "outputs")
        source = self.families.listed(operands)
        if isinstance(source, str):
            source = source.removeprefix("[*").removesuffix("]")
        called = Generated(Brackets(access, ("level",)), "level", source)
        self.emit(f"{name} = ", Brackets("", (called,), "[", "]"))
        kind = self._kind(views[0][1].calls[0])
        self.families.hold(name, [f"[{n}]" for n in range(len(operands))], f"list[{kind}]")
        for env, each in views:
            for number, call in enumerate(each.calls):
                for tensor, dot in self._fields(call):
                    env.tensors[tensor.node, tensor.output] = f"{name}[{number}]{dot}"
        return name

    def _callable(self, views: Views[Any], registry: Registry) -> str:
        """The module that an `each` calls."""
        first = views[0][1]
        if isinstance(first, Call):
            return registry.add(segment(first.block), self._construct(views))
        if structure.is_modules(first, self.network):
            entries = self._modules(views)
            doc = entries[0][1] if len(entries) == 1 else sequential(entries)
            if len(entries) == 1:
                return registry.add(entries[0][0], doc)
            return registry.chain(entries)
        raise ArchError([_unsaid("`each` over more than one module", self.network)])

    def _each_row(
        self, views: Views[Each], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """The rows join the batch, and leave it again."""
        env, each = views[0]
        texts: list[str] = []
        for tensor in each.inputs:
            if len(each.inputs) == 1 and current is not None:
                if not flat(current).isidentifier():
                    self.emit(f"{variable} = ", current)
                    current = variable
                texts.append(flat(current))
            else:
                texts.append(self._variable(env, tensor))
        for other, item in views:
            for tensor, text in zip(item.calls[0].inputs, texts, strict=True):
                other.tensors[tensor.node, tensor.output] = f"{text}.flatten(0, 1)"
        calls = [(other, item.calls[0]) for other, item in views]
        doc = self.term(calls, f"{texts[0]}.flatten(0, 1)", registry, variable)
        back = f".unflatten(0, {texts[0]}.shape[:2])"
        if len(each.outputs) == 1:
            assert doc is not None
            if len(flat(doc)) + len(back) > LONG:
                self.emit(f"{variable} = ", doc)
                doc = variable
            return f"{flat(doc)}{back}"
        for number, (tensor, dot) in enumerate(self._fields(each.calls[0])):
            name = self.fresh(dot.lstrip(".") or "y")
            self.emit(f"{name} = ", f"{self._variable(env, tensor)}{back}")
            for other, item in views:
                end = item.outputs[number]
                other.tensors[end.node, end.output] = name
        return variable


class _Lists(Registry):
    """The modules of a repeat that is written out: each is a list, and a loop walks them."""

    def __init__(self, writer: Terms, registry: Registry, views: Views[Repeat]) -> None:
        super().__init__(registry.access, registry.keyed)
        self.writer = writer
        self.above = registry
        self.views = views
        self.names: list[str] = []
        self.accesses: list[str] = []
        items = [item for _, repeat in views for item in repeat.items]
        self.order = {id(item): number for number, item in enumerate(items)}

    def each(self, name: str, build: Callable[[list[int], list[Env]], Doc]) -> str:
        """Register a list of modules, one an iteration; the loop's variable.

        `build` writes the module for some iterations, given their numbers.
        """

        def element(views: Views[Any]) -> Doc:
            return build([self.order[id(item)] for _, item in views], [env for env, _ in views])

        docs = self.writer.repeated(list(self.views), element)
        content = Brackets("", tuple(docs), "[", "]")
        if len(docs) == 1 and isinstance(docs[0], Prefixed):
            inner = docs[0].value
            assert isinstance(inner, Brackets)
            content = Brackets("", inner.items, "[", "]")
        access = self.above.add(name, Brackets("nn.ModuleList", (content,)))
        variable: str = self.writer.fresh(identifier(name))
        self.names.append(variable)
        self.accesses.append(access)
        return variable

    def targets(self) -> str:
        """The beginning of the loop's head."""
        return f"for {', '.join(self.names) or '_'} in "

    def source(self) -> Doc:
        """What the loop goes over."""
        if not self.names:
            counts = [len(repeat.items) for _, repeat in self.views]
            envs = [env for env, _ in self.views]
            return f"range({self.writer.speller.kept(counts, envs, 'n')})"
        if len(self.names) == 1:
            return self.accesses[0]
        return Brackets("zip", (*self.accesses, "strict=True"))


def _unsaid(what: str, network: Network) -> Diagnostic:
    message = f"the PyTorch backend cannot write {what}"
    return Diagnostic("E601", message, network.structure.definition.span)
