"""Foreign networks, PyTorch's and ONNX's, as files that read like their papers.

    reader ─Flow→ simplify ─Flow→ parts ─Body→ blocks ─Block→ wording, stages ─text→ proof

A reader makes a `Flow`, layers in our words. Modules become parts, parts of one class a block,
whose numbers are formulas or parameters. The text is elaborated, matched with the flow layer
by layer, and both are run: only then is it given away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnndsl.importing.flow import Flow, refused
from cnndsl.records import Record, record

if TYPE_CHECKING:
    from torch import nn

    from cnndsl.network import Network
    from cnndsl.ops.facts import Array, Shape

__all__ = ["Imported", "from_flow", "from_torch"]


@record
class Imported(Record):
    """A foreign network as a file: its text, proved, and what was proved of it."""

    text: str
    network: Network
    weights: dict[str, Array]
    """The foreign weights under our names."""
    report: str
    """What was compared, and which weights no layer reads."""
    names: dict[str, str]
    """The foreign name of each weight."""


def from_torch(
    module: nn.Module, inputs: Shape | Sequence[Any], *, name: str | None = None
) -> Imported:
    """A module as a file that computes the same in evaluation, with its weights.

    `inputs` is the shape of its image without the batch, `(3, 224, 224)`; a list of such
    shapes; or tensors as the module takes them. Training is not compared: dropout and norms
    stand in the file as they stand in the module; a weight that it computes at each call, as
    weight norm does, is stored as evaluation reads it.
    Raises ArchError (E610): a module does what a file cannot say, or not surely.
    ImportError: torch is not installed.
    """
    from cnndsl.importing.parametrised import plain
    from cnndsl.importing.tracing import flow_of

    shapes = _shapes(inputs)
    made, computed = plain(module)
    flow = flow_of(made, shapes, name or type(module).__name__)
    found = from_flow(flow, lambda sizes: flow_of(made, sizes, flow.name))
    if not computed:
        return found
    note = f"weights that the module computes at each call, stored here: {_some(computed)}"
    return replace(found, report=f"{found.report}\n{note}")


def _shapes(inputs: Any) -> list[Shape]:
    if hasattr(inputs, "shape"):
        return [tuple(inputs.shape[1:])]
    if all(isinstance(size, int) for size in inputs):
        return [tuple(inputs)]
    return [
        tuple(one.shape[1:]) if hasattr(one, "shape") else tuple(map(int, one))
        for one in inputs
    ]


def from_flow(flow: Flow, again: Any = None) -> Imported:
    """The file of a flow, proved.  Raises ArchError (E610).

    `again` reads the same program for inputs of other shapes; with it, the file is proved at a
    second size, or takes no other. What nobody reads is kept where the file can say it.
    """
    from cnndsl.diagnostics import ArchError
    from cnndsl.importing.rewriting import live
    from cnndsl.importing.simplify import simplified

    flow = simplified(flow)
    flow.operations()
    if flow.unread:
        with suppress(ArchError):
            return _proved(flow, again)
        flow = live(replace(flow, unread={}))
    return _proved(flow, again)


def _proved(flow: Flow, again: Any) -> Imported:
    """The file of a flow that is simple.  Raises ArchError (E610)."""
    from cnndsl.diagnostics import ArchError
    from cnndsl.editing.layout import layout
    from cnndsl.importing import proof
    from cnndsl.importing.recover import recovered
    from cnndsl.importing.simplify import global_pools
    from cnndsl.network import loads

    try:
        other = _other(flow) if again is not None else None
        whole = global_pools(flow)
        for tried in (flow,) if whole is flow or other is None else (whole, flow):
            text = layout(recovered(tried))
            network = loads(text)
            where = proof.matched(network, tried)
            names = proof.weight_names(network, where, copies=flow.copies)
            second = None if other is None else _second(text, tried, other, names)
            if second is not None:
                break
        flow = tried
        batch = 2 if second is None else 1
        first, same = proof.difference(network, names, flow, flow.inputs, batch)
    except ArchError as error:
        raise _unsaid(error) from None
    if not same:
        raise refused(f"the text computes something else: the outputs differ by {first:.2g}")
    if second is None:
        text = layout(recovered(flow, fixed=True))
        network = loads(text)
        names = proof.weight_names(network, proof.matched(network, flow), copies=flow.copies)
    text = layout(_expecting(text, network))
    network = loads(text)
    report = _report(flow, first, other if second is not None else None, second)
    weights = proof.translated(network, names, flow.weights)
    return Imported(text, network, weights, report, names)


def _unsaid(error: Any) -> Any:
    """A fault of the text, which is ours, as a refusal."""
    if all(d.code == "E610" for d in error.diagnostics):
        return error
    first = error.diagnostics[0]
    return refused(f"the file that was found is faulty ({first.code}: {first.message})")


def _other(flow: Flow) -> dict[str, Shape] | None:
    """A second size, uneven on its axes; None where the inputs have no spatial axes."""
    shapes: dict[str, Shape] = {}
    for name, shape in flow.inputs.items():
        channels, *sizes = shape
        found = []
        for number, size in enumerate(sizes):
            step = 32 if size % 32 == 0 else 16 if size % 16 == 0 else 1
            fewer = (3 + number) * size // (8 * step)
            less = step * max(1 + number, fewer)
            found.append(size - less if size > 3 * step else size + step)
        shapes[name] = (channels, *found)
    return shapes if any(len(shape) > 1 for shape in shapes.values()) else None


def _second(
    text: str, flow: Flow, shapes: Mapping[str, Shape], names: Mapping[str, str]
) -> float | None:
    """The difference at a second size; None where one of both does not take it."""
    from cnndsl.diagnostics import ArchError
    from cnndsl.importing import proof
    from cnndsl.network import loads

    try:
        network = loads(text, inputs=dict(shapes))
        found, same = proof.difference(network, names, flow, shapes)
    except ArchError:
        return None
    except Exception:  # whatever a user's module raises at a size that it refuses
        return None
    return found if same else None


def _expecting(text: str, network: Network) -> str:
    """The text with its `@expect` above the model."""
    claim = f"@expect(params={network.parameters:_}, macs={network.macs:_})"
    head, mark, model = text.rpartition("\nmodel ")
    if not mark:
        return f"{claim}\n{text}"
    return f"{head}\n{claim}\nmodel {model}"


def _report(
    flow: Flow, first: float, other: Mapping[str, Shape] | None, second: float | None
) -> str:
    from cnndsl.importing import proof
    from cnndsl.ops.facts import spell_shape

    def at(shapes: Mapping[str, Shape]) -> str:
        return ", ".join(spell_shape(shape) for shape in shapes.values())

    lines = [
        f"{len(flow.layers)} layers, each of the same operation, shape and operands",
        f"random weights and statistics: outputs differ by {first:.1g} at {at(flow.inputs)}",
    ]
    if other is not None and second is not None:
        lines[-1] += f", by {second:.1g} at {at(other)}"
    else:
        lines.append("the file takes no other size: at another, the two are not the same")
    left = proof.unused(flow)
    if left:
        lines.append(f"weights that evaluation does not read, left out: {_some(left)}")
    return "\n".join(lines)


def _some(names: Sequence[str]) -> str:
    """The first three, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
