"""The parts of a picture: boxes, clusters, edges, and the frames of opened blocks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cnndsl.diagnostics import Span
from cnndsl.graph import Network
from cnndsl.ops.facts import Family, Shape
from cnndsl.structure import Call, Tensor


@dataclass(slots=True)
class Box:
    """One box: a written step with its tags, a folded block, an input or an output.

    `nodes` are the graph nodes that it stands for, `parts` those of its words: the step
    and what follows it. `signature` is equal for boxes that may fold; `count` is how many
    it stands for one after the other, `beside` how many side by side: one may read what
    another does not. Of each that is folded there are the arguments (`values`) and the
    size that leaves it.
    """

    key: str
    title: str
    family: Family | None
    nodes: list[str]
    signature: object
    labels: list[str] = field(default_factory=list)
    line: str = ""
    """The label of the line that it is written on, which the line's last box has."""
    within: str = ""
    """The labels of the lines around that one: `stages[2]`."""
    final: bool = True
    """Its line is the last in each of those, whose value is this box's too."""
    parts: list[str] = field(default_factory=list)
    others: list[list[str]] = field(default_factory=list)
    """The `parts` of those that stand beside it."""
    notes: list[str] = field(default_factory=list)
    values: list[tuple[tuple[str, object], ...]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    condition: str = ""
    """Where not every call of a frame has it: when it is there."""
    count: int = 1
    beside: int = 1
    flat: bool = False
    """No stack of cards, though it repeats: what it holds is opened elsewhere."""
    frame: Frame | None = None
    tensor: Tensor | None = None
    span: Span | None = None
    """Where it is written."""


@dataclass(slots=True)
class Cluster:
    """A block opened in place, or a repeated sequence."""

    key: str
    title: str
    children: list[Item]
    inputs: tuple[Tensor, ...] = ()
    labels: list[str] = field(default_factory=list)
    count: int = 1
    span: Span | None = None

    @property
    def signature(self) -> object:
        """What must be equal for two clusters to fold."""
        return (self.title, tuple(child.signature for child in self.children))

    @property
    def nodes(self) -> list[str]:
        """The graph nodes inside."""
        return [name for child in self.children for name in child.nodes]


Item = Box | Cluster


@dataclass(frozen=True, slots=True)
class Option:
    """A line that only some calls of a frame have: `if s = 1`, and both cases in words.

    `on` is whether each call has it.
    """

    said: str
    there: str
    away: str
    on: tuple[bool, ...]


@dataclass(slots=True)
class Frame:
    """A block shown opened: `scene` is its first call, which has all that any of them has.

    `nodes` are the layers of each of the `calls`, in the places of the first's; one that a
    call has not is empty. `notes` say when it has what.
    """

    key: str
    title: str
    calls: list[Call]
    nodes: list[tuple[str, ...]] = field(default_factory=list)
    scene: Scene | None = None
    notes: list[str] = field(default_factory=list)
    when: dict[str, str] = field(default_factory=dict)
    """When the first call's layers are there, by name, of those that not all calls have."""
    options: list[Option] = field(default_factory=list)
    dashed: list[str] = field(default_factory=list)
    """When it has its dashed edges, but for those into closed blocks."""
    chains: dict[int, dict[str | int, tuple[Call, ...]]] = field(default_factory=dict)
    """By call (`id`), the calls between it and each layer or call (by `id`) in it."""
    quiet: bool = False
    """It is post-processing, which stays closed until it is opened."""
    alike: int = 0
    """It is of no block, and shows one of so many places."""
    given: dict[tuple[str, int], str] = field(default_factory=dict)
    """The names of what learned tensors make: where one is read, it is named, not led there."""

    @property
    def name(self) -> str:
        """The block's name, without what tells its frames apart."""
        return self.calls[0].block.definition.name if self.calls else self.title

    def always(self, name: str) -> bool:
        """Whether all the calls have a layer of the first."""
        if not self.nodes or name not in self.nodes[0]:
            return True
        place = self.nodes[0].index(name)
        return all(nodes[place] for nodes in self.nodes)

    @property
    def placed(self) -> dict[int, tuple[str, ...]]:
        """The layers of each call, by its `id`."""
        return {id(call): nodes for call, nodes in zip(self.calls, self.nodes, strict=True)}


@dataclass(slots=True)
class Edge:
    """From a box to a box; `shapes` are those of the tensors, in order."""

    tail: str
    head: str
    tensors: list[Tensor]
    dashed: bool = False
    """Not every call of a frame has it."""


Neighbours = defaultdict[str, list[str]]


@dataclass(slots=True)
class Scene:
    """The boxes of the main picture or of a frame, and the edges between them."""

    items: list[Item]
    edges: list[Edge]
    owner: dict[str, str]

    def boxes(self) -> Iterator[Box]:
        """All boxes, in order."""
        yield from boxes(self.items)

    def neighbours(self) -> tuple[Neighbours, Neighbours]:
        """The boxes before each box, and those behind it, once an edge."""
        before, after = Neighbours(list), Neighbours(list)
        for edge in self.edges:
            before[edge.head].append(edge.tail)
            after[edge.tail].append(edge.head)
        return before, after


@dataclass(slots=True)
class Plan:
    """The main picture, the frames, and how every node is accounted for."""

    network: Network
    main: Scene
    frames: list[Frame]
    drawn: frozenset[str]
    folded: frozenset[str]

    def appearing(self) -> list[str]:
        """The keys of all frames, in the order in which boxes show them first."""
        found: dict[str, None] = {}
        scenes = [self.main]
        for scene in scenes:
            for frame in (box.frame for box in scene.boxes()):
                if frame is not None and frame.scene is not None and frame.key not in found:
                    found[frame.key] = None
                    scenes.append(frame.scene)
        return list(found | dict.fromkeys(frame.key for frame in self.frames))


def repeated(items: Sequence[Item], turns: int = 1) -> dict[str, int]:
    """How often each box of a repeated sequence occurs: so many tensors an edge has there."""
    found: dict[str, int] = {}
    for item in items:
        if isinstance(item, Cluster):
            found |= repeated(item.children, turns * item.count)
        elif turns > 1:
            found[item.key] = turns
    return found


def boxes(items: Sequence[Item]) -> Iterator[Box]:
    """The boxes of some items, clusters opened."""
    for item in items:
        if isinstance(item, Box):
            yield item
        else:
            yield from boxes(item.children)
