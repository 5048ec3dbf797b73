"""Constructs of the language: each proposes one to a body, and says whether it was taken."""

from __future__ import annotations

import math
from collections.abc import Callable

from cnndsl.ops import OPS
from tests.programs.bodies import NORMS, Body, RefusedError
from tests.programs.operations import (
    GUARDS,
    NAMES,
    arguments,
    contraction,
    divisors,
    guarded,
    outcome,
    sample,
    written,
)

Construct = Callable[[Body], bool]
CONSTRUCTS: list[Construct] = []


def construct(function: Construct) -> Construct:
    """Register it."""
    CONSTRUCTS.append(function)
    return function


ADAPTERS = ("", "gap", "flatten", "gap(keep=true)", 'rearrange("c ... -> (...) c")',
            'rearrange("c ... -> c 1 ...")', 'rearrange("c ... -> c 2 (...) 2", 2)',
            "conv(4, 1)", "conv(4, 1) -> flatten -> reshape(@, 4)")  # fmt: skip
"""Steps that make another rank of what is there."""


@construct
def operation_line(body: Body) -> bool:
    """An operation, the seed's own first."""
    chance = body.chance
    first = NAMES[(body.writer.seed // 2) % len(NAMES)]
    name = chance.choice([first, first, *chance.sample(NAMES, 2)])
    return applied(body, name)


def applied(body: Body, name: str) -> bool:
    """A line with that operation, on some tensor and adapter that it takes."""
    cls, chance = OPS[name], body.chance
    if name in PREPARED:
        return PREPARED[name](body)
    label = body.writer.fresh("l")
    for _ in range(40):
        value = body.pick()
        before, shape = "", value.shape
        if chance.random() < 0.3:
            before, shape = body.step(shape)
        least, most = cls.arity
        count = least if most == least else chance.randint(least, most or 3)
        given = arguments(cls, shape, chance)
        if name == "einsum":
            given = {"pattern": contraction(shape, chance, count)}
        found = outcome(name, given, *[shape] * count)
        if not found:
            continue
        extra = ""
        if cls.fused and chance.random() < 0.5:
            extra = body.conv(shape, 4, 1).partition("norm=")[2]
        if extra:
            given.pop("bias_init", None)  # there is no bias
        text = written(name, given, chance)
        if extra:
            text = f"{text[:-1]}, norm={extra}"
        if len(found) > 1:
            labels = [body.writer.fresh("p") for _ in found]
            start = f"{before} -> " if before else ""
            if "conv" in start or "linear" in start or "bn" in start:
                start = ""
                if outcome(name, given, value.shape) is None:
                    continue
            return body.add(f"{', '.join(labels)}: {value.name} -> {start}{text}", *labels)
        if count == 1:
            start = f"{before} -> " if before else ""
            line = f"{label}: {value.name} -> {start}{guarded(name, text)}"
            return body.add(line, label, continues=True)
        if before:
            entry = body.writer.fresh("l")
            if not body.add(f"{entry}: {value.name} -> {before}", entry):
                return False
            value = body.pool[-1]
        first, *others = [body.like(value) for _ in range(count)]
        others = [first, *(f"{other}{behind(name)}" for other in others)]
        return body.add(f"{label}: {text} {{ {'; '.join(others)} }}", label, continues=True)
    return False


def behind(name: str) -> str:
    """What keeps a further operand in bounds."""
    return f" -> {GUARDS[name]}" if name in GUARDS else ""


def _moved(body: Body, name: str, *parts: Callable[[int], str]) -> bool:
    """An operation whose other inputs are convolutions with its own window."""
    chance = body.chance
    value = body.pick((3,))
    given = arguments(OPS[name], value.shape, chance)
    given["kernel"] = chance.choice([1, 3, 3, (1, 3)])
    if "bias" in given and chance.random() < 0.5:
        del given["bias"]
    for parameter in OPS[name].parameters:
        if parameter.name.endswith("init") and given.get("bias") is not False:
            given[parameter.name] = sample(parameter, value.shape, chance)
    window = {k: v for k, v in given.items() if k in ("kernel", "stride", "pad", "dilation")}
    if outcome("conv", {"out": 2, **window}, value.shape) is None:
        raise RefusedError
    taps = math.prod(spatial_size(given["kernel"]))
    labels = []
    for part in parts:
        labels.append(body.writer.fresh("l"))
        out, *after = part(taps).split(" -> ")
        step = written("conv", {"out": int(out), **window}, chance)
        line = " -> ".join([f"{labels[-1]}: {value.name} -> {step}", *after])
        if not body.add(line, labels[-1]):
            return False
    normed = OPS[name].fused and chance.random() < 0.5
    if normed:
        given.pop("bias_init", None)  # there is no bias
    text = written(name, given, chance)
    if normed:
        text = f"{text[:-1]}, norm={chance.choice(NORMS)}, act={body.act()})"
    label = body.writer.fresh("l")
    line = f"{label}: {text} {{ {'; '.join([value.name, *labels])} }}"
    return body.add(line, label, continues=True)


def spatial_size(kernel: object) -> tuple[int, ...]:
    """A kernel over a map."""
    return kernel if isinstance(kernel, tuple) else (int(str(kernel)),) * 2


def _deform(body: Body) -> bool:
    parts = [lambda taps: f"{2 * taps}", lambda taps: f"{taps} -> sigmoid"]
    return _moved(body, "deform_conv", *parts[: body.chance.choice([1, 2])])


def _involve(body: Body) -> bool:
    return _moved(body, "involve", lambda taps: f"{taps}")


def _boxes(body: Body, last: str) -> bool:
    """A little detector, to its end or to one operation of it."""
    chance, fresh = body.chance, body.writer.fresh
    value = body.pick((3,))
    _, h, w = value.shape
    if h * w > 64:
        raise RefusedError
    anchors, classes = chance.choice([1, 2]), chance.choice([2, 3])
    grid, deltas, boxes, scores = (fresh("l") for _ in range(4))
    sizes = chance.choice([
        f"sizes=[{', '.join(['2', '4'][:anchors])}], ratios=[1]",
        f"wh=[{', '.join(['[2, 3]', '[4, 1.5]'][:anchors])}]",
    ])  # fmt: skip
    offset = chance.choice(["", ", offset=0.5"])
    if "wh=" in sizes:
        offset = chance.choice([offset, ", image=[8, 8]"])
    ok = body.add(f"{grid}: {value.name} -> anchor_grid([1, 2], {sizes}{offset})", grid)
    if last == "anchor_grid":
        return ok
    if last == "nms" and chance.random() < 0.5:
        last = "topk"
    form = chance.choice([
        '"rcnn"', '"rcnn", divisors=[10, 10, 5, 5]', '"rcnn", clip=[8, 8]',
        '"yolo", stride=[1, 2]', '"yolo", stride=[1, 2], stretch=1.2',
        '"yolov1", stride=[1, 2]', '"ltrb"', "",
    ])  # fmt: skip
    decode = f"decode({form})" if form else "decode"
    head = f"conv({4 * anchors}, 1) -> tanh"
    pattern = f'rearrange("(a d) h w -> (h w a) d", a={anchors})'
    ok = ok and body.add(f"{deltas}: {value.name} -> {head} -> {pattern}", deltas)
    ok = ok and body.add(f"{boxes}: {decode} {{ {deltas}; {grid} }}", boxes)
    if last == "decode":
        return ok
    pattern = pattern.replace("d", "k")
    pattern = f'rearrange("(a k) h w -> (h w a) k", a={anchors})'
    head = f"conv({classes * anchors}, 1)"
    ok = ok and body.add(f"{scores}: {value.name} -> {head} -> {pattern} -> sigmoid", scores)
    k = chance.choice([2, 4])
    found = [fresh("p") for _ in range(4)]
    select = chance.choice([
        f"topk({k})", f"topk({k}, background=0)", f"nms({k})", f"nms({k}, iou=0.3, score=0.1)",
        f"nms({k}, pre=5, background=0)", f"topk({k}, score=0.4)", f"nms(k={k}, min_size=0.1)",
    ])  # fmt: skip
    if last in ("topk", "nms"):
        select = chance.choice([f"{last}({k})", f"{last}({k}, score=0.2)"])
    line = f"{', '.join(found)}: {select} {{ {boxes}; {scores} }}"
    # The third are whole numbers: PyTorch takes them in `gather` alone.
    ok = ok and body.add(line, *found[:2], found[3])
    if last in ("topk", "nms"):
        return ok
    rois = fresh("l")
    size = chance.choice(["2", "3x2", "2x2, strides=[1], sampling_ratio=1"])
    step = f"roi_align({size}{'' if 'strides' in size else ', [1]'})"
    levels = value.name
    if min(h, w) > 3 and chance.random() < 0.4:
        step = "roi_align(2, [1, 2], canonical_scale=4, canonical_level=1)"
        levels += f"; {value.name} -> maxpool(2)"
    ok = ok and body.add(f"{rois}: {step} {{ {found[0]}; {levels} }}", rois)
    if last == "roi_align" or not ok:
        return ok
    masks, picked = fresh("l"), fresh("l")
    head = f"conv({classes}, 1)" if chance.random() < 0.5 else f"conv({classes}, 3, act=relu)"
    ok = body.add(f"{masks}: {rois} -> {{ {head} }} each row", masks) or body.add(
        f"{masks}: {rois} -> {head} each row", masks
    )
    return ok and body.add(f"{picked}: gather(1) {{ {masks}; {found[2]} }}", picked)


def _argmax(body: Body) -> bool:
    """The place of the largest, and what stands there: whole numbers go into `gather` alone."""
    value = body.pick()
    axis = len(value.shape) - 1
    if not axis:
        raise RefusedError
    place, found = body.writer.fresh("l"), body.writer.fresh("l")
    kept = f", keep=true) -> reshape({', '.join(map(str, value.shape[:-1]))}"
    step = f"argmax({axis}{body.chance.choice(['', kept])})"
    ok = body.add(f"{place}: {value.name} -> {step}")
    line = f"{found}: gather({axis}) {{ {value.name}; {place} }}"
    return ok and body.add(line, found, continues=True)


def _unpool(body: Body) -> bool:
    """Pooling, and where its places lead back: they go into `max_unpool` alone."""
    chance, value = body.chance, body.pick()
    given = arguments(OPS["maxpool_indices"], value.shape, chance)
    if chance.random() < 0.5:
        given = {"kernel": 3, "stride": 2, "pad": 1}
    found = outcome("maxpool_indices", given, value.shape)
    if not found:
        raise RefusedError
    pooled, places = body.writer.fresh("p"), body.writer.fresh("p")
    step = written("maxpool_indices", given, chance)
    ok = body.add(f"{pooled}, {places}: {value.name} -> {step}", pooled)
    back = {name: v for name, v in given.items() if name in ("kernel", "stride", "pad")}
    if chance.random() < 0.8 or outcome("max_unpool", back, *found) != (value.shape,):
        back["size"] = value.shape[1:]
    if not ok or outcome("max_unpool", back, *found) is None:
        return ok
    label, step = body.writer.fresh("l"), written("max_unpool", back, chance)
    return body.add(f"{label}: {step} {{ {pooled}; {places} }}", label, continues=True)


def _warped(body: Body) -> bool:
    """A spatial transformer."""
    chance, value = body.chance, body.pick((3,))
    grid, label = body.writer.fresh("l"), body.writer.fresh("l")
    given = arguments(OPS["affine_grid"], value.shape, chance) | {"size": value.shape[1:]}
    step = written("affine_grid", given, chance)
    ok = body.add(f"{grid}: {value.name} -> gap -> linear(6) -> reshape(2, 3) -> {step}", grid)
    seen = []
    for number, border in enumerate(("zeros", "border", "reflection")):
        mode = ("bilinear", "nearest")[number % 2]
        corners = "" if number else ", align_corners=true"
        step = f'grid_sample("{mode}", pad_mode="{border}"{corners})'
        seen.append(f"{step} {{ {value.name}; {grid} }}")
    return ok and body.add(f"{label}: add {{ {'; '.join(seen)} }}", label, continues=True)


PREPARED: dict[str, Construct] = {
    "maxpool_indices": _unpool,
    "max_unpool": _unpool,
    "affine_grid": _warped,
    "grid_sample": _warped,
    "argmax": _argmax,
    "deform_conv": _deform,
    "involve": _involve,
    "anchor_grid": lambda body: _boxes(body, "anchor_grid"),
    "decode": lambda body: _boxes(body, "decode"),
    "topk": lambda body: _boxes(body, "topk"),
    "nms": lambda body: _boxes(body, "nms"),
    "roi_align": lambda body: _boxes(body, "roi_align"),
    "gather": lambda body: _boxes(body, "gather"),
}
"""Operations whose inputs must come from elsewhere."""


@construct
def chained(body: Body) -> bool:
    """A chain of any operations."""
    value = body.pick()
    label = body.writer.fresh("l")
    return body.add(
        f"{label}: {value.name} -> {body.chain(value.shape)}", label, continues=True
    )


@construct
def continued(body: Body) -> bool:
    """Lines without a source, and a leading arrow."""
    value = body.last or body.pick()
    start = "" if body.last and body.chance.random() < 0.7 else f"{value.name} -> "
    label = body.writer.fresh("l")
    first, second = body.sames(value.shape), body.sames(value.shape, 2)
    third = body.chance.choice(
        [f"\n  -> {body.same(value.shape)}", f" # {label}\n    # then", ""]
    )
    return body.add(f"{start}{first}\n{label}: {second}{third}", label, continues=True)


@construct
def added(body: Body) -> bool:
    """A sum, with `skip`, conditions and labels inside."""
    chance = body.chance
    value = body.pick()
    label = body.writer.fresh("l")
    lines = [body.sames(value.shape) for _ in range(chance.choice([1, 1, 2]))]
    names = [label]
    if chance.random() < 0.3:
        inner = body.writer.fresh("l")
        lines[0] = f"{inner}: {lines[0]}"
        names.append(f"{label}.{inner}")
    holds, _ = body.condition()
    lines += chance.choice([
        ["skip"],
        [f"skip when {holds}", f"else {body.same(value.shape)}"],
        [f"skip when {holds}", f"else {body.writer.fresh('l')}: {body.same(value.shape)}"],
        [body.like(value)],
        ["skip", f"{body.same(value.shape)} when {holds}"],
    ])  # fmt: skip
    chance.shuffle(lines) if not any("else" in line for line in lines) else None
    inner_text = "; ".join(lines) if chance.random() < 0.4 else "\n    ".join(["", *lines, ""])
    after = chance.choice(["", f" -> {body.act()}"])
    names = names if not after else names[:1]
    return body.add(f"{label}: {value.name} -> add {{ {inner_text} }}{after}", *names,
                    continues=len(names) == 1)  # fmt: skip


@construct
def concatenated(body: Body) -> bool:
    """Branches side by side."""
    chance = body.chance
    value = body.map()
    label = body.writer.fresh("l")
    lines = []
    for _ in range(chance.choice([1, 2, 3])):
        out = chance.choice([2, 3, 4])
        before = body.same(value.shape)
        lines.append(chance.choice([
            "skip", body.like(value), body.conv(value.shape, out, chance.choice([1, 3])),
            f"{before} -> {body.conv(value.shape, out, 1)}",
            f"{value.name} -> {body.conv(value.shape, out, 1)}",
            f"skip when {body.condition()[0]}",
        ]))  # fmt: skip
    axis = chance.choice(["", "", "(axis=0)", "(1)"])
    after = chance.choice(["", "", " -> relu", " -> bn", f" -> {body.conv(value.shape, 4, 1)}"])
    source = f"{value.name} -> "
    return body.add(f"{label}: {source}concat{axis} {{ {'; '.join(lines)} }}{after}", label,
                    continues=True)  # fmt: skip


@construct
def gated(body: Body) -> bool:
    """Squeeze and excitation, and products of maps."""
    value = body.map()
    label = body.writer.fresh("l")
    c = value.shape[0]
    gate = body.chance.choice([
        f"gap -> linear({body.number(2)}, act=relu) -> linear({body.number(c)}) -> sigmoid",
        "gap(keep=true) -> sigmoid", f"gap(keep=true) -> conv({c}, 1, act=sigmoid)",
        "conv(1, 1) -> sigmoid", body.sames(value.shape), "gap -> softmax(0)",
    ])  # fmt: skip
    lines = ["skip", gate] if body.chance.random() < 0.7 else [gate, "skip"]
    return body.add(f"{label}: {value.name} -> mul {{ {'; '.join(lines)} }}", label,
                    continues=True)  # fmt: skip


@construct
def repeated(body: Body) -> bool:
    """A step or a group some times, with `then`."""
    chance = body.chance
    value = body.pick()
    label = body.writer.fresh("l")
    n = body.number(chance.choice([0, 1, 2, 3]))
    n = n if n.isalnum() else f"({n})"
    c = value.shape[0]
    if len(value.shape) > 1:
        step = chance.choice([
            f"conv({c}, 3 then 1, act=relu then none)", f"conv({c}, 3, norm=bn then none)",
            f"conv({c}, 3, norm=bn, act=none then leaky(0.1))", f"conv(8 then {c}, 1)",
            f"conv({c}, 3, stride=2 then 1)", body.same(value.shape), body.same(value.shape),
            f"conv({c}, 1, act={body.act()} then {body.act()})",
        ])  # fmt: skip
    else:
        step = chance.choice([f"linear({c}, act=relu then none)", body.same(value.shape)])
    groups = [f"{{ {step}; {body.same(value.shape)} }}", f"{{ {step} -> {body.act()} }}"]
    inner = body.writer.fresh("l")
    groups.append(f"{{ {inner}: {step}; {body.same(value.shape)} }}")
    text = chance.choice([step, *groups])
    again = " shared" if " then " not in text and int(label[1:]) % 2 else ""
    return body.add(f"{label}: {value.name} -> {text} * {n}{again}", label, continues=True)


@construct
def grouped(body: Body) -> bool:
    """Bare braces with labels, defaults and a name from within."""
    value = body.pick()
    label, inner, other = (body.writer.fresh("l") for _ in range(3))
    lines = [f"{inner}: {body.same(value.shape)}", f"{other}: {body.same(value.shape)}"]
    if body.chance.random() < 0.4:
        lines.append(f"add {{ {inner}; skip }}" if body.chance.random() < 0.2 else
                     f"add {{ {inner}; {other} }}")  # fmt: skip
    if body.chance.random() < 0.5:
        norm, act = body.chance.choice(NORMS), body.act()
        lines.insert(0, f"default conv, linear(norm={norm}, act={act})")
    if body.chance.random() < 0.3:
        lines.insert(0, f"let {body.writer.fresh('v')} = [1, 2] + [3]")
    text = "\n    ".join(lines) if body.chance.random() < 0.5 else "; ".join(lines)
    return body.add(f"{label}: {value.name} -> {{ {text} }}", label, f"{label}.{inner}")


@construct
def looped(body: Body) -> bool:
    """`for` over a range, in a sequence."""
    chance = body.chance
    value = body.pick()
    label, i = body.writer.fresh("l"), body.writer.fresh("i")
    k = chance.choice([1, 2, 3])
    c = value.shape[0]
    steps = [f"mul({i} + 1)", f"mul(0.5 * {i})", body.same(value.shape)]
    if len(value.shape) > 1:
        steps += [f"conv({c}, 2 * {i} + 1)", f"conv({c} if {i} == 1 else 4, 3) -> conv({c}, 1)",
                  f"conv({c}, 1, act=relu if {i} == 0 else none)"]  # fmt: skip
    inner = chance.choice(steps)
    if chance.random() < 0.4:
        a = body.writer.fresh("a")
        inner = f"{a}: {inner}\n    {body.same(value.shape)} -> add {{ skip; {a} }}"
    if chance.random() < 0.3:
        inner += f"\n    {body.same(value.shape)} when {i} > 0"
    names = [label, f"{label}[0]", f"{label}[{k - 1}]"]
    start = f"{value.name} -> " if chance.random() < 0.5 else ""
    if not start:
        before = body.writer.fresh("l")
        if not body.add(f"{before}: {value.name} -> {body.same(value.shape)}", before):
            return False
    span = chance.choice([f"0..{k}", f"0..{body.number(k)}"])
    return body.add(f"{label}: {start}for {i} in {span} {{ {inner} }}", *names[1:]) or body.add(
        f"{label}: {start}for {i} in {span} {{ {inner} }}"
    )


@construct
def listed(body: Body) -> bool:
    """`for` over a list of operations or numbers."""
    value = body.pick()
    before, label, i = body.writer.fresh("l"), body.writer.fresh("l"), body.writer.fresh("n")
    if not body.add(f"{before}: {value.name} -> {body.same(value.shape)}", before):
        return False
    c = value.shape[0]
    rank = len(value.shape) - 1
    choices = [f"for {i} in [relu, none, tanh] {{ {i} }}", f"for {i} in [bn, ln] {{ {i} }}",
               f"for {i} in [0.5, 2] {{ mul({i}) }}"]  # fmt: skip
    if rank:
        choices += [f"for {i} in [bn, none] {{ conv({c}, 1, norm={i}) }}",
                    f"for {i} in [1, 3] {{ conv({c}, {i}) -> relu }}",
                    f"for {i} in [[1, 2], [3, 0.5]] {{ conv({c}, {i}[0]) -> mul({i}[1]) }}",
                    ]  # fmt: skip
    return body.add(f"{label}: {body.chance.choice(choices)}", f"{label}[0]", f"{label}[1]")


@construct
def tabled(body: Body) -> bool:
    """`for` over a table with a column of each kind."""
    chance = body.chance
    value = body.map()
    before, label = body.writer.fresh("l"), body.writer.fresh("l")
    if not body.add(f"{before}: {value.name} -> {body.same(value.shape)}", before):
        return False
    number = body.writer.count
    c, k, act, on, n = (f"{letter}{number}" for letter in "ckaun")
    cells = {
        c: lambda: str(chance.choice([4, 6, 8])), k: lambda: chance.choice(["1", "3"]),
        act: lambda: chance.choice(["relu", "-", "leaky(0.2)"]),
        on: lambda: chance.choice(["true", "-"]), n: lambda: chance.choice(["1", "2", "0"]),
    }  # fmt: skip
    columns = [c, k, *(name for name in (act, on, n) if chance.random() < 0.6)]
    rows = [[cells[name]() for name in columns] for _ in range(chance.choice([1, 2, 3]))]
    if n in columns:
        rows[0][columns.index(n)] = "1"
    step = f"conv({c}, {k}{f', act={act}' if act in columns else ''})"
    step += f" * {n}" if n in columns else ""
    line = step
    if on in columns:
        line = chance.choice(
            [f"conv(4, 1) when {on}\n    {step}", f"{step}\n    relu when {on}"]
        )
    lines = [f"{label}: for | {' | '.join(columns)} |",
             *(f"  | {' | '.join(row)} |" for row in rows), f"{{ {line} }}"]  # fmt: skip
    return body.add("\n".join(lines), f"{label}[0]", f"{label}[{len(rows) - 1}]")


@construct
def indexed(body: Body) -> bool:
    """Labels with an index, one or two, and what reads them all."""
    chance = body.chance
    value = body.pick()
    label, i, j, end = (body.writer.fresh(letter) for letter in "lijl")
    k = chance.choice([1, 2, 3])
    steps = [body.same(value.shape), f"mul({i} + 0.5)"]
    if len(value.shape) > 1:
        steps.append(f"conv({value.shape[0]}, 2 * {i} + 1)")
    step = chance.choice(steps)
    if chance.random() < 0.3:
        line = f"for {j} in 0..2 {{ {label}[{i}, {j}]: {value.name} -> {step} }}"
        names = [f"{label}[{a}, {b}]" for a in range(k) for b in (0, 1)]
    else:
        line = f"{label}[{i}]: {value.name} -> {step}"
        if chance.random() < 0.4:
            other = body.writer.fresh("l")
            line += f"\n    {other}[{i}]: {label}[{i}] -> {body.same(value.shape)}"
        names = [f"{label}[{a}]" for a in range(k)]
    if not body.add(f"for {i} in 0..{k} {{ {line} }}", *names):
        return False
    join = chance.choice(["add", "concat"])
    inner = chance.choice([f"{label}[*]", f"{label}[*]; {value.name}"])
    if join == "add" and k == 1 and ";" not in inner:
        return True
    body.add(f"{end}: {join} {{ {inner} }}", end, continues=True)
    return True


@construct
def looped_join(body: Body) -> bool:
    """`for` in a join: every iteration contributes its lines."""
    value = body.pick()
    label, i, inner = (body.writer.fresh(letter) for letter in "lil")
    step = body.chance.choice([f"mul({i} + 1)", body.same(value.shape)])
    lines = [f"{step}", f"{value.name} -> {body.same(value.shape)} when {i} > 0"]
    chosen = "\n      ".join(body.chance.sample(lines, body.chance.choice([1, 2])))
    join = body.chance.choice(["add", "concat"])
    text = (
        f"{label}: {value.name} -> {join} {{\n    {inner}: for {i} in 0..3 {{ {chosen} }}\n  }}"
    )
    return body.add(text, label, continues=True)


@construct
def conditional(body: Body) -> bool:
    """A line with `when` and `else`."""
    chance = body.chance
    value = body.pick()
    a, b = body.writer.fresh("l"), body.writer.fresh("l")
    holds, true = body.condition()
    first, second = body.sames(value.shape, 2), body.sames(value.shape, 2)
    source = f"{value.name} -> "
    if body.last and chance.random() < 0.5:
        source = ""
        first, second = (body.sames(body.last.shape, 2) for _ in range(2))
    other = chance.choice([f"else {b}: {source}{second}", f"else {source}{second}", ""])
    text = f"{a}: {source}{first} when {holds}" + (f"\n{other}" if other else "")
    names = [a] if true else [b] if f"{b}:" in other else []
    return body.add(text, *names)


@construct
def parted(body: Body) -> bool:
    """Several outputs with their labels, some of them read."""
    value = body.pick()
    axis = body.chance.randrange(len(value.shape))
    size = value.shape[axis]
    if size < 2:
        raise RefusedError
    count = body.chance.choice([d for d in divisors(size) if 1 < d < 5] or [0])
    cut = body.chance.randrange(1, size)
    sections = str(count) if count else f"[{cut}, {size - cut}]"
    names = [body.writer.fresh("p") for _ in range(count or 2)]
    place = f", axis={axis}" if axis or body.chance.random() < 0.2 else ""
    if not body.add(f"{', '.join(names)}: {value.name} -> split({sections}{place})", *names):
        return False
    if body.chance.random() < 0.5:
        kept = body.pool[-1]
        label = body.writer.fresh("l")
        body.add(f"{label}: {kept.name} -> {body.chain(kept.shape, 2)}", label)
    elif body.chance.random() < 0.5:
        label = body.writer.fresh("l")
        body.add(f"{label}: concat({axis}) {{ {'; '.join(reversed(names))} }}", label)
    return True


@construct
def called(body: Body) -> bool:
    """A block, on what it was written for."""
    chance = body.chance
    if not body.writer.blocks:
        raise RefusedError
    callee = chance.choice(body.writer.blocks)
    label = body.writer.fresh("l")
    fits = [v for v in body.pool if v.shape == callee.ports[0]]
    values = fits or [v for v in body.pool if len(v.shape) == len(callee.ports[0])]
    if not values:
        raise RefusedError
    count = chance.choice([1, 2, 3]) if callee.family else len(callee.ports)
    sources = [chance.choice(values).name for _ in range(count)]
    text = body.call(callee)
    if len(sources) == 1 and not callee.family:
        line = f"{label}: {sources[0]} -> {text}"
        if chance.random() < 0.3:
            again = " shared" if int(label[1:]) % 3 == 0 else ""
            line += f" * {chance.choice([1, 2, 3])}{again}"
    else:
        line = f"{label}: {text} {{ {'; '.join(sources)} }}"
    inner = chance.sample(callee.inner, min(1, len(callee.inner)))
    options = [[label, *(f"{label}.{name}" for name in inner)], [f"{label}[0]"], [label]]
    return any(body.add(line, *names) for names in options)


@construct
def called_twice(body: Body) -> bool:
    """A block with two settings, in either order."""
    chance = body.chance
    known = [b for b in body.writer.blocks if b.params and len(b.ports) == 1]
    if not known:
        raise RefusedError
    callee = chance.choice(known)
    fits = [v for v in body.pool if v.shape == callee.ports[0]]
    if not fits:
        raise RefusedError
    value = chance.choice(fits)
    slot, first, second = chance.choice(callee.params)
    pair = [f"{callee.name}({slot}={v})" for v in (first, second)]
    pair[0] = chance.choice([pair[0], callee.name])
    chance.shuffle(pair)
    a, b = body.writer.fresh("l"), body.writer.fresh("l")
    if chance.random() < 0.3:
        return body.add(f"{a}: {value.name} -> {pair[0]} -> {pair[1]}", a)
    return body.add(f"{a}: {value.name} -> {pair[0]}", a) and body.add(
        f"{b}: {value.name} -> {pair[1]}", b
    )


@construct
def shared(body: Body) -> bool:
    """`each`: one module on several lines."""
    chance = body.chance
    value = body.pick()
    fits = [v for v in body.pool if v.shape[0] == value.shape[0]
            and len(v.shape) == len(value.shape)]  # fmt: skip
    lines = [chance.choice(fits).name for _ in range(chance.choice([1, 2, 3]))]
    if chance.random() < 0.3:
        lines[0] = f"{value.name} -> {body.same(value.shape)}"
    label, end = body.writer.fresh("l"), body.writer.fresh("l")
    step = body.same(value.shape)
    module = chance.choice(
        [step, step, f"{{ {step}; {body.same(value.shape)} }}", f"{step} * 2"]
    )
    names = [f"{label}[{n}]" for n in range(len(lines))]
    if not body.add(f"{label}: {module} each {{ {'; '.join(lines)} }}", *names):
        return False
    body.add(f"{end}: {chance.choice(['add', 'concat'])} {{ {label}[*] }}", end)
    return True


@construct
def mapped(body: Body) -> bool:
    """`each row`: one module over the first axis."""
    chance = body.chance
    value = body.pick((2, 3, 4))
    label = body.writer.fresh("l")
    row = value.shape[1:]
    step = body.sames(row, 1) if chance.random() < 0.5 else body.step(row)[0]
    known = [b for b in body.writer.blocks if b.ports == [row] and not b.family]
    if known:
        step = body.call(chance.choice(known))
    module = chance.choice([step, f"{{ {step}; {body.act()} }}"]) if "->" not in step else step
    if "->" in module:
        module = f"{{ {module} }}"
    return body.add(f"{label}: {value.name} -> {module} each row", label, continues=True)


@construct
def boxes(body: Body) -> bool:
    """A detector's end."""
    return _boxes(body, body.chance.choice(["gather", "roi_align", "nms"]))


@construct
def named_value(body: Body) -> bool:
    """`let`, which later lines may name."""
    name = body.writer.fresh("v")
    n = body.chance.choice([2, 4, 6])
    if not body.add(f"let {name} = {body.number(n)}"):
        return False
    body.ints[name] = n
    value = body.map()
    label = body.writer.fresh("l")
    return body.add(f"{label}: {value.name} -> conv({name}, 1)", label, continues=True)


@construct
def measured(body: Body) -> bool:
    """Sizes of tensors as values."""
    value, other = body.map(), body.map()
    label = body.writer.fresh("l")
    n, rank = value.name, len(value.shape) - 1
    o = other.name
    if "[" in n or "[" in o:
        raise RefusedError
    c = value.shape[0]
    texts = [
        f"{n} -> conv({o}.c, 1)", f"{n} -> conv(round8({o}.c), 1)",
        f"{n} -> linear({o}.w)", f"{n} -> avgpool({o}.size)",
        f"{n} -> mul({o}.w // {n}.w)",
        f"{n} -> {{ let s = {n}.size; reshape({n}.c, *s) }}",
        f"{n} -> reshape({n}.w * {n}.c, {math.prod(value.shape[1:-1])})",
        f"{n} -> flatten -> {{ let s = {n}.shape; reshape(*s) }}", f"{n} -> mul({n}.shape[0])",
        f"{n} -> conv({c}, 1) -> zeropad({n}.w - {n}.w + 1)",
        f"{n} -> relu -> conv(it.c, 1)", f"{n} -> gelu -> linear(it.w + 1)",
    ]  # fmt: skip
    if rank == len(other.shape) - 1:
        texts += [f"{n} -> resize({o}.size)", f'{n} -> resize({o}.size, "bilinear")',
                  f"{n} -> crop({o}.size)"]  # fmt: skip
    if rank >= 2:
        texts += [f"{n} -> mul({n}.h - {n}.w)",
                  f"{n} -> resize([{', '.join([f'{n}.h'] * rank)}])",
                  f"{n} -> avgpool([{', '.join([f'{n}.w // 2'] * rank)}], 1)"]  # fmt: skip
    if rank >= 3:
        texts += [f"{n} -> mul({n}.d)"]
    return body.add(f"{label}: {body.chance.choice(texts)}", label, continues=True)


PATTERNS: list[tuple[str, str, tuple[str, ...]]] = [
    ("block Two@: x[C, *S] -> (a[C, *S], b) {\n  a: x -> @same\n  b: a -> @same\n}",
     "@l: @v -> Two@", ("@l.a", "@l[1]")),
    ("block Pair@(k: int): (u[C, *S], v[C, *S]) -> (u2 as u, v2 as v) {\n"
     "  u2: add { u; v -> @same }\n  v2: mul(k) each { v; u2 }\n}".replace(
         "  v2: mul(k) each { v; u2 }", "  v2: add { v; u2 -> mul(k) }"),
     "@l: Pair@(1) { @v; @w } -> Pair@(3) * @n", ("@l.u", "@l.v")),
    ("block Maybe@(f: bool): x[C, *S] -> (a, b[C, *S] when f) {\n  a: x -> @same\n"
     "  b: a -> @same when f\n}",
     "@l: @v -> Maybe@(true)\n@m: @v -> Maybe@(false)", ("@l.a", "@l.b", "@m.a")),
    ("block Many@: *p[C, *S] -> *q {\n  for i in 0..len(p) { q[i]: p[i] -> @same }\n}",
     "@l: Many@ { @v; @w; @v }\n@m: Many@ { @l.q[*] }", ("@l.q[0]", "@l.q[2]", "@m.q[1]")),
    ("block Head@: x[C, *S] -> (cls, reg) {\n  t: x -> @same\n  cls: t -> @same\n"
     "  reg: t -> @same\n}",
     "@l: Head@ each { @v; @w }\n@m: concat { @l[*].cls }", ("@l[0].cls", "@l[1].reg", "@m")),
    ("block Body@: x -> (c1, c2) {\n  c1: x -> @same\n  c2: c1 -> @same\n}\n"
     "block Neck@: (c2, c1) -> (p1, p2) {\n  p1: add { c1; c2 }\n  p2: c2 -> relu\n}",
     "@l: @v -> Body@ -> Neck@", ("@l.p1", "@l.p2")),
    ("block Body@: x -> (c1, c2) {\n  c1: x -> @same\n  c2: c1 -> @same\n}\n"
     "block Mix@: (c1, c2) -> (o1 as c1, o2 as c2) {\n  o1: c1 -> @same\n"
     "  o2: add { c2; o1 }\n}",
     "@l: @v -> Body@ -> Mix@ * @n", ("@l.c1", "@l.c2")),
    ("block Inner@(act: op = relu) { conv(in.c, 1, act=act) }\n"
     "block Outer@(f: op, n: int = 1) { one: f -> Inner@(tanh) * n\n"
     "  two: add { one; Inner@(act=none) } }",
     "@l: @v -> Outer@(Inner@)\n@m: @v -> Outer@(Inner@(leaky(0.3)), 2)",
     ("@l", "@l.one", "@m")),
    ("block Cat@: (x, *before[_, *_]) -> y { y: concat { x; before[*]; x -> relu } }".replace(
        ", *_]", "]"),
     "@l: Cat@ { @v; @w }\n@m: Cat@ { @v }", ("@l", "@m")),
    ("block Res@(c: int, s: int = 1) {\n  add {\n    conv(c, 3, stride=s, norm=bn, act=relu)"
     " -> conv(c, 3, norm=bn)\n    skip when s == 1 and in.c == c\n"
     "    else projection: conv(c, 1, stride=s, norm=bn)\n  } -> relu\n}",
     "@l: @v -> Res@(4) * @n\n@m: @l -> Res@(6, s=2 then 1) * 2", ("@l", "@m")),
    ("block Fuse@: *p -> *q {\n  for i in 0..len(p) {\n    q[i]: add {\n      other: for j in"
     " 0..len(p) {\n        p[j] -> conv(p[i].c, 1) -> resize(p[i].size) when j != i\n"
     "        p[j] when j == i\n      }\n    } -> relu\n  }\n}",
     "@l: Fuse@ { @v; @w; @v -> conv(3, 1) }", ("@l.q[0]", "@l.q[2]")),
    ("", "@l: for i@ in 0..2 {\n  @m[i@]: @v -> @same\n}", ("@m[0]", "@m[1]")),
    ("", "for i@ in 0..3 { @l[i@]: @v -> @same }\n"
     "for j@ in 0..2 { @m[j@]: add { @l[j@]; @l[2 - j@] } }", ("@l[1]", "@m[1]")),
    ("block Deep@(f: bool) {\n  b: { @same when f }\n  add { in; b }\n}",
     "@l: @v -> Deep@(true)\n@m: @l -> Deep@(false)", ("@l", "@m")),
    ("block Scan@(n: int = 2): x[C, *S] -> y {\n  f[0]: x\n"
     "  for i in 1..n + 1 { f[i]: concat { f[*] } -> conv(C, 1) }\n  y: concat { f[*] }\n}",
     "@l: @v -> Scan@\n@m: @v -> Scan@(n=1)", ("@l", "@m", "@l.f[1]")),
    ("block Odd@(): x -> y { y: x -> relu() -> @same }\nblock Void@() { }",
     "@l: @v -> Odd@() -> Void@\n@m: add() { @l; @v -> {} }", ("@l",)),
    ("block Odd@(n: int,): (x[C,],) -> (y,) { y: x -> linear(C) -> mul(n,) }",
     "@l: @v -> gap -> Odd@(2) -> Odd@(n=3)", ("@l",)),
    ("", "@l: @v -> { for i@ in [] { mul(i@) }; @same }", ("@l",)),
    ("", "@l: @v -> relu when false\nelse @v -> tanh when false\n@m: @v -> @same\n"
     "for i@ in [1, 2,] { mul(i@) } * 2", ("@m",)),
    ("", "@l: @v -> relu when false\nelse @m: @v -> @same when 2 > 1", ("@m",)),
    ("block Port@(f: bool): (x as z, w) -> (a, b as c when f) {\n  a: x -> @same\n"
     "  b: w -> tanh when f\n}",
     "@l: Port@(true) { @v; @w }\n@m: Port@(false) { @l.c; @l.a }", ("@l.c", "@m.a")),
    ("block Port@(f: bool): x -> (a[C, *S] as d, b[_, *T] as c when f) {\n  a: x -> @same\n"
     "  b: x -> gap when f\n}",
     "@l: @v -> Port@(true)\n@m: @v -> Port@(false)", ("@l.c", "@l.d", "@m.d")),
    ("block Port@(f: bool = true): *p -> (a, *q when f) {\n  a: p[0] -> @same\n"
     "  for i in 0..len(p) { q[i]: p[i] -> relu when f }\n}",
     "@l: Port@ { @v; @w }\n@m: Port@(false) { @w }", ("@l.a", "@l.q[1]", "@m.a")),
    ("block Port@(f: bool = true): *p[C, *S] -> (a, *q[C, *S] when f) {\n  a: p[0] -> @same\n"
     "  for i in 0..len(p) { q[i]: p[i] -> relu when f }\n}",
     "@l: Port@ { @v; @w }\n@m: Port@(false) { @w }", ("@l.a", "@l.q[0]", "@m.a")),
    ("block Port@: *p -> *q[C, *S] { for i in 0..len(p) { q[i]: p[i] -> @same } }",
     "@l: Port@ { @v; @w }", ("@l.q[0]",)),
    ("", "@l: for i@ in 0..2 { mul(i@ + 1) } each { @v; @w }\n"
     "@m: for i@ in 0..2 { relu } * 2 each { @v }", ("@l[0]", "@l[1]", "@m[0]")),
    ("", "@l: { @same; @same } * 2 each { @v; @w }", ("@l[0]", "@l[1]")),
    ("", "@m: @v -> @same\n@l: for | a@ |\n  | 2 |\n  | 3 |\n{ mul(a@) } * 2", ("@m",)),
    ("", "@l: for | a@ |\n  | 2 |\n{ mul(a@) } each { @v; @w }\n"
     "@m: for | b@ |\n  | 2 |\n{ mul(b@) -> tanh } * 2 each { @v }", ("@l[0]", "@m[0]")),
    ('use "lib/resnet.arch" (BasicBlock as Basic@,)',
     "@l: @v -> Basic@(4)\n@m: @v -> Basic@(6, s=2, norm=gn(2)) -> Basic@(6)", ("@l", "@m")),
    ('use "lib/squeeze_excite.arch" (SqueezeExcite as SE@)',
     "@l: @v -> SE@(2)\n@m: @v -> SE@(3, act=silu)", ("@l", "@m")),
    ("model Sub@(n: int = 1): image[C, *S] -> y { y: image -> @same -> mul(n) }".replace(
        "[C, *S]", "[@d]"), "@l: @v -> Sub@\n@m: @v -> Sub@(2)", ("@l", "@m")),
    ("block Set@(n: int = 1, act: op = relu) { @same -> act -> mul(n) }",
     "@l: @v -> { default Set@(n=2); Set@; Set@(act=tanh) }\n@m: @v -> Set@(3)", ("@l", "@m")),
    ("block Idle@(n: int = 2, act: op = relu): x -> y { y: x -> @same }",
     "@l: @v -> Idle@\n@m: @v -> Idle@(3, act=tanh)", ("@l", "@m")),
    ("block Tokens@(heads: int = 1): x[C, *S] -> (y[C, *S], t) {\n"
     '  r: x -> rearrange("c ... -> (...) c")\n'
     "  q: r -> linear(C)\n  t: attention(heads, scale=0.5) { q; r -> linear(C); q }\n"
     "  y: x -> @same\n}",
     "@l: @v -> Tokens@\n@m: @v -> Tokens@(heads=1)", ("@l.y", "@l.t", "@m.t")),
    ("default conv(init=kaiming_normal(\"fan_out\"))\n"
     "block Begun@: x[C, *S] -> y { y: x -> conv(C, 3, bias_init=normal(0.5)) -> @same }",
     "@l: @v -> Begun@ each { @v; @w }\n@m: @v -> Begun@", ("@l[0]", "@l[1]", "@m")),
    ("block Places@(k: size = 2): x[C, *S] -> (y, p, q) {\n  p, q: x -> maxpool_indices(k)\n"
     "  y: max_unpool(k, size=x.size) { p; q }\n}",
     "@l: @v -> Places@\n@m: @v -> Places@(3)", ("@l.y", "@l.p", "@m.y")),
    ("block Half@: x[C, H, W] -> y[2 * C, H // 2, W // 2] {\n"
     "  y: x -> conv(2 * C, 2, stride=2, pad=valid)\n}",
     "@l: @v -> Half@", ("@l",)),
    ("", "@l: for i@ in 0..2 { mul(i@ + 1) } * 2 shared each { @v; @w }\n"
     "@m: @v -> for i@ in 0..2 { relu -> mul(i@ + 2) } * 2 shared", ("@l[0]", "@l[1]")),
    ("", "@l: for | a@ |\n  | 2 |\n{ tanh -> mul(a@) } * 2 shared each { @v; @w }\n"
     "@m: @v -> for | b@ |\n  | 2 |\n{ mul(b@) } * 3 shared", ("@l[0]", "@l[1]")),
    ("block Same@(f: bool = true): x[C, *S] -> y {\n"
     "  y: x -> @same -> relu when f\n  else y: x -> @same\n}",
     "@l: Same@ * 2 shared each { @v; @w }\n@m: @v -> Same@(false) * 3 shared",
     ("@l[0]", "@l[1]", "@m")),
    ("", "@l: { @same; tanh } * 2 shared each { @v; @w }", ("@l[0]", "@l[1]")),
    ("block Some@(f: bool): x -> (a, b when f) {\n  a: x -> @same\n"
     "  b: x -> tanh when f\n}",
     "@l: @v -> Some@(true)\n@m: @v -> Some@(false)", ("@l.a", "@l.b", "@m")),
    ("block Deeper@(n: int): x[C, *S] -> y[C, *S] {\n  a: x -> @same\n"
     "  b: a -> Deeper@(n - 1) when n > 0\n  else b: a -> relu\n  y: add { a; b }\n}",
     "@l: @v -> Deeper@(2)\n@m: @v -> Deeper@(1)", ("@l", "@m")),
    ("block Wider@(n: int, c: int) {\n  conv(c, 1)\n"
     "  inner: Wider@(n - 1, c + 2) when n > 1\n  conv(c, 1, act=relu)\n}",
     "@l: @v -> Wider@(3, 4)\n@m: @v -> Wider@(1, 2)", ("@l", "@m")),
]  # fmt: skip
"""Blocks and their calls as detectors write them: `@` is a number, `@same` any step."""


@construct
def patterned(body: Body) -> bool:
    """One of the patterns, with random steps in it."""
    return _pattern(body, body.chance.choice(PATTERNS))


def own_pattern(body: Body) -> bool:
    """The seed's own pattern, in every other program."""
    number, other = divmod(body.writer.seed, 2)
    return not other and _pattern(body, PATTERNS[number % len(PATTERNS)])


def _pattern(body: Body, pattern: tuple[str, str, tuple[str, ...]]) -> bool:
    block, line, names = pattern
    chance = body.chance
    value = body.map()
    number = body.writer.fresh("")
    labels = {"@l": body.writer.fresh("l"), "@m": body.writer.fresh("l")}
    fits = [v.name for v in body.pool if v.shape == value.shape]
    letters = zip("HWD", value.shape[1:], strict=False)
    labels["@d"] = ", ".join([str(value.shape[0]), *(f"{n}={size}" for n, size in letters)])
    labels |= {"@v": value.name, "@w": chance.choice(fits), "@n": str(chance.choice([1, 2, 3]))}

    def filled(text: str) -> str:
        while "@same" in text:
            text = text.replace("@same", body.plain(value.shape), 1)
        for mark, name in labels.items():
            text = text.replace(mark, name)
        return text.replace("@", number)

    declared = filled(block)
    if declared:
        body.writer.declarations.append(declared)
    if body.add(filled(line), *map(filled, names)):
        return True
    if declared:
        body.writer.declarations.pop()
    return False
