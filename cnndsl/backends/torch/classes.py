"""One class for all instances of a block.

The instances are walked side by side, line by line. What they share is written once; a
value that differs becomes an argument (see `values`), a line that some have an `if` in
the constructor. A chain of modules with a label is an `nn.Sequential`; what joins, or
repeats an activation, is written out in `forward`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.families import FEW
from cnndsl.backends.torch.layout import Brackets, Doc, Prefixed, lines
from cnndsl.backends.torch.lines import Lines
from cnndsl.backends.torch.registry import Registry, leaves, with_text
from cnndsl.backends.torch.taps import TAP
from cnndsl.backends.torch.values import (
    Env,
    Name,
    Provider,
    channels_of,
    identifier,
    literal,
    same,
)
from cnndsl.backends.torch.views import label_of, many_ports, word
from cnndsl.backends.torch.writer import Retry, base_of
from cnndsl.graph import Block, Call, Tensor

if TYPE_CHECKING:
    from cnndsl.backends.torch.source import Source
from cnndsl.symbolic import strip

HOISTED = 4
"""A product that a constructor writes as often as this gets a name."""
_PRODUCT = re.compile(r"[A-Za-z_]\w*( \* [A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a class's constructor."""

    name: str
    annotation: str
    default: str = ""


class Class(Lines):
    """The class of some instances of a block."""

    def __init__(self, source: Source, name: str, instances: list[Block]) -> None:
        """Write it at once: the classes that it uses come first."""
        self.source = source
        self.network = source.network
        self.name = name
        self.instances = instances
        # What is named, in the file or by the result, keeps a variable of that name.
        self.pinned = structure.named_tensors(instances[0])
        if len(instances[0].outputs) > 1:
            self.pinned |= {(t.node, t.output) for t in instances[0].outputs.values()}
        self.fields: dict[str, str] = {}
        """Of the result, where there are several: names and types."""
        self.access: dict[str, str] = {}
        """How each output is reached in the result."""
        self.lists: dict[str, tuple[str, ...]] = {}
        """The parts of those that hold several tensors."""
        self.overwritten: set[tuple[str, int]] = set()
        self.keyed = set()
        while True:
            try:
                self._write()
                found = set(self.root.dictionaries())
                if found <= self.keyed:
                    return
                self.keyed |= found
            except Retry as retry:
                if retry.key in self.overwritten:
                    raise AssertionError(f"{retry.key} has no variable") from retry
                self.overwritten.add(retry.key)
                self.pinned.add(retry.key)

    def _write(self) -> None:
        self.start(Provider(self._known(), len(self.instances)))
        envs = [self._env(number, block) for number, block in enumerate(self.instances)]
        self.envs = envs
        ports = list(self.instances[0].inputs)
        entering = {(t.node, t.output) for t in self.instances[0].inputs.values()}
        variable = self.running = "y" if entering & self.overwritten else "x"
        start: Doc | None = None
        for port, many in self._many().items():
            self.families.hold(port, [f"[{number}]" for number in range(many)])
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

    def _many(self) -> dict[str, int]:
        """The ports that take any number, `*p`, with how many arrive."""
        if self.instances[0] is self.source.structure:
            return {}  # a user of the model names each
        return many_ports(self.instances[0])

    def _port(self, port: str) -> str:
        if port == "in":
            return "x"
        if port.partition("[")[0] in self._many():
            return port
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
        if end is not None:
            self._settle(envs, end)
        self.fields, self.access, self.lists = {}, {}, {}
        given: dict[str, str] = {}
        for name, tensor in self.instances[0].outputs.items():
            text = self._variable(envs[0], tensor)
            field, value, rest = identifier(word(name)), text, ""
            if name.startswith(TAP):
                # The variable that it is part of is returned: `head` for `head[0].cls`.
                value, rest = self._exposed(text, envs[0])
                field = re.sub(r"\W+", "_", value).strip("_")
                while given.get(field, value) != value:
                    field += "_"
            given[field] = value
            if value in self.families.parts:
                self.lists[field] = self.families.parts[value]
            self.fields[field] = self.families.kinds.get(value, "Tensor")
            self.access[name] = f".{field}{rest}"
        items = tuple(Prefixed(f"{field}=", value) for field, value in given.items())
        self.emit("return ", Brackets(self.source.result_of(self), items))

    def _exposed(self, text: str, env: Env) -> tuple[str, str]:
        """What is returned for a tensor from the middle, and how it is reached there.

        The variable that it is a part of, where more of its parts are wanted.
        """
        base = base_of(text)
        outputs = self.instances[0].outputs
        taken = [self._variable(env, t) for name, t in outputs.items() if name.startswith(TAP)]
        parts = [other for other in taken if base_of(other) == base]
        return (base, text.removeprefix(base)) if len(parts) >= FEW else (text, "")

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
        last = views[0][1].outputs
        if any((tensor.node, tensor.output) not in envs[0].tensors for tensor in last):
            self.assign(label_of(views[0][1]) or "x", end, views)

    def text(self) -> str:
        """The class as Python text."""
        out = [f"class {self.name}(nn.Module):", *self.source.docstring(self)]
        items = ["self"]
        for a in self.arguments():
            items.append(f"{a.name}: {a.annotation}{f' = {a.default}' if a.default else ''}")
        gap = [""] if out[1:] else []
        out += [*gap, *self.source.attributes(self)]
        made: list[str] = []
        for indent, before, doc in self._hoisted(list(self._initial())):
            made += lines(doc, indent, before)
        made += self.source.initialisation(self)
        if made or items[1:]:
            out += lines(Brackets("def __init__", tuple(items)), 4, after=" -> None:")
            out += ["        super().__init__()", *made]
        out += self.source.methods(self)
        returns = "Tensor"
        if len(self.instances[0].outputs) > 1:
            returns = self.source.result_of(self)
        many = self._many()
        ports = dict.fromkeys(
            f"{p.partition('[')[0]}: list[Tensor]"
            if p.partition("[")[0] in many
            else f"{self._port(p)}: Tensor"
            for p in self.instances[0].inputs
        )
        items = ["self", *ports]
        head = lines(Brackets("def forward", tuple(items)), 4, after=f" -> {returns}:")
        out += [""] if out[1:] and out[-1] else []
        out += [*head, *self.source.entering(self), *self.body]
        return "\n".join(out) + "\n"

    def _initial(self) -> Iterator[tuple[int, str, Doc | Registry]]:
        """The constructor's statements; conditions without a body are left out."""
        unless = None
        for number, (indent, before, doc) in enumerate(self.init):
            if before not in ("if ", "else") or not isinstance(doc, str):
                yield indent, before, doc
                continue
            following = self.init[number + 1 : number + 2]
            if not following or following[0][0] <= indent:
                unless = doc if before == "if " else None
                continue
            # Where nothing is made if the condition holds, it is made unless it does.
            opposite = before == "else" and unless is not None
            yield indent, "", f"if not {unless}:" if opposite else f"{before}{doc}:"
            unless = None

    def _hoisted(
        self, statements: list[tuple[int, str, Doc | Registry]]
    ) -> list[tuple[int, str, Doc]]:
        """The statements, with a product that recurs often given the name `hidden`."""
        found = [(i, b, d.doc() if isinstance(d, Registry) else d) for i, b, d in statements]
        products = Counter(
            text for _, _, doc in found for text in leaves(doc) if _PRODUCT.fullmatch(text)
        )
        common = products.most_common(1)
        if not common or common[0][1] < HOISTED or "hidden" in self.provider.known:
            return found
        product = common[0][0]
        replaced = [(i, b, with_text(d, product, "hidden")) for i, b, d in found]
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


def _annotation(values: Sequence[object]) -> str:
    kinds = {type(strip(v)) for v in values}
    if kinds == {Name}:
        return "type[nn.Module]"
    if kinds == {int, float}:
        return "float"
    parts = [part for value in values if isinstance(value, tuple) for part in value]
    if any(isinstance(part, tuple) for part in parts):
        return "tuple[tuple[float, ...], ...]"
    if tuple in kinds:
        return "tuple[int, ...]" if kinds == {tuple} else "int | tuple[int, ...]"
    return " | ".join(sorted(kind.__name__ for kind in kinds))
