"""A network's file: its blocks translated where that is proved, else layer by layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from cnndsl.backends.torch import file, python
from cnndsl.backends.torch.beginning import spread
from cnndsl.backends.torch.expressions import CannotTranslateError
from cnndsl.backends.torch.flat import Flat
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.proof import ProofError, prove
from cnndsl.backends.torch.tidy import tidy
from cnndsl.backends.torch.translation import Translation
from cnndsl.diagnostics import ArchError, Diagnostic, Span
from cnndsl.graph import Network
from cnndsl.language.names import BlockDefinition
from cnndsl.structure import deep_recursion


@dataclass(frozen=True, slots=True)
class Written:
    """A file: its text, the model's class, and what kept it from being the blocks'."""

    text: str
    name: str
    because: str = ""
    folds: bool = False
    fault: Exception | None = None
    """What the translation raised that it does not foresee: a fault of its own."""
    warnings: tuple[Diagnostic, ...] = ()
    """Where it is not the blocks', the line because of which."""


def written(network: Network) -> Written:
    """The file of a network, proved.  Raises ArchError (E601): nothing could be proved.

    A parameter that turns lines on or off is one of the constructor's where the file is
    proved at its other values too.
    """
    name = identifier(network.name)
    with deep_recursion():
        others = dict(alternatives(network))
        because, fault, span = "", None, None
        for chosen in ([others] if others else []) + [{}]:
            for frozen, loops in ((False, True), (True, True), (False, False), (True, False)):
                try:
                    networks = [network, *chosen.values()]
                    text = Translation(networks, frozen_lists=frozen, loops=loops).text()
                    tree = ast.parse(text)
                    prove(tree, network)
                    for (parameter, value), other in chosen.items():
                        prove(tree, other, {identifier(parameter): value})
                    return Written(text, name, fault=fault)
                except (CannotTranslateError, ProofError) as error:
                    because = because or f"{type(error).__name__}: {error}"
                    span = span or getattr(error, "span", None)
                except Exception as error:  # the user has a proved file all the same
                    fault = fault or error
                    because = because or f"{type(error).__name__}: {error}"
        text = flat_text(network)
        check(text, network)
        return Written(text, name, because, fault=fault, warnings=(_layered(network, span),))


def _layered(network: Network, span: Span | None) -> Diagnostic:
    """The warning that a file is not the blocks'."""
    message = f"`{network.name}` is written layer by layer:"
    reason = "this line could not be translated" if span else "its blocks could not be proved"
    help = "the file computes the same; only its classes are not those of the blocks"
    where = span or network.structure.definition.span
    return Diagnostic("W601", f"{message} {reason}", where, help=help)


def alternatives(network: Network) -> Iterator[tuple[tuple[str, object], Network]]:
    """The model at each other value of a parameter that is a flag or one of some words."""
    model = network.structure.declared
    if not isinstance(model, BlockDefinition) or network.again is None:
        return
    shapes = {port: tuple(map(int, t.shape)) for port, t in network.inputs.items()}
    for param in model.declaration.params:
        value = network.arguments.get(param.name)
        found: Sequence[object] = [
            word for word in param.type.words if isinstance(value, str) and word != value
        ]
        if isinstance(value, bool):
            found = [not value]
        for other in found:
            given = {**network.arguments, param.name: other}
            with suppress(ArchError):
                yield (param.name, other), network.again(given, shapes)


def check(text: str, network: Network) -> None:
    """Prove a file that was written layer by layer.  Raises ArchError (E601)."""
    try:
        prove(ast.parse(text), network)
    except ProofError as error:
        span = network.structure.definition.span
        message = f"`{network.name}` could not be proved in PyTorch: {error}"
        raise ArchError([Diagnostic("E601", message, span)]) from None


def flat_text(
    network: Network,
    *,
    attributes: Sequence[ast.stmt] = (),
    after: Sequence[ast.stmt] = (),
    before: Sequence[ast.stmt] = (),
    methods: Sequence[ast.stmt] = (),
    helpers: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The network layer by layer.

    `attributes` stand in the class, `after` at the constructor's end, `before` at
    `forward`'s beginning; `methods` behind it.
    """
    flat = Flat(network)
    name = identifier(network.name)
    classes: list[ast.ClassDef] = []
    tensor = python.name("Tensor")
    outputs = flat.outputs()
    result, kind = outputs[0], tensor
    if len(outputs) != 1:
        fields = file.fields(network.outputs)
        kind = python.name(f"{name}Output")
        classes.append(file.named_tuple(kind.id, [(field, tensor) for field in fields]))
        result = python.call(kind, *outputs)
    inputs = [(flat.names.port(port), tensor, None) for port in network.inputs]
    # What is read no more is let go, as soon as another tensor takes its name.
    arguments = [port for port, _, _ in inputs]
    body = [*before, *tidy([*flat.body, ast.Return(result)], arguments)]
    forward = file.function("forward", file.arguments(inputs), body, kind)
    doc = [*file.described(network.structure.definition), *file.settings(network), *notes]
    cls = file.module_class(
        name, doc, [*flat.constructor(), *after], file.arguments([]), forward
    )
    first = 1 if doc else 0
    cls.body[first:first] = attributes
    cls.body += methods
    spread([*classes, cls], cls, flat.helpers)
    for init in cls.body:
        if isinstance(init, ast.FunctionDef) and init.name == "__init__":
            # A layer is begun before its weights are laid out another way.
            init.body = [*(one for one in init.body if one not in after), *after]
    classes.append(cls)
    return file.text(network, [*flat.helpers, *helpers], classes)
