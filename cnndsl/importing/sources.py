"""What `cnndsl import` is given: a name in a library, a class in a file, an exported program.

`torchvision.models:resnet50`, `timm:convnext_tiny` and `path/model.py:Net` run Python;
`.pt2` and `.onnx` run nothing of the user's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnndsl.diagnostics import did_you_mean
from cnndsl.files import noted
from cnndsl.importing.flow import refused

if TYPE_CHECKING:
    from torch import nn

    from cnndsl.importing import Imported
    from cnndsl.ops.facts import Shape

DEFAULT = (3, 224, 224)
"""The shape of an image where nothing says another."""


def read(source: str, shapes: Sequence[Shape] = ()) -> Imported:
    """The network of a source, for inputs of these shapes.

    Raises ArchError (E610): there is none, or a file cannot say it. OSError: no such file.
    ImportError: the library is not installed.
    """
    from cnndsl.importing import from_torch

    if source.endswith(".onnx"):
        from cnndsl.importing.onnx import from_onnx

        return from_onnx(source, shapes)
    if source.endswith(".pt2"):
        return _program(source)
    module, own = _module(source)
    name = source.rpartition(":")[2]
    return from_torch(module, list(shapes) or [own], name=name)


def _module(source: str) -> tuple[nn.Module, Shape]:
    """A module, and the shape that it says of its images."""
    owner, _, name = source.rpartition(":")
    if owner == "timm":
        return _timm(name)
    space = _run(owner) if owner.endswith(".py") else _library(owner)
    made = getattr(space, name, None)
    if made is None:
        help = did_you_mean(name, [n for n in dir(space) if not n.startswith("_")])
        raise refused(f"`{owner}` has no `{name}`" + (f"; {help}" if help else ""))
    module = _built(made, source)
    return module, (3, 299, 299) if "inception" in name else DEFAULT


def _library(name: str) -> Any:
    """A library by its name.  Raises ArchError (E610): it cannot be imported."""
    import torch  # noqa: F401 - without it, its own message is the one that helps

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        raise refused(f"`{missing}` is not installed: pip install {missing}") from None
    except (Exception, SystemExit) as error:
        raise refused(f"importing `{name}` raised {type(error).__name__}: {error}") from None


def _timm(name: str) -> tuple[nn.Module, Shape]:
    timm = _library("timm")
    if not timm.is_model(name):
        help = did_you_mean(name, timm.list_models())
        raise refused(f"timm has no `{name}`" + (f"; {help}" if help else ""))
    module = timm.create_model(name)
    said: Any = module.pretrained_cfg
    size = said.get("input_size") or DEFAULT
    return module, tuple(size)


def _built(made: Any, source: str) -> nn.Module:
    """A module itself, or what a class or function makes without arguments."""
    from torch import nn

    if isinstance(made, nn.Module):
        return made
    if not callable(made):
        raise refused(f"`{source}` is neither a module nor a function that makes one")
    try:
        module = made()
    except TypeError as error:
        raise refused(f"`{source}` is not made without arguments: {error}") from None
    except (Exception, SystemExit) as error:
        raise refused(f"making `{source}` raised {type(error).__name__}: {error}") from None
    if not isinstance(module, nn.Module):
        raise refused(f"`{source}` does not make a module: it makes `{type(module).__name__}`")
    return module


def _run(path: str) -> Any:
    """The names of a Python file, which is run as `import` would."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(2, "no such file", path)
    spec = util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    space = util.module_from_spec(spec)
    beside = str(file.resolve().parent)
    sys.path.insert(0, beside)
    sys.modules[spec.name] = space
    try:
        spec.loader.exec_module(space)
    except (Exception, SystemExit) as error:
        raise refused(f"{path}: running it raised {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove(beside)
    for module in [*sys.modules.values()]:  # and what it imports from its folder
        where = getattr(module, "__file__", None)
        if isinstance(where, str) and Path(where).parent == file.resolve().parent:
            noted(Path(where))
    return space


def _program(source: str) -> Imported:
    """A program that `torch.export.save` wrote."""
    from cnndsl.importing import from_flow
    from cnndsl.importing.tracing import loaded

    file = Path(source)
    if not file.is_file():
        raise FileNotFoundError(2, "no such file", source)
    return from_flow(loaded(noted(file)))
