"""A network as one Python file that depends on torch alone."""

from __future__ import annotations

import re
import textwrap

from cnndsl.backends.torch import structure
from cnndsl.backends.torch.classes import Class
from cnndsl.backends.torch.taps import exposed
from cnndsl.backends.torch.values import RESERVED, identifier
from cnndsl.graph import Block, Network, blocks
from cnndsl.ops.values import spell

INITIALISATION = """\
        for module in self.modules():
            if isinstance(module, {kinds}):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
"""


class Source:
    """The classes of a file, each written once, what it uses before it."""

    def __init__(self, network: Network) -> None:
        """Group the network's blocks, and write the model's class."""
        self.network = network
        self.classes: list[Class] = []
        self.helpers: dict[str, None] = {}
        self.results: dict[str, dict[str, str]] = {}
        self.taken: set[str] = {*RESERVED, identifier(network.name)}
        self.structure = exposed(network)
        self.groups = structure.grouped(blocks(self.structure), network)
        self.written: dict[int, Class] = {}
        self.model = Class(self, identifier(network.name), [self.structure])
        self.classes.append(self.model)

    def class_of(self, block: Block) -> Class:
        """The class of an instance of a block."""
        if id(block) not in self.written:
            group = next(g for g in self.groups if any(b is block for b in g))
            cls = Class(self, self._name(block.definition.name), group)
            self.classes.append(cls)
            self.written |= {id(member): cls for member in group}
        return self.written[id(block)]

    def _name(self, wanted: str) -> str:
        name, number = identifier(wanted), 2
        while name in self.taken:
            name, number = f"{wanted}{number}", number + 1
        self.taken.add(name)
        return name

    def help(self, text: str) -> None:
        """Functions or classes that the file needs; each is written once."""
        for part in text.strip("\n").split("\n\n\n"):
            self.helpers.setdefault(part.strip("\n"))

    def result_of(self, cls: Class) -> str:
        """The `NamedTuple` that a class with several outputs returns."""
        name = f"{cls.name}Output"
        self.taken.add(name)
        self.results[name] = cls.fields
        return name

    def docstring(self, cls: Class) -> list[str]:
        """What the file says of a block: its own words, citations, deviations."""
        about = cls.instances[0].definition
        parts = [about.doc] if about.doc else []
        if about.citations:
            parts.append(f"Source: {'; '.join(map(str, about.citations))}.")
        parts += [f"Deviation: {text}." for text in about.deviations]
        if cls.instances[0] is self.structure:
            parts += self._settings()
        if not parts:
            return []
        return _docstring(parts, 4)

    def _settings(self) -> list[str]:
        values = dict(self.network.arguments)
        shown = ", ".join(f"{name}={spell(value)}" for name, value in values.items())
        inputs = ", ".join(
            f"{name} {[int(n) for n in tensor.shape]}"
            for name, tensor in self.network.inputs.items()
        )
        parts = [f"Parameters: {shown}."] if shown else []
        return [*parts, f"Written for {inputs} (sizes per image)."]

    def attributes(self, cls: Class) -> list[str]:
        """What stands in a class before its constructor."""
        return []

    def methods(self, cls: Class) -> list[str]:
        """What stands in it after the constructor."""
        return []

    def entering(self, cls: Class) -> list[str]:
        """The first statements of its `forward`."""
        return []

    def initialisation(self, cls: Class) -> list[str]:
        """The weights' first values, as the field sets them."""
        if cls.instances[0] is not self.structure:
            return []
        kinds = set()
        for node in self.network:
            for weight in node.op.weights(*self.network.input_shapes(node.name)).values():
                if weight.init == "fan_out":
                    said = node.op.torch(*self.network.input_shapes(node.name)).module
                    if said is not None and said.function.startswith("nn."):
                        kinds.add(said.function)
        if not kinds:
            return []
        joined = " | ".join(sorted(kinds))
        return INITIALISATION.format(kinds=joined).rstrip("\n").split("\n")

    def text(self) -> str:
        """The whole file."""
        bodies = [cls.text() for cls in self.classes]
        results = [self._result(name) for name in self.results]
        parts = [*(f"{helper}\n" for helper in self.helpers), *results, *bodies]
        body = "\n\n".join(parts)
        head = "\n".join(_docstring([f"{self.network.name}, written by cnndsl."], 0))
        return f"{head}\n\n{_imports(body)}\n\n\n{body}"

    def _result(self, name: str) -> str:
        fields = [f"    {field}: {kind}" for field, kind in self.results[name].items()]
        return "\n".join([f"class {name}(NamedTuple):", *fields]) + "\n"


def _docstring(parts: list[str], indent: int) -> list[str]:
    margin = " " * indent
    cleaned = [_clean(part) for part in parts]
    if len(cleaned) == 1 and len(cleaned[0]) + indent + 6 <= 88:
        return [f'{margin}"""{cleaned[0]}"""']
    lines: list[str] = []
    for number, part in enumerate(cleaned):
        if number == 1:
            lines.append("")
        lines += textwrap.wrap(part, 88 - indent - (3 if number == 0 else 0)) or [""]
    lines[0] = f'"""{lines[0]}'
    if len(lines) == 1:
        return [f'{margin}{lines[0]}"""']
    return [f"{margin}{line}".rstrip() for line in [*lines, '"""']]


def _clean(text: str) -> str:
    """Words that cannot end a docstring."""
    text = " ".join(text.split()).replace("\\", "\\\\").replace('"""', "'''")
    return text[:-1] + "'" if text.endswith('"') else text


def _imports(body: str) -> str:
    """The imports that the text needs, sorted as ruff sorts them."""
    standard = []
    if "OrderedDict(" in body:
        standard.append("from collections import OrderedDict")
    if "(NamedTuple)" in body:
        standard.append("from typing import NamedTuple")
    torch = ["import torch"] if re.search(r"\btorch\.", body) else []
    library = "library, " if "@library." in body else ""
    torch.append(f"from torch import Tensor, {library}nn")
    if re.search(r"\bF\.", body):
        torch.append("from torch.nn import functional as F")
    return "\n\n".join("\n".join(part) for part in (standard, torch) if part)
