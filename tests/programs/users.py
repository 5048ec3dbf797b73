"""What else must hold of every program: what people do with one besides running it."""

from __future__ import annotations

import copy
import pickle
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cnndsl
from cnndsl.analysis.weights import draw, expected_weights, weight_name
from cnndsl.backends.torch import write
from cnndsl.backends.torch.execute import execute
from cnndsl.diagnostics import ArchError
from cnndsl.editing.answers import colours, hints, hover
from cnndsl.editing.completing import complete
from cnndsl.editing.layout import layout
from cnndsl.editing.reading import checked
from cnndsl.editing.symbols import Names
from cnndsl.editing.tokens import tokens
from cnndsl.language.modules import Loader
from cnndsl.network import Network, elaborate
from cnndsl.weights import load_weights
from tests.programs.harness import (
    BATCHES,
    COLUMNS,
    FILE,
    Program,
    _selects,
    _tensors,
    folded,
    require,
)
from tests.torch.on_gpu import limit, trains

OTHERS: dict[str, tuple[object, ...]] = {
    "c": (8, 2), "n": (0, 3), "k": (1, 5), "flag": (False, True), "deep": (True, False),
    "wide": (True, False), "r": (2.0, 0.25), "ws": ([4], [6, 4, 2]), "fs": ([1.5, 0.5],),
    "kind": ("v2", "v1"), "size": (1, 3),
}  # fmt: skip
"""Values that a parameter of a model may have besides its default."""

ENOUGH = 100
"""A weight of so many elements shows how large its first values are."""
WRONG = "is faulty|computes something else|is not in the text|is not a layer|is another tensor"
"""Refusals of an import that are faults of ours."""


def alike(one: Network, other: Network) -> None:
    """The same layers, wired alike, with the same outputs and keys."""

    def said(network: Network) -> list[object]:
        nodes = [(n.name, str(n.op), n.path, n.rows, n.shared, tuple(network.operands(n.name)))
                 for n in network]  # fmt: skip
        ports = {k: (t.node, t.output, t.shape) for k, t in network.outputs.items()}
        keys = {k: tuple(map(int, w.shape)) for k, (_, w) in expected_weights(network).items()}
        return [nodes, list(ports.items()), keys]

    for first, second, what in zip(
        said(one), said(other), ("layers", "outputs", "keys"), strict=True
    ):
        require(first == second, f"other {what}")


def formatted(program: Program) -> None:
    """`fmt` changes no meaning, and nothing the second time."""
    first, *parts = FILE.split(program.text)
    texts = [first, *parts[1::2]]
    laid = [layout(text) for text in texts]
    require([layout(text) for text in laid] == laid, "formatting twice is another text")
    marks = [f"#### {name}\n" for name in parts[::2]]
    whole = laid[0] + "".join(m + text for m, text in zip(marks, laid[1:], strict=True))
    alike(Program(whole, program.seed).network, program.network)


def copied(program: Program) -> None:
    """A plan and a network survive `pickle` and `copy`; a plan verifies itself."""
    arrays = program.arrays(1)
    planned = program.network.to_numpy(program.weights, threads=1)
    with np.errstate(all="ignore"):
        planned(**arrays)
        for made in (pickle.loads(pickle.dumps(planned)), copy.deepcopy(planned)):
            program.same(made(**arrays), 1)
    alike(pickle.loads(pickle.dumps(program.network)), program.network)
    alike(copy.deepcopy(program.network), program.network)
    single = {k: w.astype(np.float32) if w.dtype.kind == "f" else w
              for k, w in program.weights.items()}  # fmt: skip
    program.network.to_numpy(single, threads=1, verify=True)


def halved(program: Program) -> None:
    """The module runs in half precision, in bfloat16 and in float32, and stays in it."""
    if any(node.op.family.value == "boxes" for node in program.network):
        return  # boxes are in float32 at least
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        module = copy.deepcopy(program.module).to(dtype)
        inputs = [tensor.to(dtype) for tensor in _tensors(program.arrays(1))]
        try:
            with torch.inference_mode():
                found = module(*inputs)
        except RuntimeError as error:
            if re.search("not implemented for|expected m1 and m2", str(error)):
                continue
            raise
        for one in found if isinstance(found, tuple) else (found,):
            whole = not one.is_floating_point()
            require(whole or one.dtype == dtype, f"{one.dtype} from {dtype}")


def trained(program: Program) -> None:
    """In training the shapes are the same, and gradients reach what the outputs depend on."""
    module = copy.deepcopy(program.module).float().train()
    arrays = {k: a.astype(np.float32) for k, a in program.arrays(3).items()}
    found = module(*_tensors(arrays))
    several = found if isinstance(found, tuple) else (found,)
    for one, tensor in zip(several, program.network.outputs.values(), strict=True):
        shape = (3, *map(int, tensor.shape))
        require(tuple(one.shape) == shape, f"{tuple(one.shape)} in training, not {shape}")
    sums = [one.sum() for one in several if one.requires_grad]
    if sums:
        torch.stack(sums).sum().backward()
    network = program.network
    read = {
        weight_name(network.node(name), weight)
        for name in network.read()
        for weight in network.node(name).op.weights(*network.input_shapes(name))
    }
    for key, parameter in module.named_parameters():
        if parameter.grad is not None:
            require(key in read, "a gradient where nothing reads")


def begun(program: Program) -> None:
    """A fresh module's weights are what `init=` says, exactly or in their size."""
    _ = program.module
    made = program.network.to_torch().state_dict()
    rng = np.random.default_rng(0)
    for key, (_, weight) in expected_weights(program.network).items():
        found = made[key].double().numpy()
        if weight.init.value is not None and not weight.integer:
            begins = np.float32(weight.init.value)
            require((found == begins).all(), f"`{key}` does not begin with {begins}")
        elif found.size >= ENOUGH:
            sizes = [np.square(draw(weight, rng)).mean() for _ in range(4)]
            ratio = np.square(found).mean() / np.mean(sizes)
            require(0.4 < ratio < 2.5, f"`{key}` begins {ratio:.2g} times as large")


def loaded(program: Program) -> None:
    """Weights come back under own names, under others in order, and from a module; or E605."""
    network, weights = program.network, program.weights
    if not weights:
        return
    single = {k: w.astype(np.float32) if w.dtype.kind == "f" else w for k, w in weights.items()}

    def same(found: Any) -> None:
        require(list(found) == list(single), "other names")
        require(all(np.array_equal(found[k], w) for k, w in single.items()), "other weights")

    same(load_weights(network, single))
    same(load_weights(network, {f"module.{k}": w for k, w in single.items()}))
    prefixes = list(dict.fromkeys(k.rpartition(".")[0] for k in single))
    for name in ("layers.{}", "m{}.body"):
        other = {p: name.format(number) for number, p in enumerate(prefixes)}
        given = {f"{other[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": w
                 for k, w in single.items()}  # fmt: skip
        try:
            found = load_weights(network, given)
        except ArchError as error:
            require(error.diagnostics[0].code == "E605", str(error))
        else:
            same(found)
    if _selects(network):
        return
    module = copy.deepcopy(program.module).float()
    try:
        found = load_weights(network, module)
    except ArchError as error:
        require(error.diagnostics[0].code == "E605", str(error))
    else:
        made = network.to_torch(found).eval().double()
        with torch.inference_mode():
            program.same(made(*_tensors(program.arrays(1))), 1, 1e-5)


def imported(program: Program) -> None:
    """The module becomes a file that computes the same, or is refused with a reason."""
    shapes = [tuple(map(int, t.shape)) for t in program.network.inputs.values()]
    module = copy.deepcopy(program.module).float()
    try:
        found = cnndsl.from_torch(module, shapes)
    except ArchError as error:
        said = error.diagnostics[0].message
        require(not re.search(WRONG, said), said)
        return
    require(found.network.macs <= program.network.macs, "more multiply-adds")


def edited(program: Program) -> None:
    """An editor's answers at every word: no message, no exception."""
    path = Path(program.path)
    known = checked(path, {path: program.main}, {})
    faults = [d for d in known.diagnostics if d.code.startswith("E")]
    require(not faults, f"the editor finds {faults[:1]}")
    tree = Loader().parse(known.source)
    names = Names(tree, lambda _: None)
    chance = random.Random(program.seed)
    list(colours(program.main, names))
    list(hints([known], known.source))
    for word in tokens(program.main):
        hover([known], names, known.source, word.start)
        if chance.random() < 0.1:
            place = chance.randint(word.start, word.stop)
            complete(program.main, place, names, path)
            # As it is typed: the text ends here.
            checked(path, {path: program.main[:place]}, {})


def settings(program: Program) -> None:
    """Other values of the model's parameters: on the command line, and as arguments."""
    chance = random.Random(program.seed)
    given = [name for name in program.network.arguments if name in OTHERS]
    if not given:
        return
    written = write(program.network)
    made = getattr(execute(written.text, program.network.name), written.name)
    for name in given:
        value = chance.choice(OTHERS[name])
        try:
            other = elaborate(program.definition, {name: value})
        except ArchError:
            continue
        at = Program(program.text, program.seed)
        at.network = other
        with torch.inference_mode():
            at.same(at.module(*_tensors(at.arrays(1))), 1)
        try:
            module = made(**{name: value}).eval().double()
            state = {k: torch.from_numpy(w) for k, w in at.weights.items()}
            module.load_state_dict(state)
            with torch.inference_mode():
                found = module(*_tensors(at.arrays(1)))
        except Exception:
            continue  # The class says no: it is written for these branches.
        at.same(found, 1)


def on_gpu(program: Program) -> None:
    """On a GPU the module computes the same, also for inference, and trains."""
    batch = max(BATCHES)
    images = _tensors(program.arrays(batch))
    trains(program.module, images)
    for made in (copy.deepcopy(program.module), folded(program)):
        with torch.inference_mode():
            found = made.cuda()(*(image.cuda() for image in images))
        program.same(found, batch, limit(program.network))


SLOW = ("imported", "edited")
"""Columns that take longer than all others."""

for column in (formatted, copied, halved, trained, begun, loaded, imported, edited, settings):
    COLUMNS[column.__name__] = column
if torch.cuda.is_available():
    COLUMNS["on_gpu"] = on_gpu
