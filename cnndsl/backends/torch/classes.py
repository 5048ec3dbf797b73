"""One class for all instances of a block.

The instances are walked side by side, line by line. What they share is written once; a
value that differs becomes an argument (see `values`), a line that some have an `if` in
the constructor. A chain of modules with a label is an `nn.Sequential`; what joins, or
repeats an activation, is written out in `forward`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cnndsl.backends.torch import conditions, structure
from cnndsl.backends.torch.calls import Speller, call_doc, function_doc
from cnndsl.backends.torch.layout import Brackets, Doc, Generated, Prefixed, flat, lines
from cnndsl.backends.torch.values import (
    Env,
    Name,
    Provider,
    channels_of,
    identifier,
    literal,
    same,
    strip,
)
from cnndsl.graph import Block, Call, Each, Group, Line, Loop, Network, Repeat, Step, Tensor, Term
from cnndsl.ops.base import Torch

if TYPE_CHECKING:
    from cnndsl.backends.torch.source import Source

HOISTED = 4
"""A product that a constructor writes as often as this gets a name."""
_PRODUCT = re.compile(r"[A-Za-z_]\w*( \* [A-Za-z_]\w*)+")
NESTED = 30
"""A call no longer than this is written inside the next one."""
T = TypeVar("T")
Views = list[tuple[Env, T]]
"""The same item in every instance that has it."""


class Retry(Exception):
    """A tensor is needed after its variable was reused: it must keep one of its own."""

    def __init__(self, key: tuple[str, int]) -> None:
        """Name the tensor."""
        super().__init__(key)
        self.key = key


@dataclass(eq=False)
class Registry:
    """The children of a module: attributes of the class, or entries of a container.

    `single` says that all of the label's modules are one chain, an `nn.Sequential`.
    """

    access: str
    children: dict[str, Doc | Registry] = field(default_factory=dict)
    single: bool = False
    parent: tuple[Registry, str] | None = None
    statement: Callable[[str, Doc | Registry], None] | None = None

    def add(self, name: str, doc: Doc) -> str:
        """Add a module; the text that reaches it."""
        self._reserve()
        known = self.children.get(name)
        assert known is None or known == doc, f"two modules named {name}"
        if known is None:
            self.children[name] = doc
            if self.statement:
                self.statement(f"{self.access}.{name} = ", doc)
        return self.reach(name)

    def chain(self, entries: list[tuple[str, Doc]]) -> str:
        """Add a whole label as one chain; the text that reaches it."""
        assert self.parent is not None
        above, name = self.parent
        return above.add(name, sequential(entries))

    def below(self, name: str, *, single: bool = False) -> Registry:
        """The registry of a labelled line, or of one index of it."""
        known = self.children.get(name)
        if isinstance(known, Registry):
            return known
        return Registry(self.reach(name), single=single, parent=(self, name))

    def reach(self, name: str) -> str:
        """The text that reaches a child."""
        if name.isdigit():
            return f"{self.access}[{name}]"
        taken = self.statement is None and name in dir(dict)
        return f'{self.access}["{name}"]' if taken else f"{self.access}.{name}"

    def _reserve(self) -> None:
        """Take one's own place in the container above."""
        if self.parent is None:
            return
        above, name = self.parent
        if name not in above.children:
            above._reserve()
            above.children[name] = self
            if above.statement:
                above.statement(f"{above.access}.{name} = ", self)

    def doc(self) -> Doc:
        """The container: a list where the children are numbered, else a dictionary."""
        children = {n: c.doc() if isinstance(c, Registry) else c for n, c in self.children.items()}
        if list(children) == [str(i) for i in range(len(children))]:
            return Brackets("nn.ModuleList", (Brackets("", tuple(children.values()), "[", "]"),))
        items = tuple(Prefixed(f"{literal(n)}: ", child) for n, child in children.items())
        return Brackets("nn.ModuleDict", (Brackets("", items, "{", "}"),))


def sequential(entries: list[tuple[str, Doc]]) -> Doc:
    """`nn.Sequential(OrderedDict(conv=…, norm=…))`."""
    items = tuple(Prefixed(f"{name}=", doc) for name, doc in entries)
    return Brackets("nn.Sequential", (Brackets("OrderedDict", items),))


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a class's constructor."""

    name: str
    annotation: str
    default: str = ""


class Class:
    """The class of some instances of a block."""

    def __init__(self, source: Source, name: str, instances: list[Block]) -> None:
        """Write it at once: the classes that it uses come first."""
        self.source = source
        self.network: Network = source.network
        self.name = name
        self.instances = instances
        # What is named, in the file or by the result, keeps a variable of that name.
        self.pinned = structure.named_tensors(instances[0])
        if len(instances[0].outputs) > 1:
            self.pinned |= {(t.node, t.output) for t in instances[0].outputs.values()}
        self.overwritten: set[tuple[str, int]] = set()
        while True:
            try:
                self._write()
                return
            except Retry as retry:
                if retry.key in self.overwritten:
                    raise AssertionError(f"{retry.key} has no variable") from retry
                self.overwritten.add(retry.key)
                self.pinned.add(retry.key)

    # The whole class

    def _write(self) -> None:
        self.provider = Provider(self._known(), len(self.instances))
        self.init: list[tuple[int, str, Doc | Registry]] = []
        self.body: list[str] = []
        self.init_depth = self.body_depth = 8
        self.speller = Speller(self.provider, self._attribute)
        self.attributes: dict[str, str] = {}
        self.root = Registry("self", statement=self._initialise)
        envs = [self._env(number, block) for number, block in enumerate(self.instances)]
        self.envs = envs
        ports = list(self.instances[0].inputs)
        entering = {(t.node, t.output) for t in self.instances[0].inputs.values()}
        variable = "y" if entering & self.overwritten else "x"
        start: Doc | None = None
        for port in ports:
            name = self._port(port)
            for env in envs:
                tensor = env.block.inputs[port]
                env.tensors[tensor.node, tensor.output] = name
            start = name
        bodies = [(env, env.block.body) for env in envs]
        end = self.sequence(bodies, start if len(ports) == 1 else None, self.root, variable)
        self._finish(envs, end)

    def _known(self) -> dict[str, list[object]]:
        """What could become an argument: the ports' channels, then the block's names."""
        known: dict[str, list[object]] = {}
        first = self.instances[0]
        for port in first.inputs:
            name = channels_of(first, port)
            known[name] = [strip(block.inputs[port].shape[0]) for block in self.instances]
        for name in first.names:
            values = [strip(block.names.get(name)) for block in self.instances]
            if all(isinstance(v, int | float | str | tuple) for v in values):
                known.setdefault(identifier(name), values)
        return known

    def _env(self, number: int, block: Block) -> Env:
        names = {name: values[number] for name, values in self.provider.known.items()}
        owners = dict.fromkeys(names, self.provider)
        return Env(block, names, owners, {id(self.provider): number}, {}, self.network)

    def _port(self, port: str) -> str:
        if port == "in":
            return "x"
        return identifier(port.replace("[", "_").replace("]", ""))

    def _finish(self, envs: list[Env], end: Doc | None) -> None:
        """The last statement of `forward`."""
        outputs = list(self.instances[0].outputs)
        if len(outputs) == 1:
            tensor = self.instances[0].outputs[outputs[0]]
            key = tensor.node, tensor.output
            last = self._last_line_is(tensor)
            result = end if end is not None and last else self._variable(envs[0], tensor)
            assert result is not None, key
            self.emit("return ", result)
            return
        if end is not None and self.instances[0].body and not isinstance(end, str):
            self._settle(envs, end)
        items = tuple(
            Prefixed(f"{identifier(_word(name))}=", self._variable(envs[0], tensor))
            for name, tensor in self.instances[0].outputs.items()
        )
        self.emit("return ", Brackets(self.source.result_of(self), items))

    def _last_line_is(self, tensor: Tensor) -> bool:
        lines = [line for line in self.instances[0].body if line.on]
        return bool(lines) and (tensor.node, tensor.output) in {
            (t.node, t.output) for t in lines[-1].outputs
        }

    def _settle(self, envs: list[Env], end: Doc) -> None:
        """Keep the value of the last line, which is an output among others."""
        views = []
        for env in envs:
            on = [line for line in env.block.body if line.on]
            views.append((env, on[-1]))
        label = views[0][1].labels[0] if views[0][1].labels else "x"
        self.assign(label, end, views)

    def text(self) -> str:
        """The class as Python text."""
        out = [f"class {self.name}(nn.Module):", *self.source.docstring(self)]
        items = ["self"]
        for a in self.arguments():
            items.append(f"{a.name}: {a.annotation}{f' = {a.default}' if a.default else ''}")
        out += [""] if out[1:] else []
        out += lines(Brackets("def __init__", tuple(items)), 4, after=" -> None:")
        out.append("        super().__init__()")
        for indent, before, doc in self._hoisted(list(self._initial())):
            out += lines(doc, indent, before)
        out += self.source.initialisation(self)
        ports = ", ".join(f"{self._port(p)}: Tensor" for p in self.instances[0].inputs)
        returns = "Tensor"
        if len(self.instances[0].outputs) > 1:
            returns = self.source.result_of(self)
        out += ["", f"    def forward(self, {ports}) -> {returns}:", *self.body]
        return "\n".join(out) + "\n"

    def _initial(self) -> Iterator[tuple[int, str, Doc | Registry]]:
        """The constructor's statements; conditions without a body are left out."""
        for number, (indent, before, doc) in enumerate(self.init):
            if before in ("if ", "else") and isinstance(doc, str):
                following = self.init[number + 1 : number + 2]
                if not following or following[0][0] <= indent:
                    continue
                yield indent, "", f"{before}{doc}:"
            else:
                yield indent, before, doc

    def _hoisted(
        self, statements: list[tuple[int, str, Doc | Registry]]
    ) -> list[tuple[int, str, Doc]]:
        """The statements, with a product that recurs often given the name `hidden`."""
        found = [(i, b, d.doc() if isinstance(d, Registry) else d) for i, b, d in statements]
        products = Counter(
            text for _, _, doc in found for text in _leaves(doc) if _PRODUCT.fullmatch(text)
        )
        common = products.most_common(1)
        if not common or common[0][1] < HOISTED or "hidden" in self.provider.known:
            return found
        product = common[0][0]
        replaced = [(i, b, _with(d, product, "hidden")) for i, b, d in found]
        return [(8, "hidden = ", product), *replaced]

    def arguments(self) -> list[Argument]:
        """The constructor's arguments, in order."""
        found: list[Argument] = []
        for name in self.provider.ordered():
            values = self.provider.columns[name]
            found.append(Argument(name, _annotation(values), self._default(name)))
        for number, argument in enumerate(found):
            # Python wants those with a default last.
            if argument.default and any(not a.default for a in found[number:]):
                found[number] = Argument(argument.name, argument.annotation)
        return found

    def _default(self, name: str) -> str:
        """The default that the file gives a parameter, where some instance takes it."""
        taken = [
            strip(block.names[name])
            for block in self.instances
            if name in block.names and name not in block.arguments
        ]
        if not taken or name in self.provider.extra or not same(taken):
            return ""
        return literal(taken[0])

    def value_for(self, call: Call, argument: str) -> object:
        """The value of an argument at one call, in the caller's terms."""
        block = call.block
        if argument in self.provider.extra:
            return self.provider.columns[argument][self._number(block)]
        for port, tensor in zip(block.inputs, call.inputs, strict=True):
            if channels_of(block, port) == argument:
                return tensor.shape[0]
        for name, value in block.arguments.items():
            if identifier(name) == argument:
                return value
        return self.provider.known[argument][self._number(block)]

    def _number(self, block: Block) -> int:
        return next(n for n, b in enumerate(self.instances) if b is block)

    # Statements

    def emit(self, before: str, doc: Doc, comment: str = "") -> None:
        """A statement of `forward`."""
        found = lines(doc, self.body_depth, before)
        if comment and len(found) == 1 and len(found[0]) + len(comment) + 2 <= 88:
            found[0] += f"  {comment}"
        self.body += found

    def _initialise(self, before: str, doc: Doc | Registry) -> None:
        self.init.append((self.init_depth, before, doc))

    def _attribute(self, name: str, text: str) -> str:
        """A value that `forward` needs, kept by the constructor."""
        for known, written in self.attributes.items():
            if written == text:
                return f"self.{known}"
        while name in self.attributes or name in self.root.children:
            name += "_"
        self.attributes[name] = text
        self.init.append((self.init_depth, f"self.{name} = ", text))
        return f"self.{name}"

    @contextmanager
    def _indented(self) -> Iterator[None]:
        self.init_depth += 4
        self.body_depth += 4
        yield
        self.init_depth -= 4
        self.body_depth -= 4

    def assign(self, variable: str, doc: Doc, views: Views[Any]) -> str:
        """`variable = doc`, and remember that it holds the outputs of these items."""
        first = views[0][1].outputs
        if len(first) > 1:
            return self._assign_several(variable, doc, views)
        if any((t.node, t.output) in self.pinned for t in first):
            labels = getattr(views[0][1], "labels", ())
            index = getattr(views[0][1], "index", ())
            own = "_".join([labels[0], *map(str, index)]) if labels else "y"
            variable = self.fresh(identifier(own))
        variable = identifier(variable)
        if flat(doc) != variable:
            self.emit(f"{variable} = ", doc, self._comment(views))
        self.hold(variable, views)
        return variable

    def _assign_several(self, variable: str, doc: Doc, views: Views[Any]) -> str:
        """`keep, go = …`; a call's result has been kept where it was computed."""
        env, item = views[0]
        known = env.tensors.get((item.outputs[0].node, item.outputs[0].output), "")
        if known.startswith((f"{flat(doc)}.", f"{flat(doc)}[")):
            return flat(doc)
        labels = [identifier(label) for label in getattr(item, "labels", ())]
        if len(labels) != len(item.outputs):
            self.emit(f"{variable} = ", doc)
            self.hold(variable, views)
            return variable
        self.emit(f"{', '.join(labels)} = ", doc)
        for other, line in views:
            for label, tensor in zip(labels, line.outputs, strict=True):
                other.tensors[tensor.node, tensor.output] = label
        return labels[0]

    def hold(self, variable: str, views: Views[Any]) -> None:
        """A variable holds the outputs of these items, and nothing else any more."""
        for env, item in views:
            for key in [k for k, v in env.tensors.items() if v == variable]:
                del env.tensors[key]
            many = len(item.outputs) > 1
            for number, tensor in enumerate(item.outputs):
                text = f"{variable}[{number}]" if many else variable
                env.tensors[tensor.node, tensor.output] = text

    def _comment(self, views: Views[Any]) -> str:
        """The shape, where all instances have one."""
        shapes = {tuple(map(int, item.outputs[0].shape)) for _, item in views if item.outputs}
        if len(shapes) != 1 or len(views[0][1].outputs) != 1:
            return ""
        return f"# {list(shapes.pop())}"

    def fresh(self, base: str) -> str:
        """A variable that holds nothing that is still needed."""
        used = {text.split(".")[0].split("[")[0] for e in self.envs for text in e.tensors.values()}
        name, number = base, 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        return name

    def _variable(self, env: Env, tensor: Tensor) -> str:
        key = tensor.node, tensor.output
        if key not in env.tensors:
            raise Retry(key if env is self.envs[0] else self._first(env, key))
        return env.tensors[key]

    def _first(self, env: Env, key: tuple[str, int]) -> tuple[str, int]:
        return key

    # Lines

    def sequence(
        self, views: Views[list[Line]], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """Lines that continue each other; the value of the last, not yet assigned."""
        chains = [c for c in _chains(views) if any(line.on for v in c for _, line in v)]
        for number, chain in enumerate(chains):
            current = self.chain(chain, current, registry, variable)
            shown = [(e, line) for alternative in chain for e, line in alternative if line.on]
            written = any(line.terms for _, line in shown)
            if number < len(chains) - 1 and current is not None and written:
                current = self.assign(variable, current, shown)
        return current

    def chain(
        self,
        alternatives: list[Views[Line]],
        current: Doc | None,
        registry: Registry,
        variable: str,
    ) -> Doc | None:
        """A line, with its `else` lines."""
        live = [views for views in alternatives if any(line.on for _, line in views)]
        if not live:
            return current
        if len(live) == 1 and all(line.on for _, line in live[0]):
            return self.line(live[0], current, registry, variable)
        assert current is not None
        on = [(env, line) for env, line in live[0] if line.on]
        if len(live) == 1 and registry is self.root and self._optional(on):
            return self._optional_label(live[0], on, current, registry, variable)
        return self._conditional(live, current, registry, variable)

    def _optional(self, on: Views[Line]) -> bool:
        line = on[0][1]
        chained = all(structure.is_modules(term, self.network) for term in line.terms)
        return bool(line.labels) and not line.index and line.source is None and chained

    def _optional_label(
        self,
        views: Views[Line],
        on: Views[Line],
        current: Doc,
        registry: Registry,
        variable: str,
    ) -> Doc:
        """A labelled module that some instances lack is the identity there."""
        self.init.append((self.init_depth, "if ", self._condition(views)))
        label = on[0][1].labels[0]
        with self._indented():
            access = registry.add(label, sequential(self._entries(on)))
        self.init.append((self.init_depth, "else", ""))
        self.init.append((self.init_depth + 4, f"{access} = ", "nn.Identity()"))
        return Brackets(access, (current,))

    def _conditional(
        self, live: list[Views[Line]], current: Doc, registry: Registry, variable: str
    ) -> Doc:
        """`if self.has_conv:` in the constructor and in `forward`."""
        if flat(current) != variable:
            self.emit(f"{variable} = ", current)
        start = dict(self.envs[0].tensors)
        kept = [(env, dict(env.tensors)) for env, _ in live[0]]
        for number, views in enumerate(live):
            on = [(env, line) for env, line in views if line.on]
            last = number == len(live) - 1 and self._complete(live)
            if last:
                self.init.append((self.init_depth, "else", ""))
                self.body.append(f"{' ' * self.body_depth}else:")
            else:
                flag = self._flag(views, on)
                word = "if" if number == 0 else "elif"
                self.init.append((self.init_depth, "if ", flag))
                self.body.append(f"{' ' * self.body_depth}{word} {flag}:")
            with self._indented():
                end = self.line(on, variable, registry, variable)
                assert end is not None
                self.assign(variable, end, on)
        del start
        for env, before in kept:
            for key, text in before.items():
                if text != variable:
                    env.tensors.setdefault(key, text)
        for env, line in [(e, l) for views in live for e, l in views if not l.on]:
            for tensor in line.outputs:
                env.tensors[tensor.node, tensor.output] = variable
        return variable

    def _complete(self, live: list[Views[Line]]) -> bool:
        """Whether one of the lines is on in every instance."""
        if len(live) < 2:
            return False
        count = len(live[0])
        return all(any(views[n][1].on for views in live) for n in range(count))

    def _flag(self, views: Views[Line], on: Views[Line]) -> str:
        """An attribute that says whether a line is there."""
        line = on[0][1]
        named = line.labels[0] if line.labels else _first_name(line)
        return self._attribute(identifier(f"has_{named}"), self._condition(views))

    def _condition(self, views: Views[Line]) -> str:
        """A line's condition over the constructor's arguments."""
        envs = [env for env, _ in views]
        values = [line.on for _, line in views]
        found = conditions.text(views[0][1].condition, envs, values)
        return found or self.speller.value(values, envs, "present")

    def line(
        self, views: Views[Line], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """A line that all these instances have; its value, not yet assigned."""
        first = views[0][1]
        source: Doc | None = current
        if first.source is not None:
            if len(first.source) == 1:
                source = self._variable(views[0][0], first.source[0])
            else:
                source = Brackets(
                    "", tuple(self._variable(views[0][0], t) for t in first.source), "[", "]"
                )
        if not first.terms:
            for env, line in views:
                for tensor, text in zip(line.outputs, [source] * len(line.outputs), strict=True):
                    if isinstance(text, str):
                        env.tensors.setdefault((tensor.node, tensor.output), text)
            return source
        within = registry
        if len(first.outputs) > 1 and first.labels:
            variable = self.fresh(identifier(first.labels[0]))
        if first.labels and any(structure.has_modules(t, self.network) or isinstance(t, Call) for t in first.terms):
            within = registry.below(first.labels[0])
            for number in first.index:
                within = within.below(str(number))
            within.single = _runs(first.terms, self.network) == 1
        return self.terms(views, source, within, variable)

    def terms(
        self, views: Views[Line], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """The steps of a line, one statement each, but for the last."""
        count = len(views[0][1].terms)
        number = 0
        while number < count:
            stop = self._run(views[0][1].terms, number)
            inputs = [(env, line.terms[number]) for env, line in views]
            if registry.single and stop > number:
                entries: list[tuple[str, Doc]] = []
                for k in range(number, stop):
                    entries += self._modules([(env, line.terms[k]) for env, line in views])
                access = registry.chain(entries)
                assert current is not None
                current = Brackets(access, (current,))
                if len(views[0][1].terms[stop - 1].outputs) > 1:
                    last = [(env, line.terms[stop - 1]) for env, line in views]
                    current = self._several(current, last, variable)
            else:
                stop = number + 1
                current = self.term(inputs, current, registry, variable)
            nested = (
                stop < count
                and isinstance(views[0][1].terms[stop - 1], Step)
                and isinstance(views[0][1].terms[stop], Step)
                and views[0][1].terms[stop].lines is None  # type: ignore[union-attr]
                and len(views[0][1].terms[stop - 1].outputs) == 1
                and len(flat(current or "")) <= NESTED
                and self._only_next(views[0][1].terms[stop - 1])
            )
            if stop < count and current is not None and not nested:
                done = [(env, line.terms[stop - 1]) for env, line in views]
                current = self.assign(variable, current, done)
            number = stop
        return current

    def _only_next(self, term: Term) -> bool:
        """Whether one layer alone reads a term's output."""
        tensor = term.outputs[0]
        key = tensor.node, tensor.output
        return self.network.graph.out_degree(tensor.node) == 1 and key not in self.pinned

    def _run(self, terms: Sequence[Term], start: int) -> int:
        """The end of the chain of modules that begins here; `start` where none does."""
        stop = start
        while stop < len(terms) and structure.is_modules(terms[stop], self.network):
            stop += 1
        stop += stop < len(terms) and structure.ends_modules(terms[stop])
        stateful = any(
            structure.has_modules(t, self.network) or isinstance(t, Call)
            for t in terms[start:stop]
        )
        tapped = any(structure.is_tapped(t, self.network) for t in terms[start:stop])
        middle = stop - start > 1 and any(
            self._needed_elsewhere(t, terms[start:stop]) for t in terms[start : stop - 1]
        )
        return stop if stateful and not tapped and not middle else start

    def _needed_elsewhere(self, term: Term, run: Sequence[Term]) -> bool:
        """Whether a term's output goes anywhere but to the next term of the run."""
        inside = {node for t in run for node in structure.nodes_of(t)}
        for tensor in term.outputs:
            for _, target, output in self.network.graph.out_edges(tensor.node, data="output"):
                if output == tensor.output and target not in inside:
                    return True
        return False

    # Modules that PyTorch chains by itself

    def _entries(self, views: Views[Line]) -> list[tuple[str, Doc]]:
        """The modules of a line that is a chain of them."""
        entries: list[tuple[str, Doc]] = []
        for number in range(len(views[0][1].terms)):
            entries += self._modules([(env, line.terms[number]) for env, line in views])
        return entries

    def _modules(self, views: Views[Term]) -> list[tuple[str, Doc]]:
        """The named modules of a term."""
        first = views[0][1]
        match first:
            case Step():
                return self._step_modules(views)
            case Call():
                return [(_segment(first.block), self._construct(views))]
            case Repeat(items=items):
                name = _segment(items[0].block) if isinstance(items[0], Call) else items[0].name  # type: ignore[union-attr]
                docs = self.repeated(views, self._single_module)
                return [(name, Brackets("nn.Sequential", tuple(docs)))]
            case Group():
                entries: list[tuple[str, Doc]] = []
                for aligned in _aligned([(env, t.body) for env, t in views]):  # type: ignore[union-attr]
                    inner = self._entries(aligned)
                    label = aligned[0][1].labels
                    entries += [(label[0], sequential(inner))] if label else inner
                return entries
            case _:
                raise AssertionError(first)

    def _single_module(self, views: Views[Any]) -> Doc:
        if isinstance(views[0][1], Call):
            return self._construct(views)
        return self._step_modules(views)[0][1]

    def _step_modules(self, views: Views[Any]) -> list[tuple[str, Doc]]:
        """The operation, its normalisation and its activation, as modules."""
        envs = [env for env, _ in views]
        said = [structure.torches(step, self.network) for _, step in views]
        entries: list[tuple[str, Doc]] = []
        for number, slot in enumerate(views[0][1].slots):
            torches = [each[number] for each in said]
            self._help(torches)
            calls = [t.module for t in torches if t.module is not None]
            entries.append((slot, call_doc(calls, envs, self.speller, slot)))
            for name, call in torches[0].also:
                entries.append((name, call_doc([call], envs[:1], self.speller)))
        return entries

    def _help(self, torches: Iterable[Torch]) -> None:
        for torch in torches:
            if torch.helper:
                self.source.help(torch.helper)

    def _construct(self, views: Views[Call]) -> Doc:
        """`Bottleneck(256, 128, s=2)`."""
        cls = self.source.class_of(views[0][1].block)
        assert all(self.source.class_of(call.block) is cls for _, call in views)
        items: list[Doc] = []
        keywords = False
        for number, argument in enumerate(cls.arguments()):
            values = [cls.value_for(call, argument.name) for _, call in views]
            envs = [env for env, _ in views]
            text = self.speller.value(values, envs, argument.name)
            if text == argument.default:
                keywords = True
                continue
            keywords = keywords or (number > 1 and not text.isidentifier())
            items.append(Prefixed(f"{argument.name}=", text) if keywords else text)
        return Brackets(cls.name, tuple(items))

    def repeated(self, views: Views[Any], element: Callable[[Views[Any]], Doc]) -> list[Doc]:
        """The modules of `term * n`, as the items of a list."""
        counts = [len(repeat.items) for _, repeat in views]
        every = [(env, item) for env, repeat in views for item in repeat.items]
        heads = [(env, repeat.items[0]) for env, repeat in views if repeat.items]
        tails = [(env, item) for env, repeat in views for item in repeat.items[1:]]
        if set(counts) == {1}:
            return [element(every)]
        envs = [env for env, _ in views]
        number = self.speller.value(counts, envs, "n")
        fewer = str(int(number) - 1) if number.isdigit() else f"{number} - 1"
        provider = self.speller.providers[-1]
        steps = [
            (env.inner({"i": k}, provider, env.rows[id(provider)]), item)
            for env, repeat in views
            for k, item in enumerate(repeat.items)
        ]
        for naming in (False, True):
            alike = self.speller.attempt(lambda: element(every), naming=naming)
            if alike is not None:
                return [_generated(alike, "_", f"range({number})")]
            both = self.speller.attempt(
                lambda: (element(heads), element(tails)), naming=naming and bool(tails)
            )
            if both is not None and set(counts) == {2}:
                return list(both)
            if both is not None:
                return [both[0], _generated(both[1], "_", f"range({fewer})")]
            regular = self.speller.attempt(
                lambda: element(steps), naming=naming, counter=counts
            )
            if regular is not None:
                return [_generated(regular, "i", f"range({number})")]
        assert len(views) == 1, "instances whose repeats differ share no class"
        return [element([view]) for view in every]

    # Terms written out

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
        name = _segment(first.block)
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
        doc = Brackets(access, tuple(operands))
        if len(first.outputs) == 1:
            return doc
        return self._several(doc, views, variable)

    def _several(self, doc: Doc, views: Views[Any], variable: str) -> str:
        """Keep a result of several tensors; each is reached by its name."""
        name = self.fresh("outputs") if variable == "x" else variable
        self.emit(f"{name} = ", doc)
        for env, call in views:
            for port, tensor in zip(call.block.outputs, call.outputs, strict=True):
                env.tensors[tensor.node, tensor.output] = f"{name}.{identifier(_word(port))}"
        return name

    def operands(
        self, views: Views[Any], current: Doc | None, registry: Registry
    ) -> list[Doc] | str:
        """The values of the lines in braces; text where `when` leaves one operand or two."""
        chains = list(_chains([(env, term.lines) for env, term in views]))
        optional = [chain for chain in chains if not _always(chain)]
        if optional:
            return self._optional_operands(views, chains, current, registry)
        found: list[Doc] = []
        for number, chain in enumerate(chains):
            found += self._operand(chain, current, registry, number, len(chains))
        return found

    def _operand(
        self,
        chain: list[Views[Line]],
        current: Doc | None,
        registry: Registry,
        number: int,
        count: int,
        *,
        keep: bool = False,
    ) -> list[Doc]:
        """One operand; a `for` gives one an iteration.  `keep` gives it a variable."""
        views = chain[0]
        terms = views[0][1].terms
        if len(terms) == 1 and isinstance(terms[0], Loop):
            return self._loop_operands(views, current, registry)
        base = "y" if count <= 2 else f"branch_{number + 1}"
        label = views[0][1].labels
        variable = self.fresh(identifier(label[0]) if label else base)
        if _trivial(chain):
            doc = self.line([v for v in views if v[1].on], current, registry, variable)
        elif len(chain) == 1:
            doc = self.line(views, current, registry, variable)
        else:
            doc = self._alternatives(chain, current, registry, variable)
        assert doc is not None
        shown = [(e, line) for v in chain for e, line in v if line.on]
        if isinstance(doc, str) and doc.isidentifier():
            return [doc]
        many = len(views[0][1].outputs)
        if many > 1:
            return [self._variable(views[0][0], t) for t in views[0][1].outputs]
        if not label and count <= 2 and len(flat(doc)) <= 36 and not keep:
            return [doc]
        return [self.assign(variable, doc, shown)]

    def _alternatives(
        self, chain: list[Views[Line]], current: Doc | None, registry: Registry, variable: str
    ) -> Doc:
        """`skip when … else projection: …`: a module that is the identity, or the module."""
        plain = [views for views in chain if not any(line.terms for _, line in views if line.on)]
        rest = [views for views in chain if views not in plain]
        live = [views for views in rest if any(line.on for _, line in views)]
        if not live:
            return self.line([v for v in plain[0] if v[1].on], current, registry, variable) or ""
        on = [(env, line) for env, line in live[0] if line.on]
        if len(plain) == 1 and len(live) == 1 and registry is self.root and self._optional(on):
            if not any(line.on for _, line in plain[0]):
                return self.line(on, current, registry, variable) or ""
            self.init.append((self.init_depth, "if ", self._condition(plain[0])))
            label = on[0][1].labels[0]
            self.init.append((self.init_depth + 4, f"self.{label} = ", "nn.Identity()"))
            self.init.append((self.init_depth, "else", ""))
            with self._indented():
                access = registry.add(label, sequential(self._entries(on)))
            assert current is not None
            return Brackets(access, (current,))
        assert current is not None
        self.emit(f"{variable} = ", current)
        return self._conditional(
            [v for v in chain if any(line.on for _, line in v)], variable, registry, variable
        )

    def _optional_operands(
        self,
        views: Views[Step],
        chains: list[list[Views[Line]]],
        current: Doc | None,
        registry: Registry,
    ) -> str:
        """A join some of whose operands are there in some instances only."""
        value = ""
        joined = next((step for _, step in views if step.nodes), None)
        envs = [env for env, step in views if step.nodes]
        for number, chain in enumerate(chains):
            if not any(line.on for v in chain for _, line in v):
                continue
            if _always(chain):
                (doc,) = self._operand(chain, current, registry, number, 2, keep=True)
                if not value:
                    value = flat(doc)
                    continue
                assert joined is not None
                value = self._joined(joined, envs, value, doc)
                continue
            on = [(env, line) for env, line in chain[0] if line.on]
            simple = len(on[0][1].terms) == 0
            name = "residual" if simple else f"has_{_first_name(on[0][1])}"
            flag = self._attribute(name, self._condition(chain[0]))
            doc = self.line(on, current, registry, self.fresh("z")) or ""
            assert joined is not None
            both = self._text(joined, envs, [value, doc])
            value = f"{flat(both)} if {flag} else {value}"
        return value

    def _joined(self, step: Step, envs: list[Env], left: str, right: Doc) -> str:
        return flat(self._text(step, envs, [left, right]))

    def _text(self, step: Step, envs: list[Env], operands: list[Doc]) -> Doc:
        torch = structure.torches(step, self.network)[0]
        assert torch.function is not None
        return function_doc([torch.function], envs[:1], operands, self.speller)

    def repeat(
        self, views: Views[Repeat], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """`term * n`: a chain of modules, or a loop over lists of them."""
        views = [(env, repeat) for env, repeat in views if repeat.items]
        if not views:
            return current
        first = views[0][1]
        assert current is not None
        if structure.is_modules(first, self.network) and structure.has_modules(first, self.network):
            access = registry.add(*self._modules(list(views))[0])
            return Brackets(access, (current,))
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
        self.body[head] = f"{' ' * self.body_depth}{lists.head()}"
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
        return all(
            bool(body) and all(structure._plain(line, self.network) for line in body if line.on)
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

    def _table(self, views: Views[Loop]) -> Doc:
        """`*(nn.Sequential(…) for c, n in [(64, 3), …])`."""
        env, loop = views[0]
        names = [identifier(name) for name in loop.names]
        plain = [[strip(v) for v in row] for row in loop.rows]
        known = {
            name: [row[n] for row in plain]
            for n, name in enumerate(names)
            if all(isinstance(row[n], int | float | str | tuple) for row in plain)
        }
        table = Provider(known, len(plain), table=True)
        rows = [
            (env.inner({n: v[k] for n, v in known.items()}, table, k), body)
            for k, body in enumerate(loop.bodies)
        ]
        self.speller.providers.append(table)
        entries: list[tuple[str, Doc]] = []
        for aligned in _aligned(rows):
            inner = self._entries(aligned)
            label = aligned[0][1].labels
            entries += [(label[0], sequential(inner))] if label else inner
        self.speller.providers.pop()
        columns = table.ordered()
        element = sequential(entries)
        if not columns:
            return _generated(element, "_", f"range({len(plain)})")
        cells = [[literal(v) for v in table.columns[c]] for c in columns]
        if len(columns) == 1:
            source = Brackets("", tuple(cells[0]), "[", "]")
        else:
            items = tuple(Brackets("", row) for row in zip(*cells, strict=True))
            source = Brackets("", items, "[", "]")
        return Prefixed("*", Brackets("", (Generated(element, ", ".join(columns), source),)))

    def _collect(
        self, views: Views[Loop], current: Doc, access: str, name: str, variable: str
    ) -> str:
        """Run a table's modules and keep each result."""
        kept = self.fresh(identifier(name))
        if flat(current) != variable:
            self.emit(f"{variable} = ", current)
        indent = " " * self.body_depth
        self.body += [f"{indent}{kept} = []", f"{indent}for module in {access}:"]
        self.body += [f"{indent}    {variable} = module({variable})", f"{indent}    {kept}.append({variable})"]
        self.hold(variable, list(views))
        for env, loop in views:
            for number, body in enumerate(loop.bodies):
                tensor = body[-1].outputs[0]
                env.tensors[tensor.node, tensor.output] = f"{kept}[{number}]"
        return variable

    def _unrolled(
        self, views: Views[Loop], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """One iteration after the other."""
        labelled = registry is not self.root
        for number in range(len(views[0][1].bodies)):
            bodies = [(env, loop.bodies[number]) for env, loop in views]
            within = registry.below(str(number)) if labelled else registry
            current = self.sequence(bodies, current, within, variable)
            last = [(env, [line for line in body if line.on][-1]) for env, body in bodies if body]
            if number < len(views[0][1].bodies) - 1 and current is not None and last:
                current = self.assign(variable, current, last)
        return current

    def _loop_operands(
        self, views: Views[Line], current: Doc | None, registry: Registry
    ) -> list[Doc]:
        """The operands that a `for` in braces contributes."""
        found: list[Doc] = []
        loops = [(env, line.terms[0]) for env, line in views]
        label = views[0][1].labels
        within = registry.below(label[0]) if label else registry
        for number in range(len(loops[0][1].bodies)):  # type: ignore[union-attr]
            bodies = [(env, loop.bodies[number]) for env, loop in loops]  # type: ignore[union-attr]
            place = within.below(str(number)) if label else registry
            chains = list(_chains(bodies))
            for chain in chains:
                found += self._operand(chain, current, place, number, 3)
        return found

    def each(
        self, views: Views[Each], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """One module called for each of some tensors."""
        env, each = views[0]
        operands: list[Doc] = []
        for chain in _chains([(e, item.lines or []) for e, item in views]):
            operands += self._operand(chain, current, registry, 0, 3)
        calls = [(e, item.calls[0]) for e, item in views]
        doc = self.term(calls, "x_", registry, variable)
        assert isinstance(doc, Brackets)
        name = self.fresh(variable if variable != "x" else "outputs")
        source = Brackets("", tuple(operands), "[", "]")
        comprehension = Brackets(
            "", (Generated(Brackets(doc.head, ("each",)), "each", source),), "[", "]"
        )
        self.emit(f"{name} = ", comprehension)
        for e, item in views:
            for number, call in enumerate(item.calls):
                ports = list(call.block.outputs) if isinstance(call, Call) else [""]
                for port, tensor in zip(ports, call.outputs, strict=True):
                    dot = f".{identifier(_word(port))}" if len(ports) > 1 else ""
                    e.tensors[tensor.node, tensor.output] = f"{name}[{number}]{dot}"
        del env, each
        return name


class _Lists(Registry):
    """The modules of a repeat that is written out: each is a list, and a loop walks them."""

    def __init__(self, writer: Class, registry: Registry, views: Views[Repeat]) -> None:
        super().__init__(registry.access)
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
        variable = self.writer.fresh(identifier(name))
        self.names.append(variable)
        self.accesses.append(access)
        return variable

    def head(self) -> str:
        """The loop's head."""
        if not self.names:
            counts = [len(repeat.items) for _, repeat in self.views]
            envs = [env for env, _ in self.views]
            count = self.writer.speller.kept(counts, envs, "n")
            return f"for _ in range({count}):"
        if len(self.names) == 1:
            return f"for {self.names[0]} in {self.accesses[0]}:"
        zipped = f"zip({', '.join(self.accesses)}, strict=True)"
        return f"for {', '.join(self.names)} in {zipped}:"


def _leaves(doc: Doc) -> Iterator[str]:
    """The texts in a document's brackets."""
    match doc:
        case str():
            yield doc
        case Brackets(items=items):
            for item in items:
                yield from _leaves(item)
        case Prefixed(value=value):
            yield from _leaves(value)
        case Generated(element=element):
            yield from _leaves(element)


def _with(doc: Doc, old: str, new: str) -> Doc:
    """A document with one text replaced by another."""
    match doc:
        case str():
            return new if doc == old else doc
        case Brackets(items=items):
            return replace(doc, items=tuple(_with(item, old, new) for item in items))
        case Prefixed(value=value):
            return replace(doc, value=_with(value, old, new))
        case Generated(element=element):
            return replace(doc, element=_with(element, old, new))


def _generated(element: Doc, target: str, source: str) -> Doc:
    return Prefixed("*", Brackets("", (Generated(element, target, source),)))


def _aligned(views: Views[list[Line]]) -> list[Views[Line]]:
    """The lines of several bodies side by side, by their keys."""
    found: dict[int, Views[Line]] = {}
    for env, body in views:
        for line in body:
            found.setdefault(line.key, []).append((env, line))
    return [found[key] for key in sorted(found)]


def _chains(views: Views[list[Line]]) -> Iterator[list[Views[Line]]]:
    """The lines side by side, each with its `else` lines."""
    chain: list[Views[Line]] = []
    for aligned in _aligned(views):
        if chain and not aligned[0][1].alternative:
            yield chain
            chain = []
        chain.append(aligned)
    if chain:
        yield chain


def _always(chain: list[Views[Line]]) -> bool:
    """Whether every instance has one of these lines."""
    on: dict[int, bool] = {}
    for views in chain:
        for env, line in views:
            on[id(env), line.key] = line.on  # type: ignore[index]
    by_env: dict[int, bool] = {}
    for views in chain:
        for env, line in views:
            by_env[id(env)] = by_env.get(id(env), False) or line.on
    return all(by_env.values())


def _trivial(chain: list[Views[Line]]) -> bool:
    """Whether the first line is on everywhere."""
    return all(line.on for _, line in chain[0])


def _first_name(line: Line) -> str:
    for term in line.terms:
        if isinstance(term, Step):
            return term.name
        if isinstance(term, Call):
            return _segment(term.block)
    return "line"


def _segment(block: Block) -> str:
    """The name under which a block is called: the last of its path that is no index."""
    return next(str(part) for part in reversed(block.path) if isinstance(part, str))


def _word(port: str) -> str:
    return port.replace("[", "_").replace("]", "")


def _annotation(values: Sequence[object]) -> str:
    kinds = {type(strip(v)) for v in values}
    if kinds == {Name}:
        return "type[nn.Module]"
    if kinds == {int, float}:
        return "float"
    if tuple in kinds:
        return "tuple[int, ...]" if kinds == {tuple} else "int | tuple[int, ...]"
    return " | ".join(sorted(kind.__name__ for kind in kinds))


def _runs(terms: Sequence[Term], network: Network) -> int:
    """How many separate chains of modules a labelled line holds."""
    count = 0
    inside = False
    for term in terms:
        chained = structure.is_modules(term, network) or structure.ends_modules(term)
        if chained:
            if (structure.has_modules(term, network) or isinstance(term, Call)) and not inside:
                count, inside = count + 1, True
            continue
        inside = False
        match term:
            case Step(lines=found):
                own = any(structure._stateful(name, network) for name in term.nodes)
                count += 2 * own
            case Call(lines=found):
                count += 2
            case Group(body=found):
                pass
            case _:
                count += 2 * structure.has_modules(term, network)
                found = None
        for line in found or []:
            count += _runs(line.terms, network)
    return count
