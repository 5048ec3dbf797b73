"""A network in its user's hands: what is done with it, each verb imported when it is used.

Everything below works on `graph.Network`, the data; this stands above it all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnndsl import graph, language
from cnndsl.diagnostics import ArchError
from cnndsl.language.modules import Loader
from cnndsl.language.names import BlockDefinition
from cnndsl.ops.facts import Array, Shape

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

    from cnndsl.analysis.summary import Summary
    from cnndsl.backends.numpy.interpreter import Interpreter
    from cnndsl.weights import Loaded


class Network(graph.Network):
    """An elaborated model, which costs, draws and runs itself."""

    __slots__ = ()

    @property
    def parameters(self) -> int:
        """The number of trainable parameters; what is shared counts once."""
        from cnndsl.analysis.costs import total

        return total(self).parameters

    @property
    def macs(self) -> int:
        """Multiply-adds per sample."""
        from cnndsl.analysis.costs import total

        return total(self).macs

    def outputs_at(self, *labels: str) -> Network:
        """The network with these labels as outputs, and without what none of them needs.

        The keys of its weights stay.  Raises ArchError: there is no such label.
        """
        from cnndsl.analysis.narrowing import outputs_at

        return _with_verbs(outputs_at(self, labels))

    def summary(self) -> Summary:
        """The table of its blocks; printed, it is text, and `json()` is data."""
        from cnndsl.analysis.summary import summary

        return summary(self)

    def torch_source(self, *, optimize: bool = False) -> str:
        """The PyTorch source, which is what `to_torch` executes.  Raises ArchError.

        With `optimize` it is for inference: batch norm is in the convolutions' weights,
        and the memory is laid out channels last.
        """
        from cnndsl.backends.torch import source

        return source(self, optimize=optimize)

    def to_torch(
        self, weights: Mapping[str, Array] | None = None, *, optimize: bool = False
    ) -> nn.Module:
        """An `nn.Module` with these weights, or freshly initialised ones.

        With `optimize` it computes the same in evaluation, faster, and refuses to train;
        the weights are still those of the network as it is written.
        Raises ImportError: torch is not installed. ArchError: weights of another network.
        """
        from cnndsl.backends.torch.execute import module

        return module(self, weights, optimize=optimize)

    def to_onnx(
        self, weights: Mapping[str, Array] | None = None, *, functions: bool = False
    ) -> ModelProto:
        """An ONNX model with these weights, or random ones, in float32 (`docs/onnx.md`).

        The batch is free, and each named size of an input on which no weight and no branch
        depends. With `functions` each block is a local function.
        Raises ImportError: onnx is not installed. ArchError: weights of another network; a
        layer that ONNX cannot say (E608); more weights than a file holds (E609).
        """
        from cnndsl.analysis.weights import random_weights
        from cnndsl.backends.onnx import model

        weights = random_weights(self, 0) if weights is None else weights
        return model(self, weights, functions=functions)

    def to_numpy(
        self,
        weights: Mapping[str, Array] | None = None,
        seed: int = 0,
        *,
        optimize: bool = True,
        threads: int | None = None,
        verify: bool = False,
    ) -> Interpreter:
        """A function of arrays, with these weights, or random ones from a seed.

        It takes arrays with the batch first, and gives one array for one output, a
        dictionary by name for several. It is planned at its first call, and then fast, on
        so many threads, all by default; without `optimize` it is the plain interpreter,
        which defines what each operation computes. With `verify` the plan is held to the
        interpreter first, on random inputs.  Raises ArchError: weights of another network; the
        plan differs (E607). ValueError: no thread; there is no plan to verify.
        """
        from cnndsl.analysis.weights import random_weights
        from cnndsl.backends.numpy.interpreter import Interpreter

        weights = random_weights(self, seed) if weights is None else weights
        if not optimize:
            if verify:
                raise ValueError("verify=True checks a plan, but optimize=False makes none")
            return Interpreter(self, weights)
        from cnndsl.backends.numpy.plan import Plan

        plan = Plan(self, weights, threads=threads)
        if verify:
            plan.verify()
        return plan

    def load_weights(
        self, weights: str | PathLike[str] | Mapping[str, Any] | nn.Module, **options: Any
    ) -> Loaded:
        """Weights in the network's own names: from a file, a foreign `state_dict`, a module.

        The options `map` and `partial` are `cnndsl.weights.load_weights`'s.
        Raises OSError, and ArchError: they are not this network's, or not surely.
        """
        from cnndsl.weights import load_weights

        return load_weights(self, weights, **options)

    def draw(
        self,
        path: str | PathLike[str],
        *,
        style: str = "blocks",
        theme: str = "light",
        detail: str | None = None,
        metrics: str | None = None,
        width_mm: float | None = None,
        height_mm: float | None = None,
        direction: str | None = None,
        caption: bool = True,
        angle: float | None = None,
        unit: float | None = None,
        photo: str | PathLike[str] | None = None,
        opened: Sequence[str] = (),
        engine: str | None = None,
    ) -> None:
        """Draw it; the ending says how: `.svg`, `.png`, `.pdf`, `.html`, `.tikz`, `.dot`.

        The options are those of `cnndsl draw`: without `width_mm` and `height_mm` it is made
        for a page of 174 by 230 mm, with blocks closed that it has no room for.
        Raises ArchError: an unknown format or option, or no room for the text. OSError:
        the file cannot be written.
        """
        from cnndsl.figures import Options, draw

        pieces = None
        if photo is not None:
            from cnndsl.inputs import mosaic

            pieces = mosaic(Path(photo), self)
        options = Options(
            style,
            theme,
            detail,
            metric=metrics,
            width_mm=width_mm,
            height_mm=height_mm,
            direction=direction,
            captioned=caption,
            angle=angle,
            unit=unit,
            photo=pieces,
            opened=tuple(opened),
        )
        draw(self, path, engine=engine, options=options)

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: the picture where one can be drawn, and the table."""
        from cnndsl.figures import picture

        shown = {"text/plain": str(self.summary())}
        with suppress(ArchError):
            shown["image/svg+xml"] = picture(self).decode()
        return shown


def elaborate(
    model: BlockDefinition,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
) -> Network:
    """The network of a model, as `language.elaborate` makes it.  Raises ArchError."""
    return _with_verbs(language.elaborate(model, parameters, inputs))


def _with_verbs(made: graph.Network) -> Network:
    return Network(*(getattr(made, name) for name in made.names_))


def load(
    path: str | Path,
    model: str | None = None,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
) -> Network:
    """The network of a model in a file.  Raises OSError, ArchError."""
    return elaborate(language.pick(language.read(path), model), parameters, inputs)


def loads(
    text: str,
    model: str | None = None,
    parameters: Mapping[str, object] | None = None,
    inputs: Mapping[str, Shape] | None = None,
    name: str = "<text>",
) -> Network:
    """The network of a model in a text.  Raises ArchError."""
    return elaborate(language.pick(Loader().text(text, name), model), parameters, inputs)
