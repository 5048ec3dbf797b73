"""What must hold of every program: its columns, each a function that raises where it does not.

`check(text)` gives the failures of one program. The interpreter defines what a program
computes, and PyTorch how many multiply-adds it takes and what its training keeps.
"""

from __future__ import annotations

import ast
import copy
import random
import re
import tempfile
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from click.testing import CliRunner
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

import cnndsl
from cnndsl.analysis.closed import free_parameters
from cnndsl.analysis.costs import costs
from cnndsl.analysis.memory import saved
from cnndsl.analysis.pruning import Needed
from cnndsl.analysis.sizes import sizes
from cnndsl.analysis.weights import expected_weights, random_weights
from cnndsl.backends.numpy.interpreter import Interpreter
from cnndsl.backends.torch import write
from cnndsl.cli import cli
from cnndsl.console import INTERRUPTED
from cnndsl.diagnostics import ArchError
from cnndsl.figures.write import STYLES
from cnndsl.graph import Node, labels
from cnndsl.language import pick
from cnndsl.language.modules import Loader
from cnndsl.language.names import BlockDefinition
from cnndsl.network import Network, elaborate
from cnndsl.ops.facts import Array, Shape
from cnndsl.records import Record, record
from cnndsl.structure import Tensor
from cnndsl.symbolic import formula

BATCHES = (1, 3)
DOUBLE, SINGLE = 1e-9, 2e-3
"""The largest difference, by the largest value, beside what rounding explains."""
ROUNDED = 64
"""So many times the measured effect of rounding may outputs be apart."""
NARROWER = 2.0**-29
"""The last place of a float64, by that of a float32."""
NEAR = 1e-9
"""Scores that are as near, by the largest, may be ranked either way."""
FILE = re.compile(r"^#### (\S+)\n", re.MULTILINE)
"""Above another file of the same program: `#### part.arch`."""


@record
class Failure(Record):
    """One column of one program that does not hold; `said` is the first line of why."""

    column: str
    error: str
    said: str

    @property
    def kind(self) -> str:
        """What failures of one cause have in common: no numbers, names or paths."""
        said = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", "…", self.said)
        said = re.sub(r"^\w+\(\)", "…()", said)
        said = re.sub(r"/\S+|\b[a-z]\w*\d+\w*(\.\w+)*|\d[\d.e+-]*", "#", said)
        said = re.sub(r"[\[(][#, ×]*[\])]", "[#]", said)
        return f"{self.column}: {self.error}: {said[:100]}"

    def __str__(self) -> str:
        """`plan: AssertionError: 1.9 from the interpreter`."""
        return f"{self.column}: {self.error}: {self.said}"


class DisagreementError(AssertionError):
    """Two that must be equal are not."""


class UnavailableError(Exception):
    """A column needs what another has reported already."""


def require(holds: object, said: str) -> None:
    """Raise where something does not hold."""
    if not holds:
        raise DisagreementError(said)


class Program:
    """A program with what its columns share, each made once."""

    def __init__(self, text: str, seed: int = 0) -> None:
        """Take the text of the main file, and of others behind their marks."""
        main, *others = FILE.split(text)
        self.text, self.main = text, main
        self.others = dict(zip(others[::2], others[1::2], strict=True))
        self.seed = seed
        self._asked = False

    @cached_property
    def folder(self) -> tempfile.TemporaryDirectory[str]:
        """Its files."""
        found = tempfile.TemporaryDirectory()
        for name, text in {"main.arch": self.main, **self.others}.items():
            (Path(found.name) / name).write_text(text, encoding="utf-8")
        return found

    @property
    def path(self) -> Path:
        """The main file."""
        return Path(self.folder.name) / "main.arch"

    @cached_property
    def definition(self) -> BlockDefinition:
        """Its model.  Raises ArchError."""
        loader = Loader()
        scope = loader.main(self.path) if self.others else loader.text(self.main, "<program>")
        return pick(scope, "M" if "M" in scope.models else None)

    @property
    def picked(self) -> tuple[str, ...]:
        """What tells a command which of several models is meant."""
        several = len(re.findall(r"^model ", self.main, re.MULTILINE)) > 1
        return ("--model", "M") if several else ()

    @cached_property
    def network(self) -> Network:
        """The network.  Raises ArchError."""
        return elaborate(self.definition)

    @cached_property
    def weights(self) -> dict[str, Array]:
        """In float64, nothing at the value that makes its layer the identity."""
        rng = np.random.default_rng(self.seed)
        found = random_weights(self.network, self.seed)
        for name, (_, weight) in expected_weights(self.network).items():
            shape = found[name].shape
            if weight.integer:
                continue
            if name.endswith("running_var") or weight.init.value == 1:
                found[name] = rng.uniform(0.5, 1.5, shape)
            elif weight.init.value is not None:
                found[name] = rng.normal(0.2, 0.5, shape)
            # Exact in float32 too: PyTorch's modules are made in it.
            found[name] = found[name].astype(np.float32).astype(np.float64)
        return found

    def arrays(self, batch: int, sizes: dict[str, Shape] | None = None) -> dict[str, Array]:
        """Inputs of noise."""
        rng = np.random.default_rng(self.seed + batch)
        shapes = {name: tuple(map(int, t.shape)) for name, t in self.network.inputs.items()}
        shapes |= sizes or {}
        return {name: rng.normal(size=(batch, *shape)) for name, shape in shapes.items()}

    @cached_property
    def expected(self) -> dict[int, dict[str, Array]]:
        """What the interpreter gives at each batch."""
        run = self.network.to_numpy(self.weights, optimize=False)
        with np.errstate(all="ignore"):
            return {n: self.named(run(**self.arrays(n))) for n in BATCHES}

    def rounding(self, network: Network, arrays: dict[str, Array]) -> dict[str, float]:
        """What float32 changes in each output, its functions right to some last places."""
        single = {name: array.astype(np.float32) for name, array in arrays.items()}
        with np.errstate(all="ignore"):
            rounded = _listed(Rounded(network, self.weights)(**single))
            exact = _listed(network.to_numpy(self.weights, optimize=False)(**arrays))
            apart = [np.abs(one - two) for one, two in zip(rounded, exact, strict=True)]
        largest = [float(a[np.isfinite(a)].max(initial=0)) for a in apart]
        return dict(zip(network.outputs, largest, strict=True))

    @cached_property
    def rounded(self) -> dict[int, dict[str, float]]:
        """The same at each batch."""
        return {n: self.rounding(self.network, self.arrays(n)) for n in BATCHES}

    @cached_property
    def tied(self) -> bool:
        """Whether a last place decides which boxes are kept."""
        run = Watched(self.network, self.weights)
        for batch in BATCHES:
            run(**self.arrays(batch))
        return run.tied

    def close(self, found: Array, wanted: Array, tolerance: float, rounding: float) -> None:
        """Hold finite values to each other, and others to be the same."""
        require(found.shape == wanted.shape, f"shape {found.shape}, not {wanted.shape}")
        finite = np.isfinite(wanted)
        require((np.isfinite(found) == finite).all(), "other values are finite")
        require(np.array_equal(found[~finite], wanted[~finite], True), "another infinity")
        apart = np.abs(found[finite] - wanted[finite]).max(initial=0)
        largest = np.abs(wanted[finite]).max(initial=0)
        more = ROUNDED * rounding * (NARROWER if tolerance == DOUBLE else 1)
        said = f"{apart / max(largest, 1e-300):.2g} apart"
        require(self.tied or apart <= tolerance * largest + more, said)

    @cached_property
    def module(self) -> nn.Module:
        """PyTorch's, in evaluation and float64, which has run once.

        Raises ArchError, or what `pytorch` reports; UnavailableError when asked again.
        """
        if self._asked:
            raise UnavailableError
        self._asked = True
        made = self.network.to_torch(self.weights).eval().double()
        with torch.inference_mode():
            made(*_tensors(self.arrays(1)))
        return made

    def named(self, found: object) -> dict[str, Array]:
        """Outputs by name, from an array or tensor, a tuple or a dictionary of them."""
        names = list(self.network.outputs)
        if isinstance(found, dict):
            require(list(found) == names, f"outputs {list(found)}, not {names}")
        several = _listed(found)
        require(len(several) == len(names), f"{len(several)} outputs, not {len(names)}")
        return dict(zip(names, several, strict=True))

    def same(self, found: object, batch: int, tolerance: float = DOUBLE) -> None:
        """Hold outputs to the interpreter's."""
        for name, array in self.named(found).items():
            rounding = self.rounded[batch][name]
            self.close(array, self.expected[batch][name], tolerance, rounding)


class Rounded(Interpreter):
    """In float32, with the errors that functions such as eˣ may have: 4 last places of 1."""

    def _run(self, node: Node, operands: list[Array], first: Array) -> tuple[Array, ...]:
        found = super()._run(node, operands, first)
        if not node.op.special(*self.network.input_shapes(node.name)):
            return found
        size = 4 * np.finfo(np.float32).eps
        rng = np.random.default_rng(len(node.name))
        return tuple(
            x + (rng.choice([-size, size], x.shape) * np.maximum(1, np.abs(x))).astype(x.dtype)
            for x in found
        )


class Watched(Interpreter):
    """It notes whether scores that are to be ranked are nearly or exactly alike."""

    tied = False

    def _run(self, node: Node, operands: list[Array], first: Array) -> tuple[Array, ...]:
        if node.op.name in ("nms", "topk"):
            for scores in operands[1].reshape(len(operands[1]), -1):
                ranked = np.sort(scores[scores != 0])
                self.tied |= bool(
                    (np.diff(ranked) <= NEAR * np.abs(ranked).max(initial=0)).any()
                )
        return super()._run(node, operands, first)


def _listed(found: object) -> list[Array]:
    """Outputs in order, from one, a tuple or a dictionary, of arrays or tensors."""
    several = list(found.values()) if isinstance(found, dict) else found
    several = several if isinstance(several, list | tuple) else [several]
    for one in several:
        require(isinstance(one, np.ndarray | torch.Tensor), f"a {type(one).__name__}")
    return [x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x for x in several]


def _tensors(arrays: dict[str, Array]) -> list[torch.Tensor]:
    return [torch.from_numpy(array) for array in arrays.values()]


# Columns


def interpreter(program: Program) -> None:
    """It elaborates, and the shapes are those that it says."""
    network = program.network
    for batch, found in program.expected.items():
        for name, array in found.items():
            shape = tuple(map(int, network.outputs[name].shape))
            require(array.shape == (batch, *shape), f"{array.shape} for {shape}")


def plan(program: Program) -> None:
    """The plan computes what the interpreter does, again when it is called again."""
    planned = program.network.to_numpy(program.weights, threads=1)
    with np.errstate(all="ignore"):
        for batch in (*BATCHES, BATCHES[0]):
            program.same(planned(**program.arrays(batch)), batch)


def plan_single(program: Program) -> None:
    """The same in float32, where Winograd and other algorithms are."""
    if _selects(program.network):
        return  # near ties are decided another way
    weights = {k: w.astype(np.float32) for k, w in program.weights.items()}
    planned = program.network.to_numpy(weights, threads=1)
    with np.errstate(all="ignore"):
        for batch in BATCHES:
            arrays = {k: a.astype(np.float32) for k, a in program.arrays(batch).items()}
            program.same(planned(**arrays), batch, SINGLE)


def _selects(network: Network) -> bool:
    return any(node.op.family.value == "boxes" or node.op.discrete for node in network)


def pytorch(program: Program) -> None:
    """The module computes what the interpreter does."""
    with torch.inference_mode():
        for batch in BATCHES:
            program.same(program.module(*_tensors(program.arrays(batch))), batch)


def optimized(program: Program) -> None:
    """So does the one for inference."""
    made = folded(program)
    with torch.inference_mode():
        for batch in BATCHES:
            program.same(made(*_tensors(program.arrays(batch))), batch)


def folded(program: Program) -> nn.Module:
    """The module for inference, folded in float64.  Raises what `Program.module` does."""
    _ = program.module
    made = program.network.to_torch(optimize=True).eval().double()
    tensors = {
        name: torch.from_numpy(array)
        for name, array in program.weights.items()
        if array.dtype == np.float64
    }
    fold = getattr(made, "fold", None)
    (fold or partial(made.load_state_dict, strict=False))(tensors)
    return made


def source(program: Program) -> None:
    """What is written parses, is written alike twice, and by the command."""
    _ = program.module
    plain = write(program.network)
    if plain.fault is not None:
        raise plain.fault
    for optimize in (False, True):
        text = program.network.torch_source(optimize=True) if optimize else plain.text
        ast.parse(text)
        options = ("--optimize",) if optimize else ()
        said = _invoke("compile", str(program.path), "-o", "-", *options, *program.picked)
        require(said == text or "warning" in said, "the command writes another text")


def onnx(program: Program) -> None:
    """ONNX Runtime computes what the interpreter does, at another size too where it is free."""
    network, weights = program.network, program.weights
    single = {k: w.astype(np.float32) if w.dtype.kind == "f" else w for k, w in weights.items()}
    for functions in (False, True):
        run = _session(network.to_onnx(single, functions=functions))
        for batch in BATCHES:
            arrays = {k: a.astype(np.float32) for k, a in program.arrays(batch).items()}
            found = tuple(run.run(None, arrays))
            if not _selects(network):  # near ties are decided another way
                program.same(found if len(found) > 1 else found[0], batch, SINGLE)
    shapes, free = {}, False
    for port in run.get_inputs():
        own = [*map(int, network.inputs[port.name].shape)]
        shapes[port.name] = tuple(
            n + 3 * isinstance(d, str) for n, d in zip(own, port.shape[1:], strict=True)
        )
        free = free or any(isinstance(d, str) for d in port.shape[1:])
    try:
        other = elaborate(program.definition, {}, shapes) if free else None
    except ArchError:
        return
    if other is None or _selects(other):
        return
    wanted = program.named(other.to_numpy(weights, optimize=False)(**program.arrays(1, shapes)))
    arrays = {k: a.astype(np.float32) for k, a in program.arrays(1, shapes).items()}
    rounding = program.rounding(other, program.arrays(1, shapes))
    for array, (name, exact) in zip(run.run(None, arrays), wanted.items(), strict=True):
        program.close(array, exact, SINGLE, rounding[name])


def _session(model: Any) -> Any:
    """ONNX Runtime's, on one thread and silent, of a model that ONNX's checker accepts."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def keys(program: Program) -> None:
    """The state's keys and shapes are the network's."""
    found = {k: tuple(w.shape) for k, w in program.module.state_dict().items()}
    wanted = {
        k: tuple(map(int, w.shape)) for k, (_, w) in expected_weights(program.network).items()
    }
    require(set(found) == set(wanted), f"keys differ: {sorted(set(found) ^ set(wanted))[:4]}")
    require(found == wanted, "shapes differ")


def parameters(program: Program) -> None:
    """Their number is that of PyTorch's elements."""
    found = sum(p.numel() for p in program.module.parameters() if p.requires_grad)
    said = program.network.parameters
    require(found == said, f"{said} parameters are said, {found} there")


def multiply_adds(program: Program) -> None:
    """They are half of what PyTorch's counter counts."""
    module, inputs = program.module, _tensors(program.arrays(1))
    # The counter does not know attention in one step on a CPU.
    plain = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, plain, torch.no_grad():
        module(*inputs)
    counted, said = counter.get_total_flops(), program.network.macs
    # What PyTorch multiplies element by element it does not count.
    network, found = program.network, costs(program.network)
    said -= sum(found[node.name].macs for node in network if node.op.name == "involve")
    # A function that nothing reads is written where another instance of its block needs it.
    read = network.read()
    left_out = {0}
    for node in network:
        weights = node.op.weights(*network.input_shapes(node.name))
        if node.name not in read and not weights and node.op.name != "involve":
            left_out |= {sum_ + found[node.name].macs for sum_ in left_out}
    said = next((said - n for n in left_out if counted == 2 * (said - n)), said)
    require(counted == 2 * said, f"{said} multiply-adds are said, {counted / 2:g} counted")


def input_sizes(program: Program) -> None:
    """`sizes` at other sizes: elaboration's figures, and PyTorch's acceptance."""
    network = program.network
    free = free_parameters(partial(elaborate, program.definition), network)
    found = sizes(free)
    require(str(found.forms) in str(found), "its own forms are not told")
    chance = np.random.default_rng(program.seed)
    for name in found.valid:
        own = found.forms.sizes[name]
        for size in {max(1, own + int(chance.integers(-3, 4))), 2 * own, own + 1}:
            _at_size(program, found, name, size)


def _at_size(program: Program, found: Any, name: str, size: int) -> None:
    network = program.network
    spelt = found.rules.names
    values = {**found.forms.sizes, name: size}
    bound = {atom: values[n] for atom, n in spelt.items()}
    inputs = {
        port: tuple(int(formula(n).evaluate(bound)) for n in tensor.shape)
        for port, tensor in network.inputs.items()
    }
    accepted = found.accepts(**{name: size})
    try:
        other = elaborate(program.definition, {}, inputs)
    except ArchError:
        other = None
    where = f"at another {name}"
    try:
        said = found.at(**{name: size})
    except LookupError:
        said = None
    require((said is None) == (other is None), f"forms {where}, and elaboration, are not one")
    if said is not None and other is not None:
        require(said["macs"] == other.macs, f"other multiply-adds {where}")
        require(said["parameters"] == other.parameters, f"other parameters {where}")
    require(other is not None or not accepted, f"accepted {where}, and not elaborated")
    try:
        with torch.inference_mode():
            program.module(*_tensors(program.arrays(1, inputs)))
        runs = True
    except (RuntimeError, ValueError, AssertionError, IndexError):
        runs = False
    if accepted:
        # Where a size decides another network, the file is of the first.
        same = all(
            int(one.formula.evaluate(bound)) == one.value for one in found.rules.found.decided
        )
        require(runs or not same, f"accepted {where}, and PyTorch refuses")
    elif runs and other is not None:
        alike = {k: w.shape for k, (_, w) in expected_weights(other).items()} == {
            k: w.shape for k, (_, w) in expected_weights(network).items()
        }
        require(not alike, f"refused {where}, where it elaborates and runs")


def training_memory(program: Program) -> None:
    """What training keeps is what autograd saves, in bytes of float32, weights apart."""
    if _selects(program.network):
        return
    module = copy.deepcopy(program.module).float().train()
    own = {w.untyped_storage()._cdata for w in module.state_dict().values()}
    kept: list[weakref.ref[Kept]] = []

    def pack(tensor: torch.Tensor) -> Kept:
        found = Kept(tensor.detach())  # with its `grad_fn` it would keep itself
        kept.append(weakref.ref(found))
        return found

    batch = 2
    arrays = {k: a.astype(np.float32) for k, a in program.arrays(batch).items()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda found: found.tensor):
        outputs = module(*_tensors(arrays))
    storages = [one.tensor.untyped_storage() for ref in kept if (one := ref()) is not None]
    found = {storage._cdata: storage.nbytes() for storage in storages}
    total = sum(size for key, size in found.items() if key not in own)
    said = saved(program.network, batch)
    require(total == said, f"{said} bytes are said, {total} kept")
    del outputs


@dataclass(eq=False)
class Kept:
    """A tensor that autograd keeps, as long as the graph lives."""

    tensor: torch.Tensor


COMMANDS = (
    ("check",),
    ("summary",),
    ("summary", "--json"),
    ("summary", "--csv"),
    ("summary", "--by", "layer", "--columns",
     "op,shape,parameters,macs,share,cumulative,bytes,rf,stride,intensity"),
    ("summary", "--by", "op"),
    ("summary", "--by", "stage"),
    ("summary", "--by", "block", "--top", "3"),
    ("summary", "--depth", "1"),
    ("counts",),
    ("counts", "--as", "thop"),
    ("counts", "--explain", "fvcore=1.5M"),
    ("roofline",),
    ("roofline", "--json", "--batch", "4", "--device", "cpu"),
    ("roofline", "-o", "-"),
    ("memory",),
    ("memory", "--inplace", "--optimizer", "adam", "--json"),
    ("memory", "-o", "-"),
    ("sizes",),
    ("keys",),
    ("draw", "-o", "-", "--metrics", "macs"),
    ("draw", "-o", "-", "--metrics", "rf", "--theme", "paper", "--detail", "full"),
    ("draw", "-o", "-", "--metrics", "memory", "--detail", "stages"),
    ("draw", "-o", "-", "--style", "scale", "--metrics", "params", "--theme", "dark"),
    ("draw", "--style", "terminal"),
)  # fmt: skip


def commands(program: Program, chosen: Iterable[tuple[str, ...]] = COMMANDS) -> None:
    """Every command ends with 0, or with a message where there is nothing to say."""
    file = str(program.path)
    for name, *options in chosen:
        _invoke(name, file, *options, *(() if name == "check" else program.picked))
    for more in ((), ("--json",), ("--markdown",), ("-o", "-")):
        _invoke("diff", file, file, *more, *program.picked)
    inputs: list[str] = []
    for name, array in program.arrays(1).items():
        path = program.path.with_name(f"{name}.npy")
        np.save(path, array.astype(np.float32))
        inputs += ["--input", f"{name}={path}"]
    _invoke("run", file, *inputs, *program.picked)


def _invoke(*words: str) -> str:
    result = CliRunner().invoke(cli, words, env={"CNNDSL_TRACEBACK": "1"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code == INTERRUPTED:
        raise KeyboardInterrupt
    said = " ".join([words[0], *words[2:]])
    require(result.exit_code == 0, f"{said} ends with {result.exit_code}: {result.output[:90]}")
    return result.output


def explanations(program: Program) -> None:
    """`explain` finds every node and every label."""
    from cnndsl.analysis.explain import explain

    network = program.network
    for node in network:
        str(explain(network, node.name))
    for label in labels(network):
        str(explain(network, label))


PICTURES = tuple(
    (style, format)
    for style, formats in STYLES.items()
    for format in formats
    if format not in ("png", "pdf", "dot")
)


def pictures(program: Program, chosen: Iterable[tuple[str, str]] = PICTURES) -> None:
    """Every style in every format, and the differences to itself."""
    from cnndsl.figures import Options, diff_picture, picture

    for style, format in chosen:
        # What is laid out is the same in every format.
        for detail in ("blocks", "full") if (style, format) == ("blocks", "svg") else (None,):
            options = Options(style=style, detail=detail)
            require(picture(program.network, format, options=options), f"empty {format}")
    diff_picture(program.network, program.network)


def slow_pictures(program: Program) -> None:
    """The formats that take a tenth of a second."""
    from cnndsl.figures import dot

    pictures(program, [("blocks", "png"), ("blocks", "pdf")])
    require(dot(program.network), "empty dot")


def python_interface(program: Program) -> None:
    """Functions of the library that no command reaches."""
    network = program.network
    network._repr_mimebundle_()
    repr(network)
    cnndsl.analysis.closed_forms(network)


def outputs_at(program: Program) -> None:
    """Labels as outputs: the layers they need, the keys and the values that they had."""
    from cnndsl.figures import Options, picture

    _ = program.module
    chance, names = random.Random(program.seed), list(labels(program.network))
    for count in (1, 3):
        asked = chance.sample(names, min(count, len(names)))
        cut = assert_cut(program.network, asked)
        whole = replace(program.network, outputs=cut_outputs(program.network, asked))
        weights = {key: program.weights[key] for key in expected_weights(cut)}
        arrays = {name: program.arrays(1)[name] for name in cut.inputs}
        with np.errstate(all="ignore"), torch.inference_mode():
            wanted = whole.to_numpy(program.weights, optimize=False)(**program.arrays(1))
            ours = cut.to_numpy(weights, threads=1)(**arrays)
            module = cut.to_torch(weights).eval().double()
            theirs = module(*_tensors(arrays))
        rounding = program.rounding(whole, program.arrays(1))
        for exact, *others, name in zip(
            *map(_listed, (wanted, ours, theirs)), asked, strict=True
        ):
            for array in others:
                program.close(array, exact, DOUBLE, rounding[name])
        str(cut.summary())
        cnndsl.analysis.closed_forms(cut)
        style = ("blocks", "scale")[count == 1]
        require(picture(cut, options=Options(style=style)), "empty picture")


def cut_outputs(network: Network, asked: Iterable[str]) -> dict[str, Tensor]:
    """What labels stand for in the whole network."""
    return {name: labels(network)[name] for name in asked}


def assert_cut(network: Network, asked: Sequence[str]) -> Network:
    """The network with these outputs, which has what they need and nothing else."""
    cut = network.outputs_at(*asked)
    require(list(cut.outputs) == list(asked), f"outputs {list(cut.outputs)}")
    inputs = {tensor.node for tensor in network.inputs.values()}
    needed = Needed(network)
    needed.add(tensor.node for tensor in cut_outputs(network, asked).values())
    left = [node for node in cut if node.name not in {t.node for t in cut.inputs.values()}]
    nodes = map(network.node, needed.nodes - inputs)
    before = Counter((str(node.op), node.path) for node in nodes)
    after = Counter((str(node.op), node.path) for node in left)
    require(before == after, f"other layers: {before - after} gone, {after - before} too many")
    there, keys = expected_weights(network), expected_weights(cut)
    require(all(there[key][1] == weight for key, (_, weight) in keys.items()), "other weights")
    return cut


Column = Callable[[Program], None]
COLUMNS: dict[str, Column] = {
    column.__name__: column
    for column in (
        interpreter, plan, plan_single, pytorch, optimized, source, keys, parameters,
        multiply_adds, input_sizes, onnx, training_memory, commands, explanations, pictures,
        slow_pictures, python_interface, outputs_at,
    )
}  # fmt: skip


def check(
    text: str, columns: Iterable[str] = COLUMNS, seed: int = 0, *, whole: bool = True
) -> list[Failure]:
    """The failures of a program; where it is not valid, that it is not is the only one.

    Without `whole` the first is enough.
    """
    program = Program(text, seed)
    try:
        _ = program.network
    except Exception as error:
        return [failure("elaborate", error)]
    found = []
    for name in columns:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                COLUMNS[name](program)
        except UnavailableError:
            continue
        except Exception as error:
            found.append(failure(name, error))
            if not whole:
                break
    return found


def failure(column: str, error: Exception) -> Failure:
    """What went wrong."""
    if isinstance(error, ArchError):
        first = error.diagnostics[0]
        return Failure(column, first.code, first.message)
    said = str(error).strip().splitlines()
    line = next((text for text in said if text.strip()), "")
    return Failure(column, type(error).__name__, line + _where(error))


def _where(error: Exception) -> str:
    """The product's function that raised it, for what nobody foresaw."""
    if isinstance(error, DisagreementError):
        return ""
    trace, where = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/cnndsl/" in name:
            where = f" in {Path(name).stem}.{trace.tb_frame.f_code.co_name}"
        trace = trace.tb_next
    return where


def assert_right(text: str, columns: Iterable[str] = COLUMNS, seed: int = 0) -> None:
    """No column of a program fails: for a program kept as a test."""
    found = check(text, columns, seed)
    assert not found, "\n".join(map(str, found))
