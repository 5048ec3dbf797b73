"""The modules that the nodes of an ONNX graph come from."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cnndsl.importing import onnx_rules  # noqa: F401 - it registers the rules
from cnndsl.importing.flow import Layer, Scope

if TYPE_CHECKING:
    from onnx import NodeProto


HIERARCHY, SCOPES = "pkg.torch.onnx.class_hierarchy", "pkg.torch.onnx.name_scopes"


def scopes_of(node: NodeProto) -> tuple[Scope, ...]:
    """The modules around a node, where PyTorch's exporters say them."""
    said = {prop.key: prop.value for prop in node.metadata_props}
    try:
        classes, paths = (ast.literal_eval(said[key]) for key in (HIERARCHY, SCOPES))
    except (KeyError, ValueError, SyntaxError):
        return _named_scopes(node.name)
    found = []
    for kind, path in zip(classes[1:-1], paths[1:-1], strict=False):
        if not kind.startswith("torch.nn.") or ".container." in kind:
            found.append(Scope(path, kind.rpartition(".")[2], ".container." in kind))
    return tuple(found)


def _named_scopes(name: str) -> tuple[Scope, ...]:
    """The modules that `/layer1/layer1.0/conv1/Conv` names, of which the class is not said.

    Those of one container are thought to be of one class; the files' blocks show which are.
    """
    if not name.startswith("/"):
        return ()
    found: list[Scope] = []
    path = last = ""
    for segment in name[1:].split("/")[:-1]:
        child = last and segment.startswith(f"{last}.")
        path = path[: len(path) - len(last)] + segment if child else f"{path}.{segment}"
        path = path.lstrip(".")
        if child:
            found[-1] = replace(found[-1], transparent=True)
        word = re.sub(r"[^A-Za-z]+", " ", segment).title().replace(" ", "")
        found.append(Scope(path, f"{word.removesuffix('Block')}Block" if child else word))
        last = segment
    return tuple(found)


def opened(layers: Sequence[Layer]) -> list[Layer]:
    """Layers without the modules that hold one layer alone."""
    count = Counter(scope.path for layer in layers for scope in layer.scopes)
    return [
        replace(layer, scopes=tuple(s for s in layer.scopes if count[s.path] > 1))
        for layer in layers
    ]
