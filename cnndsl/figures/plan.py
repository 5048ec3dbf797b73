"""What a picture shows: boxes in clusters, with repeats and blocks folded.

Every node of the graph belongs to exactly one box of the main picture. A block that is
called in several places is one box there, and is opened once, in a frame of its own, for
each way in which its lines are on or off.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from cnndsl.diagnostics import ArchError, Diagnostic
from cnndsl.figures.abreast import abreast, computes, last, levels, rows, weighted
from cnndsl.figures.conditions import tell
from cnndsl.figures.folding import Runs, label_items, tell_apart
from cnndsl.figures.nested import nested as nested_joins
from cnndsl.figures.scene import Box, Cluster, Frame, Item, Plan, Scene, boxes
from cnndsl.figures.text import label_text, labels_text, letter
from cnndsl.figures.variants import Variants, identity, partial
from cnndsl.figures.walk import calls_of, given, labels_of, nested, ratio, taken, varying
from cnndsl.figures.wiring import scene_of
from cnndsl.graph import Network
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Family
from cnndsl.structure import (
    Call,
    Each,
    Group,
    Line,
    Loop,
    Repeat,
    Step,
    Tensor,
    Term,
    deep_recursion,
    nodes_of,
)

OPEN_ALL = 24
"""A network of at most so many boxes is shown whole."""
MOST = 10_000
"""Boxes in a figure: laying out so many takes ten seconds, and nobody reads them."""
SHARED = "one set of weights"
"""Said of what several calls or turns share."""
SMALL, SHARE = 3, 0.7
"""A block that is called once is closed if it has more boxes, and is not nearly all."""
ENDED = 3
"""Post-processing of so many boxes is one until it is opened."""
PYRAMID = 24
"""A block whose outputs are the levels of a pyramid is opened in place if it is this small."""
OPEN_JOIN = 8
"""A block of several inputs and one output is opened in place if it is this small."""


def plan(
    network: Network,
    *,
    folding: bool | None = None,
    repeats: bool = True,
    closed: bool = False,
    pyramids: Collection[str] | None = None,
    variants: Variants | None = None,
) -> Plan:
    """What the picture of a network shows; a small one is not folded, unless it is asked.

    Without `repeats`, what follows itself stays apart: each box stands for one of them.
    Where all is to be `closed`, so is a block that is called once, but for a backbone or a
    neck, whose levels are the picture's lanes: if it is one of `pyramids`, where these are
    given. `variants` are the network's, where several plans of it are made.
    """
    variants = variants or variants_of(network)
    with deep_recursion():
        if folding is not None or closed:
            folds = folding is not False
            return _Planner(
                variants, folding=folds, repeats=repeats, closed=closed, pyramids=pyramids
            ).plan()
        whole = _Planner(variants, folding=False).plan()
        if sum(1 for _ in whole.main.boxes()) <= OPEN_ALL:
            return whole
        return _Planner(variants, folding=True).plan()


def variants_of(network: Network) -> Variants:
    """All calls of its blocks, compared."""
    return Variants(network, list(calls_of(network.structure.body)))


def drawable(planned: Plan) -> Plan:
    """A plan that can be laid out in good time.  Raises ArchError (E611): it is too large."""
    scenes = [planned.main, *(frame.scene for frame in planned.frames if frame.scene)]
    count = sum(1 for scene in scenes for _ in scene.boxes())
    if count > MOST:
        message = f"the figure would have {count:,} boxes, and the limit is {MOST:,}"
        help = "name parts as blocks, which are drawn closed with --detail stages"
        raise ArchError([Diagnostic("E611", message, help=help)])
    return planned


def _levels(call: Call) -> int:
    """In how many sizes a call gives maps: a backbone's or a neck's levels."""
    return len({tensor.shape[1:] for tensor in call.outputs if len(tensor.shape) > 2})


def _named(box: Box) -> str:
    """What a box's value is called: by its label, else by what it is."""
    return labels_text(box.labels) or box.title


def _without(items: Sequence[Item], keys: set[str]) -> list[Item]:
    """The items without some boxes, and without blocks that hold no others."""
    found: list[Item] = []
    for item in items:
        if isinstance(item, Cluster):
            item.children = _without(item.children, keys)
            found += [item] if item.children else []
        elif item.key not in keys:
            found.append(item)
    return found


class _Planner:
    """One pass over the structure."""

    def __init__(
        self,
        variants: Variants,
        *,
        folding: bool,
        repeats: bool = True,
        closed: bool = False,
        pyramids: Collection[str] | None = None,
    ) -> None:
        self.network = network = variants.network
        self.pyramids = pyramids
        self.closed = closed
        wires = network.wires
        self.folding = folding
        self.order = {name: number for number, name in enumerate(wires)}
        self.runs = Runs(network, repeats=repeats)
        self.calls = variants.calls
        self.uses = Counter(identity(call.block) for call in self.calls)
        self.members = {id(call): tuple(nodes_of(call.block.body)) for call in self.calls}
        self.forms: dict[int, object] = {}
        self.sizes: dict[int, int] = {}
        self.variants = variants
        self.nested = nested(network.structure.body)
        self.frames: dict[int, Frame] = {}
        self.values: dict[int, tuple[tuple[str, object], ...]] = {}
        self.strides: dict[int, int] = {}
        self.strided: dict[tuple[object, str], bool] = {}
        self.number = 0

    def plan(self) -> Plan:
        """The whole plan."""
        inputs: list[Item] = [
            self._port(name, tensor.node) for name, tensor in self.network.inputs.items()
        ]
        items = [*inputs, *self._lines(self.network.structure.body)]
        self._strays(items)
        if self.folding:
            items = self._weighted(abreast(self.network, items))
            items = self._ended(items, self.network.outputs)
            self.items = items
        main = scene_of(
            self.network, self._key, items, list(self.network.wires), {}, self.network.outputs
        )
        for frame in self.frames.values():
            if not frame.calls:
                continue
            first = frame.calls[0]
            frame.calls = self._shown(first)
            frame.nodes = [self.variants.aligned(first, call) for call in frame.calls]
            self._paint(frame)
            tell(self.network, frame, self.variants.slots[id(first)])
        self._titles()
        self._hush(main)
        opened = [frame for frame in self.frames.values() if frame.scene is not None]
        for scene in (main, *(frame.scene for frame in opened if frame.scene)):
            tell_apart(scene)
        if self.folding and (one := nested_joins(self.network, main, self._key)):
            opened.append(one)
        told = [frame.scene for frame in opened if frame.scene and not frame.quiet]
        scenes = [main, *told]
        drawn = {
            box.nodes[0]
            for scene in scenes
            for box in scene.boxes()
            if box.nodes and box.frame is None
        }
        everything = {name for box in main.boxes() for name in box.nodes}
        assert everything == set(self.network.wires), "every node of the graph has a box"
        return Plan(self.network, main, opened, frozenset(drawn), frozenset(everything - drawn))

    # Boxes

    def _key(self) -> str:
        self.number += 1
        return f"b{self.number}"

    def _port(self, name: str, node: str) -> Box:
        span = self.network.node(node).span
        return Box(self._key(), name, Family.INPUT, [node], ("port", name, node), span=span)

    def _lines(self, lines: Sequence[Line]) -> list[Item]:
        """The items of a body, what repeats folded."""
        items: list[Item] = []
        for line in lines:
            terms = [item for term in line.terms for item in self._term(term)]
            found = self.runs.continued(terms)
            if line.labels and found:
                index = "".join(f"[{i}]" for i in line.index)
                label_items(found, ", ".join(line.labels) + index)
            items += found
        return self.runs.folded(self.runs.tagged(items))

    def _term(self, term: Term) -> list[Item]:
        match term:
            case Step():
                return self._lines(term.lines or []) + self._step(term)
            case Call():
                return [*self._lines(term.lines or []), self._call(term)]
            case Group():
                return self._lines(term.body)
            case Repeat():
                items = self._series([self._term(item) for item in term.items])
                return self._noted(items, SHARED) if term.shared else items
            case Loop():
                return self._series([self._lines(body) for body in term.bodies])
            case Each():
                items = self._lines(term.lines or [])
                calls = [self._term(call) for call in term.calls]
                for number, call in enumerate(calls if len(calls) > 1 else ()):
                    label_items(call, f"[{number}]")
                made = [item for call in calls for item in call]
                return items + self._noted(made, "each row" if term.row else SHARED)

    def _noted(self, items: list[Item], note: str) -> list[Item]:
        """Items with a note on what holds weights; `each row` is of all."""
        for box in boxes(items):
            if note != SHARED or any(map(self._weighs, box.nodes)):
                box.notes.append(note)
        return items

    def _weighs(self, name: str) -> bool:
        return bool(self.network.node(name).op.weights(*self.network.input_shapes(name)))

    def _step(self, step: Step) -> list[Item]:
        if not step.nodes:
            return []
        nodes = list(step.nodes)
        box = Box(self._key(), "", self._family(nodes[0]), nodes, self._signature(nodes))
        box.parts = list(step.nodes)
        box.shapes = [self.network.shapes[step.nodes[-1]][0]]
        box.span = step.span
        return [box]

    def _call(self, call: Call) -> Item:
        members = self.members[id(call)]
        if not members:
            return Cluster(self._key(), call.block.definition.name, [])
        inputs = tuple(call.block.inputs.values())
        if not self._folds(call):
            children = self._lines(call.block.body)
            title = call.block.definition.name
            if len(children) == 1 and isinstance(children[0], Box) and len(inputs) == 1:
                children[0].labels, children[0].line = [], ""
                return children[0]
            return Cluster(self._key(), title, children, inputs, span=call.span)
        arguments = self._arguments(call)
        stride = self._stride(call)
        title = call.block.definition.name
        if stride and not any(self._strided(call, name) for name, _ in arguments):
            title += f" /{stride}"
        signature = (title, self._form(call))
        box = Box(self._key(), title, None, list(members), signature)
        box.frame = self._frame(call)
        box.values = [arguments]
        box.shapes = [tensor.shape for tensor in call.outputs[:1]]
        box.span = call.span
        return box

    def _folds(self, call: Call) -> bool:
        """Whether a call is one box, opened in a frame."""
        if not self.folding or id(call) in self.nested:
            return False
        if not self.closed and self.uses[identity(call.block)] < 2:
            return False
        first = self.variants.first[id(call)]
        if id(first) not in self.sizes:
            self.sizes[id(first)] = MOST  # one of its own kind within it is closed
            self.sizes[id(first)] = sum(1 for _ in boxes(self._lines(first.block.body)))
        if self.uses[identity(call.block)] < 2:
            kept = self.pyramids is None or call.block.definition.name in self.pyramids
            if kept and self.sizes[id(first)] <= PYRAMID and _levels(call) > 1:
                return False
            share = len(self.members[id(call)]) / len(self.order)
            return self.sizes[id(first)] > SMALL and share < SHARE
        joins = len(call.block.inputs) > 1 and len(call.block.outputs) == 1
        return self.sizes[id(first)] > (OPEN_JOIN if joins and not self.closed else 1)

    def _frame(self, call: Call) -> Frame:
        """The frame in which a block is opened: by the call that has all that it may have."""
        first = self.variants.first[id(call)]
        if id(first) not in self.frames:
            frame = Frame(f"f{len(self.frames) + 1}", first.block.definition.name, [first])
            self.frames[id(first)] = frame
            names, shown = list(self.members[id(first)]), self._shown(first)
            every = [self.variants.aligned(first, one) for one in shown]
            outputs = first.block.outputs | taken(self.network, first.block, every)
            around, self.runs.partial = self.runs.partial, partial(every)
            items = rows(self.network, self._lines(first.block.body))
            self.runs.partial = around
            items = self._weighted(levels(self.network, items))
            frame.quiet = self._makes_boxes(names)
            if not frame.quiet:
                items = self._ended(items, outputs)
            frame.scene = scene_of(
                self.network, self._key, items, names, first.block.inputs, outputs
            )
        return self.frames[id(first)]

    def _shown(self, first: Call) -> list[Call]:
        """The calls that one shows, itself in front."""
        shown = (c for c in self.calls if self.variants.first[id(c)] is first)
        others = [c for c in shown if c is not first and id(c) not in self.nested]
        return [first, *others]

    def _makes_boxes(self, names: Sequence[str]) -> bool:
        """Whether some layers are post-processing alone: boxes from what the heads give."""
        families = {self._op(name).family for name in names}
        return Family.BOXES in families and computes(self.network, names)

    def _ended(self, items: list[Item], given: Mapping[str, Tensor]) -> list[Item]:
        """The items with post-processing as one box: what makes boxes of the heads' numbers.

        `given` are the outputs of the network or of the block.
        """
        ended = last(self.network, items)
        if sum(box.beside for box in ended) < ENDED or len(ended) < 2:
            return items
        inside = {name for box in ended for name in box.nodes}
        outputs = {n: t for n, t in given.items() if t.node in inside}
        box = self._shut(items, ended, "Boxes", outputs)
        box.family, box.shapes = Family.BOXES, [t.shape for t in outputs.values()]
        return [*_without(items, {one.key for one in ended}), box]

    def _weighted(self, items: list[Item]) -> list[Item]:
        """The items, with all that is computed from learned tensors alone as one box."""
        found = weighted(self.network, items)
        for group in found:
            inside = {name for box in group for name in box.nodes}
            given = [n for n in self.order if n in inside and self.runs.users[n] - inside]
            label = next((label_text(b.labels) for b in reversed(group) if b.labels), "w")
            several = len(given) > 1
            outputs = {
                f"{label}[{n}]" if several else label: Tensor(
                    name, 0, self.network.shapes[name][0]
                )
                for n, name in enumerate(given)
            }
            made = self._shut(items, group, "Weights", outputs)
            made.family, made.labels = group[0].family, [*outputs]
            assert made.frame is not None
            made.frame.given = {(t.node, t.output): name for name, t in outputs.items()}
            keys = {box.key for box in group}
            place = next(n for n, item in enumerate(items) if item.key in keys)
            items = [*items[:place], made, *items[place:]]
            items = _without(items, keys)
        return items

    def _shut(
        self, items: list[Item], group: list[Box], title: str, outputs: dict[str, Tensor]
    ) -> Box:
        """One box for a group of them, which stays closed until it is asked for."""
        inside = {name for box in group for name in box.nodes}
        nodes = [name for name in self.order if name in inside]
        inputs: dict[str, list[Tensor]] = defaultdict(list)
        owner = {name: _named(box) for box in boxes(items) for name in box.nodes}
        for name in nodes:
            for node, output in self.network.operands(name):
                tensor = Tensor(node, output, self.network.shapes[node][output])
                if node not in inside and tensor not in inputs[named := owner.get(node, "in")]:
                    inputs[named].append(tensor)
        inputs = {name: tensors for name, tensors in inputs.items() if tensors}
        frame = Frame(f"f{len(self.frames) + 1}", title, [], [tuple(nodes)], quiet=True)
        frame.scene = scene_of(self.network, self._key, [*group], nodes, inputs, outputs)
        self.frames[id(frame)] = frame
        box = Box(self._key(), title, None, nodes, (title,))
        box.frame = frame
        return box

    def _hush(self, main: Scene) -> None:
        """Leave closed what is only called in post-processing."""
        heard: set[str] = set()
        scenes = [main]
        while scenes:
            frames = [box.frame for box in scenes.pop().boxes() if box.frame is not None]
            for frame in frames:
                if not frame.quiet and frame.key not in heard and frame.scene is not None:
                    heard.add(frame.key)
                    scenes.append(frame.scene)
        for frame in self.frames.values():
            frame.quiet = frame.key not in heard
        for scene in [main, *(frame.scene for frame in self.frames.values() if frame.scene)]:
            for box in scene.boxes():
                if box.frame is not None and self._makes_boxes(box.nodes):
                    box.family = Family.BOXES

    def _arguments(self, call: Call) -> tuple[tuple[str, object], ...]:
        """The arguments in which the calls of one block differ."""
        block = identity(call.block)
        if id(call) not in self.values:
            calls = [c for c in self.calls if identity(c.block) == block]
            rows = given([c.block for c in calls])
            names = varying(rows)
            for one, row in zip(calls, rows, strict=True):
                self.values[id(one)] = tuple((name, row[name]) for name in names)
        return self.values[id(call)]

    def _stride(self, call: Call) -> int:
        """The whole stride of a call; 0 where it has none."""
        if id(call) not in self.strides:
            nodes = sorted(self.members[id(call)], key=self.order.__getitem__)
            self.strides[id(call)] = ratio(self.network, nodes, call)
        return self.strides[id(call)]

    def _strided(self, call: Call, name: str) -> bool:
        """Whether an argument is the stride of all calls of a block."""
        block = identity(call.block)
        if (block, name) not in self.strided:
            calls = [one for one in self.calls if identity(one.block) == block]
            self.strided[block, name] = all(
                dict(self._arguments(one))[name] == max(self._stride(one), 1) for one in calls
            )
        return self.strided[block, name]

    def _titles(self) -> None:
        """Tell apart the frames of one block: by the labels of their lines, or a letter."""
        groups: dict[str, list[Frame]] = defaultdict(list)
        for frame in self.frames.values():
            if not frame.quiet:
                groups[frame.title].append(frame)
        marks: dict[str, str] = {}
        for frames in groups.values():
            if len(frames) == 1:
                continue
            labels = [labels_of(f.calls[0].block.body) if f.calls else set() for f in frames]
            common = set.intersection(*labels)
            extra = [", ".join(sorted(found - common)) for found in labels]
            if len(set(extra)) < len(frames):
                extra = [letter(number) for number in range(len(frames))]
            for frame, mark in zip(frames, extra, strict=True):
                marks[frame.key] = mark
                if mark:
                    frame.title += f" ({mark})"
        scenes = [f.scene for f in self.frames.values() if f.scene is not None]
        for box in self._planned(scenes):
            mark = marks.get(box.frame.key, "") if box.frame else ""
            if mark:
                name, slash, stride = box.title.partition(" /")
                box.title = f"{name} ({mark}){slash}{stride}"

    def _planned(self, scenes: list[Scene]) -> Iterator[Box]:
        yield from boxes(self.items)
        for scene in scenes:
            yield from scene.boxes()

    def _family(self, name: str) -> Family:
        """What a step looks like: a convolution of one channel a group is depthwise."""
        op, shapes = self._op(name), self.network.input_shapes(name)
        if op.family is Family.CONV and shapes and len(shapes) == 1:
            window = op.window(*shapes)
            if window is not None and 1 < window.groups == shapes[0][0]:
                return Family.DEPTHWISE
        return op.family

    def _paint(self, frame: Frame) -> None:
        """Give a step the looks of its operation where not all calls look like the first."""
        every = dict(zip(frame.nodes[0], zip(*frame.nodes, strict=True), strict=True))
        for box in frame.scene.boxes() if frame.scene else ():
            if box.parts and len({self._family(n) for n in every[box.parts[0]] if n}) > 1:
                box.family = self._op(box.parts[0]).family

    # Folding

    def _series(self, parts: list[list[Item]]) -> list[Item]:
        """Iterations: each is one item, so that what repeats folds as a whole."""
        items: list[Item] = []
        for number, part in enumerate(parts):
            if len(part) == 1:
                items += part
                label_items(part, f"[{number}]")
            elif part:
                label_items(part, f"[{number}]")
                items.append(Cluster(self._key(), "", part, labels=[f"[{number}]"]))
        folded = self.runs.folded(items)
        flat: list[Item] = []
        for item in folded:
            alone = isinstance(item, Cluster) and not item.title and item.count == 1
            flat += item.children if alone and isinstance(item, Cluster) else [item]
        return flat

    # Equality

    def _op(self, name: str) -> Op:
        return self.network.node(name).op

    def _signature(self, names: Sequence[str]) -> object:
        return tuple(self._op(name) for name in names)

    def _form(self, call: Call) -> object:
        """A block's graph up to names."""
        if id(call) not in self.forms:
            names = self.members[id(call)]
            place = {name: number for number, name in enumerate(names)}
            outside: dict[tuple[str, int], int] = {}
            rows = []
            for name in names:
                operands = []
                for node, output in self.network.operands(name):
                    known = place.get(node)
                    if known is None:
                        known = -1 - outside.setdefault((node, output), len(outside))
                    operands.append((known, output))
                rows.append((self._op(name), tuple(operands)))
            self.forms[id(call)] = (identity(call.block), tuple(rows))
        return self.forms[id(call)]

    # Edges

    def _strays(self, items: list[Item]) -> None:
        """Give nodes that no written step owns to a neighbour: `each row`'s reshaping."""
        self.items = items
        owner = {name: box for box in boxes(items) for name in box.nodes}
        for name in self.network.wires:
            if name in owner:
                continue
            near = [
                *sorted(self.runs.users[name], key=self.order.__getitem__),
                *sorted(self.runs.sources[name], key=self.order.__getitem__, reverse=True),
            ]
            box = next((owner[n] for n in near if n in owner), None)
            if box is None:
                box = Box(self._key(), "", self._op(name).family, [], self._op(name))
                items.append(box)
            box.nodes.append(name)
            owner[name] = box
