"""What a file expects of its models: `@expect(params=3_504_872, macs=301M, N=8732)`.

A keyword that names a parameter of the model, or a size of its inputs, sets it; every
other one is a claim. A figure is held to the digits that it is printed with: `301M`
accepts 300.5M to 301.5M, `3_504_872` only itself. `<=` and `>=` are budgets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from cnndsl.analysis import keys
from cnndsl.analysis.costs import Cost, costs, total
from cnndsl.analysis.measures import FIELD, measure
from cnndsl.diagnostics import ArchError, Diagnostic, Edit, Fault, Span, did_you_mean, fault
from cnndsl.graph import Network, labels
from cnndsl.language import tree
from cnndsl.language.build import SUFFIXES
from cnndsl.language.elaborate import elaborate
from cnndsl.language.evaluate import evaluate
from cnndsl.language.names import BlockDefinition
from cnndsl.ops.facts import Shape, spell_shape
from cnndsl.ops.values import spell
from cnndsl.records import Record, record
from cnndsl.symbolic import strip

FIGURES = {
    "params": "parameters",
    "parameters": "parameters",
    "buffers": "buffers",
    "macs": "macs",
}
"""What can be claimed of every network, and the field of a `Cost` it is."""


@record
class Claim(Record):
    """`macs <= 301M`: what is measured, how it compares, and with what."""

    subject: str
    relation: str
    value: tree.Expression
    span: Span


@record
class Expectation(Record):
    """One `@expect`: the settings it makes, the claims that hold under them."""

    settings: dict[str, object]
    sizes: dict[str, int]
    claims: tuple[Claim, ...]

    def __str__(self) -> str:
        """The settings: `aux=true, H=320`."""
        values = {**self.settings, **self.sizes}
        return ", ".join(f"{name}={spell(value)}" for name, value in values.items())


@record
class Checked(Record):
    """A model that was elaborated and held against its file, once per set of settings."""

    networks: dict[str, Network]
    """What could be elaborated, by the settings as they read: `aux=true`; "" for none."""
    claims: int
    diagnostics: tuple[Diagnostic, ...]

    @property
    def network(self) -> Network | None:
        """At the defaults, or under the first `@expect` where a parameter has none."""
        return next(iter(self.networks.values()), None)


def check(definition: BlockDefinition) -> Checked:
    """Elaborate a model as it is and under each of its `@expect`, and test the claims.

    Where it keeps a list of its keys, the list is compared as well.
    """
    faults: list[Diagnostic] = []
    wanted: list[Expectation] = []
    for meta in definition.declaration.metas:
        if meta.name == "expect":
            try:
                wanted.append(expectation(meta, definition))
            except Fault as error:
                faults.append(error.diagnostic)
    if all(param.default is not None for param in definition.declaration.params) or not wanted:
        wanted.insert(0, Expectation({}, {}, ()))
    networks: dict[str, Network | None] = {}
    for expected in wanted:
        under = str(expected)
        if under not in networks:
            networks[under] = None
            try:
                shapes = shapes_under(definition, expected)
                networks[under] = elaborate(definition, expected.settings, shapes)
            except ArchError as error:
                faults += [_under(d, under) for d in error.diagnostics]
            except Fault as error:
                faults.append(_under(error.diagnostic, under))
        network = networks[under]
        if network is not None:
            faults += [_under(d, under) for d in _failures(network, expected, definition)]
    built = {under: network for under, network in networks.items() if network is not None}
    usual = built.get("")
    for meta in definition.declaration.metas:
        if meta.name == "keys" and usual is not None:
            faults += keys.compare(usual, meta, definition)
    warnings = [d for network in built.values() for d in network.warnings]
    claims = sum(len(expected.claims) for expected in wanted)
    return Checked(built, claims, tuple(dict.fromkeys([*faults, *warnings])))


def _failures(
    network: Network, expected: Expectation, definition: BlockDefinition
) -> list[Diagnostic]:
    """What fails of the claims, those whose value cannot be worked out included."""
    values, faults = {}, []
    for claim in expected.claims:
        try:
            values[claim] = evaluate(claim.value, definition.file.env)
        except Fault as error:
            faults.append(error.diagnostic)
    return faults + failures(network, values)


def _under(diagnostic: Diagnostic, settings: str) -> Diagnostic:
    """The diagnostic with the settings under which it arose."""
    if not settings:
        return diagnostic
    return replace(diagnostic, stack=(f"with {settings}", *diagnostic.stack))


def expectation(meta: tree.Meta, definition: BlockDefinition) -> Expectation:
    """The settings and claims of one `@expect`.  Raises Fault: it is none."""
    declaration = definition.declaration
    params = {param.name for param in declaration.params}
    sizes = {dim.name for port in declaration.inputs or () for dim in port.shape or ()}
    sizes |= {_bare(dim) for port in declaration.inputs or () for dim in port.shape or ()}
    found = Expectation({}, {}, ())
    claims = []
    for argument in meta.arguments:
        claim = _claim(argument)
        if argument.name is None or claim.subject not in params | sizes:
            claims.append(claim)
            continue
        value = evaluate(claim.value, definition.file.env)
        if claim.subject in params:
            found.settings[claim.subject] = value
        elif isinstance(value, int) and not isinstance(value, bool):
            found.sizes[claim.subject] = value
        else:
            message = f"the size `{claim.subject}` must be an integer, not {spell(value)}"
            raise fault("E502", message, claim.span)
    return replace(found, claims=tuple(claims))


def _claim(argument: tree.Argument) -> Claim:
    """`name=value`, `name <= value` or `name >= value`.  Raises Fault: neither."""
    if argument.name is not None and argument.rest is None:
        return Claim(argument.name, "=", argument.value, argument.span)
    match argument.value:
        case tree.Binary(
            operator="<=" | ">=" as relation, left=tree.Value() as left, right=right
        ):
            return Claim(left.span.text, relation, right, argument.span)
    help = "write `params=3_504_872`, `macs <= 301M` or `p5=[256, 7, 7]`"
    raise fault("E502", f"`{argument.span.text}` is not a claim", argument.span, help=help)


def _bare(dim: tree.Dim) -> str | None:
    """The name, where a dimension is only a name."""
    match dim.value:
        case tree.Value(path=tree.NamePath(name=name, parts=()), arguments=None):
            return name if dim.name is None else None
    return None


def shapes_under(definition: BlockDefinition, expected: Expectation) -> dict[str, Shape]:
    """The inputs' shapes where a size is set.  Raises Fault, ArchError."""
    ports = [
        port
        for port in definition.declaration.inputs or ()
        if {name for dim in port.shape or () for name in (dim.name, _bare(dim))}
        & set(expected.sizes)
    ]
    return {port.name: _shape(port, definition, expected) for port in ports}


def _shape(port: tree.Port, definition: BlockDefinition, expected: Expectation) -> Shape:
    defaults = {p.name: p.default for p in definition.declaration.params}
    shape = []
    for dim in port.shape or ():
        name = dim.name or _bare(dim)
        if name in expected.sizes:
            shape.append(expected.sizes[name])
        elif name in expected.settings:
            shape.append(_size(expected.settings[name], dim))
        else:
            value = defaults.get(name or "") or dim.value
            if value is None:
                raise fault("E502", f"`{dim.span.text}` must also be set", dim.span)
            shape.append(_size(evaluate(value, definition.file.env), dim))
    return tuple(shape)


def _size(value: object, dim: tree.Dim) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise fault("E502", f"the size `{dim.span.text}` is {spell(value)}", dim.span)
    return value


def failures(network: Network, claims: Mapping[Claim, Any]) -> list[Diagnostic]:
    """A diagnostic for each claim that the network does not bear out, in order.

    `claims` holds the value of each claim's expression.
    """
    if not claims:
        return []
    table = costs(network)
    whole = total(network, table)
    known = labels(network)
    found = []
    for claim, value in claims.items():
        kind = FIGURES.get(claim.subject)
        measured: object
        if kind is not None:
            measured = getattr(whole, kind)
        elif claim.subject == "peak" or FIELD.fullmatch(claim.subject):
            try:
                measured = measure(network, claim.subject)
            except LookupError as error:
                found.append(Diagnostic("E502", str(error.args[0]), claim.span))
                continue
        elif claim.subject in network.dimensions:
            measured = network.dimensions[claim.subject]
        elif claim.subject in known:
            measured = strip(known[claim.subject].shape)
        else:
            found.append(_unknown(claim, [*FIGURES, *network.dimensions, *known]))
            continue
        if not holds(claim, value, measured):
            help = _largest(table, kind) if kind is not None else _most_alive(network, claim)
            found.append(_broken(claim, value, measured, help))
    return found


def holds(claim: Claim, value: object, measured: object) -> bool:
    """Whether what is measured bears out a claim."""
    if isinstance(measured, tuple):
        return claim.relation == "=" and value == measured
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    assert isinstance(measured, int)
    match claim.relation:
        case "<=":
            return measured <= value
        case ">=":
            return measured >= value
    low, high = bounds(claim.value, value)
    return low <= measured <= high


def bounds(expression: tree.Expression, value: float) -> tuple[Fraction, Fraction]:
    """The figures that read as this one at the digits it is printed with."""
    if not isinstance(expression, tree.Number):
        return Fraction(value), Fraction(value)
    digits = expression.text.replace("_", "")
    suffix = next((s for s in sorted(SUFFIXES, key=len)[::-1] if digits.endswith(s)), "")
    mantissa, _, power = digits.removesuffix(suffix).lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    scale = Fraction(1, 100) if suffix == "%" else Fraction(SUFFIXES[suffix])
    scale *= Fraction(10) ** int(power or 0)
    exact, unit = Fraction(mantissa) * scale, scale / 10**decimals
    half = unit / 2 if unit > 1 else Fraction(0)
    return exact - half, exact + half


def _broken(claim: Claim, value: object, measured: object, help: str) -> Diagnostic:
    seen = _figure(measured)
    wanted = claim.value.span.text
    message = (
        f"`{claim.subject}` is {seen}, but {_RELATIONS[claim.relation]}{wanted} was expected"
    )
    note = f"measured {seen}"
    if isinstance(measured, int) and isinstance(value, int | float) and claim.relation == "=":
        low, high = bounds(claim.value, value)
        note += f", {abs(measured - value):,} {'more' if measured > value else 'less'}"
        if low < high:
            note += f"; {float(low):,.0f} to {float(high):,.0f} would do"
    figure = f"{measured:_}" if isinstance(measured, int) else seen
    edit = Edit(claim.value.span, figure) if claim.relation == "=" else None
    return Diagnostic("E501", message, claim.span, note, help=help, edit=edit)


_RELATIONS = {"=": "", "<=": "at most ", ">=": "at least "}


def _figure(value: object) -> str:
    if isinstance(value, tuple):
        return spell_shape(value)
    return f"{value:,}"


def _largest(table: Mapping[str, Cost], kind: str) -> str:
    """The three nodes that count most."""
    count = {name: int(getattr(cost, kind)) for name, cost in table.items()}
    whole = sum(count.values())
    largest = sorted((name for name in count if count[name]), key=lambda name: -count[name])[:3]
    parts = [f"{name} {count[name]:,} ({100 * count[name] / whole:.1f} %)" for name in largest]
    return f"the largest: {', '.join(parts)}" if parts else ""


def _most_alive(network: Network, claim: Claim) -> str:
    """Where most memory is in use, for a claim of the peak."""
    if claim.subject != "peak":
        return ""
    from cnndsl.analysis.memory import memory

    found = memory(network)
    return f"the peak is reached at {found.at}; the best order needs {found.best:,}"


def _unknown(claim: Claim, known: list[str]) -> Diagnostic:
    message = f"unknown figure, size, output or label `{claim.subject}`"
    help = did_you_mean(claim.subject, known)
    help = help or f"there are {', '.join(dict.fromkeys(FIGURES))}, sizes, outputs and labels"
    return Diagnostic("E502", message, claim.span, help=help)
