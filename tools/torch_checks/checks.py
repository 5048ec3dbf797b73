"""The checks, and what each asks of a written file."""

from __future__ import annotations

import copy
import importlib.util
import io
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

STEPS = (32, 64, 16, 8, 4, 2, 1)
"""By how much another size may be larger."""

UNUSED = {
    "mask_rcnn_resnet50_fpn": """With `find_unused_parameters=True`: what it gives is
detections, and no gradient goes from these to the scores that only rank proposals
(`rpn.head.objectness`).""",
    "wavenet": """With `find_unused_parameters=True`: the last layer's residual convolution
feeds no output, as in the paper's figure 4.""",
}
"""Networks in which a parameter has no gradient, and why."""
MULTIPLES = {"stacked_hourglass": 64}
"""What the sizes must be multiples of, where `torch.export` does not find it itself."""


@dataclass
class Subject:
    """A network, and the module that its file defines."""

    name: str
    network: Any
    text: str

    def made(self) -> Any:
        """The module with its weights, to be evaluated."""
        import torch

        made = self.kind()
        made.load_state_dict({k: torch.from_numpy(v) for k, v in self.weights.items()})
        return made.eval()

    @cached_property
    def kind(self) -> Any:
        """The class, imported from a file, as a user has it."""
        folder = tempfile.mkdtemp()
        path = Path(folder, f"{self.name}.py")
        path.write_text(self.text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(self.name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = module
        spec.loader.exec_module(module)
        return getattr(module, self.network.name)

    @cached_property
    def weights(self) -> dict[str, Any]:
        """Random, with random statistics."""
        from tests.small_zoo import weights_of

        return weights_of(self.name, self.network)

    def images(self, batch: int = 2, size: int = 0) -> tuple[Any, ...]:
        """Images of noise, of one of the sizes."""
        import torch

        torch.manual_seed(0)
        shapes = self.sizes[size]
        return tuple(torch.randn(batch, *shape) for shape in shapes.values())

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the inputs."""
        inputs = self.network.inputs
        return {name: tuple(map(int, tensor.shape)) for name, tensor in inputs.items()}

    @cached_property
    def sizes(self) -> list[dict[str, tuple[int, ...]]]:
        """The inputs' shapes, and two larger ones that the weights fit, where there are any.

        The last two are for tracing: one cell is never any other number to `torch.export`.
        """
        import cnndsl
        from cnndsl.analysis.weights import expected_weights
        from tests.small_zoo import FEW, OWN

        def all_weights(network: Any) -> dict[str, object]:
            return {key: w.shape for key, (_, w) in expected_weights(network).items()}

        def larger(step: int) -> dict[str, tuple[int, ...]]:
            found = {
                name: tuple(
                    n + step if axis >= max(1, len(shape) - 2) else n
                    for axis, n in enumerate(shape)
                )
                for name, shape in self.shapes.items()
            }
            other = cnndsl.load(self.name, inputs=found, **FEW.get(self.name, {}))
            assert all_weights(other) == all_weights(self.network), "other weights"
            return found

        for step in () if self.name in OWN else STEPS:
            with suppress(Exception):
                return [self.shapes, larger(step), larger(2 * step)]
        return [self.shapes]

    @cached_property
    def free(self) -> tuple[dict[int, Any], ...]:
        """The axes of the inputs that have not one size: the batch, and what `sizes` moves."""
        import torch

        auto = torch.export.Dim.AUTO
        step = MULTIPLES.get(self.name)
        side = step * torch.export.Dim("side", min=1, max=64) if step else auto
        return tuple(
            {
                axis: side if axis else auto
                for axis, n in enumerate((0, *shape))
                if axis == 0 or self.sizes[-1][name][axis - 1] != n
            }
            for name, shape in self.shapes.items()
        )

    @cached_property
    def program(self) -> Any:
        """What `torch.export` makes."""
        import torch

        images = self.images(size=len(self.sizes) // 2)
        return torch.export.export(self.made(), images, dynamic_shapes=self.free)

    def others(self) -> Iterator[tuple[Any, ...]]:
        """Images other than those that were traced: another batch, and another size."""
        yield self.images(3, len(self.sizes) // 2)
        yield self.images(3, -1)


def tensors(found: Any) -> list[Any]:
    """The outputs that are there."""
    if isinstance(found, dict):
        found = tuple(found.values())
    several = found if isinstance(found, tuple | list) else (found,)
    return [tensor for tensor in several if tensor is not None]


def compare(found: Any, expected: Any, limit: float = 1e-4) -> None:
    """Raise AssertionError where outputs differ by more than a share of the largest."""
    first, second = tensors(found), tensors(expected)
    assert len(first) == len(second), f"{len(first)} outputs for {len(second)}"
    for a, b in zip(first, second, strict=True):
        assert a.shape == b.shape, f"shape {tuple(a.shape)} for {tuple(b.shape)}"
        assert bool(b.isfinite().all()), "outputs are not finite"
        scale = float(b.double().abs().max()) or 1.0
        apart = float((a.double() - b.double()).abs().max()) / scale
        assert apart <= limit, f"differs by {apart:.1g}"


def fx(subject: Subject) -> None:
    """`torch.fx.symbolic_trace`."""
    import torch

    made, images = subject.made(), subject.images()
    traced = torch.fx.symbolic_trace(made)
    # Traced for no size and no batch: it must serve all.
    compare(traced(*images), made(*images))
    for images in subject.others():
        compare(traced(*images), made(*images))


def script(subject: Subject) -> None:
    """`torch.jit.script`."""
    import torch

    made, images = subject.made(), subject.images()
    compare(torch.jit.script(made)(*images), made(*images))


def export(subject: Subject) -> None:
    """`torch.export`, dynamic."""
    made, program = subject.made(), subject.program.module()
    for images in subject.others():
        compare(program(*images), made(*images))


def onnx(subject: Subject) -> None:
    """`torch.onnx.export`, dynamic, in ONNX Runtime."""
    import onnxruntime
    import torch

    made = subject.made()
    if "torch.onnx" in subject.text:  # it says itself what it is there
        program = torch.onnx.export(
            made,
            subject.images(size=len(subject.sizes) // 2),
            dynamic_shapes=subject.free,
            dynamo=True,
            verbose=False,
        )
    else:
        program = torch.onnx.export(subject.program, dynamo=True, verbose=False)
    assert program is not None
    file = io.BytesIO()
    program.save(file)
    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(file.getvalue())
    names = [value.name for value in session.get_inputs()]
    for images in subject.others():
        given = {name: image.numpy() for name, image in zip(names, images, strict=True)}
        found = [torch.from_numpy(array) for array in session.run(None, given)]
        compare(found, made(*images))


def compiled(subject: Subject) -> None:
    """`torch.compile(fullgraph=True)`, `aot_eager`."""
    import torch

    made, images = subject.made(), subject.images()
    with torch.no_grad():
        run = torch.compile(made, fullgraph=True, backend="aot_eager")
        compare(run(*images), made(*images))


def inductor(subject: Subject) -> None:
    """`torch.compile(fullgraph=True)`, `inductor`."""
    import torch

    made, images = subject.made(), subject.images()
    with torch.no_grad():
        run = torch.compile(made, fullgraph=True)
        compare(run(*images), made(*images))


def autocast(subject: Subject) -> None:
    """`autocast("cpu", bfloat16)`."""
    import torch

    made, images = subject.made(), subject.images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = made(*images)
    for a, b in zip(tensors(found), tensors(made(*images)), strict=True):
        assert a.shape == b.shape, f"shape {tuple(a.shape)} for {tuple(b.shape)}"
        assert bool(a.isfinite().all()), "outputs are not finite"


def channels_last(subject: Subject) -> None:
    """`channels_last`."""
    import torch

    made, images = subject.made(), subject.images()
    expected = made(*images)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for memory in {formats[image.dim()] for image in images if image.dim() in formats}:
        for module in made.modules():
            for parameter in module.parameters(recurse=False):
                if formats.get(parameter.dim()) is memory:
                    parameter.data = parameter.data.contiguous(memory_format=memory)
    laid = [
        i.contiguous(memory_format=formats[i.dim()]) if i.dim() in formats else i
        for i in images
    ]
    compare(made(*laid), expected)


def vmap(subject: Subject) -> None:
    """`torch.vmap` over two sets of weights."""
    import torch

    first, second = subject.made(), subject.made()
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(0.9)
    parameters, buffers = torch.func.stack_module_state([first, second])
    images = subject.images()

    def one(parameters: Any, buffers: Any) -> Any:
        return tuple(tensors(torch.func.functional_call(first, (parameters, buffers), images)))

    both = torch.vmap(one)(parameters, buffers)
    for number, made in enumerate((first, second)):
        compare([tensor[number] for tensor in both], made(*images), 1e-3)


def meta(subject: Subject) -> None:
    """`meta`, then loaded."""
    import torch

    made, images = subject.made(), subject.images()
    with torch.device("meta"):
        hollow = subject.kind().eval()
    found = tensors(hollow(*(image.to("meta") for image in images)))
    expected = made(*images)
    assert [t.shape for t in found] == [t.shape for t in tensors(expected)], "other shapes"
    hollow.to_empty(device="cpu").load_state_dict(made.state_dict())
    compare(hollow(*images), expected)


def deepcopy(subject: Subject) -> None:
    """`copy.deepcopy`."""
    made, images = subject.made(), subject.images()
    compare(copy.deepcopy(made)(*images), made(*images))


def pickled(subject: Subject) -> None:
    """`pickle`."""
    made, images = subject.made(), subject.images()
    compare(pickle.loads(pickle.dumps(made))(*images), made(*images))


def ddp(subject: Subject) -> None:
    """`DistributedDataParallel`, 2 processes."""
    # The children have what is here; no thread runs yet that a fork would lose.
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        queue = context.SimpleQueue()
        children = [
            context.Process(target=_trained, args=(rank, subject, f"{folder}/met", queue))
            for rank in range(2)
        ]
        for child in children:
            child.start()
        try:
            found = [queue.get() for _ in children]
        finally:
            for child in children:
                child.join(1)
                child.terminate()
        for said in found:
            if isinstance(said, str):
                raise AssertionError(said)
        assert found[0] == found[1], "the gradients differ"


def _trained(rank: int, subject: Subject, meeting: str, queue: Any) -> None:
    """Two steps in one of two processes: the gradients' sums, or what was raised."""
    import torch
    from torch import distributed

    try:
        distributed.init_process_group(
            "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2
        )
        made = subject.made().train()
        # A fresh norm of one value for each channel has nothing to train on.
        unused = subject.name in UNUSED
        parallel = torch.nn.parallel.DistributedDataParallel(
            made, find_unused_parameters=unused
        )
        torch.manual_seed(rank)
        for _ in range(2):
            made.zero_grad()
            images = [torch.randn_like(image) for image in subject.images()]
            found = [t.float().mean() for t in tensors(parallel(*images)) if t.requires_grad]
            torch.stack(found).sum().backward()
        without = [name for name, p in made.named_parameters() if p.grad is None]
        if without and not unused:
            raise AssertionError(f"no gradient: {', '.join(without)}")
        queue.put(
            [float(p.grad.double().sum()) for p in made.parameters() if p.grad is not None]
        )
    except Exception as error:  # it is the answer
        queue.put(said(error))
    finally:
        with suppress(Exception):
            distributed.destroy_process_group()
        os._exit(0)


CHECKS: dict[str, Callable[[Subject], None]] = {
    "ddp": ddp,
    "fx": fx,
    "script": script,
    "export": export,
    "onnx": onnx,
    "compile": compiled,
    "inductor": inductor,
    "autocast": autocast,
    "channels_last": channels_last,
    "vmap": vmap,
    "meta": meta,
    "deepcopy": deepcopy,
    "pickle": pickled,
}
"""In this order: DDP forks, so that it is first."""


def said(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:600]}"


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise TimeoutError after some seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"over {seconds} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def subject_of(name: str) -> Subject:
    """A shipped network over small maps."""
    from tests.small_zoo import small

    network = small(name)
    return Subject(name, network, network.torch_source())


def check(subject: Subject, which: str, limit: int = 300) -> str:
    """What a check says of a network: nothing, or why it failed."""
    try:
        with limited(limit), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            CHECKS[which](subject)
    except Exception as error:  # any failure is the answer
        return said(error)
    return ""
