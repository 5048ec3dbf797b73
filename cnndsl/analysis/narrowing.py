"""A model cut down to what some of its labels need, which become its outputs.

The text is cut, and elaborated again: lines that nothing needs, the last terms of a line,
the last turns of a loop and the ports of a block. So whatever reads a network reads this one
alike. What stays is the same text in the same place, and so are the keys of its weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from cnndsl.analysis.pruning import Needed, pruned
from cnndsl.diagnostics import ArchError, Diagnostic, did_you_mean, listing
from cnndsl.graph import Network, labels
from cnndsl.language import tree
from cnndsl.language.elaborate import elaborate
from cnndsl.language.names import BlockDefinition, FileScope, OpRef
from cnndsl.language.naming import Modules, Site, Turn, all_labels, is_source
from cnndsl.language.unread import names_in, values_in
from cnndsl.ops.facts import Shape
from cnndsl.structure import (
    Block,
    Item,
    Line,
    Loop,
    Repeat,
    Tensor,
    Term,
    blocks,
    inside,
    labels_in,
    nodes_of,
)
from cnndsl.symbolic import strip

Place = tuple[str, int]
"""A tensor: its node, and which of its outputs it is."""
Pairs = list[tuple[tree.Statement, tree.Statement]]


def outputs_at(network: Network, asked: Sequence[str]) -> Network:
    """The network with these labels as outputs, and only what they need.

    Raises ArchError (E223): no line has such a label, or one is asked for twice.
    """
    model, known = network.structure.declared, labels(network)
    _check(network, asked, known)
    said = model if isinstance(model, BlockDefinition) and not model.apart else None
    made = _narrowed(network, said, asked) if said else None
    if made is None:
        outputs = {name: _plain(known[name]) for name in asked}
        declared = Cut.apart(network, asked, outputs) if said else {}
        made = pruned(network, outputs, declared)
        cut = declared.get(id(network.structure))
        if cut is not None:
            names = {param.name for param in cut.declaration.params}
            made.arguments = {n: v for n, v in network.arguments.items() if n in names}
    made.warnings, made.whole = network.warnings, network.whole or network
    if network.again is not None:
        made.again = partial(_again, network, tuple(asked))
    return made


def _narrowed(network: Network, model: BlockDefinition, asked: Sequence[str]) -> Network | None:
    """The network of a text that was cut; None: no cut says just this."""
    known = labels(network)
    cut = Cut(network, {_place(known[name]) for name in asked}).model(model, asked)
    declaration = cut.declaration
    params = {param.name for param in declaration.params}
    values = {name: value for name, value in network.arguments.items() if name in params}
    shapes = {
        port.name: tuple(map(int, network.inputs[port.name].shape))
        for port in declaration.inputs or ()
    }
    cut.declaration = replace(declaration, outputs=())
    try:
        made = elaborate(cut, values, shapes)
    except ArchError:
        return None
    cut.declaration = declaration
    there = labels_in(made.structure, {})
    found = {name: _same(known, name, there) for name in asked}
    made.outputs = {name: _plain(tensor) for name, tensor in found.items() if tensor}
    made.structure.outputs = dict(made.outputs)
    if len(made.outputs) < len(asked) or not _all_needed(made):
        return None
    return made


def _all_needed(network: Network) -> bool:
    """Whether the outputs need every node, or what the text decided by a size does."""
    needed = Needed(network)
    needed.add(tensor.node for tensor in (*network.outputs.values(), *network.inputs.values()))
    needed.add(node for one in network.decided for node in needed.sizes(one.formula, None))
    return len(needed.nodes) == len(network.wires)


def _again(
    network: Network,
    asked: Sequence[str],
    values: Mapping[str, object],
    shapes: Mapping[str, Shape],
) -> Network:
    """The same labels of the model with other values or sizes."""
    assert network.again is not None
    sizes = {port: tuple(map(int, t.shape)) for port, t in network.inputs.items()}
    return outputs_at(
        network.again({**network.arguments, **values}, {**sizes, **shapes}), asked
    )


def _check(network: Network, asked: Sequence[str], known: Mapping[str, Tensor]) -> None:
    """Refuse labels that are not there, and none at all."""
    faults = []
    model = network.structure.declared
    whole = network.structure.definition.span
    span = model.declaration.name_span if isinstance(model, BlockDefinition) else whole
    for number, label in enumerate(asked):
        if label not in known:
            outermost = sorted(known, key=lambda name: name.count(".") + name.count("["))
            help = did_you_mean(label, known) or f"there are {listing(outermost[:8])}"
            message = f"no line of `{network.name}` is labelled `{label}`"
            faults.append(Diagnostic("E223", message, span, help=help))
        elif label in asked[:number]:
            message = f"the output `{label}` is asked for twice"
            faults.append(Diagnostic("E223", message, span))
    if not asked:
        faults.append(Diagnostic("E223", "no output is asked for", span))
    if faults:
        raise ArchError(faults)


def _place(tensor: Tensor) -> Place:
    return tensor.node, tensor.output


def _plain(tensor: Tensor) -> Tensor:
    return Tensor(tensor.node, tensor.output, strip(tensor.shape))


def _same(
    known: Mapping[str, Tensor], asked: str, there: Mapping[str, Tensor]
) -> Tensor | None:
    """What a label stands for, now: another of its labels may be left.

    A number counts the outputs of a call, of which fewer may be left.
    """
    place = _place(known[asked])
    alike = [asked, *(name for name, tensor in known.items() if _place(tensor) == place)]
    left = [there[name] for name in alike if name in there]
    return next((tensor for tensor in left if _place(tensor) == place), None)


class Cut:
    """What some tensors of a network need, in the text of each of its blocks."""

    def __init__(self, network: Network, wanted: set[Place]) -> None:
        """Find it: by what the layers read, and by the names in what stays."""
        self.network, self.wanted = network, wanted
        self.need = Needed(network)
        self.need.add(node for node, _ in wanted)
        self.needed = self.need.nodes
        self.nodes: dict[int, frozenset[str]] = {}
        found: dict[BlockDefinition, list[Block]] = {}
        for block in (network.structure, *blocks(network.structure)):
            assert isinstance(block.declared, BlockDefinition)
            found.setdefault(block.declared, []).append(block)
        self.take(found)

    def take(self, instances: dict[BlockDefinition, list[Block]]) -> None:
        """Cut one text for all these calls of each block."""
        self.instances = instances
        self.lines: dict[BlockDefinition, dict[int, list[Line]]] = {}
        for definition, found in instances.items():
            by_key = self.lines[definition] = {}
            for block in found:
                for line in block.body:
                    by_key.setdefault(line.key, []).append(line)
                    self.nodes[id(line)] = frozenset(nodes_of([line]))

    # --- calls of one block that are not needed alike

    @classmethod
    def apart(
        cls, network: Network, asked: Sequence[str], outputs: Mapping[str, Tensor]
    ) -> dict[int, BlockDefinition]:
        """A declaration for all calls of a block of which the same is needed, by their `id`."""
        cut = cls(network, {_place(tensor) for tensor in outputs.values()})
        whole = {**cut.instances}
        found: dict[BlockDefinition, BlockDefinition] = {}
        before = -1
        while len(cut.needed) != before:  # what is cut may need the sizes of more
            before = len(cut.needed)
            instances: dict[BlockDefinition, list[Block]] = {}
            for definition, calls in whole.items():
                parts: dict[object, list[Block]] = {}
                for block in calls:
                    parts.setdefault(frozenset(cut.dead(block.body)), []).append(block)
                for part in parts.values():
                    instances[definition.for_some()] = part
            cut.take(instances)
            found = cut.definitions(next(iter(instances)), asked)
        return {
            id(block): found[definition]
            for definition, calls in cut.instances.items()
            if definition in found
            for block in calls
        }

    def dead(self, items: Sequence[Item], at: tuple[int, ...] = ()) -> Iterator[object]:
        """Where something stands that is not needed; not in the blocks that are called."""
        for number, item in enumerate(items):
            nodes = {*nodes_of([item])}
            if nodes and self.needed.isdisjoint(nodes):
                yield (*at, number)
            elif not nodes <= self.needed:
                yield from self.dead(inside(item, into_blocks=False), (*at, number))

    # --- definitions

    def model(self, model: BlockDefinition, asked: Sequence[str]) -> BlockDefinition:
        """The model's declaration, with the outputs that are asked for."""
        return self.definitions(model, asked)[model]

    def definitions(
        self, model: BlockDefinition, asked: Sequence[str]
    ) -> dict[BlockDefinition, BlockDefinition]:
        """The declarations that are left, the model's with the outputs that are asked for."""
        outputs = tuple(
            tree.Port(name, None, False, None, None, span, span)
            for name in asked
            for span in [model.declaration.name_span]
        )
        before = -1
        while len(self.needed) != before:
            before = len(self.needed)
            ports = {definition: self.ports(definition) for definition in self.instances}
            ports[model] = outputs
            bodies = {
                definition: self.body(definition, ports[definition])
                for definition in self.instances
                if definition is model or any(map(self.alive, self.all_lines(definition)))
            }
        scopes: dict[int, FileScope] = {}
        found = {
            definition: self.definition(definition, body, ports[definition], scopes)
            for definition, body in bodies.items()
        }
        for scope in scopes.values():
            for name, bound in scope.names.items():
                if isinstance(bound.meaning, OpRef) and bound.meaning.target in found:
                    target = found[bound.meaning.target]
                    meaning = replace(bound.meaning, target=target)
                    scope.names[name] = replace(bound, meaning=meaning)
        cut = found[model]
        cut.declaration = self.narrow(cut.declaration)
        return found

    def definition(
        self,
        whole: BlockDefinition,
        pairs: Pairs,
        ports: tuple[tree.Port, ...] | None,
        scopes: dict[int, FileScope],
    ) -> BlockDefinition:
        """A block with fewer lines, whose modules are where they were."""
        scope = whole.file
        if id(scope) not in scopes:
            scopes[id(scope)] = FileScope(scope.path, scope.tree, scope.roots, {**scope.names})
        body = tuple(cut for _, cut in pairs)
        declaration = replace(whole.declaration, body=body, outputs=ports)
        found = BlockDefinition(declaration, scopes[id(scope)], whole=whole, apart=whole.apart)
        found.modules, found.line_numbers = _moved(whole, pairs)
        return found

    @staticmethod
    def narrow(declaration: tree.Declaration) -> tree.Declaration:
        """A model without the parameters and inputs that nothing names."""
        params, names = declaration.params, set[str]()
        for param in reversed(params):
            names = names_in(replace(declaration, params=params))
            if param.name not in names:
                params = tuple(one for one in params if one is not param)
        declaration = replace(declaration, params=params)
        inputs = declaration.inputs or ()
        names = names_in(replace(declaration, inputs=()))
        read = [
            port
            for port in inputs
            if {port.name, *(dim.name for dim in port.shape or ())} & names
        ]
        return replace(declaration, inputs=tuple(read)) if read else declaration

    def ports(self, definition: BlockDefinition) -> tuple[tree.Port, ...] | None:
        """The outputs of a block that something outside of it reads."""
        declared = definition.declaration.outputs
        if declared is None:
            return None
        read: set[str] = set()
        for block in self.instances[definition]:
            inside = set(nodes_of(block.body))
            for name, tensor in block.outputs.items():
                users = {*self.network.wires.readers(tensor.node)} & self.needed - inside
                there = definition.apart and tensor.node in self.needed
                if _place(tensor) in self.wanted or users or there:
                    read.add(name.partition("[")[0])
        return tuple(port for port in declared if port.outside in read) or None

    # --- lines

    def all_lines(self, definition: BlockDefinition) -> Iterator[Line]:
        """The lines of a block, in each of its calls."""
        for found in self.lines[definition].values():
            yield from found

    def alive(self, line: Line) -> bool:
        """Whether something in a line is needed."""
        return not self.needed.isdisjoint(self.nodes[id(line)])

    def body(self, definition: BlockDefinition, ports: Sequence[tree.Port] | None) -> Pairs:
        """The statements of a block that something needs, whole and cut."""
        body = definition.declaration.body
        cuts: dict[int, tree.LineStatement] = {}
        bare: set[int] = set()
        for n, statement in enumerate(body):
            if isinstance(statement, tree.LineStatement):
                lines = self.lines[definition].get(definition.line_numbers[id(statement)], [])
                alive = [line for line in lines if line.on and self.alive(line)]
                cuts[n] = self.line(statement, alive)
                if not any(self.nodes[id(line)] for line in lines):
                    bare.add(n)
        kept = {
            n
            for n in cuts
            for line in self.lines[definition].get(definition.line_numbers[id(body[n])], [])
            if self.alive(line) or (n in bare and self.wanted & {*map(_place, line.outputs)})
        }
        sources = all_labels(body) | {port.name for port in definition.declaration.inputs or ()}
        before: set[int] = set()
        shown: set[int] = set()  # lines of which an expression reads the size
        while kept != before:
            before = {*kept}
            stay = [cuts[n] if n in cuts else body[n] for n in sorted(kept)]
            named = names_in(stay, ports or ()) | {
                name for port in ports or () for name in (port.name, port.name.split("[")[0])
            }
            asked = values_in(stay, ports or ())
            follower: tree.LineStatement | None = None
            for n in range(len(body))[::-1]:
                statement = body[n]
                match statement:
                    case tree.Let(name=name):
                        if name in named:
                            kept.add(n)
                    case tree.Default(names=names):
                        if {name for name, _ in names} & named:
                            kept.add(n)
                    case tree.LineStatement(labels=given):
                        own = {label.name for label in given}
                        goes_on = follower is not None and not _sourced(follower, sources)
                        if own & asked or (n in bare and (own & named or goes_on)):
                            kept.add(n)
                        if own & asked:
                            shown.add(definition.line_numbers[id(statement)])
                        if follower is not None and follower.alternative:
                            kept.add(n)
                        follower = statement if n in kept else None
            for n in [*kept]:
                chained = n + 1 in cuts and cuts[n + 1].alternative
                if n in cuts and chained:
                    kept.add(n + 1)
        for block in self.instances[definition]:
            if any(map(self.alive, block.body)):
                self.need.add(
                    tensor.node
                    for line in block.body
                    if line.on and line.key in shown
                    for tensor in line.outputs
                )
        return [(body[n], cuts.get(n, body[n])) for n in sorted(kept)]

    def line(self, statement: tree.LineStatement, lines: Sequence[Line]) -> tree.LineStatement:
        """A line up to its last term that something needs."""
        if not lines:
            return statement
        last, used = 0, 0
        for line in lines:
            for n, term in enumerate(line.terms):
                nodes = set(nodes_of([term]))
                used = max(used, n if nodes else 0)
                last = max(last, n if nodes & self.needed else 0)
        if last == used:
            last = len(lines[0].terms) - 1
        first = len(statement.terms) - len(lines[0].terms)
        terms = statement.terms[: first + last + 1]
        if not lines[0].terms:
            return statement
        cut = self.term(terms[-1], [line.terms[last] for line in lines])
        if cut is terms[-1] and len(terms) == len(statement.terms):
            return statement
        return replace(statement, terms=(*terms[:-1], cut))

    def term(self, term: tree.Term, found: Sequence[Term]) -> tree.Term:
        """A repeat or a loop up to its last turn that something needs."""
        most = 0
        fewest: int | None = None
        for one in found:
            if isinstance(one, Repeat):
                turns = [{*nodes_of([item])} for item in one.items]
            elif isinstance(one, Loop):
                turns = [{*nodes_of(body)} for body in one.bodies]
            else:
                return term
            most = max([most, *(n + 1 for n, nodes in enumerate(turns) if nodes & self.needed)])
            fewest = min(len(turns), len(turns) if fewest is None else fewest)
        if fewest is None or not 0 < most < fewest:
            return term
        count = tree.Number(most, str(most), term.span)
        match term:
            case tree.RepeatTerm():
                return replace(term, times=count)
            case tree.ForTerm(rows=rows) if rows is not None:
                return replace(term, rows=rows[:most])
            case tree.ForTerm(range=tree.ListLiteral(items=items) as listed):
                return replace(term, range=replace(listed, items=items[:most]))
            case tree.ForTerm(range=tree.Binary(operator="..", left=tree.Number() as left)):
                stop = int(left.value) + most
                end = tree.Number(stop, str(stop), term.span)
                return replace(term, range=tree.Binary("..", left, end, term.span))
        return term


def _sourced(line: tree.LineStatement, sources: set[str]) -> bool:
    """Whether a line begins with a tensor that it names."""
    first = line.terms[0]
    return isinstance(first, tree.CallTerm) and is_source(first, True, {*sources, "skip", "in"})


def _moved(
    whole: BlockDefinition, pairs: Iterable[tuple[tree.Statement, tree.Statement]]
) -> tuple[Modules, dict[int, int]]:
    """Where the modules of a block are, and its lines' numbers, once some lines are cut."""
    new: dict[int, tree.Statement | tree.Term] = {}
    gone: set[int] = set()
    for one, other in pairs:
        if isinstance(one, tree.LineStatement) and isinstance(other, tree.LineStatement):
            new[id(one)] = other
            new |= {id(a): b for a, b in zip(one.terms, other.terms, strict=False)}
            gone |= {id(term) for term in one.terms[len(other.terms) :]}
    numbers = whole.line_numbers | {
        id(item): whole.line_numbers[known] for known, item in new.items()
    }
    modules = Modules()
    for step, site in whole.modules.sites.items():
        inner = (
            Turn(id(new.get(at.term, at.term)))
            if isinstance(at, Turn) and at.term in new
            else at
            for at in site.inner
        )
        modules.sites[step] = Site(site.name, tuple(inner))
    for owner, chain in whole.modules.chains.items():
        at = id(new[owner]) if owner in new else owner
        modules.chains[at] = chain.without(gone, new)
    return modules, numbers
