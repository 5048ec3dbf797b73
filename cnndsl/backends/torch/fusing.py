"""A convolution with its norm and activation that recurs is one small class."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field

from cnndsl.backends.torch import file, python
from cnndsl.backends.torch.beginning import KNOWN, bare, said
from cnndsl.backends.torch.names import Names

SHORT = {
    "nn.Conv": "Conv",
    "nn.ConvTranspose": "Deconv",
    "nn.Linear": "Linear",
    "nn.BatchNorm": "BN",
    "nn.GroupNorm": "GN",
    "FrozenBatchNorm": "FrozenBN",
    "ChannelLayerNorm": "LN",
}
KEYS = {"stride": "s", "dilation": "d", "groups": "g"}


@dataclass
class Group:
    """The uses of one small class."""

    uses: list[ast.Call] = field(default_factory=list)
    scopes: list[ast.ClassDef] = field(default_factory=list)
    name: str = ""
    order: list[tuple[str, ast.expr | None]] = field(default_factory=list)


class Fusing:
    """Collects the sequences of fused steps, and replaces them where several are alike."""

    def __init__(self, names: Names) -> None:
        """Nothing is found yet."""
        self.names = names
        self.groups: dict[str, Group] = {}

    def seen(self, node: ast.ClassDef) -> None:
        """Take note of the sequences in a class."""
        for one in ast.walk(node):
            if getattr(one, "fused", False):
                assert isinstance(one, ast.Call)
                key = self.key(one)
                if key is not None:
                    group = self.groups.setdefault(key, Group())
                    group.uses.append(one)
                    group.scopes.append(node)

    def key(self, node: ast.Call) -> str | None:
        """What two sequences must have in common to be one class."""
        begun, *rest = node.args
        first = bare(begun)
        if not isinstance(first, ast.Call) or len(first.args) < 3:
            return None
        function = python_text(first.func)
        if not function.startswith("nn.Conv"):
            return None
        keywords = {k.arg: k.value for k in first.keywords}
        parts = [function, python_text(keywords.get("bias", ast.Constant(True)))]
        parts += [f"{name}={python_text(value)}" for name, value in said(begun).items()]
        if any(python.names_in(value) - KNOWN for value in said(begun).values()):
            return None
        if not set(keywords) <= {
            "stride",
            "padding",
            "dilation",
            "groups",
            "bias",
            "output_padding",
        }:
            return None
        if "output_padding" in keywords:
            return None
        for one in rest:
            if not isinstance(one, ast.Call):
                return None
            arguments = [
                "c" if python.same(a, first.args[1]) else python_text(a) for a in one.args
            ]
            settings = [f"{k.arg}={python_text(k.value)}" for k in one.keywords]
            whole = [*one.args, *(k.value for k in one.keywords)]
            names = {
                n
                for a in whole
                if not python.same(a, first.args[1])
                for n in python.names_in(a)
            }
            if isinstance(one.func, ast.Name) and one.func.id.islower():
                return None  # a parameter of the block
            if names:
                return None
            parts.append(f"{python_text(one.func)}({', '.join([*arguments, *settings])})")
        return " ".join(parts)

    def classes(self) -> list[ast.ClassDef]:
        """The small classes; their uses are calls of them from now on."""
        found: list[ast.ClassDef] = []
        for group in self.groups.values():
            if len(group.uses) > 1:
                found.append(self.small(group))
        return found

    def small(self, group: Group) -> ast.ClassDef:
        """One class."""
        first = group.uses[0]
        begun, *rest = first.args
        conv = bare(begun)
        assert isinstance(conv, ast.Call)
        group.name = self.names.variable(self.called(first))
        uses = [self.settings(use) for use in group.uses]
        varies = {
            key: len({python_text(use[key]) for use in uses}) > 1
            or bool(python.names_in(uses[0][key]))
            for key in uses[0]
        }
        same = all(self.same_padding(use) for use in uses)
        arguments: list[tuple[str, ast.expr | None, ast.expr | None]] = []
        inside: dict[str, ast.expr] = {}
        wide = any(isinstance(use["k"], ast.Tuple) for use in uses)
        for key in ("c_in", "c_out"):
            arguments.append((key, python.name("int"), None))
            inside[key] = python.name(key)
        for key in ("k", "s", "p", "d", "g"):
            value = uses[0][key]
            if key == "p" and same and not wide:
                k, d = inside["k"], None
                d = python.name("d") if varies["d"] else uses[0]["d"]
                inside["p"] = python.binary(
                    "//",
                    python.binary("*", d, python.binary("-", k, python.constant(1))),
                    python.constant(2),
                )
                continue
            if not varies[key]:
                inside[key] = value
                continue
            usual = {"k": None, "s": 1, "p": 0, "d": 1, "g": 1}[key]
            default = None if usual is None else python.constant(usual)
            types = kind([use[key] for use in uses], group.scopes, default is not None)
            arguments.append((key, types, default))
            inside[key] = python.name(key)
        required = [a for a in arguments if a[2] is None]
        optional = [a for a in arguments if a[2] is not None]
        group.order = [(name, default) for name, _, default in (*required, *optional)]
        for use, given in zip(group.uses, uses, strict=True):
            self.replace(use, given, group, {name for name, _, _ in arguments})
        settings = {
            "stride": ("s", 1), "padding": ("p", 0), "dilation": ("d", 1), "groups": ("g", 1)
        }  # fmt: skip
        keywords = [
            ast.keyword(word, inside[key])
            for word, (key, usual) in settings.items()
            if python.number(inside[key]) != usual
        ]
        keywords += [python.clone(k) for k in conv.keywords if k.arg == "bias"]
        layers: list[ast.expr] = [
            ast.Call(conv.func, [inside["c_in"], inside["c_out"], inside["k"]], keywords)
        ]
        if said(begun):
            layers = [python.call("initialised", *layers, **python.clone(said(begun)))]
        for one in rest:
            assert isinstance(one, ast.Call)
            given_ = [
                python.name("c_out") if python.same(a, conv.args[1]) else a for a in one.args
            ]
            layers.append(ast.Call(one.func, given_, one.keywords))
        enter = ast.Expr(
            python.call(ast.Attribute(python.call("super"), "__init__", ast.Load()), *layers)
        )
        given_all = file.arguments([*required, *optional])
        init = file.function("__init__", given_all, [enter], ast.Constant(None))
        return file.derived(group.name, "nn.Sequential", [init])

    def replace(
        self, use: ast.Call, given: dict[str, ast.expr], group: Group, names: set[str]
    ) -> None:
        """A use as a call of the class."""
        positional, keywords = [given["c_in"], given["c_out"]], []
        for name, default in group.order[2:]:
            if default is not None and python.same(given[name], default):
                continue
            if name == "k" and len(positional) == 2:
                positional.append(given[name])
            else:
                keywords.append(ast.keyword(name, given[name]))
        use.func, use.args, use.keywords = python.name(group.name), positional, keywords
        use.fused = False  # type: ignore[attr-defined]

    def settings(self, use: ast.Call) -> dict[str, ast.expr]:
        """What a use says, by short names."""
        conv = bare(use.args[0])
        assert isinstance(conv, ast.Call)
        words = {k.arg: k.value for k in conv.keywords}
        one = python.constant(1)
        return {
            "c_in": conv.args[0],
            "c_out": conv.args[1],
            "k": conv.args[2],
            "s": words.get("stride", one),
            "p": words.get("padding", python.constant(0)),
            "d": words.get("dilation", one),
            "g": words.get("groups", one),
        }

    def same_padding(self, use: dict[str, ast.expr]) -> bool:
        """Whether the padding is what keeps the size."""
        if isinstance(use["k"], ast.Tuple):
            return False
        wanted = python.binary(
            "//",
            python.binary("*", use["d"], python.binary("-", use["k"], python.constant(1))),
            python.constant(2),
        )
        k = python.number(use["k"])
        odd = not isinstance(k, int) or k % 2 == 1
        return odd and python.same(wanted, use["p"])

    def called(self, use: ast.Call) -> str:
        """`ConvBNReLU`."""
        words = []
        for one in map(bare, use.args):
            assert isinstance(one, ast.Call)
            text = python_text(one.func)
            short = (
                text.rstrip("d").rstrip("123")
                if text.startswith("nn.") and text.endswith("d")
                else text
            )
            words.append(SHORT.get(short, short.removeprefix("nn.")))
        return "".join(words)


def python_text(node: ast.expr) -> str:
    """A node as text, to compare."""
    return ast.unparse(node)


def kind(
    values: Sequence[ast.expr], scopes: Sequence[ast.ClassDef], optional: bool
) -> ast.expr:
    """The type of an argument given as an expression in each of some classes."""
    found = {"int": None} if optional else {}
    for value, scope in zip(values, scopes, strict=True):
        found |= dict.fromkeys(_types(value, scope))
    return ast.parse(" | ".join(sorted(found)), mode="eval").body


def _types(value: ast.expr, scope: ast.ClassDef) -> list[str]:
    """The types that an expression of a class's constructor may have."""
    match value:
        case ast.Tuple(elts=sizes):
            return [f"tuple[{', '.join(['int'] * len(sizes))}]"]
        case ast.IfExp(body=one, orelse=other):
            return [*_types(one, scope), *_types(other, scope)]
        case ast.Name(id=name):
            return _annotated(scope, name)
    return ["int"]


def _annotated(scope: ast.ClassDef, name: str) -> list[str]:
    """Those of an argument of the constructor, or of a variable that it assigns."""
    for node in scope.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument in node.args.args:
                if argument.arg == name and argument.annotation is not None:
                    # What may be left out is a number by now.
                    types = ast.unparse(argument.annotation).split(" | ")
                    return [one for one in types if one != "None"]
            for inner in ast.walk(node):
                if isinstance(inner, ast.Assign) and name in map(ast.unparse, inner.targets):
                    return _types(inner.value, scope)
    return ["int"]
