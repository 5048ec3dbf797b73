"""Nothing in a translated file is there for nothing: arguments, attributes, containers."""

from __future__ import annotations

import ast
import re

import pytest

from cnndsl import files
from cnndsl.backends.torch import write
from cnndsl.language import read
from cnndsl.network import load

FEW = {"mobilenetv2", "resnet50", "googlenet", "unet", "shufflenetv1", "yolov3"}


def cases() -> list[object]:
    return [
        pytest.param(
            path.stem, model, marks=() if path.stem in FEW else pytest.mark.slow,
        )
        for path in sorted(files.zoo().glob("*.arch"))
        for model in read(path).models
    ]  # fmt: skip


def idle(cls: ast.ClassDef) -> list[str]:
    """The constructor's arguments and attributes that nothing in a class reads."""
    found: list[str] = []
    for init in cls.body:
        if not isinstance(init, ast.FunctionDef) or init.name != "__init__":
            continue
        inside = [node for statement in init.body for node in ast.walk(statement)]
        names = {node.id for node in inside if isinstance(node, ast.Name)}
        found += [f"{cls.name}({a.arg})" for a in init.args.args[1:] if a.arg not in names]
        every = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute)]
        read_ = {node.attr for node in every if isinstance(node.ctx, ast.Load)}
        kept = {node.attr for node in every if isinstance(node.ctx, ast.Store)}
        found += [f"{cls.name}.{name}" for name in sorted(kept - read_)]
    return found


@pytest.mark.parametrize(("name", "model"), cases())
def test_nothing_is_there_for_nothing(name: str, model: str) -> None:
    written = write(load(name, model))
    if written.because:
        pytest.skip("written layer by layer: a key's segments are dictionaries")
    tree = ast.parse(written.text)
    labels = set(re.findall(r"\w+", (files.zoo() / f"{name}.arch").read_text()))
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef():
                assert not idle(node)
            case ast.Attribute(attr=attribute, ctx=ast.Store()):
                # `conv4_3` is a paper's own name.
                assert attribute in labels or not re.search(r"_\d+$", attribute)
            case ast.Call(func=ast.Attribute(attr="ModuleDict"), args=[ast.Dict(keys=keys)]):
                assert len(keys) > 1
            case ast.Call(func=ast.Attribute(attr="Sequential"), args=[one]):
                assert isinstance(one, ast.Starred)
