"""One layer, or all of a label, explained: attributes, shape, costs, neighbours, sources."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from cnndsl.analysis.closed import ClosedForms, closed_forms
from cnndsl.analysis.costs import Cost, costs
from cnndsl.analysis.measures import find_node
from cnndsl.analysis.receptive import Field, receptive
from cnndsl.diagnostics import Span
from cnndsl.graph import Network, Node, labels
from cnndsl.ops.base import Op
from cnndsl.ops.facts import Auto, Shape, spell_shape
from cnndsl.ops.values import spell
from cnndsl.structure import Block, Call, Definition, Item, Step, inside


@dataclass(frozen=True, slots=True)
class Explained:
    """The nodes of a step, explained; printed, a paragraph each."""

    label: str
    nodes: tuple[Layer, ...]

    def __iter__(self) -> Iterator[Layer]:
        """The nodes in order."""
        return iter(self.nodes)

    def rows(self) -> list[dict[str, object]]:
        """One row a node, for a data frame."""
        return [layer.row() for layer in self.nodes]

    def __str__(self) -> str:
        """What `cnndsl explain` prints."""
        return "\n\n".join(map(str, self.nodes))


@dataclass(frozen=True, slots=True)
class Layer:
    """What is known of one node; printed, it is a few lines."""

    node: str
    operation: str
    document: str
    written: str
    """The text of the step, and where it stands."""
    attributes: tuple[tuple[str, str, str], ...]
    """Name, value, and where the value comes from."""
    derivation: tuple[str, ...]
    shapes: tuple[Shape, ...]
    cost: Cost
    weights: dict[str, Shape]
    product: str
    """Its multiply-adds as the kernel's sizes times the positions that it is applied at."""
    macs: str
    """The closed form of its multiply-adds."""
    sees: str
    stride: str
    padding: str
    fed_by: tuple[str, ...]
    feeds: tuple[str, ...]
    sources: tuple[str, ...] = ()
    """Citations and deviations of the blocks around it, the innermost first."""

    def row(self) -> dict[str, object]:
        """As one row of a data frame."""
        return {
            "node": self.node,
            "operation": self.operation,
            "shape": spell_shape(self.shapes[0]),
            "parameters": self.cost.parameters,
            "macs": self.cost.macs,
            "receptive field": self.sees,
        }

    def __str__(self) -> str:
        """A paragraph of what `cnndsl explain` prints."""
        lines = [
            f"{self.node}  {self.operation}",
            f"  {self.document}",
            f"  {self.written}",
            "",
        ]
        width = max((len(name) for name, _, _ in self.attributes), default=0)
        lines += [f"  {n:{width}} = {v:12} {w}" for n, v, w in self.attributes]
        if self.attributes:
            lines.append("")
        lines.append(f"shape       {', '.join(map(spell_shape, self.shapes))}")
        lines += [f"            {line}" for line in self.derivation]
        tensors = ", ".join(f"{n} {spell_shape(s)}" for n, s in self.weights.items())
        lines.append(f"parameters  {self.cost.parameters:,}{'  ' + tensors if tensors else ''}")
        # A constant is its own closed form.
        form = "" if self.macs.isdigit() else self.macs
        derived = " = ".join(filter(None, [self.product, form]))
        lines.append(f"MACs        {self.cost.macs:,}{f'  = {derived}' if derived else ''}")
        lines.append(
            f"sees        {self.sees or 'nothing of the input'}"
            + (f", stride {self.stride}, padding {self.padding}" if self.stride else "")
        )
        lines.append(f"fed by      {', '.join(self.fed_by) or 'the caller'}")
        lines.append(f"feeds       {', '.join(self.feeds) or 'the caller'}")
        lines += [f"source      {line}" for line in self.sources]
        return "\n".join(lines)


def explain(network: Network, label: str) -> Explained:
    """The nodes of a step or of a label's last step.

    Raises LookupError: nothing has that name, with the nearest that is there.
    """
    name = find_node(network, label)
    step, around = _step(network, name)
    nodes: tuple[str, ...] = (name,)
    if label in labels(network):
        while step is None and (operands := network.operands(name)):
            # The way out of `each row` was not written; what it leads out of was.
            name = operands[0][0]
            step, around = _step(network, name)
        # A label stands for the whole step: convolution, normalisation, activation.
        nodes = step.nodes if step is not None else nodes
    forms = closed_forms(network)
    table = costs(network)
    fields = receptive(network)
    found = (_one(network, n, step, around, forms, table[n], fields[n]) for n in nodes)
    return Explained(label, tuple(found))


def _one(
    network: Network,
    name: str,
    step: Step | None,
    around: list[Definition],
    forms: ClosedForms,
    cost: Cost,
    seen: Field,
) -> Layer:
    node = network.node(name)
    span = step.span if step is not None and step.span is not None else node.span
    inputs = tuple(tuple(map(int, shape)) for shape in network.input_shapes(name))
    operands = network.operands(name)
    weights = {k: tuple(map(int, w.shape)) for k, w in node.op.weights(*inputs).items()}
    followers = list(network.wires.readers(name))
    outputs = [f"output {o}" for o, t in network.outputs.items() if t.node == name]
    return Layer(
        name,
        node.op.name,
        (type(node.op).__doc__ or "").strip().splitlines()[0],
        f"`{' '.join(span.text.split())}` at {_place(span)}",
        tuple(_attributes(node, span)),
        tuple(_derivation(node.op, inputs)),
        tuple(tuple(map(int, shape)) for shape in network.shapes[name]),
        cost,
        weights,
        _product(node, inputs, tuple(map(int, network.shapes[name][0])), weights, cost.macs),
        str(forms.by_node[name]),
        str(seen),
        seen.stride,
        seen.padding,
        tuple(f"{u} {spell_shape(s)}" for (u, _), s in zip(operands, inputs, strict=True)),
        (*dict.fromkeys(followers), *outputs),
        tuple(_sources(around)),
    )


def _place(span: Span) -> str:
    """`unet.arch:6`: the file without its folders."""
    return f"{PurePath(span.source.name).name}:{span.line}"


def _attributes(node: Node, step: Span) -> list[tuple[str, str, str]]:
    """Each attribute with where its value comes from."""
    places = dict(node.places)
    found = []
    for parameter in node.op.parameters:
        place = places.get(parameter.name)
        if place is not None:
            origin = _origin(place, step)
        elif isinstance(parameter.default, Auto) and isinstance(
            getattr(node.op, parameter.name), Auto
        ):
            origin = f"the default of {node.op.name}: PyTorch's own"
        elif isinstance(parameter.default, Auto):
            origin = f"`{spell(parameter.default)}`, the default of {node.op.name}, worked out"
        else:
            origin = f"the default of {node.op.name}"
        found.append((parameter.name, spell(getattr(node.op, parameter.name)), origin))
    return found


def _origin(place: Span, step: Span) -> str:
    """In the step, or the line that gives it: `default conv(norm=bn)` at vgg16.arch:1."""
    if place.source.name == step.source.name and step.start <= place.start < step.stop:
        return "written here"
    line = place.source.text.splitlines()[place.line - 1]
    return f"`{line.partition('#')[0].strip()}` at {_place(place)}"


def _derivation(op: Op, inputs: tuple[Shape, ...]) -> list[str]:
    """The output-size formula with the numbers in it, an axis a line."""
    window = op.window(*inputs) if inputs else None
    if window is None or window.whole or not window.kernel:
        return []
    ceil = bool(getattr(op, "ceil", False))
    lines = []
    for axis, (kernel, stride) in enumerate(zip(window.kernel, window.stride, strict=True)):
        size, (before, after) = int(inputs[0][axis + 1]), map(int, window.padding[axis])
        dilation = int(window.dilation[axis])
        if window.transposed:
            extra = int(op.extra[axis]) if hasattr(op, "extra") else 0
            total = (size - 1) * stride - before - after + dilation * (kernel - 1) + 1 + extra
            more = f" + {extra}" if extra else ""
            text = (
                f"({size} − 1)·{int(stride)} − {before} − {after}"
                f" + {dilation}·({int(kernel)} − 1) + 1{more} = {int(total)}"
            )
        else:
            room = size + before + after - dilation * (kernel - 1) - 1
            left, right = ("⌈", "⌉") if ceil else ("⌊", "⌋")
            quotient = math.ceil(room / stride) if ceil else room // stride
            text = (
                f"{left}({size} + {before} + {after} − {dilation}·({int(kernel)} − 1) − 1)"
                f"/{int(stride)}{right} + 1 = {int(quotient) + 1}"
            )
        if text not in lines:
            lines.append(text)
    return lines


def _product(
    node: Node, inputs: tuple[Shape, ...], output: Shape, weights: dict[str, Shape], macs: int
) -> str:
    """`64·3·7·7 · 112·112`: a weight, and the positions of the output or the input.

    Empty where multiply-adds are no such product: of two activations, or none.
    """
    weight = weights.get("weight", ())
    if not (macs and weight and inputs):
        return ""
    # Of a map, a transposed one's input, and the axes before a linear layer's features.
    for positions in (output[1:], inputs[0][1:], output[:-1]):
        factors = [(int(node.rows),) if node.rows != 1 else (), weight, positions]
        if math.prod(map(math.prod, factors)) == macs:
            return " · ".join("·".join(map(str, sizes)) for sizes in factors if sizes)
    return ""


def _sources(around: list[Definition]) -> list[str]:
    found = []
    for definition in around:
        found += [f"{definition.name}: {citation}" for citation in definition.citations]
        found += [f"{definition.name} deviates: {text}" for text in definition.deviations]
    return found


def _step(network: Network, name: str) -> tuple[Step | None, list[Definition]]:
    """The step that a node belongs to, and the blocks around it, the innermost first."""
    top = network.structure
    stack: list[tuple[Item, tuple[Block, ...]]] = [(line, (top,)) for line in top.body]
    while stack:
        item, around = stack.pop()
        if isinstance(item, Step) and name in item.nodes:
            return item, [block.definition for block in reversed(around)]
        if isinstance(item, Call):
            stack += [(line, (*around, item.block)) for line in item.block.body]
        stack += [(other, around) for other in inside(item, into_blocks=False)]
    return None, [top.definition]
