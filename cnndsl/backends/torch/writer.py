"""The statements of one class: its constructor's and its `forward`'s."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cnndsl.backends.torch.calls import Speller
from cnndsl.backends.torch.families import Families
from cnndsl.backends.torch.layout import Doc, flat, lines
from cnndsl.backends.torch.registry import Registry
from cnndsl.backends.torch.values import Env, Provider, identifier
from cnndsl.backends.torch.views import Views, label_of
from cnndsl.graph import Line, Network, Tensor
from cnndsl.ops.base import Torch

if TYPE_CHECKING:
    from cnndsl.backends.torch.source import Source


class Retry(Exception):  # noqa: N818 - control flow, not a fault
    """A tensor is needed after its variable was reused: it must keep one of its own."""

    def __init__(self, key: tuple[str, int]) -> None:
        """Name the tensor."""
        super().__init__(key)
        self.key = key


def base_of(text: str) -> str:
    """The variable of `x`, `x[0]` or `x.scores`."""
    return re.split(r"[.\[]", text, maxsplit=1)[0]


class Writer:
    """What is written so far, and which variable holds which tensor."""

    source: Source
    network: Network
    provider: Provider
    speller: Speller
    envs: list[Env]
    pinned: set[tuple[str, int]]
    keyed: set[str]
    running: str
    root: Registry

    def start(self, provider: Provider) -> None:
        """Begin an empty class."""
        self.provider = provider
        self.init: list[tuple[int, str, Doc | Registry]] = []
        self.body: list[str] = []
        self.init_depth = self.body_depth = 8
        self.families = Families()
        self.speller = Speller(provider, self._attribute, self.families)
        self.statements: list[tuple[str, str, int]] = []
        """Every assignment of `forward` so far: variable, text, and how many lines it has."""
        self.attributes: dict[str, str] = {}
        self.root = Registry("self", self.keyed, statement=self._initialise)

    def emit(self, before: str, doc: Doc, comment: str = "") -> None:
        """A statement of `forward`."""
        found = lines(doc, self.body_depth, before)
        if comment and len(found) == 1 and len(found[0]) + len(comment) + 2 <= 88:
            found[0] += f"  {comment}"
        self.body += found
        self.statements.append((before.removesuffix(" = "), flat(doc), len(found)))

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

    def assign(self, variable: str, doc: Doc, views: Views[Any], *, exact: bool = False) -> str:
        """`variable = doc`, and remember that it holds the outputs of these items.

        A tensor that must keep a variable gets one of its own, unless `exact`; with that it
        is assigned though another variable holds it.
        """
        first = views[0][1].outputs
        if len(first) > 1:
            return self._assign_several(variable, doc, views)
        kept = not any((t.node, t.output) in self.pinned for t in first) or doc != variable
        held = (
            env.tensors.get((t.node, t.output)) for env, item in views for t in item.outputs
        )
        if not exact and isinstance(doc, str) and kept and all(text == doc for text in held):
            return doc
        if not exact and any((t.node, t.output) in self.pinned for t in first):
            variable = self.own(views[0][1])
        variable = identifier(variable)
        if flat(doc) != variable:
            self.emit(f"{variable} = ", doc, self._comment(views))
        self.hold(variable, views)
        return variable

    def _assign_several(self, variable: str, doc: Doc, views: Views[Any]) -> str:
        """`keep, go = …`; a call's result has been kept where it was computed."""
        env, item = views[0]
        if all((tensor.node, tensor.output) in env.tensors for tensor in item.outputs):
            return flat(doc)
        labels = [identifier(label) for label in getattr(item, "labels", ())]
        if len(labels) != len(item.outputs):
            if any((t.node, t.output) in self.pinned for t in item.outputs):
                variable = self.own(item)
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
        self.forget(variable)
        for env, item in views:
            many = len(item.outputs) > 1
            for number, tensor in enumerate(item.outputs):
                text = f"{variable}[{number}]" if many else variable
                env.tensors[tensor.node, tensor.output] = text

    def forget(self, variable: str) -> None:
        """A variable is assigned anew: what it held is gone, `x[0]` and `x.scores` too."""
        self.families.drop(variable)
        for env in self.envs:
            gone = [k for k, v in env.tensors.items() if base_of(v) == variable]
            for key in gone:
                del env.tensors[key]

    def _comment(self, views: Views[Any]) -> str:
        """The shape, where all instances have one."""
        shapes = {tuple(map(int, item.outputs[0].shape)) for _, item in views if item.outputs}
        if len(shapes) != 1 or len(views[0][1].outputs) != 1:
            return ""
        return f"# {list(shapes.pop())}"

    def fresh(self, base: str) -> str:
        """A variable that holds nothing that is still needed."""
        used = {base_of(text) for env in self.envs for text in env.tensors.values()}
        name, number = base, 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        return name

    def own(self, item: Any) -> str:
        """A variable for what must keep one: not the one that goes from line to line."""
        name = self.fresh(identifier(label_of(item) or "y"))
        return self.fresh(f"{name}_2") if name == self.running else name

    def _variable(self, env: Env, tensor: Tensor) -> str:
        key = tensor.node, tensor.output
        if key not in env.tensors:
            raise Retry(key)
        return env.tensors[key]

    def _help(self, torches: Iterable[Torch]) -> None:
        for torch in torches:
            if torch.helper:
                self.source.help(torch.helper)

    # What the classes below this one write; they call each other.

    def line(
        self, views: Views[Line], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """A line that all these instances have; its value, not yet assigned."""
        raise NotImplementedError

    def conditional(
        self, live: list[Views[Line]], current: Doc, registry: Registry, variable: str
    ) -> Doc:
        """Lines of which each instance has one or none."""
        raise NotImplementedError

    def condition(self, views: Views[Line]) -> str:
        """A line's condition over the constructor's arguments."""
        raise NotImplementedError

    def optional(self, on: Views[Line]) -> bool:
        """Whether a line is a labelled chain of modules."""
        raise NotImplementedError

    def sequence(
        self, views: Views[list[Line]], current: Doc | None, registry: Registry, variable: str
    ) -> Doc | None:
        """Lines that continue each other; the value of the last, not yet assigned."""
        raise NotImplementedError
