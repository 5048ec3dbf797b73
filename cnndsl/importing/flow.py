"""What importers read a foreign network into: its layers in our words, flat and in order.

A reader (PyTorch's in `tracing`, ONNX's) makes a `Flow`; `recover` finds the blocks in it and
writes the file. A reader does four things:

* each layer is one operation of ours: a `word` and its `arguments` as a file would give them
  (`{"out": 64, "kernel": (3, 3), "pad": ((1, 1), (1, 1)), "bias": False}`). Norms, activations
  and paddings are layers of their own; `recover` writes them into the convolution before. What
  does nothing (`Identity`, a cast, a contiguous copy) is no layer.
* shapes are per sample, the batch left out; a layer's `shapes` are those that the foreign
  program states, and `Flow.check` holds our operation to them.
* `scopes` are the modules around the layer, outermost first, the network itself left out; with
  none, the network is written as one model without blocks.
* `weights` maps our name of a weight (`weight`, `running_mean`) to theirs.

What cannot be said is `refused`, an ArchError (E610) with the module's path and the operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field

from cnndsl.diagnostics import ArchError, Diagnostic, OpError
from cnndsl.ops.base import OPS, Op
from cnndsl.ops.facts import Array, Shape, spell_shape
from cnndsl.ops.values import bind
from cnndsl.records import Record, record

Value = tuple[str, int]
"""A tensor: the name of the layer or input that makes it, and which of its outputs it is."""

Run = Callable[[Mapping[str, Array], Sequence[Array]], Sequence[Array]]
"""The foreign program itself: weights by their names and inputs, batch first, to outputs."""


RESERVED = (
    *("as", "block", "default", "each", "else", "for", "if", "in", "let", "model", "none"),
    *("not", "or", "and", "skip", "then", "true", "use", "when", "false", "same", "valid"),
    *("auto", "len", "min", "max", "abs", "sqrt", "floor", "ceil", "round", "round8"),
    *("D", "H", "W", "L"),
)
"""Words of the language, and the sizes of a model's inputs."""


def sayable(ports: Iterable[str]) -> dict[str, str]:
    """Names that a file can give to ports: `input.1` is `input_1`, `in` is `in1`."""
    found: dict[str, str] = {}
    for port in dict.fromkeys(ports):
        plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in port).strip("_")
        plain = f"x{plain}" if not plain[:1].isalpha() else plain
        plain = f"{plain}1" if plain in RESERVED or plain in OPS else plain
        while plain in found.values():
            plain += "_"
        found[port] = plain
    return found


def refused(reason: str, where: str = "") -> ArchError:
    """E610: what a foreign network does and a file cannot say, with its module's path."""
    place = f"{where}: " if where else ""
    return ArchError([Diagnostic("E610", f"{place}{reason}")])


@record
class Scope(Record):
    """A module around a layer: `layer1.0`, of the class `Bottleneck`.

    `transparent` says that it only holds others (`nn.Sequential`): it makes no block. A module
    that is called again is another scope: `call` counts from 0.
    """

    path: str
    kind: str
    transparent: bool = False
    call: int = 0

    @property
    def label(self) -> str:
        """Its own name, the last part of its path."""
        return self.path.rpartition(".")[2]


@record
class Layer(Record):
    """One operation: its name is unique, its inputs were made above it."""

    name: str
    word: str
    arguments: dict[str, object]
    inputs: tuple[Value, ...]
    shapes: tuple[Shape, ...]
    scopes: tuple[Scope, ...] = ()
    weights: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The path of the module that it is in."""
        return self.scopes[-1].path if self.scopes else ""


@record
class Flow(Record):
    """A foreign network: inputs and outputs by name, layers in an order that can be run."""

    name: str
    inputs: dict[str, Shape]
    outputs: dict[str, Value]
    layers: tuple[Layer, ...]
    weights: Mapping[str, Array] = field(repr=False)
    """The values by their foreign names."""
    run: Run = field(repr=False)
    """Computes the outputs in order, for weights of the same names and any batch."""
    source: str = ""
    """Where it comes from, in words: `torchvision.models:resnet50`."""
    rounds: bool = True
    """Whether something in it is rounded to single precision, in double precision too."""
    copies: bool = False
    """Whether a weight that several layers read may become several: equal ones are often put
    together by what writes a file, and are nobody's intention.
    """

    unread: dict[Value, str] = field(default_factory=dict)
    """What nothing reads of a module, though others of its class give it to somebody; with the
    path of the outermost module that it leaves.
    """

    def shape(self, value: Value) -> Shape:
        """The shape of a tensor."""
        name, number = value
        return self.inputs[name] if name in self.inputs else self.by_name[name].shapes[number]

    @property
    def by_name(self) -> dict[str, Layer]:
        """The layers by their names."""
        return {layer.name: layer for layer in self.layers}

    def operations(self) -> dict[str, Op]:
        """Each layer's operation, held to the shapes that the foreign program states.

        Raises ArchError (E610): an operation refuses its inputs, or gives another shape.
        """
        shapes: dict[Value, Shape] = {(name, 0): shape for name, shape in self.inputs.items()}
        found: dict[str, Op] = {}
        for layer in self.layers:
            inputs = tuple(shapes[value] for value in layer.inputs)
            try:
                rank = max(0, len(inputs[0]) - 1) if inputs else 0
                op = bind(OPS[layer.word], dict(layer.arguments), rank).resolved(*inputs)
                given = tuple(tuple(map(int, shape)) for shape in op.shapes(*inputs))
            except OpError as error:
                raise refused(f"`{layer.word}`: {error}", layer.where) from None
            if given != layer.shapes:
                ours, theirs = (", ".join(map(spell_shape, s)) for s in (given, layer.shapes))
                message = f"`{layer.word}` would give {ours}, and it gives {theirs}"
                raise refused(message, layer.where)
            found[layer.name] = op
            shapes.update({(layer.name, n): shape for n, shape in enumerate(given)})
        return found
