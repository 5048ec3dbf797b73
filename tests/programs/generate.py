"""Random programs: blocks, then a model that calls them, each grown line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from cnndsl.diagnostics import ArchError
from cnndsl.network import Network, loads
from cnndsl.ops.facts import Shape
from cnndsl.structure import Block, Call
from tests.programs.bodies import Body, Callee, Names, Parameter, RefusedError, Value, refused
from tests.programs.constructs import CONSTRUCTS, Construct, operation_line, own_pattern


@lru_cache(1)
def loaded(text: str) -> Network:
    """The network of a finished model, which is asked for twice."""
    return loads(text, "M")


class Writer(Names):
    """One program: its declarations so far, and the chance that decides."""

    def text(self) -> str:
        """The whole program."""
        self._head()
        for _ in range(self.chance.choice([0, 1, 1, 2, 3])):
            self._block()
        return self._finished(self._model())

    def _finished(self, model: str) -> str:
        """The file, with what stands above the model, and perhaps a second one."""
        chance = self.chance
        network = loaded("\n".join([*self.above(model), model]))
        metas = [
            f"@expect(params={network.parameters:_}, macs={network.macs})",
            f"@expect(macs <= {network.macs + 1}, params <= {network.parameters})",
            '@deviates("its loss is another")', '@cite("arXiv:1512.03385", table=1)',
            '@cite("A book")', '"""What it is: ½ of a × b."""', "@deviates", "@expect()",
            "@deviates()",
        ]  # fmt: skip
        if chance.random() < 0.25:
            chosen = chance.sample(metas, chance.choice([1, 2]))
            try:
                loads("\n".join([*self.above(model), *chosen, model]), "M")
                model = "\n".join([*chosen, model])
            except ArchError as error:
                refused[error.diagnostics[0].code] += 1
        return self._disguised(self._filed(model))

    def _filed(self, model: str) -> str:
        """In one file or in two."""
        chance, defaults = self.chance, list(self.defaults)
        own = [text for text in self.declarations if not text.startswith("use")]
        used = [text for text in self.declarations if text.startswith("use")]
        if not own or used or chance.random() < 0.8:
            return "\n".join([*defaults, *self.declarations, model]) + "\n"
        return self._with_part(defaults, own, model)

    def _disguised(self, text: str) -> str:
        """With names that Python, PyTorch or the language use, comments and blank lines."""
        chance = self.chance
        if chance.random() < 0.35:
            for odd in chance.sample(ODD_NAMES, chance.choice([1, 2, 4])):
                known = sorted(
                    set(re.findall(r"\b(?:[lypaivn]\d+|B\d+|act|norm|deep)\b", text))
                )
                known = [name for name in known if name[0].isupper() == odd[0].isupper()]
                if known and not re.search(rf"\b{odd}\b", text):
                    old = chance.choice(known)
                    text = self._if_valid(re.sub(rf"(?<![\w.]){old}\b", odd, text), text)
        if chance.random() < 0.2:
            lines = text.split("\n")
            for _ in range(3):
                place = chance.randrange(len(lines))
                if lines[place] and not lines[place].startswith("####"):
                    lines[place] += chance.choice(
                        ["  # as in the paper, §3", "\n", "\n\t", " "]
                    )
            text = self._if_valid("\n".join(lines), text)
        return text

    def _if_valid(self, text: str, otherwise: str) -> str:
        """A text if it is a program, else the other; several files are not looked at."""
        if "####" in text:
            return otherwise
        try:
            loads(text, "M")
        except ArchError as error:
            refused[error.diagnostics[0].code] += 1
            return otherwise
        return text

    def _with_part(self, defaults: list[str], own: list[str], model: str) -> str:
        """The blocks in a file of their own; `use` brings no default."""
        head = re.compile(r"^(?:block|model) (\w+)", re.MULTILINE)
        names = [name for text in own for name in head.findall(text)]
        names = [name for name in names if re.search(rf"\b{name}\b", model)]
        use = 'use "part.arch"'
        if names and (any("let" in text for text in defaults) or self.chance.random() < 0.7):
            shown = []
            for plain in names:
                shown.append(plain)
                if self.chance.random() < 0.5:
                    model = re.sub(rf"\b{plain}\b", f"{plain}x", model)
                    shown[-1] = f"{plain} as {plain}x"
            use += f" ({', '.join(shown)}{self.chance.choice(['', ','])})"
        elif any("let" in text for text in defaults):
            use = ""
        main = "\n".join([use, *defaults, model])
        return f"{main}\n#### part.arch\n" + "\n".join([*defaults, *own]) + "\n"

    def _head(self) -> None:
        if self.chance.random() < 0.25:
            self.defaults.append(
                self.chance.choice([
                    "default conv(norm=bn)",
                    "default conv, dwconv(norm=bn, act=relu)",
                    "default bn(eps=1e-3)",
                    "default conv(act=leaky(0.2)); default leaky(slope=0.4)",
                    "let width = 6",
                ])
            )  # fmt: skip

    def shape(self) -> Shape:
        """An input's."""
        rank = self.chance.choice([1, 2, 2, 2, 2, 2, 3])
        sides = {1: [5, 8, 11], 2: [4, 5, 6, 8], 3: [3, 4]}[rank]
        channels = self.chance.choice([2, 3, 4, 4, 6, 8])
        if self.chance.random() < 0.06:
            return (channels,)
        if self.seed >= WIDER and self.chance.random() < 0.1:
            channels, sides = self.chance.choice([1, 5, 7]), [1, 2, 7]
        return (channels, *(self.chance.choice(sides) for _ in range(rank)))

    # Blocks

    def _block(self) -> None:
        chance = self.chance
        name = self.fresh("B")
        shape = self.shape()
        params = [self._parameter() for _ in range(chance.choice([0, 1, 1, 2, 2, 3]))]
        params = list({param[0]: param for param in params}.values())
        style = chance.choice(["in", "in", "one", "one", "two", "family", "several"])
        callee = Callee(name, [p[:1] + p[2:4] for p in params])
        callee.ports = [shape] * (2 if style in ("two", "family") else 1)
        callee.family = style == "family"
        given = ", ".join(f"{n}: {t} = {d}" for n, t, d, _, _ in params)
        head = f"block {name}({given})" if given else f"block {name}"
        ports, start, dims = self._ports(style, shape)
        body = BlockBody(self, callee, f"{head}{ports}", style)
        body.pool = [Value(n, shape) for n in start]
        body.last = Value(start[0], shape) if style == "in" else None
        body.ints = dict(dims)
        for param in params:
            body.uses(*param)
        grow(body, chance.choice([1, 1, 2, 3]))
        text = body.closed()
        if text is None:
            return
        callee.inner = body.labels
        if chance.random() < 0.2:
            text = f'"""What `{name}` is for: 3 × 3."""\n@cite("arXiv:1512.03385")\n{text}'
        self.declarations.append(text)
        self.blocks.append(callee)

    def _ports(self, style: str, shape: Shape) -> tuple[str, list[str], dict[str, int]]:
        names = ["C", "H", "W", "D"]
        if style == "in":
            return "", ["in"], {}
        if self.chance.random() < 0.4 or len(shape) == 1:
            dims, ints = "[C, *S]", {"C": shape[0]}
        elif self.chance.random() < 0.3:
            dims, ints = f"[_{', _' * (len(shape) - 1)}]", {}
        else:
            dims = f"[{', '.join(names[: len(shape)])}]"
            ints = dict(zip(names, shape, strict=False))
        if style == "two":
            return f": (u{dims}, v)", ["u", "v"], ints
        if style == "family":
            return f": *p{dims}", ["p[0]", "p[1]"], ints
        return f": x{dims}", ["x"], ints

    def _parameter(self) -> Parameter:
        """A name, type, default and other value, and a step or line that reads it."""
        return self.chance.choice(PARAMETERS)

    # The model

    def _model(self) -> str:
        chance = self.chance
        shape = self.shape()
        ports = [("image", shape)]
        if chance.random() < 0.2:
            ports.append(("extra", chance.choice([shape, self.shape()])))
        params = [("c", "int", "4", "8", "@int")] if chance.random() < 0.15 else []
        if chance.random() < 0.15:
            params.append(("flag", "bool", "true", "false", "@bool"))
        if self.seed >= WIDER and chance.random() < 0.3:
            own = [param for param in PARAMETERS if param[0] not in ("c", "flag")]
            several = [chance.choice(own) for _ in range(chance.choice([1, 1, 2]))]
            params += {param[0]: param for param in several}.values()
        body = ModelBody(self, ports, params)
        for param in params:
            body.uses(*param)
        first = CONSTRUCTS[self.seed % len(CONSTRUCTS)]
        grow(body, chance.choice([2, 3, 4, 5, 6]), operation_line, first, own_pattern)
        text = body.closed()
        assert text is not None, "a model of its input alone is a program"
        return text


WIDER = 1000
"""From this seed on there are rarer sizes and parameters: those below are the suite's, and
use everything that there is.
"""

ODD_NAMES = (
    "class", "forward", "self", "torch", "nn", "F", "x", "super", "type", "to", "half",
    "train", "len", "range", "int", "list", "lambda", "weight", "bias", "é", "x_2", "conv",
    "relu", "norm", "stem", "inputs", "outputs", "result", "index", "features", "math",
    "item", "batch", "skip_", "in_channels", "channels", "padding", "stride", "module",
    "modules", "partial", "print", "Tensor", "Module", "Linear", "Sequential", "ModuleList",
    "OrderedDict", "NamedTuple", "Conv2d", "Any", "Scale", "Identity", "Model", "True_",
    "DropPath",
)  # fmt: skip
"""What a writer of Python, or the file that is written, may have taken already."""

PARAMETERS: list[Parameter] = [
    ("c", "int", "4", "6", "conv(c, 1)"),
    ("c", "int", "6", "4", "conv(2 * c, 3, norm=bn) -> conv(c, 1)"),
    ("n", "int", "1", "2", "relu * n"),
    ("n", "int", "2", "0", "{ conv(4, 1); tanh } * n"),
    ("n", "int", "2", "3", "add { for i in 0..n { conv(4, 1) -> mul(i + 1) } }@labelled"),
    ("k", "int", "3", "1", "conv(4, k, pad=k // 2)"),
    ("r", "float", "0.5", "2", "mul(r)"),
    ("r", "float", "50%", "25%", "dropout(r)"),
    ("deep", "bool", "true", "false", "conv(4, 1) -> conv(4, 3) when deep@line"),
    ("deep", "bool", "false", "true", "conv(4, 1) when not deep@line\nelse conv(4, 3) -> relu"),
    ("wide", "bool", "false", "true", "conv(8 if wide else 4, 1)"),
    ("wide", "bool", "true", "false", "conv(4, 1, bias=wide)"),
    ("word", "str", '"c ... -> c (...)"', '"c ... -> c (...) 1"', "rearrange(word)"),
    ("size", "size", "3", "1", "conv(4, size)"),
    ("size", "size", "3", "3", "conv(4, size, act=relu)"),
    ("side", "pad", "same", "valid", "conv(4, 1, pad=side)"),
    ("side", "pad", "1", "same", "conv(4, 3, pad=side)"),
    ("act", "op", "relu", "leaky(0.3)", "act"),
    ("act", "op", "relu", "none", "conv(4, 1, act=act)"),
    ("act", "op", "leaky", "elu(0.5)", "conv(4, 1) -> act"),
    ("norm", "op", "bn", "gn(2)", "conv(4, 3, norm=norm)"),
    ("norm", "op", "none", "bn(eps=1e-3)", "conv(4, 1, norm=norm, act=relu)"),
    ("norm", "op", "ln", "bn", "norm -> relu"),
    ("layer", "op", "conv", "conv(bias=false)", "layer(4, 1)"),
    ("ws", "list[int]", "[4, 6]", "[4]", "{ for w in ws { conv(w, 1) } }@labelled"),
    ("ws", "list", "[1, 2]", "[2, 3]", "conv(ws[0] * 4, 1) -> mul(ws[1])"),
    ("fs", "list[float]", "[0.5, 2]", "[1.5, 0.5]", "mul(fs[0]) -> mul(fs[1])"),
    ("kind", '"v1" | "v2"', '"v1"', '"v2"', 'conv(4, 1 if kind == "v1" else 3)'),
    ("kind", '"v1" | "v2"', '"v2"', '"v1"', 'conv(4, 1) when kind == "v1"@line\nelse relu'),
]  # fmt: skip
"""Of every type, with what reads it."""


class BlockBody(Body):
    """A block's, probed in two calls with other arguments."""

    def __init__(self, writer: Writer, callee: Callee, head: str, style: str) -> None:
        """`head` is all before the arrow."""
        super().__init__(writer)
        self.callee, self.head, self.style = callee, head, style
        self.outputs = ""
        if style == "in":
            self.last = None

    def declared(self, lines: Iterable[str]) -> str:
        """The block."""
        inner = "\n".join(f"  {line}" for line in lines)
        arrow = f" -> {self.outputs}" if self.outputs else ""
        return f"{self.head}{arrow} {{\n{inner}\n}}"

    def whole(self, lines: Iterable[str]) -> str:
        """Called with the defaults, and with all other values."""
        callee = self.callee
        lines = [*lines]
        if not self.outputs and self.style != "in":
            self.outputs = "zz"
            lines.append(f"zz: {self.start()} -> relu")
            declared = self.declared(lines)
            self.outputs = ""
        else:
            if not self.outputs and not any(line.startswith("zz") for line in lines):
                lines.append("in -> relu")
            declared = self.declared(lines)
        other = ", ".join(f"{name}={second}" for name, _, second in callee.params)
        shape = ", ".join(map(str, callee.ports[0]))
        operands = "; ".join("image" for _ in callee.ports)
        ends = f" {{ {operands} }}" if len(callee.ports) > 1 else ""
        source = "" if ends else "image -> "
        model = (
            f"model M: image[{shape}] -> y {{\n"
            f"  one: {source}{callee.name}{ends}\n"
            f"  two: {source}{callee.name}({other}){ends}\n"
            f"  y: image -> relu\n}}"
        )
        return "\n".join([*self.writer.above(declared), declared, model])

    def start(self) -> str:
        """The first port's name."""
        return {"in": "in", "one": "x", "several": "x", "two": "u", "family": "p[0]"}[
            self.style
        ]

    def found(self, text: str) -> list[Block]:
        """Both instances."""
        network = loads(text, "M")
        return [
            term.block
            for line in network.structure.body[:2]
            for term in line.terms
            if isinstance(term, Call)
        ]

    def closed(self) -> str | None:
        """With the outputs that its style has."""
        chance = self.chance
        names = [value for value in self.pool if value.name.isidentifier()]
        last = self.pool[-1]
        lines = self.lines
        match self.style:
            case "in":
                if (others := self.beside(last)) and chance.random() < 0.8:
                    lines = [*lines, f"concat {{ {'; '.join([last.name, *others])} }}"]
                elif chance.random() < 0.7 or not self.lines:
                    lines = [*lines, f"{last.name} -> {self.same(last.shape)}"]
            case "several" if len(names) > 1:
                first, second = chance.sample(names, 2)
                if first.name in ("x", "u") or second.name in ("x", "u"):
                    self.outputs = "(a, b)"
                    lines = [*lines, f"a: {first.name} -> relu", f"b: {second.name} -> tanh"]
                elif chance.random() < 0.3:
                    self.outputs = f"({first.name} as a, {second.name} as b)"
                else:
                    self.outputs = f"({first.name}, {second.name})"
            case "family":
                index = self.writer.fresh("i")
                shape = self.callee.ports[0]
                self.outputs = "*q"
                step = self.same(shape)
                lines = [
                    *lines,
                    f"for {index} in 0..len(p) {{ q[{index}]: p[{index}] -> {step} }}",
                ]
                if chance.random() < 0.5:
                    self.outputs = "y"
                    lines = [*lines[:-1], f"y: {chance.choice(['add', 'concat'])} {{ p[*] }}"]
            case _:
                lines = [*lines, f"y: {last.name} -> {self.same(last.shape)}"]
                if (others := self.beside(last)) and chance.random() < 0.8:
                    lines[-1] = f"y: concat {{ {'; '.join([last.name, *others])} }}"
                dims = [chance.choice(["_", self.number(n)]) for n in last.shape]
                self.outputs = "y"
                if chance.random() < 0.4 and self._valid(lines, f"y[{', '.join(dims)}]"):
                    self.outputs = f"y[{', '.join(dims)}]"
        return self.declared(lines) if self._valid(lines, self.outputs) else None

    def beside(self, last: Value) -> list[str]:
        """What nothing reads and can be concatenated to another tensor."""
        return [v.name for v in self.unread() if v != last and v.shape[1:] == last.shape[1:]]

    def _valid(self, lines: list[str], outputs: str) -> bool:
        """Whether the block is one with these outputs."""
        before, self.outputs = self.outputs, outputs
        try:
            loads(self.whole(lines), "M")
        except ArchError as error:
            refused[error.diagnostics[0].code] += 1
            self.outputs = before
            return False
        return True


class ModelBody(Body):
    """A model's."""

    def __init__(
        self, writer: Writer, ports: list[tuple[str, Shape]], params: list[Parameter]
    ) -> None:
        """Ports whose first sizes are named."""
        super().__init__(writer)
        self.ports = []
        named = False
        for name, shape in ports:
            letters = iter("HWD" if not named else "UVT")
            named = True
            dims = [str(shape[0]), *(f"{next(letters)}={n}" for n in shape[1:])]
            self.ports.append(f"{name}[{', '.join(dims)}]")
            if len(self.ports) == 1:
                self.ints |= dict(zip("HWD", shape[1:], strict=False))
        given = ", ".join(f"{n}: {t} = {d}" for n, t, d, *_ in params)
        self.head = (
            f"model M({given})"
            if given
            else self.chance.choice(["model M"] * 4 + ["model M()"])
        )
        self.pool = [Value(name, shape) for name, shape in ports]
        self.last = self.pool[0] if len(ports) == 1 else None
        self.outputs = "zz"

    def declared(self, lines: Iterable[str]) -> str:
        """The model."""
        inputs = self.ports[0] if len(self.ports) == 1 else f"({', '.join(self.ports)})"
        inner = "\n".join(f"  {line}" for line in lines)
        return f"{self.head}: {inputs} -> {self.outputs} {{\n{inner}\n}}"

    def whole(self, lines: Iterable[str]) -> str:
        """The program."""
        ending = ["zz: image -> relu"] if self.outputs == "zz" else []
        declared = self.declared([*lines, *ending])
        return "\n".join([*self.writer.above(declared), declared])

    def found(self, text: str) -> list[Block]:
        """It alone."""
        return [loads(text, "M").structure]

    def closed(self) -> str | None:
        """With one to three outputs."""
        chance = self.chance
        count = min(len(self.pool), chance.choice([1, 1, 1, 2, 3]))
        chosen = [self.pool[-1], *chance.sample(self.pool[:-1], count - 1)]
        ports, lines = [], list(self.lines)
        for value in chosen:
            name = self.writer.fresh("y")
            dims = ""
            if chance.random() < 0.3:
                dims = f"[{', '.join(map(str, value.shape))}]"
            elif chance.random() < 0.2:
                sizes = [f"N{number}{name}" for number in range(len(value.shape) - 1)]
                dims = f"[{', '.join([str(value.shape[0]), *sizes])}]"
            ports.append(f"{name}{dims}")
            step = self.same(value.shape)
            lines.append(f"{name}: {value.name} -> {step}")
        rest = [value for value in self.unread() if value not in chosen]
        if rest and chance.random() < 0.8:
            name = self.writer.fresh("y")
            ports.append(name)
            read = (f"{v.name} -> flatten" if len(v.shape) > 1 else v.name for v in rest)
            lines.append(f"{name}: concat {{ {'; '.join(read)} }}")
        self.outputs = ports[0] if len(ports) == 1 else f"({', '.join(ports)})"
        try:
            loaded(self.whole(lines))
        except ArchError as error:
            refused[error.diagnostics[0].code] += 1
            self.lines, self.outputs = [], "y"
            return self.declared(["y: image -> relu"])
        return self.declared(lines)


def grow(body: Body, count: int, *first: Construct) -> None:
    """Propose constructs until so many are taken, those first."""
    wanted = [*first]
    taken = tries = 0
    while taken < count and tries < 3 * count + 4:
        tries += 1
        construct = wanted.pop() if wanted else body.chance.choice(CONSTRUCTS)
        for _ in range(3):
            try:
                done = construct(body)
            except RefusedError:
                done = False
            if done:
                taken += 1
                break


@lru_cache(1000)
def generate(seed: int) -> str:
    """The program of a seed: several tests ask for the same."""
    return Writer(seed).text()
