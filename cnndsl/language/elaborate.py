"""Tree to network: every block call opened, every repeat unrolled, every shape known.

Elaboration is total: every loop is over a finite list, and with blocks within themselves it
is bounded by `MAX_NODES` and `MAX_DEPTH`. A faulty line is reported and its label marked,
so that what depends on it stays silent and the other faults are still found.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from cnndsl.diagnostics import (
    ArchError,
    Diagnostic,
    Fault,
)
from cnndsl.graph import Network
from cnndsl.language import models, ports
from cnndsl.language.budget import MAX_DEPTH, MAX_NODES
from cnndsl.language.evaluate import too_many_terms
from cnndsl.language.flows import (
    is_value,
)
from cnndsl.language.lines import Lines
from cnndsl.language.modules import about, resting_collector
from cnndsl.language.names import BlockDefinition, Env, Faulty, Flow, Frame, Silent, kept
from cnndsl.language.nodes import Place
from cnndsl.language.rows import check_rows
from cnndsl.language.unread import unread_lines, unused_names
from cnndsl.ops.facts import Shape
from cnndsl.structure import Block, Tensor, deep_recursion
from cnndsl.symbolic import TooManyTermsError


def elaborate(
    model: BlockDefinition,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    *,
    max_nodes: int = MAX_NODES,
    max_depth: int = MAX_DEPTH,
) -> Network:
    """The network of a model.

    `parameters` sets the model's own, `inputs` the shapes of its ports, per sample.
    Raises ArchError: all the independent faults.
    """
    work = Elaborator(max_nodes, max_depth)
    with deep_recursion(), resting_collector():
        try:
            return work.network(model, dict(parameters or {}), dict(inputs or {}))
        except Silent:
            raise ArchError(work.faults) from None
        except Fault as error:
            raise ArchError([*work.faults, error.diagnostic]) from None
        except TooManyTermsError:
            found = too_many_terms(model.declaration.name_span).diagnostic
            raise ArchError([*work.faults, found]) from None
        except RecursionError:
            message = "an expression is nested too deep"
            raise ArchError(
                [Diagnostic("E104", message, model.declaration.name_span)]
            ) from None


class Elaborator(Lines):
    """One elaboration of a model."""

    def network(
        self, model: BlockDefinition, parameters: dict[str, object], inputs: dict[str, Shape]
    ) -> Network:
        """The whole network."""
        declaration = model.declaration
        frame = Frame(model.file)
        env = Env(frame)
        models.model_sizes(declaration, inputs, env)
        arguments = models.model_arguments(declaration, parameters, env)
        shapes = models.model_inputs(declaration, inputs, env)
        tensors: dict[str, Tensor] = {}
        for port in declaration.inputs or ():
            tensors[port.name] = self.nodes.input(port.name, shapes[port.name], port.span)
        ports.bind_tensors(declaration, tensors, env)
        block, flow = self.body(model, env, Place(), arguments, tensors)
        decided = dict.fromkeys(frame.decided)
        network = Network(
            name=declaration.name,
            wires=self.wires,
            structure=block,
            inputs=dict(tensors),
            outputs=dict(flow.tensors),
            arguments=arguments,
            shapes=self.nodes.shapes,
            dimensions=models.dimensions(env),
            warnings=tuple(self.nodes.warnings),
            decided=tuple(one for one in decided if not one.number),
            numbers=tuple(one for one in decided if one.number),
            again=partial(elaborate, model),
        )
        check_rows(network)
        unread = unread_lines(network, self.opened, frame.asked)
        unused = unused_names(self.opened, model.file.tree, frame.applied)
        network.warnings += (*unread, *unused)
        return network

    def body(
        self,
        definition: BlockDefinition,
        env: Env,
        place: Place,
        arguments: dict[str, object],
        tensors: dict[str, Tensor],
    ) -> tuple[Block, Flow]:
        """A block's lines, once its ports and parameters are bound.  Raises Silent."""
        declaration = definition.declaration
        self.opened[definition] = None
        start = Flow(dict(tensors)) if len(tensors) == 1 else None
        env.skip = start
        before = self.stopped
        lines, end, _ = self.lines(declaration.body, env, start, place, definition)
        if self.stopped > before or isinstance(end, Faulty):
            raise Silent
        flow = ports.outputs(declaration, env, end)
        names = {n: kept(bound.meaning) for n, bound in env.names.items() if is_value(bound)}
        block = Block(
            definition=about(definition),
            path=place.prefix,
            arguments={name: kept(value) for name, value in arguments.items()},
            names=names,
            inputs=dict(tensors),
            outputs=dict(flow.tensors),
            body=lines,
            stack=env.frame.stack,
            ports=tuple((port.name, port.outside) for port in declaration.outputs or ()),
            declared=definition,
        )
        return block, flow
