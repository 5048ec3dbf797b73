"""Modules under construction: attributes of a class, and the containers of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from cnndsl.backends.torch.layout import Brackets, Doc, Generated, Prefixed
from cnndsl.backends.torch.values import literal


@dataclass(eq=False)
class Registry:
    """The children of a module: attributes of the class, or entries of a container.

    `single` says that all of the label's modules are one chain, an `nn.Sequential`. `keyed`
    are the accesses of containers whose numbers do not run from 0: they are dictionaries,
    which is known only when all children are, after a first writing of the class.
    """

    access: str
    keyed: set[str]
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
        return Registry(self.reach(name), self.keyed, single=single, parent=(self, name))

    def reach(self, name: str) -> str:
        """The text that reaches a child."""
        if name.isdigit() and self.access not in self.keyed:
            return f"{self.access}[{name}]"
        taken = name.isdigit() or (self.statement is None and name in dir(dict))
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
        children = {
            n: c.doc() if isinstance(c, Registry) else c for n, c in self.children.items()
        }
        if self._counts_from_0():
            return Brackets(
                "nn.ModuleList", (Brackets("", tuple(children.values()), "[", "]"),)
            )
        items = tuple(Prefixed(f"{literal(n)}: ", child) for n, child in children.items())
        return Brackets("nn.ModuleDict", (Brackets("", items, "{", "}"),))

    def _counts_from_0(self) -> bool:
        return list(self.children) == [str(i) for i in range(len(self.children))]

    def dictionaries(self) -> Iterator[str]:
        """The accesses of this container and those in it whose numbers need keys."""
        if any(name.isdigit() for name in self.children) and not self._counts_from_0():
            yield self.access
        for child in self.children.values():
            if isinstance(child, Registry):
                yield from child.dictionaries()


def sequential(entries: list[tuple[str, Doc]]) -> Doc:
    """`nn.Sequential(OrderedDict(conv=…, norm=…))`."""
    items = tuple(Prefixed(f"{name}=", doc) for name, doc in entries)
    return Brackets("nn.Sequential", (Brackets("OrderedDict", items),))


def leaves(doc: Doc) -> Iterator[str]:
    """The texts in a document's brackets."""
    match doc:
        case str():
            yield doc
        case Brackets(items=items):
            for item in items:
                yield from leaves(item)
        case Prefixed(value=value):
            yield from leaves(value)
        case Generated(element=element):
            yield from leaves(element)


def with_text(doc: Doc, old: str, new: str) -> Doc:
    """A document with one text replaced by another."""
    match doc:
        case str():
            return new if doc == old else doc
        case Brackets(items=items):
            return replace(doc, items=tuple(with_text(item, old, new) for item in items))
        case Prefixed(value=value):
            return replace(doc, value=with_text(value, old, new))
        case Generated(element=element):
            return replace(doc, element=with_text(element, old, new))


def generated(element: Doc, target: str, source: str) -> Doc:
    """`*(element for target in source)`."""
    return Prefixed("*", Brackets("", (Generated(element, target, source),)))
