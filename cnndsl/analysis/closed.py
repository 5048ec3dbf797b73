"""Closed forms: shapes, parameters and multiply-adds as formulas of the input's sizes.

They say what the file would give, elaborated at those sizes: where a linear layer reads a
flattened feature map, the parameters depend on H and W too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from cnndsl.analysis.costs import total
from cnndsl.analysis.forms import Form, normal, product_of, size_form
from cnndsl.analysis.propagate import Layer, Propagated, propagate
from cnndsl.graph import Build, Network
from cnndsl.ops.facts import Shape
from cnndsl.symbolic import Sym, formula, symbol


@dataclass(frozen=True, slots=True)
class ClosedForms:
    """What a network costs and yields at any size; printed, it is a few lines."""

    name: str
    parameters: Form
    macs: Form
    outputs: dict[str, tuple[Form, ...]]
    shapes: dict[str, tuple[tuple[Form, ...], ...]] = field(repr=False)
    """Every node's output shapes."""
    by_node: dict[str, Form] = field(repr=False)
    """Every node's multiply-adds."""
    sizes: dict[str, int]
    """The free sizes and parameters, with the values that the network was built at."""

    def at(self, /, **sizes: int) -> dict[str, object]:
        """The figures at other sizes; those not given are the network's own."""
        values = {**self.sizes, **sizes}
        return {
            "parameters": self.parameters.at(values),
            "macs": self.macs.at(values),
            "outputs": {
                name: tuple(n.at(values) for n in shape) for name, shape in self.outputs.items()
            },
        }

    def __str__(self) -> str:
        """One formula a line."""
        lines = [f"{'MACs':10} {self.macs}", f"{'parameters':10} {self.parameters}"]
        for name, shape in self.outputs.items():
            lines.append(f"{name:10} [{', '.join(map(str, shape))}]")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, object]]:
        """One row a node with multiply-adds, for a data frame."""
        return [
            {
                "node": name,
                "shape": f"[{', '.join(map(str, self.shapes[name][0]))}]",
                "macs": str(form),
            }
            for name, form in self.by_node.items()
            if form.terms
        ]


def closed_forms(network: Network, known: Propagated | None = None) -> ClosedForms:
    """The closed forms of a network in the sizes of its inputs.

    An integer parameter that the network was built with as a `symbol` is free as well
    (see `free_parameters`).
    """
    found = known or propagate(network)
    macs: dict[int, Form] = {}
    weights: dict[int, Form] = {}
    total_macs, total_weights = Form({}, found.names), Form({}, found.names)
    by_node: dict[str, Form] = {}
    for layer in found.layers:
        if layer.kind not in macs:
            macs[layer.kind] = _macs(layer, found)
            weights[layer.kind] = _parameters(layer, found)
        form = _product(layer.rows, macs[layer.kind])
        by_node[layer.name] = form
        total_macs = total_macs + form
        if not network.node(layer.name).shared:
            total_weights = total_weights + weights[layer.kind]

    def spelt(shape: Shape) -> tuple[Form, ...]:
        return tuple(size_form(n, found.names) for n in shape)

    return ClosedForms(
        network.name,
        total_weights,
        total_macs,
        {n: spelt(found.shapes[t.node][t.output]) for n, t in network.outputs.items()},
        {name: tuple(map(spelt, shapes)) for name, shapes in found.shapes.items()},
        by_node,
        found.sizes,
    )


def _macs(layer: Layer, found: Propagated) -> Form:
    """Multiply-adds as a number times the sizes of a feature map, where they are that."""
    macs = layer.op.macs(*layer.inputs)
    if not isinstance(macs, Sym) or not layer.inputs:
        return Form({(): int(macs)} if macs else {}, found.names)
    out, inside = layer.outputs[0], layer.inputs[0]
    # Over output positions; over input positions; and with the other side's channels.
    for sizes in (out, (*out, inside[0]), inside, (*inside, out[0]), (*inside, out[-1])):
        factors = [n.formula for n in sizes if isinstance(n, Sym)]
        product = math.prod(n for n in sizes if isinstance(n, Sym))
        if product and not int(macs) % int(product):
            coefficient = int(macs) // int(product)
            if formula(normal(coefficient * product)) == formula(normal(macs)):
                return Form(dict([product_of(coefficient, factors)]), found.names)
    return size_form(normal(macs), found.names)


def _parameters(layer: Layer, found: Propagated) -> Form:
    total: int = 0
    for weight in layer.op.weights(*layer.inputs).values():
        if weight.trainable:
            total = total + weight.size
    return size_form(normal(total), found.names)


def _product(rows: int, form: Form) -> Form:
    """A form counted once a row."""
    if not isinstance(rows, Sym):
        return Form({fs: int(rows) * c for fs, c in form.terms.items()}, form.names)
    terms = [product_of(c, [rows.formula, *fs]) for fs, c in form.terms.items()]
    return Form(dict(terms), form.names)


def free_parameters(build: Build, network: Network) -> Network:
    """The network with those integer parameters free in which its closed forms are exact.

    A parameter may also decide how often a block is repeated, and then no formula holds;
    so each is tried at other values, and is free where the formulas meet them all.
    """
    values: dict[str, object] = dict(network.arguments)
    shapes = {name: _plain(tensor.shape) for name, tensor in network.inputs.items()}
    free: dict[str, object] = {}
    only = network
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        marked: dict[str, object] = {name: symbol(name, value)}
        candidate = _built(build, {**values, **marked}, shapes)
        if candidate is not None and _holds(build, values, shapes, candidate, name):
            free |= marked
            only = candidate
    if len(free) > 1:
        return _built(build, {**values, **free}, shapes) or network
    return only


def _holds(
    build: Build,
    values: Mapping[str, object],
    shapes: Mapping[str, Shape],
    candidate: Network,
    name: str,
) -> bool:
    """Whether the candidate's formulas are right at other values of a parameter."""
    forms = closed_forms(candidate)
    value = candidate.arguments[name]
    if name not in forms.sizes or not isinstance(value, int):
        return False
    tried = 0
    for other in (int(value) + 1, 2 * int(value), 3 * int(value), int(value) - 1):
        network = _built(build, {**values, name: other}, shapes) if other > 0 else None
        if network is None:
            continue
        figures = forms.at(**{name: other})
        whole = total(network)
        if (figures["parameters"], figures["macs"]) != (whole.parameters, whole.macs):
            return False
        tried += 1
        if tried == 2:
            break
    return tried > 0


def _built(
    build: Build, values: Mapping[str, object], shapes: Mapping[str, Shape]
) -> Network | None:
    from cnndsl.diagnostics import ArchError

    try:
        return build(values, shapes)
    except ArchError:
        return None


def _plain(shape: Shape) -> Shape:
    return tuple(int(n) for n in shape)
