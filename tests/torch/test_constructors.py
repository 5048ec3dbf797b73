"""Each file of the zoo is proved, and each argument of each of its classes does something."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from cnndsl import zoo
from cnndsl.analysis.weights import expected_weights
from cnndsl.backends.torch import Written, write
from cnndsl.backends.torch.execute import execute, instance, shapes_alone
from cnndsl.backends.torch.names import identifier
from cnndsl.backends.torch.proof import reparse
from cnndsl.diagnostics import ArchError
from cnndsl.graph import Network
from cnndsl.language import read
from cnndsl.language.elaborate import elaborate
from cnndsl.language.names import BlockDefinition
from cnndsl.network import load, loads
from cnndsl.structure import blocks
from tests.test_zoo import others

DETECTORS = {"ssd300_vgg16", "ssdlite320_mobilenetv3", "retinanet_resnet50_fpn", "yolov1"}
DETECTORS |= {"yolov2", "yolov3", "yolov4", "faster_rcnn_resnet50_fpn"}
DETECTORS |= {"mask_rcnn_resnet50_fpn", "efficientdet_d0", "fcos_resnet50_fpn"}
DETECTORS |= {"yolov5s", "yolov8n"}
FURTHER = Path(__file__).parents[1] / "further"
FROZEN = {"NonLocalResNet50": "form", "ShuffleNetV1": "bias"}
"""By models the parameters that are no arguments: each of their values makes other layers,
which one class does not say."""

Call = tuple[tuple[Any, ...], dict[str, Any]]
MODELS = [(name, model) for name in zoo() for model in read(name).models]


@cache
def shipped(name: str, model: str) -> tuple[Network, Written]:
    """A network of the zoo and its file, proved as it is written: the tests here share them."""
    network = load(name, model)
    return network, write(network)


@pytest.mark.parametrize("name", zoo())
def test_a_shipped_file_is_proved_and_its_arguments_do_what_they_say(name: str) -> None:
    for definition in read(name).models.values():
        network, written = shipped(name, definition.name)
        assert not written.because
        assert written.fault is None
        reparse(written.text, ast.parse(written.text))
        made = execute(written.text, network.name)
        calls = recorded(made)
        cls = getattr(made, identifier(network.name))
        with shapes_alone():
            cls()
        each_parameter_builds_its_network(definition, cls)
        words = words_of(network)
        for block, known in calls.items():
            if block is not cls:
                each_argument_changes_the_module(block, known, words)


@pytest.mark.parametrize(("name", "model"), MODELS)
def test_state_dict_has_the_languages_keys_and_shapes(name: str, model: str) -> None:
    network, written = shipped(name, model)
    with shapes_alone():
        made = instance(written, network)
    found, expected = made.state_dict(), expected_weights(network)
    assert set(found) == set(expected)
    for key, (_, weight) in expected.items():
        assert tuple(found[key].shape) == weight.shape, key
    trained = {key for key, (_, weight) in expected.items() if weight.trainable}
    assert {key for key, _ in made.named_parameters()} == trained


def test_source_is_clean_and_formatted_as_ruff_leaves_it(tmp_path: Path) -> None:
    for name, model in MODELS:
        _, found = shipped(name, model)
        (tmp_path / f"{name}_{model.lower()}.py").write_text(found.text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check"], ["format", "--check", "--diff"]):
        done = subprocess.run(
            [*ruff, *command, "--isolated", "."],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in zoo() if name not in DETECTORS])
def test_every_network_with_classes_takes_the_channels_of_its_image(name: str) -> None:
    for definition in read(name).models.values():
        names = [param.name for param in definition.declaration.params]
        assert ("classes" in names) <= ("channels" in names)


# --- parameters


def each_parameter_builds_its_network(
    definition: BlockDefinition, cls: Callable[..., nn.Module]
) -> None:
    """The class called with other values has the weights of the network that they describe."""
    offered = inspect.signature(cls).parameters
    names = {p.name for p in definition.declaration.params}
    frozen = {*FROZEN.get(definition.name, "").split()}
    assert {n for n in names if identifier(n) not in offered} == frozen
    given = {n: value for n, value in others(definition).items() if n not in frozen}
    first = dict([*given.items()][: len(given) // 2])
    for settings in (given, first):
        try:
            network = elaborate(definition, settings) if settings else None
        except ArchError:
            network = None  # such a network is not there
        if network is not None:
            with shapes_alone():
                module = cls(**{identifier(n): value for n, value in settings.items()})
            wanted = {k: tuple(w.shape) for k, (_, w) in expected_weights(network).items()}
            assert {k: tuple(w.shape) for k, w in module.state_dict().items()} == wanted


@pytest.mark.parametrize("path", sorted(FURTHER.glob("*.arch")), ids=lambda path: path.stem)
def test_a_further_network_is_built_at_other_parameters(path: Path) -> None:
    for name, definition in read(path).models.items():
        written = write(load(path, name))
        assert not written.because
        made = execute(written.text, name)
        each_parameter_builds_its_network(definition, getattr(made, identifier(name)))


# --- arguments of blocks


def recorded(made: ModuleType) -> dict[type[nn.Module], list[Call]]:
    """The calls of each class of a file from now on, each once."""
    found: dict[type[nn.Module], list[Call]] = {}
    for cls in vars(made).values():
        if isinstance(cls, type) and issubclass(cls, nn.Module) and "__init__" in vars(cls):
            found[cls] = []
            cls.__init__ = _recording(cls.__init__, found[cls])  # type: ignore[method-assign]
    return found


def _recording(init: Callable[..., None], calls: list[Call]) -> Callable[..., None]:
    def recording(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if (args, kwargs) not in calls:
            calls.append((args, kwargs))
        init(self, *args, **kwargs)

    recording.__signature__ = inspect.signature(init)  # type: ignore[attr-defined]
    return recording


def words_of(network: Network) -> dict[str, tuple[str, ...]]:
    """The words that parameters of blocks may be, by the parameters' names."""
    found: dict[str, tuple[str, ...]] = {}
    for block in blocks(network.structure):
        assert isinstance(block.declared, BlockDefinition)
        for param in block.declared.declaration.params:
            found[identifier(param.name)] = param.type.words
    return found


def each_argument_changes_the_module(
    cls: Callable[..., nn.Module],
    calls: list[Call],
    words: Mapping[str, tuple[str, ...]],
) -> None:
    """For each argument another value makes another module, or an error, in some call."""
    signature = inspect.signature(cls)
    left = set(signature.parameters)
    for args, kwargs in list(calls):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        before = state(cls, given) if left else None
        for name in sorted(left):
            for value in other_values(given[name], words.get(name, ())):
                if state(cls, {**given, name: value}) != before:
                    left.discard(name)
                    break
    for args, kwargs in list(calls):
        # What only initial values show.
        for name in sorted(left):
            given = signature.bind(*args, **kwargs).arguments
            for value in other_values(given.get(name), words.get(name, ())):
                if values(cls, given) != values(cls, {**given, name: value}):
                    left.discard(name)
                    break
    assert not left, f"{cls} is the same whatever {left} are"


def other_values(value: Any, words: tuple[str, ...]) -> Iterator[Any]:
    """Other values of an argument's kind."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (2 * value, value + 1, max(1, value // 2), 0)
        case float():
            yield from (value / 2, value + 0.25, 0.01)
        case str():
            yield from (word for word in words if word != value)
        case tuple() | list() if value:
            kind = type(value)
            for number, item in enumerate(value):
                for other in other_values(item, words):
                    yield kind((*value[:number], other, *value[number + 1 :]))
            yield kind(value[:-1])
        case None:
            yield from (1, 2, 8)
        case _ if callable(value):
            yield lambda *_: nn.Identity()
            yield lambda *_: nn.Tanh()


def state(cls: Callable[..., nn.Module], given: Mapping[str, Any]) -> object:
    """All that a module is but its numbers; the error, where there is none."""
    try:
        with shapes_alone():
            module = cls(**given)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    plain = [
        {k: v for k, v in vars(one).items() if isinstance(v, int | float | str | tuple | list)}
        for one in module.modules()
    ]
    shapes = {key: tensor.shape for key, tensor in module.state_dict().items()}
    return repr(module), plain, shapes


def values(cls: Callable[..., nn.Module], given: Mapping[str, Any]) -> object:
    """The first values of a module's weights."""
    torch.manual_seed(0)
    return [tensor.double().sum().item() for tensor in cls(**given).state_dict().values()]


def test_a_line_that_every_call_has_goes_where_an_argument_takes_it_away() -> None:
    network = loads("""
block Unit(c: int, t: int = 2) {
  expand: conv(t * in.c, 1x1, norm=bn, act=relu) when t != 1
  conv(c, 3x3)
}
model M: image[4, H=8, W=8] -> y { y: Unit(4) -> Unit(6, t=3) }
""")
    unit = execute(network.torch_source(), "M").Unit
    assert len(list(unit(4, 4, t=1).parameters())) == 2
    assert len(list(unit(4, 4).parameters())) == 5
